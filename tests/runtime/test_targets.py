"""Targets become the nearest whole lots, in legs that reduce or open."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.runtime.context import Account, Context, Market
from bot4jax.runtime.contracts import contracts
from bot4jax.runtime.equity import NOTHING_LOST
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.limits import Limits, Reason
from bot4jax.runtime.orders import LARGEST, Order, order_id
from bot4jax.runtime.targets import Legs, drop_small, leasts, orders_from_targets
from bot4jax.types import BUY, HALTED, SELL, TRADING, Instrument
from tests.runtime.test_gate import S, column, context, market

NAV = 100_000.0
LIMITS = Limits(
    max_order_lots=10**12,
    max_order_notional=1e15,
    max_position_share=1e9,
    max_volume_share=1e9,
    max_gross=1e9,
    max_net=1e9,
    max_margin=1e9,
    price_collar_bps=100.0,
    period_collar_bps=1e9,
    period_seconds=60.0,
    orders_per_step=10,
    orders_per_second=1_000_000,
    messages_per_second=10**6,
    max_participation=0.5,
    stale_seconds=5.0,
    repeats=1_000_000,
    repeat_seconds=60.0,
    daily_loss_share=0.02,
    drawdown_share=0.1,
    losses_in_a_row=1000,
)


class Made(NamedTuple):
    orders: list[Order]
    denied: list[Denied]


def made_from(
    targets: list[float],
    lots: list[int],
    *,
    held: np.ndarray | None = None,
    buys: int = 0,
    sells: int = 0,
    nav: float = NAV,
    size: int | None = None,
    marks: np.ndarray | None = None,
    **market_changes,
) -> Made:
    """One lot is worth 100 in every slot; the minimum notional is 200."""
    count = len(targets)
    each = [
        Instrument(symbol=f"S{k}", increment=0.5, minimum_notional=200.0)
        for k in range(count)
    ]
    columns = {
        "bid": np.full(count, 199),
        "ask": np.full(count, 201),
        "quote_ns": np.zeros(count, np.int64),
        "status": np.full(count, TRADING),
        "bid_size": None if size is None else np.full(count, size),
        "ask_size": None if size is None else np.full(count, size),
    }
    owned = Account(
        lots=np.array(lots),
        open_buys=np.full(count, buys),
        open_sells=np.full(count, sells),
        marks=np.full(count, 100.0) if marks is None else marks,
        rates=np.ones(count),
        nav=nav,
        lost=NOTHING_LOST,
    )
    quotes = Market(**(columns | market_changes))
    context = Context(contracts(universe(each)), LIMITS, quotes, owned, now_ns=0)
    if held is None:
        held = (np.array(lots) * 100.0 / NAV).astype(np.float32)
    wanted = np.array(targets, np.float32)
    return Made(
        *orders_from_targets(wanted, held, context, run="run", step=7, boundary_ns=5)
    )


def signed(made: Made) -> list[tuple[int, int, bool]]:
    return [
        (one.symbol, one.lots if one.side == BUY else -one.lots, one.reduce_only)
        for one in made.orders
    ]


def reasons(made: Made) -> dict[Reason, list[int]]:
    return {one.reason: one.symbols.tolist() for one in made.denied}


def test_targets_become_the_nearest_lots():
    made = made_from([0.1, -0.0526, 0.0304], [0, 0, 20])
    assert signed(made) == [(0, 100, False), (1, -53, False), (2, 10, False)]
    assert not made.denied


def test_an_order_says_where_it_comes_from_and_trades_at_once():
    buy, sell = made_from([0.1, -0.1], [0, 0]).orders
    assert (buy.side, buy.limit, buy.kind) == (BUY, 201, "ioc")
    assert (sell.side, sell.limit) == (SELL, 199)
    assert (buy.id, buy.step, buy.sent_ns) == (order_id("run", 7, 0, 1), 7, 5)


def test_turning_round_closes_first():
    made = made_from([-0.05, 0.05], [100, -100])
    assert signed(made) == [
        (0, -100, True),
        (1, 100, True),
        (0, -50, False),
        (1, 50, False),
    ]
    assert len({one.id for one in made.orders}) == 4


def test_the_held_share_itself_asks_for_nothing():
    lots = [1, 7, 33, 12345, 987_654_321]
    held = (np.array(lots) * 100.0 / NAV).astype(np.float32)
    made = made_from(held.tolist(), lots, held=held)
    assert (made.orders, made.denied) == ([], [])


@example(bid=1, tick=0.01, size=0.01, least=0.00135, is_inverse=False)
@example(bid=LARGEST - 1, tick=1e-8, size=1e-9, least=1e12, is_inverse=False)
@given(
    bid=st.integers(0, LARGEST - 1),
    tick=st.decimals("1e-8", 1000, places=8).map(float),
    size=st.decimals("1e-9", 10**9, places=9).map(float),
    least=st.decimals(0, 10**12, places=6).map(float),
    is_inverse=st.booleans(),
)
def test_the_least_lots_are_the_first_that_come_to_the_least_notional(
    bid, tick, size, least, is_inverse
):
    """Of decimals as they are written: 9 lots of .01 at .015 come to .00135, of which
    doubles make less."""
    kind = "inverse" if is_inverse else "linear"
    terms = {"kind": kind, "increment": tick, "lot": size, "minimum_notional": least}
    each = [Instrument(symbol=f"S{k}", **terms) for k in range(S)]
    here = context(market_is=market(bid=column(bid), ask=column(bid + (bid > 0))))
    here.contracts = contracts(universe(each))
    ticks, lot, bound = (Fraction(repr(each)) for each in (tick, size, least))
    turn = lot * (1 if is_inverse else Fraction(2 * bid + 1, 2) * ticks * (bid > 0))
    expected = math.ceil(bound / turn) if turn else (LARGEST + 1) * (bound > 0)
    expected = min(expected, LARGEST + 1)
    assert leasts(here).tolist() == [expected] * S
    assert passes(min(expected, LARGEST), here) == (expected <= LARGEST)
    assert expected <= 1 or not passes(expected - 1, here)


def passes(lots: int, here: Context) -> bool:
    """Whether an opening leg of so many lots is left as it is."""
    legs, _ = drop_small(Legs(column(0), column(0, at0=lots)), here)
    return int(legs.opening[0]) == lots


@pytest.mark.parametrize("lots", [1, -1, 3, 999_983, 123_456_789])
def test_a_target_of_zero_closes_to_the_last_lot(lots):
    assert signed(made_from([0.0], [lots])) == [(0, -lots, True)]


def test_a_change_under_one_lot_is_no_trade():
    made = made_from([0.1009, 0.0991], [100, 100])
    assert made.orders == []
    assert reasons(made) == {Reason.BELOW_MINIMUM: [0, 1]}


def test_opening_under_the_least_notional_is_no_trade_but_closing_is():
    made = made_from([0.101, 0.0], [100, 1])
    assert signed(made) == [(1, -1, True)]
    assert reasons(made) == {Reason.BELOW_MINIMUM: [0]}


def test_what_is_in_flight_counts_as_filled():
    assert signed(made_from([0.1], [0], buys=60)) == [(0, 40, False)]
    assert signed(made_from([0.0], [100], sells=100)) == []
    assert signed(made_from([0.0], [100], sells=70)) == [(0, -30, True)]


def test_nothing_is_sent_against_what_is_in_flight():
    assert signed(made_from([0.05], [50], buys=60)) == []
    assert signed(made_from([0.1], [50], sells=50)) == [(0, 50, False)]
    assert signed(made_from([0.0], [50], buys=60)) == [(0, -50, True)]
    assert signed(made_from([0.0], [0], buys=60, sells=30)) == []
    assert signed(made_from([-0.1], [0], buys=60)) == [(0, -100, False)]
    assert signed(made_from([0.1], [0], buys=160)) == []


def test_buying_back_in_flight_leaves_less_to_reduce():
    made = made_from([0.05], [-100], buys=30)
    assert signed(made) == [(0, 70, True), (0, 50, False)]


def test_what_is_in_flight_has_taken_its_part_of_what_is_displayed():
    assert signed(made_from([0.1], [0], buys=30, size=80)) == [(0, 10, False)]
    assert signed(made_from([0.1], [0], buys=40, size=80)) == []


def test_opening_legs_shrink_to_what_is_displayed_and_reductions_do_not():
    made = made_from([0.1, -0.05], [0, 100], size=80)
    assert signed(made) == [(1, -100, True), (0, 40, False), (1, -40, False)]
    assert reasons(made) == {Reason.PARTICIPATION: [0, 1]}
    assert made.denied[0].lots.tolist() == [60, -10]


@pytest.mark.parametrize("target", [np.nan, np.inf, -np.inf])
def test_a_target_that_is_no_number_trades_nothing(target: float):
    made = made_from([target, 0.1], [50, 0])
    assert signed(made) == [(1, 100, False)]
    assert reasons(made) == {Reason.NON_FINITE_TARGET: [0]}


def test_no_quote_no_order_and_the_reason_is_named():
    made = made_from(
        [0.1, 0.1, 0.1],
        [0, 0, 0],
        bid=np.array([0, 199, 199]),
        status=np.array([TRADING, HALTED, TRADING]),
    )
    assert signed(made) == [(2, 100, False)]
    assert reasons(made) == {
        Reason.INSTRUMENT_HALTED: [1],
        Reason.MISSING_REFERENCE: [0],
    }


def test_no_quote_is_no_denial_where_nothing_is_asked():
    nothing = np.array([0])
    made = made_from([0.05], [50], bid=nothing, marks=np.array([np.nan]))
    assert (made.orders, made.denied) == ([], [])


def test_without_capital_nothing_is_asked_but_closing():
    made = made_from([0.1, 0.0], [0, 5], nav=np.nan)
    assert signed(made) == [(1, -5, True)]
    assert reasons(made) == {Reason.NO_CAPITAL: [0]}


def test_the_smallest_tremble_of_a_forecast_moves_no_order():
    targets = np.array([0.1, -0.0526, 0.0304], np.float32)
    above = np.nextafter(targets, np.float32(1))
    lots = [0, 0, 20]
    assert signed(made_from(above.tolist(), lots)) == signed(
        made_from(targets.tolist(), lots)
    )
