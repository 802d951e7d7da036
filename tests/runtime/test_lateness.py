"""What is old stays old, what comes from the future closes nothing, and whoever falls
silent is waited for no longer than the configuration says."""

import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import zmq

from bot4jax.data.universe import universe
from bot4jax.errors import Halted
from bot4jax.modes.sockets import remembered
from bot4jax.runtime.backlog import Clocks
from bot4jax.runtime.batches import Close
from bot4jax.runtime.early import MOST_EARLY
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.publish import Arrival, heartbeat, receive
from bot4jax.runtime.reception import received
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.silence import Speakers, judged_by_age, watched
from bot4jax.runtime.sockets import bound_endpoint, publisher, subscriber
from bot4jax.runtime.states import Cause, States
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.ticks_record import TickRecord, recorded
from bot4jax.runtime.wire import MAGIC, encode
from bot4jax.types import BEGIN, END, QUOTE, TICK, Frame, Instrument
from tests.runtime.scene import Scene
from tests.runtime.small_market import BAR_NS, BARS, stream
from tests.runtime.small_market import MARKET as SMALL

MARKET = universe([Instrument(symbol=name) for name in ("A", "B")])
SECOND_NS = 10**9
LATE_NS = 600 * SECOND_NS
LIMIT_NS = 5 * SECOND_NS
PATIENCE_S = 20.0
NOTHING = np.empty(0, TICK)
NONE = (0.0, 0.0, 0.0)
QUIET_S, TIMEOUT_S = 0.2, 0.6
LAST_WORD = (1, 1, 111)
"""Publisher, epoch and sequence of the last frame before a SIGKILL, in bar 3 of 8."""


def new_feed(lateness_ns: int | None = SECOND_NS // 10) -> Feed:
    anchors = np.full(2, 100)
    words = MARKET, anchors, SECOND_NS, 0, 16, 0
    return Feed(*words, lateness_ns, skew_limit_ns=LIMIT_NS)


def quoted(number: int, event_ns: int, sent_ns: int | None = None, **how) -> Frame:
    """Both symbols' quotes, after those of so many frames."""
    rows = [(QUOTE, 0, 0, slot, event_ns, 99, 101, 5, 5) for slot in range(2)]
    sent_ns = event_ns if sent_ns is None else sent_ns
    frame = Frame(1, 1, 2 * number, sent_ns, np.array(rows, TICK))
    return frame._replace(**how)


@pytest.mark.parametrize("again", ["reset", "epoch"])
def test_a_feed_that_stays_late_is_not_taken_for_a_punctual_one(again):
    """Ten minutes late for twenty: five of them made it a usual one once. A reset, or
    the publisher's next life, says that its clock is another now."""
    feed, now, held = new_feed(), [0], []
    states = States(lambda transition: None)
    judge = judged_by_age(states, 1.0, lambda: now[0], 0.1)
    for second in range(1_320):
        is_late, life = second >= 60, 1 + (again == "epoch" and second >= 1_260)
        if second == 1_260 and again == "reset":
            feed.rebase()
        now[0] = second * SECOND_NS + is_late * LATE_NS
        for event in feed.push(quoted(second, second * SECOND_NS, epoch=life), now[0]):
            if isinstance(event, Close):
                judge(event)  # pyright: ignore[reportArgumentType]
                held.append(states.is_held(Cause.TOO_LATE))
    assert len(held) == 1_319
    assert held == [60 <= bar + 1 < 1_260 for bar in range(1_319)]


class Line:
    """A publisher's socket, and the feed at its other end."""

    def __init__(self, stack: ExitStack) -> None:
        self.out: zmq.Socket = stack.enter_context(publisher("tcp://127.0.0.1:*"))
        end = stack.enter_context(subscriber(bound_endpoint(self.out), (MAGIC,)))
        Subscribers(self.out).await_present(1, PATIENCE_S)
        came = receive(end, MARKET.hash, PATIENCE_S, idle_s=0.02)
        taken = stack.enter_context(received(came, 16, 10**6, LIMIT_NS))
        stack.callback(lambda: self.out.send(encode(self.last, MARKET.hash)))
        self.last = quoted(9, 0, flags=END, records=NOTHING)
        self.arrivals = taken.arrivals()
        self.feed = new_feed()

    def send(self, *frames: Frame) -> None:
        for one in frames:
            self.out.send(encode(one, MARKET.hash))
        left = len(frames)
        while left:
            arrival = next(self.arrivals)
            if arrival.frame is not None:
                left -= max(len(arrival.frame.records) // 2, 1)
                list(self.feed.push(arrival.frame, arrival.receive_ns))


@pytest.fixture
def line() -> Iterator[Line]:
    with ExitStack() as stack:
        yield Line(stack)


HOUR_NS = 3_600 * SECOND_NS


@pytest.mark.parametrize(
    "ahead",
    [
        quoted(2, HOUR_NS),
        quoted(2, HOUR_NS, records=NOTHING),
        quoted(2, 1_000 * SECOND_NS * 1_000, records=NOTHING),
    ],
    ids=["a clock that stepped", "its heartbeat", "microseconds as nanoseconds"],
)
def test_no_frame_from_the_future_closes_a_bar(line, ahead):
    """It is counted, its symbols are stale, and the next one of now is believed."""
    now = quoted(0, 1, flags=BEGIN), quoted(1, SECOND_NS // 2)
    line.send(*now, ahead)
    feed = line.feed
    assert (feed.bar, feed.counters.ahead) == (0, 1)
    assert feed.counters.dropped[Drop.AHEAD] == len(ahead.records)
    assert feed.stale.all()
    line.send(quoted(2 + len(ahead.records) // 2, SECOND_NS + 1))
    assert (feed.bar, feed.counters.ahead) == (1, 1)
    line.send(quoted(3 + len(ahead.records) // 2, HOUR_NS, epoch=2))
    assert feed.bar == 3_600, "the clock of its next life may be another"


class Wakeful:
    """Snapshots of an engine that takes none."""

    def sleep(self, marks: Sequence[bytes]) -> None: ...

    def wake(self, length: int | None = None) -> None: ...

    def taken(self, arrivals: Iterable[Arrival]) -> Iterable[Arrival]:
        return arrivals


Life = tuple[int, Sequence[Arrival]]
"""Of an engine: what its clock reads when it wakes up, and what it hears."""


def again(
    folder: Path, patch: pytest.MonkeyPatch, lives: Sequence[Life]
) -> list[list[Arrival]]:
    """What each life but the first hears, with one more behind these, and a replay."""
    scene, heard = Scene(folder, lambda step: NONE), []
    for woken_ns, new in (*lives, (lives[-1][0], ())):
        clock = partial(int, woken_ns)
        patch.setattr("bot4jax.modes.sockets.steady_clock", lambda now=clock: now)
        with Inputs(folder) as inputs, TickRecord(folder / "ticks") as record:
            every = scene.trader, scene.journal, inputs, Wakeful()
            heard.append(list(record.heard(remembered(new, *every))))
    return [*heard[1:], list(recorded(folder / "ticks"))]


def received_at(frame: Frame, ahead_ns: int = 0) -> Arrival:
    """When it was sent, by a clock that is so far ahead."""
    return Arrival(frame, 0.0, frame.sent_ns + ahead_ns)


def test_a_clock_set_back_between_two_lives_of_the_engine_refuses_nothing(
    tmp_path, monkeypatch
):
    """Nor in the next restart or in a replay, which hear both lives; a publisher's
    clock that steps ahead after that is seen as ever."""
    frames = [quoted(0, 1, flags=BEGIN), quoted(1, SECOND_NS // 2)]
    frames += [quoted(number, (number - 1) * SECOND_NS + 1) for number in (2, 3)]
    came = [received_at(one) for one in frames[:2]]
    then = [received_at(one, -LATE_NS) for one in frames[2:]]
    then.append(Arrival(quoted(4, HOUR_NS), 0.0, then[-1].receive_ns))
    lives = (0, came), (SECOND_NS - LATE_NS, then)
    for heard in again(tmp_path, monkeypatch, lives):
        feed = new_feed()
        assert [one.bar for one in closings(feed, heard)] == [0, 1]
        assert feed.counters.ahead == 1, "of the publisher's clock that has stepped"
    unmarked = new_feed()
    assert list(closings(unmarked, [*came, *then])) == []
    assert unmarked.counters.ahead == 3


@pytest.mark.parametrize(
    ("refused", "woken_ns"),
    [(1, SECOND_NS), (1, SECOND_NS - LATE_NS), (0, SECOND_NS)],
    ids=["refused before", "and our clock set back", "the first word of our new life"],
)
def test_no_restart_makes_a_frame_from_the_future_believed(
    tmp_path, monkeypatch, refused, woken_ns
):
    """Until its publisher's next life, in the next restart and in a replay too."""
    ahead = quoted(2, HOUR_NS, records=NOTHING)
    came = [
        received_at(quoted(0, 1, flags=BEGIN)),
        received_at(quoted(1, SECOND_NS // 2)),
    ]
    came += [Arrival(ahead, 0.0, SECOND_NS // 2)] * refused
    then = [ahead, quoted(2, SECOND_NS + 1, epoch=2)]
    lives = (0, came), (woken_ns, [Arrival(one, 0.0, woken_ns) for one in then])
    for heard in again(tmp_path, monkeypatch, lives):
        feed = new_feed()
        assert [one.bar for one in closings(feed, heard)] == [0]
        assert feed.counters.ahead == refused + 1


def test_a_frame_that_will_be_refused_is_taken_up_alone():
    clocks, times = Clocks(LIMIT_NS), (1, HOUR_NS, 2)
    frames = [quoted(number, event_ns) for number, event_ns in enumerate(times)]
    plain = [clocks.is_plain(one, SECOND_NS) for one in frames]
    assert plain == [True, False, True]


def test_without_the_clocks_pace_only_the_market_says_what_time_it_is():
    feed = new_feed(lateness_ns=None)
    list(feed.push(quoted(0, 1), 1))
    list(feed.push(quoted(1, HOUR_NS), 2))
    assert (feed.bar, feed.counters.ahead) == (3_600, 0)


def of_all_bars() -> Iterator[Frame]:
    """A second publisher of the small market: a quote a bar, then its last event time
    again and again."""
    rows = [(QUOTE, 0, 0, 0, bar * BAR_NS, 99, 101, 5, 5) for bar in range(BARS + 1)]
    frame = Frame(2, 1, 0, BARS * BAR_NS, np.array(rows, TICK), flags=BEGIN)
    yield frame
    while True:
        yield heartbeat(frame, frame.sent_ns)


def closings(feed: Feed, came: Iterable[Arrival]) -> Iterator[Close]:
    for one in came:
        if one.frame is not None:
            events = feed.push(one.frame, one.receive_ns)
            yield from (event for event in events if isinstance(event, Close))


def test_who_dies_without_a_word_is_waited_for_no_longer_than_is_allowed(tmp_path):
    """No clock closes bars here: without the dead publisher's end some never would. A
    restart, which hears the same again, closes the same."""
    dead, trader = f"ipc://{tmp_path}/dead", Scene(tmp_path, lambda step: NONE).trader
    words = [sys.executable, "-m", "tests.runtime.market_process", dead, "1", "0", "20"]
    heard: list[Arrival] = []
    with (
        subprocess.Popen(words, stdin=subprocess.PIPE) as process,
        publisher(f"ipc://{tmp_path}/alive") as alive,
        subscriber(f"ipc://{tmp_path}/alive", (MAGIC,)) as end,
    ):
        end.connect(dead)
        Subscribers(alive).await_present(1, PATIENCE_S)
        frames, give_up_s = of_all_bars(), time.monotonic() + PATIENCE_S

        def kept() -> Iterator[Arrival]:
            came = receive(end, SMALL.hash, PATIENCE_S, idle_s=0.02)
            for one in watched(came, trader, QUIET_S, timeout_s=TIMEOUT_S):
                if one.frame is not None and one.frame[:3] == LAST_WORD:
                    process.kill()
                if one.frame is None and process.poll() is not None:
                    alive.send(encode(next(frames), SMALL.hash))
                assert time.monotonic() < give_up_s
                heard.append(one)
                yield one

        first = small_feed()
        try:
            closed = list(islice(closings(first, kept()), BARS))
        finally:
            process.kill()
    states = trader.account.states
    assert [one.bar for one in closed] == list(range(BARS))
    assert states.is_held(Cause.FEED_QUIET)
    assert closed == list(islice(closings(small_feed(), heard), BARS))


def test_who_died_before_a_restart_is_given_up_after_it():
    """The new process has heard of it only from what came in before."""
    feed, alive = small_feed(), of_all_bars()
    for one in stream()[:20]:
        list(feed.push(one))
    speakers = Speakers(TIMEOUT_S, feed.publishers)
    first = next(alive)
    speakers.hear(first)
    list(feed.push(first))
    assert list(speakers.given_up()) == []
    assert feed.bar == 3
    speakers.wait(TIMEOUT_S)
    speakers.hear(next(alive))
    for end in speakers.given_up():
        list(feed.push(end))
    assert feed.bar == BARS
    assert feed.counters.gaps == 0


def small_feed() -> Feed:
    return Feed(SMALL, np.full(3, 100), BAR_NS, 0, 16)


def test_what_waits_for_a_dead_publisher_is_bounded():
    feed, count = new_feed(lateness_ns=None), 1 << 16
    list(feed.push(quoted(0, 1)))
    rows = np.resize(quoted(0, HOUR_NS).records, count)
    for number in range(MOST_EARLY // count):
        list(feed.push(Frame(2, 1, number * count, HOUR_NS, rows)))
    assert feed.held == MOST_EARLY
    with pytest.raises(Halted, match=r"lower runtime\.feed_timeout_s"):
        list(feed.push(Frame(2, 1, MOST_EARLY, HOUR_NS, rows)))
