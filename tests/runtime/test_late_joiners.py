"""An engine that joined late, or missed a change of terms, takes it up and trades on.

Feed, venue and engine speak over real sockets. The venue was there from the beginning
and acts on what it has heard itself: its positions are compared with the engine's after
every report. What the engine heard, snapshots among it, is what a restart and a replay
hear.
"""

import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from bot4jax.data.universe import Universe
from bot4jax.errors import Halted
from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime import ledger as ledgers
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.inputs import FILE, Inputs, came_in
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.messages import Ledger
from bot4jax.runtime.orders import Fill
from bot4jax.runtime.publish import Arrival, begun, heartbeat, receive, send
from bot4jax.runtime.reference import carried
from bot4jax.runtime.snapshots import SnapshotDesk, Snapshots
from bot4jax.runtime.sockets import (
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.states import Cause
from bot4jax.runtime.terms import universe_after
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_process import Sockets, serve
from bot4jax.runtime.wire import MAGIC, encode
from bot4jax.types import (
    END,
    HALTED,
    REFERENCE,
    SNAPSHOT,
    STATUS,
    TICK,
    TRADING,
    Frame,
)
from tests.modes.ways import journal_of
from tests.runtime.scene import (
    BAR_NS,
    RUN,
    START_NS,
    SYMBOLS,
    UNIVERSE,
    Scene,
    compared,
    quotes,
    repeating,
)
from tests.runtime.test_venue_terms import BOUNDARY_NS, CASES, LAST_OLD, Case
from tests.sim.market import closed_bars

BARS, BEFORE, SIZE = 14, 3_000, 1_000
ANY_PORT = "tcp://127.0.0.1:*"
PATIENCE_S = 30.0
ANCHORS = np.full(SYMBOLS, BEFORE)
JOINED = LAST_OLD + 3
"""Bar in whose middle a late engine hears its first frame."""
AFTER = 3
"""Bars until it has taken up what it missed, and its quotes are those of now."""

Plan = Callable[[int], tuple[float, float, float]]


def busy(step: int) -> tuple[float, float, float]:
    """Some orders in every step."""
    return 0.0301 + 0.004 * (step % 3), -0.02, 0.004 * (step % 2)


def idle_until(first: int) -> Plan:
    """Nothing of the first symbol up to that step."""
    return lambda step: (busy(step)[0] if step >= first else 0.0, *busy(step)[1:])


def market(
    case: Case | None = None, status: dict[int, int] | None = None, second: int = 0
) -> list[Frame]:
    """One frame a bar and, behind the last one in the old terms, the event and a
    heartbeat; from the bar `second` on, another life of the publisher."""
    parts: list[list[Frame]] = [[], []]
    number = 0
    for bar in range(BARS + 1):
        mids = case.mids(bar) if case else (BEFORE,) * SYMBOLS
        records = quotes(bar, mids, SIZE)
        if status and bar in status:
            at_ns = int(records["event_ns"][0])
            told = [(STATUS, 0, 0, 0, at_ns, status[bar], 0, 0, 0)]
            records = np.concatenate([records, np.array(told, TICK)])
        sent_ns = START_NS + bar * BAR_NS + BAR_NS // 2
        life = 2 if second and bar >= second else 1
        own = parts[life - 1]
        own.append(Frame(1, life, number, sent_ns, records))
        number += len(records)
        if case and bar == LAST_OLD:
            records = carried([case.event])
            own.append(Frame(1, life, number, sent_ns + 1, records, REFERENCE))
            number += len(records)
            own.append(heartbeat(own[-1], sent_ns + BAR_NS // 4))
    frames = [*begun(parts[0]), *begun(parts[1])]
    counted = []
    for one in frames:  # a heartbeat counts as the frame before it
        is_silent = not len(one.records)
        counted.append(one._replace(events=counted[-1].events) if is_silent else one)
    end_ns = START_NS + (BARS + 1) * BAR_NS
    return [*counted, heartbeat(counted[-1], end_ns)._replace(flags=END)]


class Street:
    """A publisher with its desk, and a venue that hears it from the beginning."""

    def __init__(self, stack: ExitStack, frames: Sequence[Frame], joins: int) -> None:
        """The engine's subscription is waited for before the frame `joins`."""
        self.context = stack.enter_context(zmq.Context())
        enter = {"context": self.context}
        self.ticks = stack.enter_context(publisher(ANY_PORT, **enter))
        asked = stack.enter_context(router(ANY_PORT, **enter))
        orders = stack.enter_context(router(ANY_PORT, **enter))
        heard = stack.enter_context(subscriber(bound_endpoint(self.ticks), **enter))
        self.desk = SnapshotDesk(asked, UNIVERSE)
        self.endpoints = [bound_endpoint(one) for one in (self.ticks, asked, orders)]
        self.venue = PaperVenue(UNIVERSE, latency_ns=0)
        intake = Intake(UNIVERSE.hash, ANCHORS, skew_limit_ns=BAR_NS)
        work = Desk(self.venue, UNIVERSE.hash), intake, Sockets(heard, orders), 30.0
        self.frames, self.joins = frames, joins
        self.pushed = 0
        """frames that the engine is done with"""
        self.is_served: Callable[[], bool] = lambda: True
        """nothing is missing that a snapshot could heal in the open bar"""
        self.is_over = False
        threads = [
            threading.Thread(target=serve, args=work),
            threading.Thread(target=self._publish),
        ]
        for one in threads:
            one.start()
            stack.callback(one.join, PATIENCE_S)
        stack.callback(self._end)

    def _end(self) -> None:
        self.is_over = True

    def _publish(self) -> None:
        self._await_one()
        for number, one in enumerate(self.frames):
            if number == self.joins:
                self._await_one()
            send(self.ticks, encode(one, UNIVERSE.hash))
            self.desk.sent(one)
            if number >= self.joins:
                self._await(lambda n=number: self.pushed > n - self.joins)
                self._await(self.is_served)

    def _await_one(self) -> None:
        """The next subscription."""
        assert self.ticks.poll(round(1e3 * PATIENCE_S)), "no subscription"
        self.ticks.recv()

    def _await(self, happens: Callable[[], bool]) -> None:
        """The desk is there meanwhile; a stream without an engine goes on."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not happens() and not self.is_over and time.monotonic() < give_up_s:
            self.desk.wait(0.005)

    def serve(self, feed: Feed) -> None:
        """Whom the publisher goes on for."""
        self.is_served = lambda: not feed.is_stale or bool(feed.events.renewed)

    def heard(
        self, feed: Feed, lost: Collection[int]
    ) -> Generator[Arrival, None, None]:
        """What comes to the engine; of its frames those of these numbers do not."""
        ticks, asked, _ = self.endpoints
        self.serve(feed)
        with (
            subscriber(ticks, (MAGIC,), context=self.context) as sink,
            dealer(asked, context=self.context) as socket,
        ):
            snapshots = Snapshots(socket, UNIVERSE.hash, lambda: not self.is_served())
            number, how = 0, (PATIENCE_S, 0.01)
            for one in receive(sink, UNIVERSE.hash, *how, snapshots=snapshots):
                if one.frame is None:
                    continue
                is_snapshot = one.frame.kind == SNAPSHOT
                if is_snapshot or number not in lost:
                    yield one
                self.pushed += not is_snapshot
                number += not is_snapshot


class Dies(Exception):
    """Where a process would have ended."""


def new_feed() -> Feed:
    return Feed(UNIVERSE, ANCHORS, BAR_NS, START_NS, 16, skew_limit_ns=BAR_NS)


def traded(
    folder: Path,
    street: Street,
    targets: Plan = busy,
    lost: Collection[int] = (),
    dies: tuple[str, int] | None = None,
) -> Scene:
    """An engine over the street's sockets; what it dies of is gone on from."""
    feed = new_feed()
    socket_frames = street.heard(feed, lost)
    with dealer(street.endpoints[2], context=street.context) as line:
        if dies is not None:
            venue = SocketVenue(line, PATIENCE_S)
            with pytest.raises(Dies):
                lived(folder, venue, feed, socket_frames, targets, dies)
            feed = new_feed()
            street.serve(feed)
        venue = SocketVenue(line, PATIENCE_S)
        try:
            return lived(folder, venue, feed, socket_frames, targets)
        finally:
            venue.close()
            socket_frames.close()


def lived(
    folder: Path,
    venue: SocketVenue,
    feed: Feed,
    frames: Iterable[Arrival],
    targets: Plan,
    dies: tuple[str, int] | None = None,
) -> Scene:
    """One life of an engine: what a former one has heard, then the frames."""
    with closing(opened_journal(folder, RUN, resumes=True)) as journal:

        def on_point(name: str) -> None:
            if (name, scene.trader.step_number) == dies:
                raise Dies

        how = {"journal": journal, "venue": venue, "on_point": on_point}
        scene = Scene(folder, targets, size=SIZE, **how)
        with Inputs(folder) as inputs:
            scene.trader.mark = inputs.mark
            marks = [one.inputs for one in journal.read()]
            arrivals = chain(inputs.again(marks), inputs.heard(frames))
            for _ in stepping(scene.trader, journal, closed_bars(arrivals, feed)):
                pass
        scene.trader.finish(START_NS + (BARS + 1) * BAR_NS)
    return scene


def causes(scene: Scene) -> list[tuple[str, bool]]:
    """Of missed events, as journaled."""
    names = {Cause.UNHEARD.name, Cause.UNTOLD.name}
    found = scene.states.transitions
    return [(one.cause, one.is_held) for one in found if one.cause in names]


TOLD = [(Cause.UNTOLD.name, True), (Cause.UNTOLD.name, False)]


def check_agreed(scene: Scene, street: Street, case: Case) -> None:
    """Both own the same, count in the new terms, and have traded in them."""
    lots = scene.account.portfolio.lots
    assert lots.tolist() == street.venue.position.tolist()
    fills = [one for one in street.venue.record.fills if one.symbol == 0]
    new = [one for one in fills if one.event_ns > BOUNDARY_NS]
    assert new
    assert {abs(one.price - case.after) for one in new} == {1}
    navs = [row.nav for row in scene.account.portfolio.curve]
    assert np.ptp(navs) < 1e-4 * navs[0], "nothing but spreads was lost"


def orders_of(folder: Path) -> list[tuple[int, bytes, list, list]]:
    """Decisions and orders of every step in the journal."""

    def row(one: StepRecord) -> tuple[int, bytes, list, list]:
        return one.step, one.decisions, list(one.orders), list(one.requests)

    return [row(one) for one in journal_of(folder, RUN)]


# A late joiner.


@pytest.mark.parametrize("name", CASES)
def test_who_joins_after_new_terms_trades_in_them(tmp_path, monkeypatch, name):
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    case = CASES[name]
    with ExitStack() as stack:
        street = Street(stack, market(case), JOINED + 2)
        scene = traded(tmp_path, street)
    check_agreed(scene, street, case)
    assert causes(scene) == TOLD
    assert scene.account.portfolio.universe == expected_universe(case)
    first = min(one.event_ns for one in street.venue.record.fills)
    assert first < START_NS + (JOINED + AFTER) * BAR_NS


def expected_universe(case: Case) -> Universe:
    return universe_after(UNIVERSE, [case.event])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("step", [JOINED, JOINED + 1, JOINED + 2, JOINED + 4])
def test_a_restart_of_who_joined_late_ends_alike(tmp_path, monkeypatch, name, step):
    """It dies while it waits for the snapshot, in the step that takes it up, and
    after."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    found = []
    for k, dies in enumerate([None, ("after_journal", step)]):
        folder = tmp_path / str(k)
        folder.mkdir()
        with ExitStack() as stack:
            street = Street(stack, market(CASES[name]), JOINED + 2)
            scene = traded(folder, street, dies=dies)
        check_agreed(scene, street, CASES[name])
        found.append((orders_of(folder), street.venue.record.answers))
    assert found[0] == found[1]


@pytest.mark.parametrize("name", CASES)
def test_a_replay_of_who_joined_late_gives_the_same_orders(tmp_path, monkeypatch, name):
    """It takes up the terms from the same snapshots."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    with ExitStack() as stack:
        street = Street(stack, market(CASES[name]), JOINED + 2)
        scene = traded(tmp_path, street)
    record = list(came_in(tmp_path / FILE))
    assert sum(one.frame is not None and one.frame.kind == SNAPSHOT for one in record)
    again, bars = repeating(busy), closed_bars(record, new_feed())
    found = compared(again, bars, journal_of(tmp_path, RUN))
    assert (found.steps, found.is_equal) == (scene.trader.step_number, True)
    assert found.orders > BARS - JOINED
    own = again.account.portfolio
    theirs = street.venue.book.holdings.universe
    assert own.universe == theirs == expected_universe(CASES[name])


@pytest.mark.parametrize("ends", [4, 9])
def test_who_joins_during_a_halt_or_after_it_knows_of_it(tmp_path, monkeypatch, ends):
    """The status stands in the snapshot: nothing of the symbol before the halt ends."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    with ExitStack() as stack:
        status = {2: HALTED, ends: TRADING}
        street = Street(stack, market(status=status), JOINED)
        scene = traded(tmp_path, street)
    assert scene.account.portfolio.lots.tolist() == street.venue.position.tolist()
    assert not any("not trading" in one for one in refusals(street))
    fills = [one for one in street.venue.record.fills if one.symbol == 0]
    others = [one for one in street.venue.record.fills if one.symbol == 1]
    resumed = max(ends, JOINED)
    first_ns = START_NS + (resumed + 1) * BAR_NS
    assert first_ns <= min(one.event_ns for one in fills) < first_ns + 2 * BAR_NS
    assert min(one.event_ns for one in others) < START_NS + (JOINED + 3) * BAR_NS
    assert not causes(scene)


def refusals(street: Street) -> list[str]:
    return [getattr(one, "reason", "") for one in street.venue.record.answers]


# Who missed it.

EVENT = LAST_OLD + 1
"""Number of the event's frame; behind it a heartbeat, before its boundary."""


@pytest.mark.parametrize("second", [0, LAST_OLD])
@pytest.mark.parametrize("name", CASES)
def test_an_event_in_a_gap_acts_on_time_if_a_snapshot_comes_before_its_boundary(
    tmp_path, monkeypatch, name, second
):
    """With positions and orders at stake, and in a publisher's second life too: to the
    answer what comes of it without the gap."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    found = []
    for k, lost in enumerate([(), (EVENT,)]):
        folder = tmp_path / str(k)
        folder.mkdir()
        with ExitStack() as stack:
            street = Street(stack, market(CASES[name], second=second), 0)
            scene = traded(folder, street, lost=lost)
        check_agreed(scene, street, CASES[name])
        assert not causes(scene)
        found.append((orders_of(folder), street.venue.record.answers))
    calm, gap = found
    assert calm == gap
    assert sum(isinstance(one, Fill) for one in calm[1]) > BARS


@pytest.mark.parametrize("name", CASES)
def test_an_event_that_comes_too_late_is_taken_up_by_who_owned_nothing(
    tmp_path, monkeypatch, name
):
    """The gap shows only behind the boundary."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    case = CASES[name]
    with ExitStack() as stack:
        street = Street(stack, market(case), 0)
        plan = idle_until(LAST_OLD + 3)
        scene = traded(tmp_path, street, plan, lost=(EVENT, EVENT + 1))
    check_agreed(scene, street, case)
    assert causes(scene) == TOLD


@pytest.mark.parametrize("name", CASES)
def test_who_owned_something_then_is_found_out_and_halted(tmp_path, monkeypatch, name):
    """The venue has acted and the engine has not: nothing is traded on that."""
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    with ExitStack() as stack:
        street = Street(stack, market(CASES[name]), 0)
        with pytest.raises(Halted, match="In slot 0 the journal comes to"):
            traded(tmp_path, street, lost=(EVENT, EVENT + 1))


def test_who_owned_something_waits_for_a_person_where_no_venue_tells(tmp_path):
    """The same, by the account alone: from the step before the gap on."""
    for k, (owned, doubted) in enumerate([(True, (0,)), (True, (2,)), (False, (0,))]):
        folder = tmp_path / str(k)
        folder.mkdir()
        wish = (0.1, 0.0, 0.0) if owned else (0.0, 0.0, 0.0)
        scene = Scene(folder, lambda step, wish=wish: wish if step < 3 else (0.0,) * 3)
        scene.trader.start()
        for bar in range(3):
            scene.step(bar)
        scene.trader.step(scene.closed(3)._replace(awaited=1, is_told=False))
        assert scene.states.is_held(Cause.UNTOLD)
        scene.trader.step(scene.closed(4)._replace(is_told=False))
        assert not scene.account.portfolio.lots.any()
        scene.trader.step(scene.closed(5)._replace(doubted=doubted))
        assert not scene.states.is_held(Cause.UNTOLD)
        assert scene.states.is_held(Cause.UNHEARD) == (owned and 0 in doubted)
        scene.step(6)
        scene.trader.step(scene.closed(7)._replace(doubted=(0,)))
        assert scene.states.is_held(Cause.UNHEARD) == (owned and 0 in doubted)
        scene.journal.close()


# Snapshots that lie.


def one_less(ledger: Ledger) -> Ledger:
    return msgspec.structs.replace(ledger, frames=ledger.frames - 1)


def without_the_event(ledger: Ledger) -> Ledger:
    return msgspec.structs.replace(ledger, entries=[])


@pytest.mark.parametrize("lie", [one_less, without_the_event])
@pytest.mark.parametrize("name", CASES)
def test_a_snapshot_that_lies_lets_nothing_be_opened(tmp_path, monkeypatch, name, lie):
    monkeypatch.setattr("bot4jax.runtime.snapshots.PAUSE_S", 0.02)
    told = ledgers.attached
    monkeypatch.setattr(ledgers, "attached", lambda frame, one: told(frame, lie(one)))
    with ExitStack() as stack:
        street = Street(stack, market(CASES[name]), JOINED + 2)
        scene = traded(tmp_path, street)
    assert (Cause.UNHEARD.name, True) in causes(scene)
    assert scene.states.is_held(Cause.UNHEARD)
    assert not street.venue.record.fills
    assert not scene.account.portfolio.lots.any()
