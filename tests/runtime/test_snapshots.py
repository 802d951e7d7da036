"""What was missed is seen at once, bars an engine, and is healed by a snapshot."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import jax.numpy as jnp
import numpy as np
import pytest
import zmq
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.errors import Halted
from bot4jax.kernels.bars import init_bars
from bot4jax.runtime.batches import Batch, Close
from bot4jax.runtime.closings import LIVE, seen_only
from bot4jax.runtime.displayed import Displayed
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.messages import Hello, Refused, pack, unpack_welcome
from bot4jax.runtime.publish import Arrival, begun, heartbeat, publish, receive
from bot4jax.runtime.snapshots import MOST_AT_ONCE, SnapshotDesk, Snapshots, greeting
from bot4jax.runtime.sockets import (
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.standing import Standing
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import MAGIC, decode, encode
from bot4jax.types import (
    BAR_INTS,
    CONFLATED,
    END,
    QUOTE,
    SNAPSHOT,
    TICK,
    TICKS,
    Frame,
)
from tests.runtime.device_bars import ENGINE, closed_on_device
from tests.runtime.small_market import BAR_NS, BARS, MARKET, S, record, stream

ANCHORS = np.array([100, 100, 100])
ANY_PORT = "tcp://127.0.0.1:*"
PATIENCE_S = 20.0


def new_feed() -> Feed:
    return Feed(MARKET, ANCHORS, BAR_NS, start_ns=0, capacity=8)


def snapshot_of(frames: list[Frame]) -> Frame:
    """What a publisher that has sent these frames would answer."""
    standing = Standing(S)
    for one in frames:
        standing.absorb(one.records)
    return standing.snapshot(frames[-1])


class Screen:
    """What the batches of a feed show by the end, and which bars were whole."""

    def __init__(self, feed: Feed) -> None:
        self.feed, self.shown = feed, Displayed(S)
        self.closed: list[Close] = []

    def push(self, *frames: Frame) -> None:
        for one in frames:
            for event in [*self.feed.push(one), *self.feed.flush()]:
                if isinstance(event, Batch):
                    self.shown.absorb(event.records)
                elif isinstance(event, Close):
                    self.closed.append(event)

    @property
    def market(self) -> tuple[bytes, ...]:
        shown = self.shown
        return shown.quotes.tobytes(), shown.levels.tobytes(), shown.status.tobytes()


def whole(frames: list[Frame]) -> Screen:
    screen = Screen(new_feed())
    screen.push(*frames)
    return screen


# What stands.


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 39))
def test_a_snapshot_shows_what_all_its_records_together_show(seed, stop):
    frames = stream(seed=seed)[:stop]
    alone, everything = Displayed(S), Displayed(S)
    snapshot = snapshot_of(frames)
    alone.absorb(snapshot.records)
    everything.absorb(np.concatenate([one.records for one in frames]))
    np.testing.assert_array_equal(alone.quotes, everything.quotes)
    np.testing.assert_array_equal(alone.levels, everything.levels)
    np.testing.assert_array_equal(alone.status, everything.status)
    assert (snapshot.records["flags"] == CONFLATED).all()
    assert snapshot.kind == SNAPSHOT
    assert snapshot.sequence == frames[-1].sequence + len(frames[-1].records)


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(1, 60))
def test_a_snapshot_states_what_is_newest_in_whatever_order_it_was_sent(seed, width):
    rng = np.random.default_rng(seed)
    rows = [record(rng, time) for time in range(60)]
    turned = [rows[i] for i in rng.permutation(len(rows))]
    sorted_, other = Standing(S), Standing(S)
    sorted_.absorb(np.array(rows, TICK))
    for at in range(0, len(turned), width):
        other.absorb(np.array(turned[at : at + width], TICK))
    after = Frame(1, 1, 0, 60, np.empty(0, TICK))
    stated = [one.snapshot(after).records.tobytes() for one in (sorted_, other)]
    assert stated[0] == stated[1]


# Gaps.


@settings(max_examples=50)
@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 8), st.integers(0, 8))
def test_dropped_messages_make_stale_and_a_snapshot_heals(
    first, dropped, taken_after, comes_after
):
    """The snapshot is taken some frames after the gap and arrives before or after
    the stream has got there; in the end the market is that of an undisturbed run."""
    frames = stream()
    gap = first + dropped
    taken = gap + taken_after
    screen = whole(frames[:first])
    assert not screen.feed.is_stale
    screen.push(frames[gap])
    assert screen.feed.stale.all()
    screen.push(*frames[gap + 1 : gap + comes_after + 1])
    screen.push(snapshot_of(frames[:taken]))
    screen.push(*frames[gap + comes_after + 1 :])
    assert not screen.feed.is_stale
    assert screen.feed.counters.snapshots == 1
    assert screen.market == whole(frames).market


def test_a_snapshot_from_before_the_gap_heals_nothing():
    frames = stream()
    screen = whole(frames[:5])
    screen.push(*frames[9:12], snapshot_of(frames[:7]))
    assert screen.feed.stale.all()
    assert screen.feed.counters.snapshots == 0
    screen.push(snapshot_of(frames[:12]))
    assert not screen.feed.is_stale


def test_bars_are_masked_from_the_gap_until_the_snapshot():
    frames = stream()  # five a bar
    screen = whole(frames[:11])
    screen.push(*frames[13:26], snapshot_of(frames[:26]), *frames[26:])
    masked = {one.bar: one.masked for one in screen.closed}
    all_of_them = tuple(range(S))
    assert [bar for bar, slots in masked.items() if slots] == [2, 3, 4, 5]
    assert {slots for slots in masked.values() if slots} == {all_of_them}


def test_a_second_gap_makes_the_first_ones_snapshot_too_old():
    frames = stream()
    screen = whole(frames[:5])
    screen.push(frames[7], frames[9], snapshot_of(frames[:8]))
    assert screen.feed.is_stale
    screen.push(snapshot_of(frames[:10]))
    assert not screen.feed.is_stale


def test_only_the_symbols_of_the_publisher_are_stale():
    feed = new_feed()
    one = Frame(1, 1, 0, 10, np.array([(QUOTE, 0, 0, 0, 1, 99, 101, 5, 5)], TICK))
    two = Frame(2, 1, 0, 10, np.array([(QUOTE, 0, 0, 1, 1, 99, 101, 5, 5)], TICK))
    for frame in (*begun([one]), *begun([two])):
        list(feed.push(frame))
    list(feed.push(two._replace(sequence=7)))
    assert feed.stale.tolist() == [False, True, True]  # nobody has spoken of the third


def test_a_symbol_that_the_snapshot_does_not_quote_stays_stale():
    frames = stream()
    screen = whole(frames[:5])
    screen.push(frames[7])
    full = snapshot_of(frames[:8])
    screen.push(full._replace(records=full.records[full.records["symbol"] != 1]))
    assert screen.feed.stale.tolist() == [False, True, False]
    screen.push(full)
    assert not screen.feed.is_stale


def test_an_unasked_snapshot_changes_nothing():
    frames = stream()
    screen, other = whole(frames[:9]), whole(frames[:9])
    screen.push(snapshot_of(frames[:12]))
    screen.push(*frames[9:])
    other.push(*frames[9:])
    assert screen.market == other.market
    assert screen.closed == other.closed
    assert screen.feed.counters == other.feed.counters


def test_a_corrupt_snapshot_record_is_screened():
    frames = stream()
    screen = whole(frames[:5])
    screen.push(frames[7])
    bad = snapshot_of(frames[:8])
    bad.records["a"][bad.records["kind"] == QUOTE] = -5
    screen.push(bad)
    assert screen.feed.stale.all()
    assert screen.feed.counters.dropped.total() == S


# Late joiners and restarted publishers.


def test_a_late_joiner_is_masked_until_a_snapshot_heals_it():
    frames = stream()
    late = whole(frames[12:14])
    assert late.feed.stale.all()
    late.push(snapshot_of(frames[:14]), *frames[14:])
    assert not late.feed.is_stale
    undisturbed = whole(frames)
    assert late.market == undisturbed.market
    masked = [one.bar for one in late.closed if one.masked]
    assert masked == [0, 1, 2]
    # Who has heard less knows less of what delay is usual.
    pairs = zip(late.closed[3:], undisturbed.closed[3:], strict=True)
    assert all(a._replace(newest_ns=b.newest_ns) == b for a, b in pairs)


def test_a_publisher_that_resumes_at_the_next_record_disturbs_nothing():
    """A new epoch, the same numbering: to the bit the state of an undisturbed run."""
    frames = stream()
    again = [one._replace(epoch=2) for one in frames[17:]]
    assert device_bars(frames) == device_bars(frames[:17] + list(begun(again)))


def test_a_killed_and_restarted_publisher_leaves_the_state_undisturbed(tmp_path):
    """Two processes, the first one killed: the second resumes at the next record."""
    endpoint = f"ipc://{tmp_path}/ticks"
    with subscriber(endpoint, (MAGIC,)) as sink:
        closed = device_bars(over_a_restart(sink, endpoint))
    assert closed == device_bars(stream())


def over_a_restart(sink: zmq.Socket, endpoint: str) -> Iterator[Frame]:
    """Frames of a publisher that is killed after some, then of its successor."""
    frames, arrived = stream(), 0
    with market_process(endpoint, epoch=1, first=0, stop=25) as process:
        while arrived < 17:
            yield heard_one(sink)
            arrived += 1
        process.kill()
        process.wait()
        while sink.poll(200):  # what had left before the end
            yield heard_one(sink)
            arrived += 1
    with market_process(endpoint, epoch=2, first=arrived, stop=len(frames)):
        while not (frame := heard_one(sink)).is_end:
            yield frame
        total = sum(len(one.records) for one in frames)
        assert (frame.epoch, frame.sequence) == (2, total)
        sink.close()  # the publisher stays until its subscriber has left


@contextmanager
def market_process(
    endpoint: str, epoch: int, first: int, stop: int
) -> Iterator[subprocess.Popen]:
    words = [endpoint, *map(str, (epoch, first, stop))]
    command = [sys.executable, "-m", "tests.runtime.market_process", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        try:
            yield process
            process.wait(PATIENCE_S)
        finally:
            process.kill()


def heard_one(sink: zmq.Socket) -> Frame:
    assert sink.poll(round(PATIENCE_S * 1e3)), "nothing arrived"
    return decode(sink.recv(), MARKET.hash)


def test_a_publisher_that_resends_what_was_sent_disturbs_nothing():
    frames = stream()
    assert device_bars(frames) == device_bars(frames[:17] + frames[9:17] + frames[9:])


def test_a_new_epoch_that_skips_records_heals_by_its_own_snapshot():
    frames = stream()
    again = [one._replace(epoch=2, sequence=one.sequence - 40) for one in frames]
    screen = whole(frames[:15])
    screen.push(again[17], snapshot_of(frames[:15]))
    assert screen.feed.stale.all()  # the former epoch's numbers mean nothing now
    screen.push(snapshot_of(again[:18]), *again[18:])
    assert not screen.feed.is_stale
    assert screen.market == whole(frames).market


@pytest.mark.parametrize("shift", [0, 40])
def test_a_new_life_that_resends_applies_nothing_twice(shift):
    """All from the beginning, under the same numbers or others: each tick is seen once,
    the bars in question are masked, and no snapshot of the past is taken for news."""
    frames = stream()
    again = [one._replace(epoch=2, sequence=one.sequence + shift) for one in frames]
    screen = whole(frames[:17])
    for n, one in enumerate(again[:17]):
        screen.push(one, snapshot_of(again[: n + 1]))
        assert screen.feed.stale.all()
        assert screen.market == whole(frames[:17]).market
    screen.push(*again[17:20], snapshot_of(again[:20]), *again[20:])
    assert not screen.feed.is_stale
    calm = whole(frames)
    assert screen.market == calm.market
    counted, usual = screen.feed.counters, calm.feed.counters
    assert counted.absorbed - counted.restated == usual.absorbed
    assert counted.late - usual.late <= counted.restated
    assert [one.bar for one in screen.closed if one.masked] == [3]


def device_bars(frames: Sequence[Frame]) -> list[bytes]:
    """The closed bars' bytes, from the device."""
    closed = closed_on_device(new_feed(), frames)
    assert len(closed) >= BARS - 1
    return [ints.tobytes() + floats.tobytes() for ints, floats in closed[: BARS - 1]]


def test_a_masked_bar_is_alive_only_where_it_was_seen():
    _, ints, _ = ENGINE.close(init_bars(jnp.full(S, 100.0)))
    ints = ints.at[LIVE].set(1)
    found = np.asarray(seen_only(ints, jnp.array([1, 0, 1], jnp.int32)))
    expected = np.asarray(ints).copy()
    expected[LIVE] = [1, 0, 1]
    expected[BAR_INTS.index("conflated")] = [0, 1, 0]
    np.testing.assert_array_equal(found, expected)


# Over real sockets.


class Line:
    """A publisher with a desk, in a thread, and a consumer's two sockets."""

    def __init__(self, ticks: zmq.Socket, asked: zmq.Socket) -> None:
        self.ticks, self.desk = ticks, SnapshotDesk(asked, MARKET)
        self.endpoint = bound_endpoint(ticks)
        self.desk_endpoint = bound_endpoint(asked)


@pytest.fixture
def line() -> Iterator[Line]:
    with publisher(ANY_PORT) as ticks, router(ANY_PORT) as asked:
        yield Line(ticks, asked)


def heard(line: Line, send: Callable[[], None], feed: Feed) -> Screen:
    """A consumer that reads all that `send` sends once it has subscribed."""
    screen = Screen(feed)
    with (
        subscriber(line.endpoint, (MAGIC,)) as sink,
        dealer(line.desk_endpoint) as standing,
    ):
        assert line.ticks.poll(round(PATIENCE_S * 1e3))
        line.ticks.recv()
        thread = threading.Thread(target=send)
        thread.start()
        snapshots = Snapshots(standing, MARKET.hash, lambda: feed.is_stale)
        for one in receive(sink, MARKET.hash, PATIENCE_S, snapshots=snapshots):
            if one.frame is not None:
                screen.push(one.frame)
        thread.join(PATIENCE_S)
    return screen


def test_over_sockets_what_a_full_queue_would_lose_is_healed(line):
    """Frames that never leave are missed; the publisher itself knows of them."""
    frames = stream()
    feed, asked = new_feed(), threading.Event()

    def send() -> None:
        for number, one in enumerate(frames):
            line.desk.sent(one)
            if not 10 <= number < 14:
                line.ticks.send(encoded(one))
            if number == 14:
                await_until(lambda: feed.is_stale)
                asked.set()
                serve_until(line, lambda: not feed.is_stale)
        finish(line, frames[-1])

    screen = heard(line, send, feed)
    assert asked.is_set()
    assert not feed.is_stale
    assert feed.counters.gaps == feed.counters.snapshots == 1
    assert screen.market == whole(frames).market


def test_over_sockets_a_late_joiner_is_healed(line):
    frames = stream()
    for one in begun(frames[:12]):
        line.desk.sent(one)

    feed = new_feed()

    def send() -> None:
        for number, one in enumerate(frames[12:]):
            line.ticks.send(encoded(one))
            line.desk.sent(one)
            if number == 8:
                await_until(lambda: feed.is_stale)
                serve_until(line, lambda: not feed.is_stale)
        finish(line, frames[-1])

    screen = heard(line, send, feed)
    assert not screen.feed.is_stale
    assert screen.market == whole(frames).market
    assert screen.closed[0].masked == tuple(range(S))
    assert screen.closed[-1].masked == ()


def test_a_living_desk_does_not_hide_a_dead_stream(line, monkeypatch):
    """One frame after a gap, then none: the desk goes on answering, and heals nothing
    that the stream would not have to bring."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    frames, kinds = stream(), []
    with (
        subscriber(line.endpoint, (MAGIC,)) as sink,
        dealer(line.desk_endpoint) as standing,
    ):
        Subscribers(line.ticks).await_present(1, PATIENCE_S)
        for one in frames[:9]:
            line.desk.sent(one)
        line.ticks.send(encoded(frames[8]))
        snapshots = Snapshots(standing, MARKET.hash, lambda: True)
        came = receive(sink, MARKET.hash, 0.3, 0.01, snapshots=snapshots)
        with pytest.raises(Halted, match=r"No frame came from .* for 0\.3 s"):
            kinds += (served(line, one) for one in islice(came, 1000))
    heard = [kind for kind in kinds if kind is not None]
    assert heard[:2] == [TICKS, SNAPSHOT]
    assert heard.count(SNAPSHOT) > 3


def served(line: Line, one: Arrival) -> int | None:
    """What has come, once the desk has answered who has asked it."""
    line.desk.wait(0)
    return None if one.frame is None else one.frame.kind


def test_who_was_there_from_the_beginning_asks_for_nothing(line):
    frames = stream()
    feed = new_feed()

    def send() -> None:
        publish(frames, line.ticks, MARKET.hash, BARS * BAR_NS, desk=line.desk)

    screen = heard(line, send, feed)
    assert feed.counters.snapshots == 0
    assert not any(one.masked for one in screen.closed)
    assert screen.market == whole(frames).market


@pytest.mark.parametrize("field", ["version", "record_bytes", "universe_hash"])
def test_a_peer_that_speaks_otherwise_is_refused_by_name(line, field):
    ours = greeting(MARKET.hash)
    theirs = Hello(
        **{
            name: getattr(ours, name) + (name == field)
            for name in ("version", "record_bytes", "universe_hash")
        }
    )
    with dealer(line.desk_endpoint) as socket:
        socket.send(pack(theirs))
        answer = unpack_welcome(answered(line, socket))
    assert isinstance(answer, Refused)
    assert answer.reason.startswith(f"{field} ")


def test_a_refused_engine_stops_with_the_reason(line):
    with dealer(line.desk_endpoint) as socket:
        snapshots = Snapshots(socket, MARKET.hash + 1, lambda: False)
        snapshots.greet()
        serve_until(line, lambda: bool(socket.poll(0)))
        with pytest.raises(Halted, match=r"refuses this engine: universe_hash \d+"):
            list(snapshots.tend())


def test_noise_at_the_desk_is_answered_with_a_refusal(line):
    with dealer(line.desk_endpoint) as socket:
        for noise in (b"", b"\x00" * 50, b"hello", MAGIC):
            socket.send(noise)
        socket.send(pack(greeting(MARKET.hash)))
        answers = [answered(line, socket) for _ in range(5)]
    assert all(b"refused" in one for one in answers[:4])
    assert b"welcome" in answers[4]


def test_who_asks_much_does_not_hold_the_stream_up(line):
    """One visit between two frames ends, and leaves the rest to the next one."""
    asked = 3 * MOST_AT_ONCE
    with dealer(line.desk_endpoint) as socket:
        for _ in range(asked):
            socket.send(pack(greeting(MARKET.hash)))
        visits = answers = 0
        give_up_s = time.monotonic() + PATIENCE_S
        while answers < asked:
            assert time.monotonic() < give_up_s
            line.desk.wait(0)
            visits += 1
            while socket.poll(1):
                socket.recv()
                answers += 1
    assert visits >= asked / MOST_AT_ONCE


def test_the_desk_answers_after_the_last_frame(line):
    with dealer(line.desk_endpoint) as socket:
        socket.send(pack(greeting(MARKET.hash)))
        gone = Subscribers(line.ticks, came=1).await_left(1.0, desk=line.desk)
        assert not gone
        assert socket.poll(round(PATIENCE_S * 1e3)), "nobody was at the desk"
        assert b"welcome" in socket.recv()


def test_the_desk_answers_with_what_was_sent_so_far(line):
    frames = stream()
    for one in frames[:9]:
        line.desk.sent(one)
    with dealer(line.desk_endpoint) as socket:
        socket.send(pack(greeting(MARKET.hash, wants_snapshot=True)))
        answer = decode(answered(line, socket), MARKET.hash)
    expected = snapshot_of(frames[:9])
    assert answer[:4] == expected[:4]
    assert answer.records.tobytes() == expected.records.tobytes()


def encoded(frame: Frame) -> bytes:
    return encode(frame, MARKET.hash)


def finish(line: Line, last: Frame) -> None:
    """The stream's end, told by whoever sent `last`."""
    end = heartbeat(last, BARS * BAR_NS)._replace(flags=END)
    line.ticks.send(encoded(end))


def answered(line: Line, socket: zmq.Socket) -> bytes:
    """The desk's next answer, however long it takes to get there."""
    serve_until(line, lambda: bool(socket.poll(0)))
    return socket.recv()


def serve_until(line: Line, happens: Callable[[], bool]) -> None:
    """The desk is there until it has helped."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < give_up_s, "the desk did not help"
        line.desk.wait(0.005)


def await_until(happens: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < give_up_s
        time.sleep(0.001)
