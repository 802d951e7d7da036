"""A split or new terms, heard by engine and venue each for itself, over real sockets.

The engine's positions are compared with the venue's after every report; what they come
to is worked out here by hand. A venue that does not hear of it is found out.
"""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
import zmq

from bot4jax.errors import Halted
from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.brackets import NO_LEGS, Distances
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.messages import CorporateAction, Reference
from bot4jax.runtime.orders import Ack, Cancelled, Fill, Kind, Order, Reject
from bot4jax.runtime.publish import publish
from bot4jax.runtime.reference import carried
from bot4jax.runtime.sockets import (
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import Step
from bot4jax.runtime.venue_process import Sockets, serve
from bot4jax.types import BUY, REFERENCE, SELL, TICK, TICKS, Frame
from tests.runtime.scene import BAR_NS, RUN, START_NS, SYMBOLS, UNIVERSE, Scene, quotes
from tests.runtime.small_market import new_terms

BARS, LAST_OLD = 9, 3
"""Bars, and the last one in the terms of before."""
SIZE, BEFORE = 1_000, 3_000
NOTHING = np.empty(0, TICK)
ANY_PORT = "tcp://127.0.0.1:*"
BOUNDARY_NS = START_NS + (LAST_OLD + 1) * BAR_NS
SPLIT = CorporateAction(symbol=0, event_ns=BOUNDARY_NS, action="split", factor=1.5)
FINER = new_terms(0, BOUNDARY_NS - BAR_NS // 4, increment=0.25, lot=0.5)
HALF = new_terms(0, BOUNDARY_NS, increment=0.5, multiplier=0.5)
THREEFOLD = new_terms(0, BOUNDARY_NS, increment=0.5, multiplier=3.0)


class Case:
    """An event, the first symbol's mid after it, and what one lot is then."""

    def __init__(self, event: Reference, after: int, lots: float) -> None:
        self.event, self.after, self.lots = event, after, lots

    def mids(self, bar: int) -> tuple[int, int, int]:
        return (BEFORE if bar <= LAST_OLD else self.after), BEFORE, BEFORE


CASES = {
    "split": Case(SPLIT, 2_000, 1.5),
    "finer": Case(FINER, 6_000, 2.0),
    "worth half": Case(HALF, BEFORE, 2.0),
}


def targets(step: int) -> tuple[float, float, float]:
    """Some orders in every step, and a whole position at stake at the boundary."""
    return 0.0301 + 0.004 * (step % 3), -0.02, 0.004 * (step % 2)


def frames(case: Case, is_told: bool) -> Iterator[Frame]:
    """One frame a bar, and the event behind the last quotes in the old terms."""
    number = 0
    for bar in range(BARS + 1):
        parts = [(TICKS, quotes(bar, case.mids(bar), SIZE))]
        if is_told and bar == LAST_OLD:
            parts.append((REFERENCE, carried([case.event])))
        for kind, records in parts:
            sent_ns = START_NS + bar * BAR_NS + BAR_NS // 2
            yield Frame(1, 1, number, sent_ns, records, kind)
            number += len(records)


class Served:
    """A venue in a thread, which hears the whole market over its socket."""

    def __init__(
        self,
        stack: ExitStack,
        case: Case,
        is_told: bool = True,
        lockstep: bool = True,
    ) -> None:
        self.context = stack.enter_context(zmq.Context())
        feed = stack.enter_context(publisher(ANY_PORT, context=self.context))
        orders = stack.enter_context(router(ANY_PORT, context=self.context))
        heard = subscriber(bound_endpoint(feed), context=self.context)
        ends = Sockets(stack.enter_context(heard), orders)
        self.endpoint, self.case = bound_endpoint(orders), case
        self.venue = PaperVenue(UNIVERSE, latency_ns=0)
        self.desk = Desk(self.venue, UNIVERSE.hash, lockstep)
        intake = Intake(UNIVERSE.hash, np.full(SYMBOLS, BEFORE), skew_limit_ns=0)
        work = (self.desk, intake, ends, 20.0)
        self.thread = threading.Thread(target=serve, args=work)
        self.thread.start()
        stack.callback(self.thread.join, 20.0)
        assert feed.poll(20_000), "no subscription"
        feed.recv()
        end_ns = START_NS + (BARS + 1) * BAR_NS
        publish(frames(case, is_told), feed, UNIVERSE.hash, end_ns)


class Dies(Exception):
    """Where a process would have ended."""


def traded(
    folder: Path,
    served: Served,
    kind: Kind = "ioc",
    dies: tuple = (),
    distances: Distances = NO_LEGS,
) -> Scene:
    """Bar after bar, from wherever the journal ends; `dies` at a point of a step."""
    with (
        dealer(served.endpoint, context=served.context) as line,
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
    ):

        def on_point(name: str) -> None:
            if (name, scene.trader.step_number) == dies:
                raise Dies

        venue = SocketVenue(line, 10.0)
        how = {"journal": journal, "venue": venue, "on_point": on_point}
        scene = Scene(folder, targets, kind, size=SIZE, **how)
        scene.account.distances = distances
        bars = (closed(scene, bar, served.case) for bar in range(BARS))
        try:
            for _ in stepping(scene.trader, journal, bars):
                pass
            scene.trader.finish(0)
        except Halted:
            scene.trader.leave()
            raise
        scene.trader.leave()
    return scene


def closed(scene: Scene, bar: int, case: Case) -> Closed:
    """As the tape closes a bar: behind the event no quote stands in its slot."""
    found = scene.closed(bar, case.mids(bar))
    return scene.after(found, [case.event]) if bar == LAST_OLD else found


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["ioc", "limit"])
@pytest.mark.parametrize("lockstep", [True, False])
def test_engine_and_venue_count_the_same_before_and_after(
    tmp_path, name, kind, lockstep
):
    case = CASES[name]
    with ExitStack() as stack:
        served = Served(stack, case, lockstep=lockstep)
        scene = traded(tmp_path, served, kind)
    record, portfolio = served.venue.record, scene.account.portfolio
    held = np.zeros(SYMBOLS)
    for one in record.fills:
        is_old = one.symbol == 0 and one.event_ns <= BOUNDARY_NS  # no quote since
        signed = one.lots if one.side == BUY else -one.lots
        held[one.symbol] += signed * (case.lots if is_old else 1)
    assert portfolio.lots.tolist() == served.venue.position.tolist()
    np.testing.assert_allclose(
        portfolio.lots, held, atol=0.75
    )  # what broke off is paid
    assert {one.symbol for one in record.fills if one.event_ns > BOUNDARY_NS} >= {0, 2}
    navs = [row.nav for row in portfolio.curve[LAST_OLD:]]
    assert np.ptp(navs) < 1e-4 * navs[0], "nothing but spreads was lost"


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("lockstep", [True, False])
def test_stops_in_the_new_terms_leave_at_the_boundary_and_are_taken(
    tmp_path, name, lockstep
):
    """Whatever rested is cancelled; the position is protected again before the market
    goes on."""
    with ExitStack() as stack:
        served = Served(stack, CASES[name], lockstep=lockstep)
        traded(tmp_path, served, distances=Distances(300.0, 300.0))
    record = served.venue.record
    legs = [one for one in record.received if isinstance(one, Order) and one.group]
    sent = [one for one in legs if (one.symbol, one.sent_ns) == (0, BOUNDARY_NS)]
    assert [one.kind for one in sent] == ["stop", "take_profit"]
    first = {one.order: one for one in reversed(record.answers)}
    assert [type(first[one.id]) for one in sent] == [Ack, Ack]
    former = [one for one in legs if one.symbol == 0 and one.sent_ns < BOUNDARY_NS]
    assert former
    assert all(sent[0].group != one.group for one in former)


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("told_ns", [BAR_NS, BAR_NS // 3])
@pytest.mark.parametrize("late", [0, 1, 3])
def test_no_quote_in_new_terms_wakes_a_stop_of_before(lockstep, told_ns, late):
    """The event acts at the second boundary, however many bars the market has shown by
    the time that the engine's step of it comes."""
    desk = Desk(PaperVenue(UNIVERSE, latency_ns=0), UNIVERSE.hash, lockstep)
    at_ns = START_NS + BAR_NS + told_ns
    split = CorporateAction(symbol=0, event_ns=at_ns, action="split", factor=2.0)
    buy = Order("a" * 16, 0, BUY, 10, "ioc", 201, step=1)
    stop = Order("b" * 16, 0, SELL, 10, "stop", 0, True, step=1, trigger=190)
    desk.hear(quotes(0, (200, 200, 200), SIZE))
    desk.take(step(1, buy, stop))
    desk.hear(quotes(1, (200, 200, 200), SIZE))
    desk.hear(NOTHING, events=[split])
    for bar in range(2, 3 + late):
        desk.hear(quotes(bar, (100, 200, 200), SIZE))
    first = desk.report()
    assert first is not None
    assert [type(one) for one in first.answers] == [Ack, Fill, Ack]
    assert first.positions == [10, 0, 0]
    desk.take(step(2))
    desk.hear(quotes(3 + late, (100, 200, 200), SIZE))
    second = desk.report()
    assert second is not None
    assert [type(one) for one in second.answers] == [Cancelled]
    assert second.positions == [20, 0, 0]


def test_a_market_that_ran_ahead_waits_at_a_split_for_the_first_step():
    """An order in the terms of before meets no quote in the new ones."""
    desk = Desk(PaperVenue(UNIVERSE, latency_ns=0), UNIVERSE.hash, lockstep=False)
    at_ns = START_NS + 3 * BAR_NS
    split = CorporateAction(symbol=0, event_ns=at_ns, action="split", factor=2.0)
    desk.hear(quotes(0, (200, 200, 200), SIZE))
    desk.hear(NOTHING, events=[split])
    for bar in range(1, 5):
        desk.hear(quotes(bar, (200 if bar < 3 else 100, 200, 200), SIZE))
    desk.take(step(1, Order("a" * 16, 0, BUY, 10, "ioc", 201, step=1)))
    report = desk.report()
    assert report is not None
    (fill,) = (one for one in report.answers if isinstance(one, Fill))
    assert (fill.lots, fill.price) == (10, 201)
    assert report.positions == [10, 0, 0]


def step(number: int, *orders: Order) -> Step:
    begin_ns = START_NS + number * BAR_NS
    span = {"boundary_ns": begin_ns, "through_ns": begin_ns + BAR_NS}
    told = {"step": number, "orders": list(orders)}
    return Step(run=RUN, universe_hash=UNIVERSE.hash, **span, **told)


def test_what_rests_at_a_split_is_cancelled_and_what_comes_too_late_refused():
    case = CASES["split"]
    venue = PaperVenue(UNIVERSE, latency_ns=10)
    venue.advance(quotes(0, case.mids(0), SIZE))
    names = [letter * 16 for letter in "abc"]
    resting, other, late = (
        Order(name, slot, BUY, 5, "limit", 2_900)
        for name, slot in zip(names, (0, 1, 0), strict=True)
    )
    at_ns = venue.clock_ns
    venue.submit([resting, other], at_ns)
    assert [type(one) for one in venue.advance(NOTHING, at_ns + 20)] == [Ack, Ack]
    venue.submit([late], venue.clock_ns)
    venue.hear(case.event)
    told = venue.advance(NOTHING, at_ns + 40)
    assert told[0] == Cancelled(resting.id, 5, at_ns + 20)
    assert isinstance(told[1], Reject)
    assert "terms" in told[1].reason
    assert venue.open_orders == [other.id]


@pytest.mark.parametrize("name", CASES)
def test_a_venue_that_does_not_hear_of_it_is_found_out(tmp_path, name):
    with ExitStack() as stack:
        served = Served(stack, CASES[name], is_told=False)
        with pytest.raises(Halted, match="In slot 0 the journal comes to"):
            traded(tmp_path, served)


def test_a_multiplier_that_leaves_no_whole_lots_halts_with_nothing_at_rest(tmp_path):
    """The engine stops before the step at which the venue would let it act."""
    case = Case(THREEFOLD, BEFORE, 1 / 3)
    with ExitStack() as stack:
        served = Served(stack, case)
        with pytest.raises(Halted, match=r"A has the multiplier 3 .* are held"):
            traded(tmp_path, served, "limit")
    assert served.venue.position[0] % 3
    assert served.venue.open_orders == []
    assert max(one.event_ns for one in served.venue.record.fills) <= BOUNDARY_NS


@pytest.mark.parametrize("point", ["after_decide", "after_journal", "after_send"])
def test_a_restart_in_that_very_step_finds_both_agreed(tmp_path, point):
    records = []
    for k, dies in enumerate([(), (point, LAST_OLD + 1)]):
        folder = tmp_path / str(k)
        folder.mkdir()
        with ExitStack() as stack:
            served = Served(stack, CASES["split"])
            if dies:
                with pytest.raises(Dies):
                    traded(folder, served, dies=dies)
            traded(folder, served)
        records.append(served.venue.record)
    calm, killed = records
    assert killed.answers == calm.answers
    assert sum(isinstance(one, Fill) for one in calm.answers) >= BARS
