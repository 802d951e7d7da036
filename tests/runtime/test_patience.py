"""What is not answered, or refused, is asked for again: ever more rarely, and alone."""

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import numpy as np
import pytest

from bot4jax.errors import Halted
from bot4jax.runtime.brackets import Distances
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.orders import (
    Answer,
    Cancel,
    Expired,
    Fill,
    Order,
    Query,
    Reject,
    Replace,
    Replaced,
    Request,
    order_id,
)
from bot4jax.runtime.patience import DESPAIR_NS, PATIENCE_STEPS
from bot4jax.runtime.states import Cause
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.tracking import OrderState
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_rules import Refusal
from bot4jax.runtime.working_orders import WorkingOrders
from bot4jax.types import BUY, HALTED, STATUS, TICK, TRADING
from tests.runtime.scene import (
    BAR_NS,
    LIMITS,
    RUN,
    START_NS,
    UNIVERSE,
    Scene,
    closed_on,
    compared,
    quotes,
    repeating,
)

STOP = Distances(stop_bps=100.0)
BOTH = Distances(stop_bps=100.0, profit_bps=200.0)
FEW = msgspec.structs.replace(LIMITS, repeats=10)

Lost = Callable[[Request | Answer], bool]


class Lossy(LocalVenue):
    """Some requests never reach it, and some of its answers nobody."""

    def __init__(self, loses: Lost, **rules) -> None:
        super().__init__(PaperVenue(UNIVERSE, taker_fee=0.0, maker_fee=0.0, **rules))
        self.loses, self.lost = loses, list[Request | Answer]()

    def _through(self, said: Sequence) -> list:
        lost = [one for one in said if self.loses(one)]
        self.lost += lost
        return [one for one in said if one not in lost]

    def send(self, step) -> None:
        super().send(msgspec.structs.replace(step, orders=self._through(step.orders)))

    def settle(self, through_ns):
        return self._through(super().settle(through_ns))


class Protected(Scene):
    """A scene with legs that knows its bars, whose instruments may halt."""

    def __init__(self, folder, targets, distances=BOTH, **means) -> None:
        super().__init__(folder, targets, **means)
        self.account.distances = distances
        self.targets, self.bars = targets, list[Closed]()

    def bar(
        self,
        number: int,
        status: int | None = None,
        mids: Sequence[int] = (200, 200, 200),
    ) -> Stepped:
        """One step; `status` is told of the first instrument, late within the bar."""
        records = quotes(number, mids, self._size)
        if status is not None:
            said = np.zeros(1, TICK)
            said["kind"], said["a"] = STATUS, status
            said["event_ns"] = START_NS + number * BAR_NS + 6 * BAR_NS // 10
            records = np.concatenate([records, said])
        self.link.hear(records)
        self.bars.append(closed_on(self._quotes, number, records))
        return self.trader.step(self.bars[-1])

    def through(self, bars: range, **means) -> list[Stepped]:
        return [self.bar(number, **means) for number in bars]

    def legs(self, slot: int) -> list[tuple[str, int]]:
        """That rest at the venue, and their lots."""
        assert isinstance(self.link, LocalVenue)
        live = self.link.venue.book.resting.by_id.values()
        own = [one for one in live if one.order.symbol == slot and one.order.group]
        return [(one.order.kind, one.left) for one in own]

    def assert_repeated(self) -> None:
        """The journal is all that it takes."""
        own = self.account
        means = {"distances": own.distances, "dedupes": own.dedupes}
        past = self.journal.transitions()
        again = repeating(self.targets, own.limits, past, **means, tactic=own.tactic)
        found = compared(again, self.bars, self.journal.read())
        assert (found.steps, found.is_equal) == (len(self.bars), True)

    def restarted(self, folder) -> "Protected":
        """Another process with the journal; the venue goes on."""
        records = list(self.journal.read())
        self.journal.close()
        journal = Journal.open(folder / "journal.sqlite", RUN)
        means = {"journal": journal, "venue": self.link}
        again = Protected(
            folder,
            self.targets,
            self.account.distances,
            limits=self.account.limits,
            **means,
        )
        for closed, record in zip(self.bars, records, strict=True):
            again._quotes.absorb(quotes(closed.bar, (200, 200, 200), self._size))
            again.trader.repeat(closed, record)
            again.bars.append(closed)
        again.trader.start()
        return again


def asking(scene: Scene, kind: type) -> list[int]:
    """The bars at which such requests left."""
    found = [(one.bar, each) for one in scene.journal.read() for each in one.leaving]
    return [bar for bar, each in found if isinstance(each, kind)]


def legs_of(steps: Sequence[Stepped], slot: int) -> list[int]:
    """At which steps a stop was sent."""
    return [
        number
        for number, one in enumerate(steps)
        for order in one.orders
        if order.group and order.symbol == slot and order.kind == "stop"
    ]


def two_positions(step: int) -> tuple[float | None, ...]:
    """The second instrument first, then the first; both are kept."""
    return (0.1 if step == 3 else None), (0.1 if step == 1 else None), 0.0


def test_the_halt_of_one_instrument_takes_no_protection_from_another(tmp_path):
    """Its first position has just been opened, and no venue takes a leg meanwhile."""
    scene = Protected(tmp_path, two_positions, limits=FEW)
    scene.trader.start()
    scene.through(range(3))
    steps = [scene.bar(3, HALTED), *scene.through(range(4, 40))]
    assert scene.account.portfolio.lots[0] > 0
    assert legs_of(steps, 0) == []
    assert scene.states.state is TradingState.ACTIVE
    assert sorted(kind for kind, _ in scene.legs(1)) == ["stop", "take_profit"]
    scene.bar(40, TRADING)
    scene.bar(41)
    held = int(scene.account.portfolio.lots[0])
    assert sorted(scene.legs(0)) == [("stop", held), ("take_profit", held)]
    scene.assert_repeated()


class Refusing(PaperVenue):
    """Takes no leg of the first instrument that arrives in these bars."""

    def __init__(self, bars: range) -> None:
        super().__init__(UNIVERSE, taker_fee=0.0, maker_fee=0.0)
        self.bars = bars

    def _refusal(self, order: Order, now_ns: int) -> Refusal | None:
        is_leg = order.group != "" and order.symbol == 0
        if is_leg and (now_ns - START_NS) // BAR_NS in self.bars:
            return Refusal.AT_RANDOM
        return super()._refusal(order, now_ns)


def refused(folder, refusing: range, bars: int, limits=FEW) -> tuple[Protected, list]:
    """Two positions, one of which is protected."""
    venue = LocalVenue(Refusing(refusing))
    scene = Protected(folder, two_positions, limits=limits, venue=venue)
    scene.trader.start()
    steps = scene.through(range(bars))
    assert venue.venue.position[0] > 0
    return scene, steps


def test_a_leg_that_is_refused_is_asked_for_after_pauses_that_grow(tmp_path):
    scene, steps = refused(tmp_path, range(60), 40)
    assert legs_of(steps, 0) == [3, 4, 6, 10, 18, 34]
    assert legs_of(steps, 1) == [1]
    assert scene.states.state is TradingState.ACTIVE
    assert len(scene.legs(1)) == 2
    scene.assert_repeated()


@pytest.mark.parametrize(
    ("plan", "first", "lots"),
    [({3: 0.1, 12: -0.1}, 12, 1_000), ({3: 0.1, 12: 0.0, 14: 0.1}, 14, 999)],
)
def test_a_leg_refused_of_a_former_position_delays_none_of_the_next(
    tmp_path, plan, first, lots
):
    """Of the other side, or of the same once nothing was held."""

    def wishes(step: int) -> tuple[float | None, ...]:
        return plan.get(step), 0.0, 0.0

    venue = LocalVenue(Refusing(range(first)))
    scene = Protected(tmp_path, wishes, limits=FEW, venue=venue)
    scene.trader.start()
    steps = scene.through(range(20))
    assert legs_of(steps, 0) == [3, 4, 6, 10, first]
    own = [one for step in steps for one in step.orders if one.group and not one.symbol]
    assert [(one.kind, one.lots) for one in own[-2:]] == [
        ("stop", lots),
        ("take_profit", lots),
    ]


def test_pauses_of_refused_legs_outlive_a_restart_and_end_once_one_is_taken(tmp_path):
    scene, steps = refused(tmp_path, range(16), 12)
    again = scene.restarted(tmp_path)
    more = [*steps, *again.through(range(12, 30))]
    assert legs_of(more, 0) == [3, 4, 6, 10, 18]
    assert len(again.legs(0)) == len(again.legs(1)) == 2
    assert again.account.portfolio.working._refused == {}
    again.assert_repeated()


def test_legs_that_repeat_themselves_are_denied_alone(tmp_path):
    tight = msgspec.structs.replace(LIMITS, repeats=3)
    scene, steps = refused(tmp_path, range(80), 60, tight)
    assert legs_of(steps, 0) == [3, 4, 6]
    denied = [one for step in steps for one in step.denied]
    over = [one for one in denied if one.reason is Reason.REPEATED]
    assert {slot for one in over for slot in one.symbols.tolist()} == {0}
    assert not scene.states.is_held(Cause.REPEATING)
    assert len(scene.legs(1)) == 2
    scene.assert_repeated()


def grown(step: int) -> tuple[float, float, float]:
    return (0.1 if step < 4 else 0.8), 0.0, 0.0


def first(kind: type, times: int = 1) -> Lost:
    """The first ones of this kind get lost."""
    left = Counter({kind: times})

    def loses(one: Request | Answer) -> bool:
        left[kind] -= (is_lost := type(one) is kind and left[kind] > 0)
        return is_lost

    return loses


@pytest.mark.parametrize("kind", [Replace, Replaced])
@pytest.mark.parametrize("times", [1, 2])
def test_a_replacement_that_got_lost_is_asked_for_again(tmp_path, kind, times):
    """Its answer as well: what holds by then is said once more, and changes nothing."""
    venue = Lossy(first(kind, times))
    scene = Protected(tmp_path, grown, STOP, venue=venue)
    scene.trader.start()
    scene.through(range(30))
    held = int(venue.venue.position[0])
    assert len(venue.lost) == times
    assert scene.legs(0) == [("stop", held)]
    assert scene.account.portfolio.lots.tolist() == [held, 0, 0]
    (leg,) = scene.account.portfolio.working.still_open()
    assert (leg.order.lots, leg.asked_lots) == (held, 0)
    assert asking(scene, Replace)[: times + 1] == [4, 7, 13][: times + 1]
    assert asking(scene, Query) == []
    assert scene.states.state is TradingState.ACTIVE
    scene.assert_repeated()


@pytest.mark.parametrize("kind", [Replace, Replaced])
def test_a_replacement_that_got_lost_is_asked_for_after_a_restart(tmp_path, kind):
    venue = Lossy(first(kind))
    scene = Protected(tmp_path, grown, STOP, venue=venue)
    scene.trader.start()
    scene.through(range(6))
    again = scene.restarted(tmp_path)
    again.through(range(6, 20))
    assert asking(again, Replace)[:2] == [4, 7]
    assert again.legs(0) == [("stop", int(venue.venue.position[0]))]
    assert again.states.state is TradingState.ACTIVE
    again.assert_repeated()


def test_a_stop_trades_by_terms_of_which_nobody_heard(tmp_path):
    """It is larger than its last answer said, and no error is made of that."""

    def kept(step: int) -> tuple[float | None, ...]:
        return {1: 0.1, 4: 0.8}.get(step), 0.0, 0.0

    venue = Lossy(first(Replaced))
    scene = Protected(tmp_path, kept, STOP, venue=venue)
    scene.trader.start()
    scene.through(range(6))
    assert len(venue.lost) == 1
    assert scene.legs(0) == [("stop", int(scene.account.portfolio.lots[0]))]
    scene.through(range(6, 9), mids=(197, 200, 200))
    assert scene.account.portfolio.lots.tolist() == [0, 0, 0]
    assert scene.account.portfolio.working.ids() == []
    assert scene.states.state is TradingState.ACTIVE


def test_a_stop_trades_just_what_its_last_answer_said_and_then_ends(tmp_path):
    """With the rest left of larger terms of which nobody heard."""

    def kept(step: int) -> tuple[float | None, ...]:
        return {1: 0.1, 4: 0.8}.get(step), 0.0, 0.0

    scene = Protected(tmp_path, kept, STOP, venue=Lossy(first(Replaced)))
    scene.trader.start()
    scene.through(range(6))
    (leg,) = scene.account.portfolio.working.still_open()
    said, held = leg.order.lots, int(scene.account.portfolio.lots[0])
    assert 0 < said < held == leg.asked_lots
    scene._size = said
    fill, end = scene.bar(6, mids=(197, 200, 200)).answers
    assert isinstance(fill, Fill)
    assert isinstance(end, Expired)
    assert (fill.lots, end.lots_left) == (said, held - said)
    assert scene.account.portfolio.working.by_id[leg.order.id].order.lots == held
    scene._size = held
    scene.through(range(7, 12), mids=(197, 200, 200))
    assert scene.account.portfolio.lots.tolist() == [0, 0, 0]
    assert scene.account.portfolio.working.ids() == []
    assert scene.states.state is TradingState.ACTIVE
    scene.assert_repeated()


def in_and_out(step: int) -> tuple[float, float, float]:
    return (0.1 if step < 70 else 0.0), 0.0, 0.0


@pytest.mark.parametrize(
    ("late", "dedupes", "most"), [(8, True, 6), (50, True, 16), (50, False, 0)]
)
def test_a_slow_venue_is_not_flooded_and_halts_nothing(tmp_path, late, most, dedupes):
    """Its answers take many bars, and nothing is wrong with it."""
    rules = {"latency_ns": late * BAR_NS + 1, "dedupes": dedupes, "taker_fee": 0.0}
    venue = LocalVenue(PaperVenue(UNIVERSE, **rules))
    scene = Protected(tmp_path, in_and_out, venue=venue)
    scene.trader.start()
    scene.through(range(180))
    received = Counter(type(one).__name__ for one in venue.venue.record.received)
    assert received["Order"] == 4
    assert received["Query"] <= most
    assert received["Cancel"] <= 12
    assert scene.account.portfolio.lots.tolist() == [0, 0, 0]
    assert venue.venue.open_orders == []
    assert scene.states.causes == ()
    scene.assert_repeated()


def once(step: int) -> tuple[float, float, float]:
    return 0.2, 0.0, 0.0


def at_first(step: int) -> tuple[float, float, float]:
    return (0.2 if step == 1 else 0.0), 0.0, 0.0


@pytest.mark.parametrize("kind", [Query, Cancel])
def test_each_pause_is_twice_the_one_before(tmp_path, kind):
    """The order is lost, or rests, and so is all that is asked about it."""
    asks = kind is Query
    venue = Lossy(lambda one: isinstance(one, (Order, Query) if asks else Cancel))
    scene = Protected(tmp_path, once if asks else at_first, venue=venue)
    if not asks:
        scene.account.tactic = Tactic("limit", is_passive=True)
    scene.trader.start()
    scene.through(range(120))
    asked = asking(scene, kind)
    pauses = np.diff([0, *asked] if asks else asked)
    assert pauses.tolist() == [3, 6, 12, 24, 48]
    scene.assert_repeated()


def test_a_venue_that_cannot_be_asked_halts_once_there_is_no_hope(tmp_path):
    venue = Lossy(lambda one: isinstance(one, Order), dedupes=False)
    scene = Protected(tmp_path, once, venue=venue)
    scene.trader.start()
    despair = DESPAIR_NS // BAR_NS
    scene.through(range(despair))
    assert scene.states.causes == ()
    with pytest.raises(Halted, match="are UNKNOWN"):
        scene.bar(despair)
    assert scene.states.causes == (Cause.VENUE,)


def test_with_short_bars_an_order_is_asked_for_before_the_venue_forgets_it():
    working = WorkingOrders(3, 9)
    order = Order(order_id(RUN, 5, 0, 1), 0, BUY, 7, "ioc", 200, step=5, sent_ns=5)
    working.expect(order)
    due = 5 + PATIENCE_STEPS
    assert working.unanswered(due - 1, due - 1) == []
    assert [one.order for one in working.unanswered(due, due)] == [order]
    working.doubt(Query(order.id, due))
    assert working.unanswered(due + 1, due + 1) == []
    (late,) = working.unanswered(due + PATIENCE_STEPS, due + PATIENCE_STEPS)
    assert late.state is OrderState.UNKNOWN
    working.hear(Reject(order.id, "no order of this id"))
    assert working.unanswered(999, 10**12) == []
