"""What may leave in which state, and that every change of state is known and kept."""

from contextlib import closing
from functools import partial

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.errors import Halted
from bot4jax.runtime.equity import Losses
from bot4jax.runtime.journal import Journal, Unwritten
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.orders import Fill, Order
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.sessions import days
from bot4jax.runtime.silence import judged_by_age, watched
from bot4jax.runtime.states import (
    OF_THE_PROCESS,
    TOLD,
    Cause,
    States,
    Transition,
)
from bot4jax.runtime.tracking import OrderError
from bot4jax.types import BUY, SELL, SNAPSHOT, TICK, Frame, Instrument
from tests.runtime.scene import BAR_NS, LIMITS, RUN, START_NS, Scene, resting

DAY_BARS = 86_400_000_000_000 // BAR_NS


def long(step: int) -> tuple[float, float, float]:
    """Always half of the capital in the first symbol."""
    return 0.5, 0.0, 0.0


def growing(step: int) -> tuple[float, float, float]:
    """A little more of each every step."""
    share = min(0.1 + 0.01 * step, 0.5)
    return share, share, -share


def names(transitions) -> list[tuple[str, bool, str]]:
    return [(t.cause, t.is_held, TradingState(t.state).name) for t in transitions]


def test_it_begins_halted_and_nothing_leaves_before_it_has_started(tmp_path):
    scene = Scene(tmp_path, long)
    stepped = scene.step(0)
    assert [one.reason for one in stepped.denied] == [Reason.HALTED]
    assert scene.venue.record.received == []
    scene.trader.start()
    assert len(scene.step(1).orders) == 1
    assert len(scene.venue.record.received) == 1
    assert names(scene.journal.transitions()) == [
        ("STARTING", True, "HALTED"),
        ("STARTING", False, "ACTIVE"),
    ]


def test_the_gravest_cause_rules_and_lifting_one_overrules_no_other():
    noted = []
    states = States(noted.append)
    assert states.state == TradingState.ACTIVE
    states.hold(Cause.PAUSED, "lunch")
    states.hold(Cause.KILLED, "drill")
    states.hold(Cause.KILLED, "again")
    assert states.state == TradingState.HALTED
    states.lift(Cause.KILLED, "over")
    assert states.state == TradingState.REDUCING
    states.lift(Cause.PAUSED, "back")
    states.lift(Cause.PAUSED, "twice")
    assert names(noted) == [
        ("PAUSED", True, "REDUCING"),
        ("KILLED", True, "HALTED"),
        ("KILLED", False, "REDUCING"),
        ("PAUSED", False, "ACTIVE"),
    ]


@pytest.mark.parametrize("cause", Cause)
def test_what_is_not_of_the_process_survives_it(tmp_path, cause):
    with closing(Journal.open(tmp_path / "journal.sqlite", RUN)) as journal:
        states = States(journal.note)
        states.hold(cause, "found")
        states.lift(Cause.STARTING, "nothing to recover")
    with closing(Journal.open(tmp_path / "journal.sqlite", RUN)) as journal:
        again = States(journal.note, journal.transitions())
        assert again.is_held(cause) == (cause not in OF_THE_PROCESS)
        again.lift(cause, "a person did")
        last = States(journal.note, journal.transitions())
        assert last.causes == ()


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "lunch\nstep 7: KILLED is lifted, ACTIVE",
            "lunch step 7: KILLED is lifted, ACTIVE",
        ),
        ("\x1b[2Jlunch\t\x07", "[2Jlunch"),
        ("zu Mittag, 50\u00a0% später", "zu Mittag, 50 % später"),
    ],
)
def test_what_a_person_says_is_one_line_and_moves_no_terminal(tmp_path, said, told):
    scene = Scene(tmp_path, long)
    scene.states.hold(Cause.PAUSED, said)
    last = scene.journal.transitions()[-1]
    assert last.text == told
    assert last.sentence == f"step 0: PAUSED holds, HALTED: {told}"


def test_a_pause_keeps_its_end_over_a_restart(tmp_path):
    path = tmp_path / "journal.sqlite"
    with closing(Journal.open(path, RUN)) as journal:
        states = States(journal.note)
        for until_ns in (500, 900, 700):
            states.hold(Cause.PAUSED, "lunch", until_ns)
    with closing(Journal.open(path, RUN)) as journal:
        states = States(journal.note, journal.transitions())
        states.lapse(899)
        assert states.is_held(Cause.PAUSED)
        states.lapse(900)
        assert states.state == TradingState.ACTIVE
        states.hold(Cause.PAUSED, "supper", 1_000)
        states.hold(Cause.PAUSED, "night", 0)
        states.hold(Cause.PAUSED, "short", 2_000)
    with closing(Journal.open(path, RUN)) as journal:
        states = States(journal.note, journal.transitions())
        states.lapse(2**62)
        assert states.is_held(Cause.PAUSED), "an end of 0 is none"


def test_a_days_loss_lets_only_reductions_pass_until_the_next_day(tmp_path):
    scene = Scene(tmp_path, lambda step: (0.5, 0.1 * (step > 2), 0.0))
    scene.trader.start()
    scene.step(0)
    assert scene.step(1, (190, 200, 200)).orders == []  # bought at 201
    assert scene.states.causes == (Cause.DAILY_LOSS,)
    denied = scene.step(2, (190, 200, 200)).denied
    assert {one.reason for one in denied} == {Reason.DAILY_LOSS}
    denied = scene.step(3, (200, 200, 200)).denied  # won back: the day is still over
    assert {one.reason for one in denied} == {Reason.REDUCING}
    assert scene.states.state == TradingState.REDUCING
    stepped = scene.step(DAY_BARS, (200, 200, 200))
    assert scene.states.state == TradingState.ACTIVE
    assert [one.symbol for one in stepped.orders] == [1]
    found = scene.journal.transitions()[-2]
    assert (found.step, found.text) == (2, "2.75% are lost, 2.00% is the limit")


def test_a_days_loss_ends_with_the_session_of_its_market():
    """Held over midnight and over a restart, until the session has closed."""
    day_of = days(universe([Instrument(symbol="A", calendar="xnys")]))
    noted: list[Transition] = []
    losses = Losses(100.0, day_of)
    first = States(noted.append, step=2, day_of=day_of)
    hour_ns = 3_600 * 10**9
    session = START_NS + 15 * hour_ns  # 10:00 of a Wednesday in New York

    def weigh(states: States, nav: float, hours: int) -> tuple[Cause, ...]:
        boundary_ns = session + hours * hour_ns
        lost = losses.seen(nav, boundary_ns, ())
        states.weigh(boundary_ns, lost, LIMITS)
        return states.causes

    assert weigh(first, 100.0, -14) == ()  # after midnight, before the session
    assert weigh(first, 95.0, 0) == (Cause.DAILY_LOSS,)
    assert weigh(first, 99.0, 6) == (Cause.DAILY_LOSS,)  # at the closing itself
    again = States(noted.append, noted, step=3, day_of=day_of)
    again.recall(session + 6 * hour_ns)
    assert again.causes == (Cause.DAILY_LOSS,)
    assert weigh(again, 99.0, 7) == ()
    assert weigh(again, 97.5, 9) == ()  # of 99, and over a midnight of UTC
    assert weigh(again, 97.0, 24) == (Cause.DAILY_LOSS,)


def test_however_many_causes_come_and_go_the_newest_are_told_and_all_restored():
    noted = []
    states = States(noted.append)
    states.hold(Cause.PAUSED, "for long")
    for number in range(TOLD):
        states.hold(Cause.TOO_LATE, str(number))
        states.lift(Cause.TOO_LATE, "young")
    assert list(states.transitions) == noted[-TOLD:]
    assert len(noted) == 2 * TOLD + 1
    again = States(noted.append, noted)
    assert (again.causes, len(again.transitions)) == ((Cause.PAUSED,), TOLD)


def test_losses_in_a_row_let_only_reductions_pass_until_the_next_day(tmp_path):
    """Bought at 201 and sold at 199, again and again."""
    limits = msgspec.structs.replace(LIMITS, losses_in_a_row=1)
    scene = Scene(tmp_path, lambda step: (0.01 * (step % 2), 0, 0), limits=limits)
    scene.trader.start()
    sides = [[one.side for one in scene.step(bar).orders] for bar in range(4)]
    assert sides == [[BUY], [SELL], [BUY], [SELL]]
    assert {one.reason for one in scene.step(4).denied} == {Reason.LOSING}
    assert scene.states.causes == (Cause.LOSING,)
    assert scene.states.transitions[-1].text == "2 boundaries in a row came to a loss"
    assert scene.step(6).orders == []
    assert len(scene.step(DAY_BARS + 1).orders) == 1
    assert scene.states.causes == ()


def test_a_drawdown_stays_until_a_person_lifts_it(tmp_path):
    scene = Scene(tmp_path, long)
    scene.trader.start()
    scene.step(0)
    scene.step(1, (150, 200, 200))
    assert Cause.DRAWDOWN in scene.states.causes
    scene.step(DAY_BARS, (200, 200, 200))
    assert scene.states.causes == (Cause.DRAWDOWN,)
    scene.states.lift(Cause.DRAWDOWN, "reset")
    assert scene.states.state == TradingState.ACTIVE


def test_a_drawdown_that_is_still_too_deep_is_held_anew_after_a_reset(tmp_path):
    scene = Scene(tmp_path, long)
    scene.trader.start()
    scene.step(0)
    scene.step(1, (150, 200, 200))
    scene.states.lift(Cause.DRAWDOWN, "reset")
    scene.step(2, (150, 200, 200))
    assert Cause.DRAWDOWN in scene.states.causes


def test_a_loss_that_is_not_a_number_latches_nothing_and_opens_nothing(tmp_path):
    scene = Scene(tmp_path, long)
    scene.trader.start()
    scene.account.portfolio.fees[0] = np.nan
    denied = scene.step(0).denied
    assert {one.reason for one in denied} == {Reason.NO_CAPITAL}
    assert scene.states.state == TradingState.ACTIVE


class FullDisk:
    """A journal whose disk fills up at a step."""

    def __init__(self, journal: Journal, last: int) -> None:
        self.journal, self.last = journal, last

    def receive(self, step, answers) -> None:
        self.journal.receive(step, answers)

    def commit(self, record) -> bytes:
        if record.step > self.last:
            raise Unwritten("the disk is full")
        return self.journal.commit(record)

    def note(self, transition) -> None:
        if self.journal.last_step >= self.last:
            raise Unwritten("the disk is full")
        self.journal.note(transition)

    def fold(self) -> None:
        self.journal.fold()


def test_a_full_disk_halts_before_anything_leaves_and_takes_back_what_rests(tmp_path):
    scene = Scene(tmp_path, growing, "limit", log=partial(FullDisk, last=2), size=10)
    scene.trader.start()
    scene.step(0)
    scene.step(1)
    received = scene.venue.record.received
    before = [one for one in received if isinstance(one, Order)]
    assert len(resting(received)) == 6
    with pytest.raises(Halted, match="full"):
        scene.step(2)
    assert scene.states.causes == (Cause.JOURNAL,)
    assert [one for one in received if isinstance(one, Order)] == before
    assert resting(received) == set()
    assert scene.journal.last_step == 2


def test_cancels_leave_even_if_the_halt_cannot_be_journaled(tmp_path):
    scene = Scene(tmp_path, growing, "limit", log=partial(FullDisk, last=1), size=10)
    scene.trader.start()
    scene.step(0)
    received = scene.venue.record.received
    assert len(resting(received)) == 3
    with pytest.raises(Halted, match="full"):
        scene.trader.halt(Cause.KILLED, "drill")
    assert resting(received) == set()
    assert scene.states.state == TradingState.HALTED


def test_an_answer_that_cannot_be_true_halts_and_takes_back_what_rests(tmp_path):
    scene = Scene(tmp_path, growing, "limit", size=10)
    scene.trader.start()
    scene.step(0)
    received = scene.venue.record.received
    assert len(resting(received)) == 3
    stray = Fill("f" * 16, 0, BUY, 1, 200, 0.0, False, 1)
    scene.link.settle = lambda through_ns: [stray]
    with pytest.raises(OrderError):
        scene.step(1)
    assert scene.states.causes == (Cause.VENUE,)
    assert resting(received) == set()
    assert scene.journal.transitions()[-1].cause == "VENUE"


@settings(max_examples=30)
@given(causes=st.sets(st.sampled_from(list(Cause)), min_size=1))
def test_cancels_pass_in_every_state_and_orders_only_as_it_says(
    causes, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("state")
    scene = Scene(folder, growing, kind="limit", size=10)
    scene.trader.start()
    scene.step(0)
    received = scene.venue.record.received
    for cause in causes:
        scene.states.hold(cause, "planted")
    before = len(received)
    untold = scene.closed(1)._replace(is_told=Cause.UNTOLD not in causes)
    stepped = scene.trader.step(untold)
    assert scene.account.portfolio.working.ids()
    sent = [one for one in received[before:] if isinstance(one, Order)]
    assert sent == stepped.orders
    assert not set(scene.account.portfolio.working.ids()) & resting(received)
    assert sent == [] or scene.states.state == TradingState.REDUCING
    assert all(one.reduce_only for one in sent)
    scene.trader.halt(Cause.VENUE, "planted")
    assert not set(scene.account.portfolio.working.ids()) & resting(received)


FRAME = Frame(1, 1, 0, START_NS, np.empty(0, TICK))


def arrivals(
    waits: list[float],
    clock: list[float],
    end: Exception | None = None,
    frame: Frame = FRAME,
):
    """Frames that are waited for, `frame` after the first; a negative wait is a moment
    of silence."""
    for number, wait in enumerate(waits):
        clock[0] += abs(wait)
        came = frame if number else FRAME
        yield Arrival(None if wait < 0 else came, 0.0, START_NS)
    if end is not None:
        raise end


@pytest.fixture
def clock(monkeypatch):
    """Monotonic seconds that only pass when a test lets them."""
    now = [100.0]
    monkeypatch.setattr("bot4jax.runtime.silence.time.monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("waits", [[0.1, 7.0], [0.1, -3.0, -3.0], [0.1, -3.0, 3.0]])
def test_a_pause_lets_only_reductions_pass_until_a_bar_came_without(
    tmp_path, clock, waits
):
    scene = Scene(tmp_path, growing)
    scene.trader.start()
    assert len(list(watched(arrivals(waits, clock), scene.trader, 5.0))) == len(waits)
    assert scene.states.causes == (Cause.FEED_QUIET,)
    assert scene.step(0).orders == []
    assert len(scene.step(1).orders) == 3
    assert scene.states.state == TradingState.ACTIVE


def test_a_pause_that_goes_on_lets_only_reductions_pass_in_every_step(tmp_path, clock):
    scene = Scene(tmp_path, growing)
    scene.trader.start()
    heard = watched(arrivals([0.1] + [-3.0] * 7, clock), scene.trader, 5.0)
    for number, _ in enumerate(heard):
        if number >= 2:
            assert scene.step(number - 2).orders == []


def test_snapshots_do_not_make_a_dead_stream_live(tmp_path, clock):
    scene, answer = Scene(tmp_path, growing), FRAME._replace(kind=SNAPSHOT)
    for kind in (FRAME, answer):
        assert scene.states.causes == (Cause.STARTING,)
        list(watched(arrivals([0.1, 3.0, 3.0], clock, frame=kind), scene.trader, 5.0))
    assert Cause.FEED_QUIET in scene.states.causes
    scene.journal.close()


def test_the_wait_for_the_first_frame_and_a_busy_engine_are_no_pause(tmp_path, clock):
    scene = Scene(tmp_path, growing)
    for _ in watched(arrivals([60.0, 1.0, 1.0], clock), scene.trader, 5.0):
        clock[0] += 30.0  # the engine compiles, frames lie in the queue
    assert Cause.FEED_QUIET not in scene.states.causes


def test_a_closed_market_owes_no_frame(tmp_path, clock):
    scene = Scene(tmp_path, growing)
    for is_open in (False, True):
        heard = arrivals([0.1, 60.0], clock)
        list(watched(heard, scene.trader, 5.0, lambda now_ns, is_open=is_open: is_open))
        assert (Cause.FEED_QUIET in scene.states.causes) == is_open


def test_an_old_newest_tick_lets_only_reductions_pass_until_one_is_young(tmp_path):
    """A second long turn: what opens is refused, what shrinks passes."""
    turns = (0.2, 0.4, 0.4, 0.1, 0.3)
    scene, waited_ns = Scene(tmp_path, lambda step: (turns[step - 1], 0.0, 0.0)), [0]

    def now_ns() -> int:
        return START_NS + scene.trader.step_number * BAR_NS + waited_ns[0]

    scene.trader.judge = judged_by_age(scene.states, 1.0, now_ns, 0.1)
    scene.trader.start()
    assert len(scene.step(0).orders) == 1
    waited_ns[0] = 1_000_000_001
    for bar in (1, 2):
        stepped = scene.step(bar)
        assert [one.reason for one in stepped.denied] == [Reason.REDUCING]
        assert stepped.orders == []
    assert [one.side for one in scene.step(3).orders] == [SELL]
    waited_ns[0] = 1_000_000_000
    assert len(scene.step(4).orders) == 1
    found = names(scene.journal.transitions())
    assert found[-2:] == [("TOO_LATE", True, "REDUCING"), ("TOO_LATE", False, "ACTIVE")]
    scene.journal.close()


def test_a_tick_from_the_future_lets_only_reductions_pass(tmp_path):
    """A clock that stepped back makes what is old look young."""
    scene, ahead_ns = Scene(tmp_path, growing), [100_000_000]

    def now_ns() -> int:
        return START_NS + scene.trader.step_number * BAR_NS - ahead_ns[0]

    scene.trader.judge = judged_by_age(scene.states, 1.0, now_ns, 0.1)
    scene.trader.start()
    scene.step(0)
    assert Cause.TOO_LATE not in scene.states.causes
    ahead_ns[0] += 1
    scene.step(1)
    assert scene.states.causes == (Cause.TOO_LATE,)
    scene.journal.close()


def test_a_silent_feed_halts_and_takes_back_what_rests(tmp_path, clock):
    scene = Scene(tmp_path, growing, kind="limit", size=10)
    scene.trader.start()
    scene.step(0)
    open_before = scene.account.portfolio.working.ids()
    end = Halted("No frame came for 60 s.")
    with pytest.raises(Halted, match="60 s"):
        list(watched(arrivals([0.1], clock, end), scene.trader, 5.0))
    assert scene.states.causes == (Cause.FEED_SILENT,)
    assert len(open_before) == 3
    assert not set(open_before) & resting(scene.venue.record.received)
    assert scene.journal.transitions()[-1].text == "No frame came for 60 s."
