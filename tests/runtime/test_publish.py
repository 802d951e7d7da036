"""A stream that is published arrives whole, in order, and ends."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import zmq

from bot4jax.data.universe import universe
from bot4jax.errors import DataError, Halted
from bot4jax.runtime import publish as publishing
from bot4jax.runtime.batches import Batch, Close
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.publish import Published, publish, receive, send, serve
from bot4jax.runtime.sockets import Limits, bound_endpoint, publisher, subscriber
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import MAGIC, Refusal, encode
from bot4jax.schema.process import Endpoints
from bot4jax.types import BEGIN, BUY, END, TICK, TRADE, Frame, Instrument

ANY_PORT = "tcp://127.0.0.1:*"
PATIENCE_S = 20.0
MARKET = universe([Instrument(symbol="A"), Instrument(symbol="B")])
BAR_NS = 1_000


def frames(count: int = 50, size: int = 4) -> list[Frame]:
    made = []
    for n in range(count):
        rows = [
            (TRADE, BUY, 0, k % 2, 100 * n + k, 100 + k, 1, size * n + k, 0)
            for k in range(size)
        ]
        made.append(Frame(3, 1, size * n, 100 * n + 9, np.array(rows, TICK)))
    return made


def same(left: Frame, right: Frame) -> bool:
    return left[:4] == right[:4] and left.records.tobytes() == right.records.tobytes()


@pytest.fixture
def line() -> Iterator[tuple[zmq.Socket, zmq.Socket]]:
    """A publisher and a subscriber that it has heard of."""
    with (
        publisher(ANY_PORT) as source,
        subscriber(bound_endpoint(source), (MAGIC,)) as sink,
    ):
        Subscribers(source).await_present(1, PATIENCE_S)
        yield source, sink


@pytest.fixture
def aside() -> Iterator[Callable]:
    """Runs something beside the test and waits for it at the end."""
    threads = []

    def start(work: Callable, *args, **options) -> None:
        thread = threading.Thread(target=work, args=args, kwargs=options)
        threads.append(thread)
        thread.start()

    yield start
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive()


def test_a_stream_arrives_whole_and_ends(line, aside):
    source, sink = line
    sent = frames()
    aside(publish, sent, source, MARKET.hash, end_ns=5_000)
    arrived = list(receive(sink, MARKET.hash, PATIENCE_S))
    got = [one.frame for one in arrived if one.frame is not None]
    assert all(map(same, got, sent))
    end = got[-1]
    assert len(got) == len(sent) + 1
    assert (end.sequence, end.sent_ns, len(end.records)) == (200, 5_000, 0)
    stamps = [one.receive_ns for one in arrived]
    assert stamps == sorted(stamps)


def test_corrupt_frames_are_counted_and_dropped(line):
    source, sink = line
    good = encode(frames(1)[0], MARKET.hash)
    end = encode(frames(1)[0]._replace(sequence=4, flags=END), MARKET.hash)
    damaged = bytes([*good[:-1], good[-1] ^ 1])
    foreign = encode(frames(1)[0], MARKET.hash + 1)
    for buffer in (MAGIC, damaged, foreign, good, damaged, end):
        source.send(buffer)
    source.send_multipart([good, b"more"])
    refused: Counter[Refusal] = Counter()
    arrived = list(receive(sink, MARKET.hash, PATIENCE_S, refused=refused))
    assert len(arrived) == 2
    assert refused == {Refusal.SHORT: 1, Refusal.CHECKSUM: 2, Refusal.UNIVERSE: 1}


def test_bars_through_the_socket_equal_those_in_process(line, aside):
    source, sink = line

    def bars(stream) -> list:
        feed = Feed(MARKET, np.array([100, 100]), BAR_NS, 0, 16)
        events = [event for one in stream for event in feed.push(*one)]
        return [
            (one.packed[: one.count].tolist(), one.records.tolist())
            if isinstance(one, Batch)
            else ("Close", one.bar, one.ticks)
            if isinstance(one, Close)
            else one.slots.tolist()
            for one in events
        ]

    sent = frames()
    end = Frame(3, 1, 200, 5_000, np.empty(0, TICK))
    expected = bars([(one,) for one in [*sent, end]])
    aside(publish, sent, source, MARKET.hash, end_ns=5_000)
    arrived = receive(sink, MARKET.hash, PATIENCE_S)
    assert bars((one.frame, one.receive_ns) for one in arrived) == expected
    assert [one[:2] for one in expected if one[0] == "Close"][-1] == ("Close", 4)


def test_silence_is_told_with_the_reason(line):
    source, sink = line
    source.send(encode(frames(1)[0], MARKET.hash + 1))
    with pytest.raises(Halted, match=r"1 for their universe") as told:
        list(receive(sink, MARKET.hash, 0.3))
    assert "mode=feed" in str(told.value)


def test_silence_counts_only_while_the_market_is_open(line):
    """Closed for the first looks at the clock, then open: only then time runs out."""
    _, sink = line
    asked: list[int] = []

    def in_session(now_ns: int) -> bool:
        asked.append(now_ns)
        return len(asked) > 5

    stream = receive(sink, MARKET.hash, 0.05, idle_s=0.05, in_session=in_session)
    assert [next(stream).frame for _ in range(5)] == [None] * 5
    with pytest.raises(Halted, match="No frame came"):
        list(stream)
    assert asked == sorted(asked)


def test_moments_of_silence_are_told_between_the_frames(line):
    source, sink = line
    stream = receive(sink, MARKET.hash, PATIENCE_S, idle_s=0.01)
    assert next(stream).frame is None
    source.send(encode(frames(1)[0], MARKET.hash))
    seen = []
    while not seen or seen[-1] is None:
        seen.append(next(stream).frame)
    assert same(seen[-1], frames(1)[0])
    assert next(stream).frame is None
    source.send(encode(frames(2)[1]._replace(flags=END), MARKET.hash))
    rest = [one.frame for one in stream]
    assert rest[-1] is not None


def test_all_publishers_must_have_ended(line):
    source, sink = line
    first, second = frames(1)[0], frames(1)[0]._replace(publisher=4)
    source.send(encode(first, MARKET.hash))
    source.send(encode(second._replace(flags=END), MARKET.hash))
    source.send(encode(first._replace(sequence=4, flags=END), MARKET.hash))
    assert len(list(receive(sink, MARKET.hash, PATIENCE_S))) == 3


def test_who_has_ended_and_comes_back_in_a_new_life_is_waited_for(line):
    """And an END of its former life, come late, does not end the new one."""
    sender, receiver = line
    nothing = np.empty(0, TICK)
    lives = [
        (1, 1, BEGIN),
        (2, 1, BEGIN),
        (1, 1, END),
        (1, 2, 0),
        (2, 1, END),
        (1, 1, END),
        (1, 2, 0),
        (1, 2, END),
    ]
    sent = [Frame(name, epoch, 0, 9, nothing, flags=how) for name, epoch, how in lives]
    for one in sent:
        sender.send(encode(one, MARKET.hash))
    heard = [one.frame for one in receive(receiver, MARKET.hash, PATIENCE_S)]
    told = [(one.publisher, one.epoch, one.flags) for one in heard if one is not None]
    assert told == lives


def test_a_slow_subscriber_loses_nothing(aside):
    """Queues of ten frames, two thousand frames: the publisher has to wait."""
    tight = Limits(send_high_water=10, receive_high_water=10, send_timeout_ms=5)
    sent = frames(2_000, size=40)
    with (
        publisher(ANY_PORT, tight) as source,
        subscriber(bound_endpoint(source), (MAGIC,), tight) as sink,
    ):
        Subscribers(source).await_present(1, PATIENCE_S)
        aside(publish, sent, source, MARKET.hash, end_ns=10**6)
        arrived = receive(sink, MARKET.hash, PATIENCE_S)
        got = [one.frame for one in arrived if one.frame is not None]
    assert len(got) == len(sent) + 1
    assert all(map(same, got, sent))


def test_a_hung_subscriber_is_told_of():
    tight = Limits(send_high_water=1, receive_high_water=1, send_timeout_ms=1)
    with zmq.Context() as context:
        endpoint = "inproc://hung"
        with (
            publisher(endpoint, tight, context) as source,
            subscriber(endpoint, (MAGIC,), tight, context),
        ):
            Subscribers(source).await_present(1, PATIENCE_S)
            buffer = encode(frames(1)[0], MARKET.hash)
            for _ in range(2):
                send(source, buffer)
            with pytest.raises(Halted, match="has read nothing"):
                send(source, buffer, patience_s=0.02)


def test_too_few_subscribers_are_told_of(line):
    source, _ = line
    with pytest.raises(Halted, match="0 of 2 subscribers"):
        Subscribers(source).await_present(2, 0.01)


def test_the_publisher_stays_until_its_subscribers_have_left(line):
    source, sink = line
    assert not Subscribers(source, came=1).await_left(0.01)
    sink.close()
    assert Subscribers(source, came=1).await_left(PATIENCE_S)


def test_who_came_late_is_waited_for_too(line):
    source, sink = line
    seen = Subscribers(source, came=1)
    with subscriber(bound_endpoint(source), (MAGIC,)):
        seen.await_present(2, PATIENCE_S)
        sink.close()
        assert seen.await_left(PATIENCE_S, count=1)
        assert (seen.came, seen.left) == (2, 1)
        assert not seen.await_left(0.01)
    assert seen.await_left(PATIENCE_S)


def test_who_left_and_came_again_is_waited_for(line):
    source, sink = line
    seen = Subscribers(source, came=1)
    sink.close()
    assert source.poll(PATIENCE_S * 1e3)
    with subscriber(bound_endpoint(source), (MAGIC,)):
        time.sleep(0.2)  # both words wait, the newer behind the older
        assert not seen.await_left(0.01)
        assert (seen.came, seen.left) == (2, 1)
    assert seen.await_left(PATIENCE_S)


class Clock(SimpleNamespace):
    """A clock that moves only when someone sleeps."""

    def __init__(self) -> None:
        super().__init__(now=50.0)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Recorder:
    """Takes the place of a socket; knows when what was sent."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.sent: list[tuple[float, int]] = []

    def send(self, buffer: bytes) -> None:
        frame = publishing.decode(buffer, MARKET.hash)
        self.sent.append((round(self.clock.now - 50, 9), len(frame.records)))


def test_frames_are_paced_by_event_time_with_heartbeats(monkeypatch):
    clock = Clock()
    recorder: Any = Recorder(clock)
    monkeypatch.setattr(publishing, "time", clock)
    base = frames(3, size=1)
    seconds = (0, 1, 8)
    stream = []
    for n, frame in enumerate(base):
        records = frame.records.copy()
        records["event_ns"] = 10**18 + seconds[n] * 10**9
        stream.append(frame._replace(records=records))
    publish(stream, recorder, MARKET.hash, 10**18, speed=2.0, heartbeat_s=1.0)
    expected = [
        (0.0, 1),
        (0.5, 1),
        *[(1.5 + k, 0) for k in range(3)],
        (4.0, 1),
        (4.0, 0),
    ]
    assert recorder.sent == expected


def test_without_a_speed_nothing_waits(monkeypatch):
    clock = Clock()
    recorder: Any = Recorder(clock)
    monkeypatch.setattr(publishing, "time", clock)
    assert publish(frames(), recorder, MARKET.hash, 5_000) == Published(50, 200)
    assert clock.now == 50.0


def market(has_ticks: bool = True) -> Any:
    """As much of a source as publishing needs."""
    return SimpleNamespace(
        universe=MARKET,
        has_ticks=has_ticks,
        bar_ns=BAR_NS,
        start_ns=0,
        frames=lambda first, stop: iter(frames()[first * 10 : stop * 10]),
    )


def places(folder) -> Endpoints:
    """Sockets that nobody else uses."""
    names = Endpoints.__struct_fields__
    return Endpoints(**{name: f"ipc://{folder}/{name}" for name in names})


def test_a_span_of_a_source_is_served(aside, tmp_path):
    aside(serve, market(), 1, 3, places(tmp_path))
    with subscriber(places(tmp_path).ticks, (MAGIC,)) as sink:
        got = [one.frame for one in receive(sink, MARKET.hash, PATIENCE_S)]
    assert [one.sequence for one in got if one] == [*range(40, 120, 4), 120]
    assert got[-1] is not None
    assert got[-1].sent_ns == 3 * BAR_NS


def test_a_source_without_ticks_is_refused(tmp_path):
    with pytest.raises(DataError, match="no ticks"):
        serve(market(has_ticks=False), 0, 1, places(tmp_path))
