"""How what is wanted is asked for: through gate and journal to the venue and back."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.config import load
from bot4jax.modes.making import tactic
from bot4jax.modes.trading import stepping
from bot4jax.runtime.brackets import (
    PROFIT_LEG,
    STOP_LEG,
    Distances,
    follow_entries,
    triggers,
)
from bot4jax.runtime.limits import Limits, Reason, TradingState
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import CorporateAction, Reference
from bot4jax.runtime.orders import (
    Ack,
    Cancel,
    Fill,
    Foreign,
    Order,
    Reject,
    Replace,
    order_id,
)
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.schedule import Schedule, Schedules
from bot4jax.runtime.states import Cause
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.targets import IOC, Tactic
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import VenueLink
from bot4jax.types import BUY, SELL, TICK
from tests.runtime.scene import (
    BAR_NS,
    CAPITAL,
    LIMITS,
    RUN,
    START_NS,
    UNIVERSE,
    Scene,
    compared,
    repeating,
)
from tests.runtime.small_market import new_terms

PROTECTED = Distances(stop_bps=100.0, profit_bps=200.0)


def told(
    folder: Path,
    targets,
    bars: int,
    tactic: Tactic = IOC,
    slices: int = 1,
    distances: Distances | None = None,
    mids=lambda bar: (200, 200, 200),
    size: int = 100_000,
    limits: Limits = LIMITS,
    events: dict[int, Sequence[Reference]] | None = None,
) -> tuple[Scene, list]:
    """A scene traded by these means; its journal is repeated to the same orders.

    `events` act at the boundaries of these bars.
    """
    scene = Scene(folder, targets, size=size, limits=limits)
    how = {"tactic": tactic, "slices": slices}
    if distances is not None:
        how["distances"] = distances
    for name, value in how.items():
        setattr(scene.account, name, value)
    scene.trader.start()
    closed, steps = [], []
    for bar in range(bars):
        closed.append(scene.closed(bar, mids(bar)))
        if acting := (events or {}).get(bar):
            scene.link.hear(np.empty(0, TICK), acting)
            closed[-1] = scene.after(closed[-1], acting)
        steps.append(scene.trader.step(closed[-1]))
    again = repeating(targets, limits, **how)
    found = compared(again, closed, scene.journal.read())
    assert (found.steps, found.is_equal) == (bars, True)
    return scene, steps


def orders_of(steps) -> list[Order]:
    return [one for step in steps for one in step.orders]


def apart(step: int) -> tuple[float, float, float]:
    return 0.02, -0.02, 0.0


def test_a_limit_orders_rest_stays_for_its_bars_and_expires(tmp_path):
    """The market walks away from both, which are wanted to the end of their time."""

    def once(step: int) -> tuple[float, float, float]:
        same = {1: (0.02, -0.02, 0.0), 2: (0.02, -0.0198, 0.0)}  # in lots
        return same.get(step, (np.nan, np.nan, np.nan))

    resting = Tactic("limit", rest_ns=2 * BAR_NS)
    away = [(200, 200, 200), (202, 198, 200), (202, 198, 200)]
    scene, steps = told(
        tmp_path, once, 3, resting, mids=lambda bar: away[bar], size=100
    )
    first = steps[0].orders[0]
    assert (first.kind, first.limit) == ("limit", 201)
    assert first.expires_ns == first.sent_ns + 2 * BAR_NS - 1
    assert any(one.order == first.id for one in scene.venue.record.fills)
    assert [type(one).__name__ for one in steps[2].answers][-2:] == ["Expired"] * 2
    assert scene.account.portfolio.lots.tolist() == [100, -100, 0]
    assert scene.account.portfolio.working.ids() == []


def test_a_passive_order_waits_at_its_own_best(tmp_path):
    waiting = Tactic("limit", is_passive=True, rest_ns=BAR_NS)
    _, steps = told(tmp_path, apart, 2, waiting)
    buy, sell = steps[0].orders
    assert (buy.side, buy.limit, buy.post_only) == (BUY, 199, True)
    assert (sell.side, sell.limit, sell.post_only) == (SELL, 201, True)
    assert steps[1].answers
    assert not any(isinstance(one, Fill) for one in steps[1].answers)


def test_fill_or_kill_leaves_nothing_in_part(tmp_path):
    scene, steps = told(tmp_path, apart, 3, Tactic("fok"), size=100)
    assert scene.venue.record.fills == []
    assert scene.venue.open_orders == [one.id for one in steps[-1].orders]


def test_slices_have_ids_of_their_own_and_one_journaled_parent(tmp_path):
    scene, steps = told(tmp_path, apart, 5, slices=4)
    slices = [one for one in orders_of(steps) if one.symbol == 0]
    whole = int(scene.account.portfolio.lots[0])
    parent = order_id(RUN, 1, 0, 4)
    assert {one.parent for one in slices[:4]} == {parent}
    assert len({one.id for one in slices}) == len(slices) == 4
    assert [one.step for one in slices] == [1, 2, 3, 4]
    assert max(one.lots for one in slices) - min(one.lots for one in slices) <= 1
    begun = [one for record in scene.journal.read() for one in record.schedules]
    assert [(one.id, one.lots, one.side) for one in begun if one.symbol == 0] == [
        (parent, whole, BUY)
    ]


def test_a_target_that_turns_ends_its_schedule(tmp_path):
    def turning(step: int) -> tuple[float, float, float]:
        return (0.4 if step < 3 else -0.4), 0.0, 0.0

    scene, steps = told(tmp_path, turning, 7, slices=4)
    found = [(one.step, one.side, one.reduce_only) for one in orders_of(steps)]
    assert found[:2] == [(1, BUY, False), (2, BUY, False)]
    assert (3, SELL, True) in found, "a reduction is not sliced"
    assert scene.account.portfolio.lots[0] < 0
    begun = [one for record in scene.journal.read() for one in record.schedules]
    assert [one.side for one in begun] == [BUY, SELL]


def test_new_terms_end_a_schedule():
    """Its lots mean something else: the next step begins another."""
    schedules, wish = Schedules(4, "run"), np.array([40])
    assert left(schedules, wish, 1) == [10]
    (first,) = schedules.begun
    schedules.drop([0])
    assert left(schedules, wish // 10, 2) == [1]
    assert schedules.ended == [first.id]
    assert [one.lots for one in schedules.begun] == [4]
    left(schedules, wish // 10, 3)
    assert not schedules.ended


def left(
    schedules: Schedules, wish: np.ndarray, step: int, least: int = 0
) -> list[int]:
    """What may leave of a wish, and does."""
    paced = paced_by(schedules, wish, step, least)
    schedules.remember(schedules.begun, schedules.ended)
    return paced


def paced_by(
    schedules: Schedules, wish: np.ndarray, step: int, least: int = 0
) -> list[int]:
    """Where the venue takes nothing under `least` lots."""
    return schedules.paced(wish, step, lambda: np.full(len(wish), least)).tolist()


def test_a_pace_counts_once_it_is_remembered():
    """Whatever else was asked for meanwhile: what is journaled goes on."""
    schedules, wish = Schedules(4, "run"), np.array([40])
    left(schedules, wish, 1)
    (first,) = schedules.begun
    assert paced_by(schedules, -wish, 2) == [-10]
    assert schedules.ended == [first.id]
    assert paced_by(schedules, wish, 2) == [10]
    assert not schedules.ended
    assert schedules.parent(0) == first.id
    paced_by(schedules, -wish, 2)
    schedules.remember([], [])
    assert left(schedules, wish, 3) == [10]
    assert schedules.parent(0) == first.id


def test_a_schedule_that_has_ended_is_not_revived_by_a_restart(tmp_path):
    """Wished for, not any more, and again: that is another one, restart or not."""

    def wavering(step: int) -> tuple[float, float, float]:
        return (0.0 if step == 2 else 0.4), 0.0, 0.0

    calm, killed = tmp_path / "calm", tmp_path / "killed"
    expected, _ = sliced(calm, wavering, 5)
    assert len({order.parent for order in expected if order.parent}) == 2
    _, link = sliced(killed, wavering, 2)
    found, _ = sliced(killed, wavering, 5, link)
    assert found == expected


def sliced(
    folder: Path, targets, bars: int, link: VenueLink | None = None
) -> tuple[list[Order], VenueLink]:
    """What a run in slices, begun or gone on with, has journaled so far."""
    folder.mkdir(exist_ok=True)
    scene = Scene(folder, targets, venue=link)
    scene.account.slices = 8
    with closing(scene.journal) as journal:
        for _ in stepping(scene.trader, journal, map(scene.closed, range(bars))):
            pass
        return [order for one in journal.read() for order in one.orders], scene.link


@given(
    lots=st.integers(1, 2**53),
    slices=st.integers(1, 50),
    first=st.integers(0, 9),
)
def test_slices_are_all_of_it_and_alike(lots, slices, first):
    one = Schedule("0" * 16, 0, BUY, lots, slices, first)
    due = [one.due(step) for step in range(first + slices + 3)]
    assert sum(due) == lots
    assert due[:first] == [0] * first
    assert max(due[first : first + slices]) - min(due[first : first + slices]) <= 1


@pytest.mark.parametrize(
    ("minimum", "expected"),
    [
        (1_000.0, [25] * 8),
        (6_000.0, [66, 67, 67]),
        (10_001.0, [200]),
        (20_000.0, [200]),
        (20_001.0, []),
    ],
)
def test_slices_are_as_many_as_the_venues_minimum_allows(tmp_path, minimum, expected):
    """200 lots of 100 are wanted, in eight slices at most; what is too small as a
    whole is no schedule."""
    wish = (None, 0.02, None)
    scene, steps = told(
        tmp_path, lambda step: wish, 10, slices=8, events=least(minimum)
    )
    assert [one.lots for one in orders_of(steps)] == expected
    begun = [one for record in scene.journal.read() for one in record.schedules]
    assert [(one.lots, one.slices) for one in begun] == [(200, len(expected))][
        : len(expected)
    ]
    if not expected:
        assert {one.reason for one in steps[-1].denied} == {Reason.BELOW_MINIMUM}


def least(notional: float) -> dict[int, list[Reference]]:
    """From the first boundary on the venue takes nothing smaller in the second."""
    at_ns = START_NS + BAR_NS
    return {0: [new_terms(1, at_ns, increment=0.5, minimum_notional=notional)]}


def test_slices_that_a_falling_price_has_made_too_small_are_made_anew(tmp_path):
    """Two of four have left; what is wanted still is cut by what it is worth now."""
    scene, steps = told(
        tmp_path,
        lambda step: (0.0, 0.02, 0.0),
        12,
        slices=4,
        mids=lambda bar: (200, 200 if bar < 3 else 180, 200),
        events=least(5_000.0),
    )
    lots = [one.lots for one in orders_of(steps)]
    assert lots[:2] == [50, 50]
    assert min(lots[2:]) * 90 >= 5_000
    assert (0.02 * CAPITAL - scene.account.portfolio.lots[1] * 90) < 5_000


@given(lots=st.integers(1, 500), least=st.integers(0, 200), slices=st.integers(2, 9))
def test_no_slice_is_smaller_than_the_venue_takes(lots, least, slices):
    schedules, held = Schedules(slices, RUN), 0
    for step in range(slices):
        (paced,) = left(schedules, np.array([lots - held]), step, least)
        assert paced >= least or least <= 1 or lots < least
        held += paced
        if held == lots:
            break
    assert held == lots


wishes = st.lists(st.lists(st.integers(-9, 9), min_size=3, max_size=3), max_size=20)


@given(wishes=wishes, slices=st.integers(1, 5))
def test_a_pace_never_asks_for_more_or_for_another_side(wishes, slices):
    schedules = Schedules(slices, RUN)
    again = Schedules(slices, RUN)
    for step, wish in enumerate(wishes):
        opening = np.array(wish)
        paced = np.array(left(schedules, opening, step))
        assert (paced * opening >= 0).all()
        assert (abs(paced) <= abs(opening)).all()
        assert left(again, opening, step) == paced.tolist()
        if slices == 1:
            np.testing.assert_array_equal(paced, opening)


def test_legs_follow_the_fill_weighted_entry(tmp_path):
    """Bought at 201 and, more of it, at 211: both legs move to the mean."""

    def more(step: int) -> tuple[float, float, float]:
        return (0.1 if step < 3 else 0.2), 0.0, 0.0

    scene, steps = told(
        tmp_path,
        more,
        5,
        distances=PROTECTED,
        mids=lambda bar: (200 if bar < 2 else 202, 200, 200),
    )
    stop, profit = steps[1].orders
    first = steps[0].orders[0].lots
    assert (stop.kind, stop.lots, stop.trigger) == ("stop", first, 198)
    assert (profit.kind, profit.trigger) == ("take_profit", 206)
    assert stop.group == profit.group != ""
    assert stop.reduce_only
    assert profit.reduce_only
    asked = [one for r in scene.journal.read() for one in r.requests]
    owned = scene.account.portfolio
    entry = owned.entry[0] / 0.5
    assert 201 < entry < 203
    last = {one.order: one for one in asked if isinstance(one, Replace)}
    assert last[stop.id].trigger == triggers(entry, 1, PROTECTED)[STOP_LEG].trigger
    assert last[profit.id].trigger == triggers(entry, 1, PROTECTED)[PROFIT_LEG].trigger
    resting = scene.venue.book.resting.by_id
    assert {one.order.lots for one in resting.values()} == {int(owned.lots[0])}


def test_a_stop_closes_the_position_and_its_rival_goes(tmp_path):
    def once(step: int) -> tuple[float, float, float]:
        return (0.1 if step == 1 else np.nan), 0.0, 0.0

    scene, steps = told(
        tmp_path,
        once,
        5,
        distances=PROTECTED,
        mids=lambda bar: (200 if bar < 3 else 190, 200, 200),
    )
    stop, _ = steps[1].orders
    assert scene.account.portfolio.lots[0] == 0
    assert scene.venue.record.fills[-1].order == stop.id
    assert scene.venue.open_orders == []
    assert scene.account.portfolio.working.ids() == []


def test_a_stop_with_a_limit_waits_where_the_price_has_jumped_past_it(tmp_path):
    def once(step: int) -> tuple[float, float, float]:
        return (0.1 if step == 1 else np.nan), 0.0, 0.0

    mids = (200, 200, 200, 190, 190, 200, 200)
    scene, steps = told(
        tmp_path,
        once,
        len(mids),
        distances=PROTECTED._replace(limit_bps=50.0),
        mids=lambda bar: (mids[bar], 200, 200),
    )
    stop, _ = steps[1].orders
    assert (stop.kind, stop.trigger, stop.limit) == ("stop_limit", 198, 197)
    trades = [one for one in scene.venue.record.fills if one.order == stop.id]
    assert trades
    assert all(one.price >= stop.limit for one in trades)
    assert all(one.event_ns > steps[4].closed.boundary_ns for one in trades)
    assert scene.account.portfolio.lots[0] == 0
    assert scene.venue.open_orders == []


def test_a_stop_that_waits_at_its_limit_ends_its_rival_once(tmp_path):
    """What joined a group that is over would be cancelled, step after step, until the
    engine stops itself for repeating and nothing protects any longer."""

    def once(step: int) -> tuple[float, float, float]:
        return (0.1 if step == 1 else np.nan), 0.0, 0.0

    mids = (200, 200, 200, *[190] * 8)
    scene, steps = told(
        tmp_path,
        once,
        len(mids),
        distances=PROTECTED._replace(limit_bps=50.0),
        mids=lambda bar: (mids[bar], 200, 200),
        limits=msgspec.structs.replace(LIMITS, repeats=3),
    )
    stop, profit = steps[1].orders
    (again,) = [one for step in steps[2:] for one in step.orders]
    assert (again.kind, again.lots) == (profit.kind, profit.lots)
    assert again.group != stop.group
    assert set(scene.venue.open_orders) == {stop.id, again.id}
    assert scene.account.states.state is TradingState.ACTIVE


def test_legs_of_a_closed_position_are_taken_back_and_never_bar_a_reduction(tmp_path):
    def out(step: int) -> tuple[float, float, float]:
        return (0.1 if step < 3 else 0.0), 0.0, 0.0

    scene, steps = told(tmp_path, out, 5, distances=PROTECTED)
    legs = {one.id for one in steps[1].orders}
    (closing,) = steps[2].orders
    assert closing.reduce_only
    assert closing.lots == steps[0].orders[0].lots
    taken = [r.requests for r in scene.journal.read()][3]
    assert {one.order for one in taken if isinstance(one, Cancel)} == legs
    assert scene.venue.open_orders == []


@pytest.mark.parametrize(("then", "trades"), [(201, True), (203, False)])
def test_who_presses_trades_as_far_as_the_collar_and_no_further(tmp_path, then, trades):
    """The market moves while the order is on its way: the best at its decision is gone,
    and 1 % above the mid is the end."""
    scene = Scene(tmp_path, lambda step: (0.1, 0.0, 0.0))
    scene.account.tactic = Tactic("ioc", is_pressing=True)
    scene.venue.rules = scene.venue.rules._replace(latency_ns=3 * BAR_NS // 4)
    scene.trader.start()
    (sent,) = scene.step(0).orders
    assert (sent.kind, sent.limit) == ("ioc", 202)
    scene.step(1, (then, 200, 200))
    scene.step(2, (then, 200, 200))
    bought = [one for one in scene.venue.record.fills if one.order == sent.id]
    assert bool(bought) == trades
    assert all(one.price == then + 1 for one in bought)


@pytest.mark.parametrize(
    ("kind", "has_ticks", "expected"),
    [
        ("ioc", True, Tactic("ioc")),
        ("market", True, Tactic("ioc", is_pressing=True)),
        ("post_only", True, Tactic("limit", is_passive=True, rest_ns=BAR_NS)),
        ("ioc", False, Tactic("market")),
    ],
)
def test_the_configuration_says_how_is_traded(kind, has_ticks, expected):
    config = load([f"execution.kind={kind}", "execution.rest_bars=1"])
    source = SimpleNamespace(has_ticks=has_ticks, bar_ns=BAR_NS)
    staged = SimpleNamespace(config=config, source=source)
    assert tactic(staged) == expected  # pyright: ignore[reportArgumentType]


def shifted(folder: Path, **limits: int) -> tuple[Scene, Stepped]:
    """Three protected positions, and a step that adds to the first, sells of the second
    and brings six legs."""
    first, then = (0.02, 0.02, 0.02), (0.04, 0.01, 0.02)
    tight = msgspec.structs.replace(LIMITS, **limits)
    scene = Scene(folder, lambda step: first if step == 1 else then, limits=tight)
    scene.account.distances = PROTECTED
    scene.trader.start()
    assert len(scene.step(0).orders) == 3
    return scene, scene.step(1)


def test_legs_and_reductions_use_up_the_budget_and_are_never_refused_by_it(tmp_path):
    scene, second = shifted(tmp_path, orders_per_step=4)
    assert [one.symbol for one in second.orders] == [1, 0, 0, 1, 1, 2, 2]
    assert [one.reduce_only for one in second.orders] == [True] * 7
    assert second.denied[-1].reason == Reason.ORDER_BUDGET
    third = scene.step(2)  # two legs are replaced, and two messages are left
    assert [(one.symbol, one.reduce_only) for one in third.orders] == [(0, False)]


def test_what_was_said_within_the_second_leaves_less(tmp_path):
    limits = msgspec.structs.replace(LIMITS, messages_per_second=10)
    scene = Scene(tmp_path, lambda step: (0.01, 0.03, 0.02), limits=limits)
    scene.trader.start()
    scene.account.said.note(START_NS + BAR_NS // 2, 8)
    stepped = scene.step(0)
    assert [one.symbol for one in stepped.orders] == [1, 2]
    assert [one.reason for one in stepped.denied] == [Reason.ORDER_BUDGET]


def test_orders_of_the_second_leave_less_and_cancels_are_none(tmp_path):
    """A second step comes half a bar after the first, which has sent three of four."""
    limits = msgspec.structs.replace(LIMITS, orders_per_second=4)
    scene = Scene(tmp_path, lambda step: 0.01 * step * np.ones(3), limits=limits)
    scene.trader.start()
    scene.account.expect(scene.closed(0), [Cancel("0" * 16, START_NS)] * 9)
    assert len(scene.step(0).orders) == 3
    closed = scene.closed(1)
    early = closed._replace(boundary_ns=closed.boundary_ns - BAR_NS // 2)
    stepped = scene.trader.step(early)
    assert len(stepped.orders) == 1
    assert [one.reason for one in stepped.denied] == [Reason.ORDER_BUDGET]


def test_legs_and_reductions_use_up_the_orders_of_the_second(tmp_path):
    """Six legs leave beside one reduction, and nothing opens."""
    _, second = shifted(tmp_path, orders_per_second=4)
    assert [one.symbol for one in second.orders] == [1, 0, 0, 1, 1, 2, 2]
    assert second.denied[-1].reason == Reason.ORDER_BUDGET


def test_nothing_opens_far_from_where_the_market_was(tmp_path):
    """A price that has run away is not followed until it has stood for the period."""
    limits = msgspec.structs.replace(
        LIMITS, period_collar_bps=500.0, period_seconds=2.0
    )
    scene = Scene(tmp_path, lambda step: (0.02 * step, 0.02 / step, 0), limits=limits)
    scene.trader.start()
    scene.step(0)
    found = [scene.step(bar, (212, 212, 200)) for bar in range(1, 4)]
    assert [[one.symbol for one in each.orders] for each in found] == [[1], [1], [1, 0]]
    assert [one.reason for one in found[0].denied] == [Reason.PERIOD_COLLAR]


TRADED = np.ones(len(UNIVERSE.instruments), bool)


def legs_sent(portfolio: Portfolio, step: int) -> list[Order]:
    """Nothing but orders is asked for in this step."""
    asked = follow_entries(portfolio, PROTECTED, TRADED, RUN, step, step * BAR_NS)
    orders = [one for one in asked if isinstance(one, Order)]
    assert orders == asked
    return orders


def test_a_leg_that_was_refused_is_sent_again_beside_the_other():
    portfolio = Portfolio(UNIVERSE, CAPITAL)
    portfolio.apply(Foreign(0, BUY, 5, 200, 0.0, 1, "by hand"))
    stop, profit = legs_sent(portfolio, 1)
    for one in (stop, profit):
        portfolio.working.expect(one)
    portfolio.apply(Ack(profit.id, 1))
    portfolio.apply(Reject(stop.id, "too many", 1))
    (again,) = legs_sent(portfolio, 2)
    assert (again.kind, again.group) == ("stop", profit.group)
    assert (again.lots, again.trigger) == (stop.lots, stop.trigger)
    assert again.id == order_id(RUN, 2, 0, STOP_LEG) != stop.id
    portfolio.working.expect(again)
    assert legs_sent(portfolio, 3) == []


def test_a_leg_that_the_venue_does_not_have_yet_is_not_replaced():
    portfolio = Portfolio(UNIVERSE, CAPITAL)
    portfolio.apply(Foreign(0, BUY, 5, 200, 0.0, 1, "by hand"))
    legs = legs_sent(portfolio, 1)
    for one in legs:
        portfolio.working.expect(one)
    portfolio.apply(Foreign(0, BUY, 3, 200, 0.0, 2, "by hand", 1))
    assert legs_sent(portfolio, 2) == []
    for one in legs:
        portfolio.apply(Ack(one.id, 2))
    asked = follow_entries(portfolio, PROTECTED, TRADED, RUN, 3, 3 * BAR_NS)
    found = [(one.order, one.lots) for one in asked if isinstance(one, Replace)]
    assert found == [(one.id, 8) for one in legs]
    assert len(asked) == len(legs)


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_whatever_the_latencies_a_position_is_protected_in_the_end(tmp_path, spread):
    """It grows while orders, legs and replacements overtake each other."""
    for seed in range(12):
        latency = {"latency_ns": BAR_NS // 2, "latency_spread": spread, "seed": seed}
        venue = PaperVenue(UNIVERSE, taker_fee=0.0, maker_fee=0.0, **latency)
        folder = tmp_path / str(seed)
        folder.mkdir()
        scene = Scene(
            folder,
            lambda step: (0.02 * min(step, 6), 0.0, 0.0),
            venue=LocalVenue(venue),
        )
        scene.account.distances = PROTECTED
        scene.trader.start()
        for bar in range(16):
            scene.step(bar)
        held, legs = int(venue.position[0]), venue.book.resting.by_id.values()
        assert held > 0
        assert [one.left for one in legs] == [held, held]


@pytest.mark.parametrize("bars", [0.1, 1.5, 3.5])
def test_a_position_that_turns_is_protected_as_soon_as_one_from_flat(tmp_path, bars):
    """It does not wait for the venue's word on the legs of the side before."""
    found = {}
    for before in (0.0, 0.1):
        folder = tmp_path / str(before)
        folder.mkdir()
        found[before] = bare_bars(folder, before, round(bars * BAR_NS))
    assert found[0.1] == found[0.0] > 0


def bare_bars(folder: Path, before: float, latency_ns: int) -> int:
    """How long the short that follows is without a stop for all of it."""
    venue = PaperVenue(UNIVERSE, latency_ns, taker_fee=0.0, maker_fee=0.0)
    wishes = {1: before, 12: -0.1}

    def turning(step: int) -> tuple[float | None, float, float]:
        return wishes.get(step), 0.0, 0.0

    scene, bare = Scene(folder, turning, venue=LocalVenue(venue)), 0
    scene.account.distances = Distances(300.0, 300.0)
    scene.trader.start()
    for bar in range(26):
        scene.step(bar)
        held = int(venue.position[0])
        legs = [one.order for one in venue.book.resting.by_id.values()]
        stops = [one.lots for one in legs if (one.kind, one.side) == ("stop", BUY)]
        bare += held < 0 and stops != [-held]
    assert held < 0
    assert {one.side for one in legs} == {BUY}, "the legs of before are gone"
    scene.journal.close()
    return bare


AT_NS = START_NS + 4 * BAR_NS
NEW_TERMS = {
    "split": CorporateAction(symbol=0, event_ns=AT_NS, action="split", factor=2.0),
    "finer": new_terms(0, AT_NS, increment=0.25, lot=0.5),
}


@pytest.mark.parametrize(("name", "after"), [("split", 100), ("finer", 400)])
def test_new_terms_leave_no_position_without_its_legs(tmp_path, name, after):
    """The venue takes back what rests of the instrument, and in that very step others
    leave: of all that is held, at prices in the new terms."""

    def once(step: int) -> tuple[float | None, ...]:
        return (0.1 if step == 1 else None), None, None

    scene, steps = told(
        tmp_path,
        once,
        7,
        distances=Distances(300.0, 300.0),
        mids=lambda bar: (200 if bar < 4 else after, 200, 200),
        events={3: [NEW_TERMS[name]]},
    )
    first, again = steps[1].orders, steps[3].orders
    kinds, lots = ["stop", "take_profit"], 2 * first[0].lots
    assert [(one.kind, one.lots) for one in again] == [(kind, lots) for kind in kinds]
    entry = (200 + 1) * after / 200
    wanted = triggers(entry, lots, Distances(300.0, 300.0)).values()
    assert [one.trigger for one in again] == [one.trigger for one in wanted]
    assert again[0].group == again[1].group != first[0].group
    asked = [one for record in scene.journal.read() for one in record.requests]
    assert asked == [Cancel(one.id, AT_NS) for one in first]
    assert set(scene.venue.open_orders) == {one.id for one in again}
    assert [order for step in steps[4:] for order in step.orders] == []


@pytest.mark.parametrize("is_lost", [False, True])
def test_legs_that_are_being_taken_back_are_not_relied_on(tmp_path, is_lost):
    """A halt ends before the venue has answered its cancels, or has got them: other
    legs leave at once, and in the end they are all that rests."""
    scene = Scene(tmp_path, lambda step: (0.1, 0.0, 0.0))
    scene.venue.rules = scene.venue.rules._replace(latency_ns=3 * BAR_NS // 2)
    scene.account.distances = Distances(300.0, 300.0)
    scene.trader.start()
    for bar in range(8):
        scene.step(bar)
    former = set(scene.venue.open_orders)
    scene.states.hold(Cause.KILLED, "drill")
    scene.step(8)
    scene.states.lift(Cause.KILLED, "over")
    if is_lost:
        on_their_way = scene.venue._pending
        scene.venue._pending = []
        assert {type(one) for _, _, one in on_their_way} == {Cancel}
    legs = [one for one in scene.step(9).orders if one.group]
    assert [one.kind for one in legs] == ["stop", "take_profit"]
    for bar in range(10, 20):
        assert scene.step(bar).orders == []
    assert len(former) == 2
    assert set(scene.venue.open_orders) == {one.id for one in legs}


def test_a_halt_takes_the_legs_back_too(tmp_path):
    scene, _ = told(tmp_path, apart, 3, distances=Distances(300.0, 300.0))
    assert len(scene.venue.open_orders) == 4
    scene.states.hold(Cause.KILLED, "drill")
    stepped = scene.step(3)
    assert scene.states.state == TradingState.HALTED
    assert stepped.orders == []
    scene.step(4)
    assert scene.venue.open_orders == []


@pytest.mark.parametrize("held", [7, -7])
@given(
    entry=st.floats(1.0, 1e6), stop=st.floats(0.1, 9_000), profit=st.floats(0.1, 9_000)
)
def test_a_stop_lies_on_the_losing_side_and_a_profit_on_the_other(
    held, entry, stop, profit
):
    found = triggers(entry, held, Distances(stop, profit))
    losing, winning = found[STOP_LEG].trigger, found[PROFIT_LEG].trigger
    assert losing >= 1
    assert winning >= 1
    if held > 0:
        assert losing <= entry < winning
    else:
        assert winning <= max(entry, 1)
        assert losing > entry
    assert triggers(entry, held, Distances(0.0, 0.0)) == {}
    bounded = triggers(entry, held, Distances(stop, profit, stop))
    assert bounded[PROFIT_LEG] == found[PROFIT_LEG]
    limit = bounded[STOP_LEG].limit
    assert limit >= 1
    assert bounded[STOP_LEG] == ("stop_limit", losing, limit)
    assert (limit <= losing) if held > 0 else (limit > losing)
