"""One order over and over stops the engine until a person says otherwise."""

from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.runtime.closings import Closed
from bot4jax.runtime.control_line import line
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import Limits, Reason, TradingState
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import Control
from bot4jax.runtime.orders import (
    Ack,
    Answer,
    Cancelled,
    Expired,
    Fill,
    Order,
    order_id,
)
from bot4jax.runtime.states import OF_PEOPLE, Cause
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.throttle import Throttle, is_in_vain, likeness
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.working_orders import WorkingOrders
from bot4jax.types import BUY, SELL
from tests.runtime.scene import (
    BAR_NS,
    LIMITS,
    RUN,
    UNIVERSE,
    Scene,
    compared,
    repeating,
)
from tests.runtime.test_pauses import wait_until
from tests.sim.kill import BARS, KILLED, PATIENCE_S, begun, served, started

TIGHT = msgspec.structs.replace(LIMITS, repeats=3, repeat_seconds=10.0)
TIGHT_FOR_A_MINUTE = msgspec.structs.replace(TIGHT, repeat_seconds=60.0)
SECOND = 1_000_000_000


def steady(step: int) -> tuple[float, float, float]:
    """As much more of the first symbol in every step: the same order every time."""
    return 0.02 * step, 0.0, 0.0


def sent(scene: Scene, bars: range) -> list[int]:
    """How many orders leave in each step."""
    return [len(scene.step(bar).orders) for bar in bars]


def test_the_one_too_many_is_denied_and_stops_the_engine(tmp_path):
    scene = Scene(tmp_path, steady, "limit", TIGHT, size=1)
    scene.trader.start()
    assert sent(scene, range(3)) == [1, 1, 1]
    denied = scene.step(3).denied
    assert [(one.reason, one.lots.tolist()) for one in denied] == [
        (Reason.REPEATED, [200])
    ]
    assert scene.states.state == TradingState.HALTED
    assert sent(scene, range(4, 7)) == [0, 0, 0]
    noted = scene.journal.transitions()[-1]
    assert (noted.cause, noted.is_held) == ("REPEATING", True)
    assert noted.text.startswith("3 orders alike within 10 s")


def test_what_only_reduces_leaves_before_the_engine_stops(tmp_path):
    """Bought in pieces that differ, and sold whole, in the same order every time: the
    last one does not leave its position behind, and then all stops."""

    def in_and_out(step: int) -> tuple[float, float, float]:
        cycle, phase = divmod(step - 1, 3)
        return (0.01 + 0.0004 * cycle, 0.02, 0.0)[phase], 0.0, 0.0

    limits = msgspec.structs.replace(TIGHT, repeat_seconds=60.0)
    scene = Waiting(tmp_path, in_and_out, Tactic("ioc"), limits, size=1_000)
    scene.trader.start()
    assert scene.through(range(12)) == [1] * 12
    sent = [one for one in scene.venue.record.received if isinstance(one, Order)]
    assert len({likeness(one) for one in sent if one.reduce_only}) == 1
    assert scene.states.is_held(Cause.REPEATING)
    assert "-200 lots of A" in scene.journal.transitions()[-1].text
    assert scene.through(range(12, 15)) == [0] * 3
    assert scene.account.portfolio.lots.tolist() == [0, 0, 0]
    scene.assert_repeated()


def test_it_outlives_a_restart_and_ends_when_a_person_says_so(tmp_path):
    scene = Scene(tmp_path, steady, "limit", TIGHT, size=1)
    scene.trader.start()
    sent(scene, range(4))
    scene.journal.close()
    journal = Journal.open(tmp_path / "journal.sqlite", RUN)
    again = Scene(tmp_path, steady, "limit", TIGHT, size=1, journal=journal)
    again.trader.start()
    assert again.states.is_held(Cause.REPEATING)
    assert again.states.state == TradingState.HALTED
    assert Cause.REPEATING in OF_PEOPLE
    again.states.lift(Cause.REPEATING, "looked into it")
    assert again.states.state == TradingState.ACTIVE


def test_what_left_before_a_restart_still_counts(tmp_path):
    """The loop repeats journaled steps, and with them what they sent."""
    scene = Scene(tmp_path, steady, "limit", TIGHT, size=1)
    scene.trader.start()
    sent(scene, range(2))
    records = list(scene.journal.read())
    scene.journal.close()
    journal = Journal.open(tmp_path / "journal.sqlite", RUN)
    venue = {"journal": journal, "venue": scene.link}
    again = Scene(tmp_path, steady, "limit", TIGHT, size=1, **venue)
    for bar, record in enumerate(records):
        again.trader.repeat(again.closed(bar), record)
    again.states.lift(Cause.STARTING, "recovered")
    assert sent(again, range(2, 5)) == [1, 0, 0]
    assert again.states.is_held(Cause.REPEATING)


def test_a_killed_engine_that_repeated_itself_opens_nothing_before_a_person_looks(
    tmp_path,
):
    """Real processes and SIGKILL; the wishes go on all the while, and what is judged is
    what the venue has heard."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(tmp_path, venue)
    people, tight = tmp_path / "people", {"limits": TIGHT_FOR_A_MINUTE}

    def sent() -> list[Order]:
        return [one for one in venue.record.received if isinstance(one, Order)]

    assert started(tmp_path, endpoint, "after_send", 20, **tight) == KILLED
    before = sent()
    last = before[-1].step
    assert last < 20, "nothing has repeated itself"
    assert most_alike(before, tight["limits"]) == 3
    for at in (26, 40):  # before an order, and when it has left, if one does
        point = "after_journal" if at == 26 else "after_send"
        assert started(tmp_path, endpoint, point, at, **tight) == KILLED
        assert sent() == before
    engine = begun(tmp_path, endpoint, people=f"ipc://{people}", **tight)
    answers = []
    person = Thread(target=lambda: answers.append(reset(people)))
    person.start()
    engine.join(PATIENCE_S)
    person.join(PATIENCE_S)
    thread.join(30)
    assert (engine.exitcode, answers) == (0, [True])
    after = sent()[len(before) :]
    assert after[0].step == 41
    with closing(Journal.open(tmp_path / "journal.sqlite", RUN)) as journal:
        noted = [one for one in journal.transitions() if one.cause == "REPEATING"]
    assert [one.is_held for one in noted][:3] == [True, False, True]
    assert last == noted[0].step
    assert after[-1].step == noted[2].step < BARS


def reset(socket: Path) -> bool:
    """A person has looked, and waits for the engine to be there."""
    wait_until(socket.exists)
    with line(f"ipc://{socket}") as ask:
        return ask(Control(do="reset", reason="looked into it")).accepted


def most_alike(sent: list[Order], limits: Limits) -> int:
    """Of orders that open something, within the time: counted plainly."""
    span_ns = limits.repeat_seconds * 1e9
    opening = [one for one in sent if not one.reduce_only]
    return max(
        sum(
            likeness(other) == likeness(one)
            and 0 <= one.sent_ns - other.sent_ns <= span_ns
            for other in opening
        )
        for one in opening
    )


orders = st.tuples(
    st.integers(0, 1), st.sampled_from([BUY, SELL]), st.integers(1, 2), st.just(100)
)
schedules = st.sampled_from(["", "", "a" * 16, "b" * 16])


@given(asked=st.lists(st.tuples(orders, st.integers(0, 4), schedules), max_size=60))
def test_no_span_of_time_ever_holds_more_than_so_many_alike(asked):
    throttle, now_ns, left = Throttle(TIGHT), 0, []
    for number, (alike, wait, parent) in enumerate(asked):
        now_ns += wait * SECOND
        name = order_id("t", number, 0, 0)
        symbol, side, lots, limit = alike
        terms = {"sent_ns": now_ns, "parent": parent}
        one = Order(name, symbol, side, lots, "ioc", limit, **terms)
        kept, over = throttle.admitted([one], now_ns)
        left = [kept for kept in left if now_ns - kept[0] <= 10 * SECOND]
        alive = {own for _, a, own in left if a == alike}  # slices of one count as one
        is_over = len(alive - {parent}) >= 3 and parent not in alive
        assert (kept, over) == (([], [one]) if is_over else ([one], []))
        for order in kept:
            throttle.note(order)
            left.append((now_ns, alike, parent or name))


def test_the_slices_of_one_schedule_are_no_loop_gone_wild(tmp_path):
    scene = Scene(tmp_path, lambda step: (0.2, 0.0, 0.0), "ioc", TIGHT)
    scene.account.slices = 8
    scene.trader.start()
    assert sent(scene, range(8)) == [1] * 8
    assert scene.states.state == TradingState.ACTIVE


def test_what_leaves_together_counts_together():
    """A position that turns is sold in two orders, which may be alike."""
    throttle = Throttle(TIGHT)
    batch = [Order(order_id("t", 0, 0, leg), 0, SELL, 5, "market") for leg in range(5)]
    for one in batch[:2]:
        throttle.note(one)
    assert throttle.admitted(batch[2:], 0) == (batch[2:3], batch[3:])


# Patience: who meets nobody asks again.

PASSIVE = Tactic("limit", is_passive=True, rest_ns=BAR_NS)
FOREVER = PASSIVE._replace(rest_ns=0)
"""Until it is taken back."""


def wanted(step: int) -> tuple[float, float, float]:
    return 0.2, -0.2, 0.0


def wavering(step: int) -> tuple[float, float, float]:
    """Asked for, and taken back before it meets anybody."""
    return (0.2 if step % 2 else 0.0), 0.0, 0.0


class Waiting(Scene):
    """A scene of orders that meet nobody, and its bars."""

    def __init__(
        self, folder: Path, targets, tactic: Tactic, limits: Limits = TIGHT, **means
    ) -> None:
        super().__init__(folder, targets, limits=limits, **({"size": 1} | means))
        self.account.tactic = tactic
        self.targets, self.bars = targets, list[Closed]()

    def through(self, bars: range) -> list[int]:
        """How many orders leave in each step."""
        return [self._orders(number) for number in bars]

    def _orders(self, number: int) -> int:
        self.bars.append(self.closed(number))
        return len(self.trader.step(self.bars[-1]).orders)

    def assert_repeated(self) -> None:
        """The journal is all that it takes."""
        own, past = self.account, self.journal.transitions()
        again = repeating(self.targets, own.limits, past, tactic=own.tactic)
        found = compared(again, self.bars, self.journal.read())
        assert (found.steps, found.is_equal) == (len(self.bars), True)


@pytest.mark.parametrize(
    ("targets", "tactic", "alike", "orders"),
    [
        (wanted, PASSIVE, 2, 80),
        (wanted, Tactic("fok"), 2, 80),
        (wavering, FOREVER, 1, 20),
    ],
    ids=["passive", "fok", "taken back"],
)
def test_what_meets_nobody_is_asked_for_again_and_halts_nothing(
    tmp_path, targets, tactic, alike, orders
):
    scene = Waiting(tmp_path, targets, tactic)
    scene.trader.start()
    assert sum(scene.through(range(40))) == orders
    sent = [one for one in scene.venue.record.received if isinstance(one, Order)]
    assert len({likeness(one) for one in sent}) == alike
    assert scene.venue.record.fills == []
    assert scene.states.causes == ()
    scene.assert_repeated()


def test_what_met_nobody_before_a_restart_is_excused_after_it(tmp_path):
    scene = Waiting(tmp_path, wanted, PASSIVE)
    scene.trader.start()
    scene.through(range(7))
    records = list(scene.journal.read())
    scene.journal.close()
    journal = Journal.open(tmp_path / "journal.sqlite", RUN)
    again = Waiting(tmp_path, wanted, PASSIVE, journal=journal, venue=scene.link)
    for closed, record in zip(scene.bars, records, strict=True):
        again.closed(closed.bar)
        again.trader.repeat(closed, record)
    again.trader.start()
    assert again.through(range(7, 20)) == [2] * 13
    assert again.states.causes == ()


class Ending(LocalVenue):
    """Its orders end as it likes: `ends` makes the last word of an acknowledged one."""

    def __init__(self, ends, **rules) -> None:
        super().__init__(PaperVenue(UNIVERSE, taker_fee=0.0, maker_fee=0.0, **rules))
        self._ends, self._orders = ends, dict[str, Order]()

    def send(self, step) -> None:
        orders = [one for one in step.orders if isinstance(one, Order)]
        self._orders |= {one.id: one for one in orders}
        super().send(step)

    def settle(self, through_ns: int) -> list[Answer]:
        said = [one for one in super().settle(through_ns) if isinstance(one, Ack)]
        ends = (self._ends(self._orders[one.order], one.event_ns) for one in said)
        return [*said, *ends]


def cancelled(order: Order, now_ns: int) -> Answer:
    return Cancelled(order.id, order.lots, now_ns)


def expired(order: Order, now_ns: int) -> Answer:
    return Expired(order.id, order.lots, now_ns)


@pytest.mark.parametrize("ends", [cancelled, expired])
@pytest.mark.parametrize("tactic", [PASSIVE, FOREVER], ids=["a bar", "for ever"])
def test_a_venue_that_ends_what_was_to_stand_refuses_it(tmp_path, ends, tactic):
    """Nobody has asked it to, and its time was not over."""
    scene = Waiting(tmp_path, wanted, tactic, venue=Ending(ends))
    scene.trader.start()
    assert scene.through(range(6)) == [2, 2, 2, 0, 0, 0]
    assert scene.states.is_held(Cause.REPEATING)
    scene.assert_repeated()


@pytest.mark.parametrize("tactic", [PASSIVE, Tactic("fok")], ids=["passive", "fok"])
def test_what_is_refused_over_and_over_stops_the_engine(tmp_path, tactic):
    venue = LocalVenue(PaperVenue(UNIVERSE, reject_share=1.0))
    scene = Waiting(tmp_path, wanted, tactic, venue=venue)
    scene.trader.start()
    assert scene.through(range(6)) == [2, 2, 2, 0, 0, 0]
    assert scene.states.is_held(Cause.REPEATING)
    scene.assert_repeated()


def test_what_trades_in_part_and_ends_counts():
    """It is bought over and over, and somebody does not notice."""
    throttle, working = Throttle(TIGHT), WorkingOrders(1, 9)
    for number in range(3):
        one = Order(order_id("t", number, 0, 1), 0, BUY, 5, "ioc", 100, sent_ns=number)
        throttle.note(one)
        working.expect(one)
        for answer in (
            Fill(one.id, 0, BUY, 1, 100, 0.0, is_maker=False, event_ns=number),
            Expired(one.id, 4, number),
        ):
            working.hear(answer)
            assert not is_in_vain(working.by_id[one.id], answer)
    again = msgspec.structs.replace(one, id=order_id("t", 9, 0, 1))
    assert throttle.admitted([again], 5)[0] == []


SCARCE = msgspec.structs.replace(TIGHT, orders_per_step=2)
wishes = st.lists(
    st.tuples(*[st.sampled_from([-0.2, 0.0, 0.2])] * 3), min_size=1, max_size=30
)


@settings(max_examples=25)
@given(plan=wishes, tactic=st.sampled_from([PASSIVE, FOREVER, Tactic("fok")]))
def test_patience_never_asks_more_of_a_venue_than_the_budget(plan, tactic):
    """Whatever a model wants: what met nobody is free of the throttle, of nothing
    else. Cancels only reduce, and may be more than that."""
    with TemporaryDirectory() as folder:
        scene = Waiting(Path(folder), lambda step: plan[step - 1], tactic, SCARCE)
        scene.trader.start()
        scene.through(range(len(plan)))
        assert scene.venue.record.fills == []
        assert scene.states.causes == ()
        left = [list(one.leaving) for one in scene.journal.read()]
        opened = [one for one in left if any(isinstance(each, Order) for each in one)]
        assert all(len(one) <= 2 for one in opened)
