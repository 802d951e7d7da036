"""What is sent too far ahead of the clock: engine and venue believe the same frames.

A venue that believed it would count an hour as reached that is not over, answer every
step at once, and keep the quotes of before for as long.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.config import load
from bot4jax.data.sources import open_source
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.orders import Fill, Order
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_messages import Step
from bot4jax.runtime.venue_process import hearing
from bot4jax.runtime.wire import encode
from bot4jax.types import BEGIN, BUY, SELL, TICK, Frame
from tests.runtime.scene import BAR_NS, RUN, START_NS, SYMBOLS, UNIVERSE, quotes

LIMIT_NS, HOUR_NS = BAR_NS, 3_600 * 10**9
ANCHORS = np.full(SYMBOLS, 200)
SIZE = 1_000
BUYING = Order("a" * 16, 0, BUY, 10, "ioc", 201, step=1)
STOP = Order("b" * 16, 0, SELL, 10, "stop", 0, True, step=2, trigger=190)


class Both:
    """An engine's feed and a venue's desk, which hear the same frames by one clock."""

    def __init__(self, lockstep: bool = True, is_paced: bool = True) -> None:
        self.now_ns, self._sequence = START_NS, 0
        late_ns = 0 if is_paced else None
        own = UNIVERSE, ANCHORS, BAR_NS, START_NS, 64
        self.feed = Feed(*own, allowed_lateness_ns=late_ns, skew_limit_ns=LIMIT_NS)
        clock = (lambda: self.now_ns) if is_paced else None
        self.intake = Intake(UNIVERSE.hash, ANCHORS, LIMIT_NS, clock)
        self.desk = Desk(PaperVenue(UNIVERSE, 0), UNIVERSE.hash, lockstep)

    def hear(self, records: np.ndarray, sent_ns: int) -> None:
        flags = 0 if self._sequence else BEGIN
        frame = Frame(1, 1, self._sequence, sent_ns, records, flags=flags)
        self._sequence += len(records)
        list(self.feed.push(frame, self.now_ns))
        heard = self.intake.read(encode(frame, UNIVERSE.hash))
        assert heard is not None
        self.desk.hear(*heard)

    def show(self, bar: int, mid: int, ahead_ns: int = 0) -> None:
        """A bar's quotes as they come; all that they say of time is so far ahead."""
        records = quotes(bar, (mid, 200, 200), SIZE)
        self.now_ns = int(records["event_ns"].max())
        records["event_ns"] += ahead_ns
        self.hear(records, self.now_ns + ahead_ns)

    def step(self, number: int, *orders: Order) -> None:
        begin_ns = START_NS + number * BAR_NS
        span = {"boundary_ns": begin_ns, "through_ns": begin_ns + BAR_NS}
        told = {"step": number, "orders": list(orders)}
        self.desk.take(Step(run=RUN, universe_hash=UNIVERSE.hash, **span, **told))


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("is_heartbeat", [True, False])
def test_a_frame_from_an_hour_ahead_freezes_no_market(lockstep, is_heartbeat):
    both = Both(lockstep)
    both.show(0, 200)
    both.step(1, BUYING)
    both.show(1, 200)
    both.show(2, 200)
    assert both.desk.report() is not None
    both.step(2, STOP)
    if is_heartbeat:
        both.hear(np.empty(0, TICK), both.now_ns + HOUR_NS)
    else:
        both.show(2, 300, HOUR_NS)
    assert both.feed.counters.ahead == both.intake.counters.ahead == 1
    assert both.intake.refused["frame ahead"] == 1
    assert both.desk.report() is None, "the bar is not over"
    fills = []
    for bar in range(3, 6):
        both.show(bar, 150)
        report = both.desk.report()
        assert report is not None
        fills += [one for one in report.answers if isinstance(one, Fill)]
        both.step(bar, *())
    assert [(one.order, one.price) for one in fills] == [(STOP.id, 149)]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-3, 8)), max_size=30))
def test_engine_and_venue_refuse_the_same(sent):
    """Frames of none to three records, sent so many half limits ahead of the clock."""
    both = Both()
    for bar, (count, halves) in enumerate([(3, 0), *sent]):
        both.now_ns = START_NS + bar * 10
        sent_ns = both.now_ns + halves * LIMIT_NS // 2
        records = quotes(0, (200, 200, 200), SIZE)[:count]
        records["event_ns"] = sent_ns
        both.hear(records, sent_ns)
    ours, theirs = both.feed.counters, both.intake.counters
    assert (ours.ahead, ours.dropped) == (theirs.ahead, theirs.dropped)


def test_without_a_clock_that_the_market_keeps_nothing_is_ahead():
    both = Both(is_paced=False)
    both.show(0, 200)
    both.show(1, 200, HOUR_NS)
    assert both.intake.counters.ahead == both.feed.counters.ahead == 0
    assert both.intake.ticks == 2 * SYMBOLS


@pytest.mark.parametrize("speed", [1, 25])
def test_the_configured_venue_has_a_clock_where_the_market_keeps_its_pace(speed):
    config = load(["debug=tiny", f"runtime.speed={speed}"])
    market = open_source(config, 1)
    intake, (first, *_) = hearing(config, market), market.frames(0, 1)
    begun = first._replace(records=first.records[:1], sequence=0, flags=BEGIN)
    later = begun._replace(sequence=1, sent_ns=first.sent_ns + HOUR_NS)
    heard = [len(intake.take(one).records) for one in (begun, later)]
    assert heard[0] == 1
    assert intake.counters.dropped[Drop.AHEAD] == (speed == 1)
