"""What is old stays old, what comes from the future closes nothing, and whoever falls
silent is waited for no longer than the configuration says."""

from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np
import pytest
import zmq

from bot4jax.data.universe import universe
from bot4jax.runtime.backlog import Clocks
from bot4jax.runtime.batches import Close
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.publish import await_subscribers, receive
from bot4jax.runtime.reception import received
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.silence import judged_by_age
from bot4jax.runtime.sockets import bound_endpoint, publisher, subscriber
from bot4jax.runtime.states import Cause, States
from bot4jax.runtime.wire import MAGIC, encode
from bot4jax.types import BEGIN, END, QUOTE, TICK, Frame, Instrument

MARKET = universe([Instrument(symbol=name) for name in ("A", "B")])
SECOND_NS = 10**9
LATE_NS = 600 * SECOND_NS
LIMIT_NS = 5 * SECOND_NS
PATIENCE_S = 20.0
NOTHING = np.empty(0, TICK)


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
        await_subscribers(self.out, 1, PATIENCE_S)
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
