"""What an order is worth to the gate is what the sizing rule expects of it."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.kernels.sizing import Forecast, no_trade_band
from bot4jax.runtime.benefit import PARTS, benefits
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.recent import MidRange
from bot4jax.runtime.schedule import Schedules
from bot4jax.runtime.targets import orders_from_targets, proposals_from_targets
from tests.runtime.test_gate import NAV, NOW, S, column, context, market, owned

MID2 = 400
LOT_SHARE = 100.0 / NAV
"""Of the capital, that one lot is worth."""
WIDE = {
    "max_order_lots": 10**9,
    "max_order_notional": 1e9,
    "max_position_share": 1e3,
    "max_gross": 1e3,
    "max_net": 1e3,
    "max_margin": 1e3,
    "max_participation": 1e9,
}


def ranged(*moved: int) -> MidRange:
    """Mids that have moved by so many half increments within the period."""
    highest = np.full(S, MID2)
    return MidRange(highest - np.array(moved), highest)


def utility(x, held, mean, variance, cost: float, kelly: float):
    """Growth of the capital by Davis & Norman's problem, written out."""
    return mean * x - variance * x**2 / (2 * kelly) - cost * abs(x - held)


@given(
    moved=st.lists(st.integers(2, 40), min_size=S, max_size=S),
    means=st.lists(st.floats(-0.01, 0.01), min_size=S, max_size=S),
    held=st.lists(st.integers(-200, 200), min_size=S, max_size=S),
)
def test_it_is_the_gain_of_going_to_the_edge_of_the_no_trade_band(moved, means, held):
    """By the sizing's own band, in one step from wherever one is."""
    kelly, cost = 0.2, 0.001
    variance = (np.array(moved) / MID2) ** 2
    arrays = [jnp.asarray(one, jnp.float32) for one in (means, variance)]
    band = no_trade_band(Forecast(*arrays), jnp.float32(kelly), jnp.float32(cost))
    before = np.array(held) * LOT_SHARE
    target = np.array(band.nearest(jnp.asarray(before, jnp.float32)), float)
    here = context(
        limits=WIDE, owned_is=owned(lots=np.array(held)), period=ranged(*moved)
    )
    wanted = np.where(abs(target - before) > 1e-6, target, before)
    proposals, _, _ = proposals_from_targets(wanted, before, here)
    found = np.zeros(S)
    np.add.at(found, proposals.symbols, proposals.benefits / PARTS)
    whole = np.rint((wanted - before) / LOT_SHARE)
    gained = [
        utility(at, before, np.array(means), variance, cost, kelly)
        for at in (before + whole * LOT_SHARE, before)
    ]
    expected = 2 * kelly * NAV * (gained[0] - gained[1])
    # at worst half a lot beside the edge; float32 has seven digits
    slack = NAV * variance * LOT_SHARE**2 * (abs(whole) + 1) + 1e-4 * expected
    assert (abs(found - expected) <= slack).all()


def test_slices_of_a_way_come_to_the_whole_and_the_first_is_worth_most():
    here = context(limits=WIDE, period=ranged(4, 4, 4, 4))
    slots = np.zeros(3, np.int64)
    whole = benefits(here, slots[:1], np.array([90]), np.array([90]))
    parts = benefits(here, slots, np.full(3, 30), np.array([90, 60, 30]))
    assert parts.sum() == whole[0]
    assert parts.tolist() == sorted(parts.tolist(), reverse=True)


def test_where_the_budget_ends_the_most_beneficial_leave_and_not_the_largest():
    """A small order in a market that moves, before a large one in a calm market."""
    here = context(
        limits={"orders_per_step": 3, "period_collar_bps": 1e6},
        owned_is=owned(lots=column(0, at3=10)),
        period=ranged(1, 40, 4, 1),
    )
    wanted = np.array([0.045, 0.003, 0.04, 0.0])
    held = (here.owned.lots * LOT_SHARE).astype(np.float32)
    orders, denied = orders_from_targets(
        wanted, held, here, run="t", step=0, boundary_ns=NOW
    )
    assert [(one.symbol, one.lots) for one in orders] == [(3, 10), (2, 40), (1, 3)]
    (late,) = denied
    assert late.reason == Reason.ORDER_BUDGET
    assert late.symbols.tolist() == [0]


def test_a_slice_counts_by_the_way_that_it_is_part_of():
    here = context(limits=WIDE, period=ranged(4, 4, 4, 4))
    schedules = Schedules(4, "t")
    proposals, _, _ = proposals_from_targets(
        np.array([0.04, 0.01, 0.0, 0.0]),
        np.zeros(S, np.float32),
        here,
        pace=lambda opening: schedules.paced(opening, 1, lambda: column(0)),
    )
    assert proposals.lots.tolist() == [10, 2]
    ways = np.array([40, 10])
    expected = benefits(here, np.array([0, 1]), proposals.lots, ways)
    assert proposals.benefits.tolist() == expected.tolist()


@pytest.mark.parametrize("nav", [np.nan, 0.0, -1.0])
def test_what_cannot_be_known_is_worth_nothing(nav):
    here = context(
        market_is=market(bid=column(199, at1=0), ask=column(201, at1=0)),
        owned_is=owned(nav=nav, marks=np.full(S, np.nan)),
        period=ranged(4, 4, 4, 4),
    )
    lots = np.array([5, 5])
    assert benefits(here, np.array([0, 1]), lots, lots).tolist() == [0, 0]
