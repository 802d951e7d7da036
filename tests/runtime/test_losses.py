"""Losses are whole units of money, rounded against us, and limits shares of them."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.runtime.equity import UNKNOWN, Loss, Losses
from bot4jax.runtime.money import UNITS

money = st.one_of(
    st.floats(1e-6, 1e12), st.decimals("0.01", 10**9, places=2).map(float)
)


def lost(capital: float, nav: float) -> Loss:
    """Of the day, which began with the capital; the peak is the same."""
    found = Losses(capital, lambda boundary_ns: 0).seen(nav, 0, ())
    assert found.of_peak == found.of_day or nav > capital
    return found.of_day


@example(capital=1e6, nav=980_000.0, limit=0.02)
@example(capital=1e6, nav=980_000.01, limit=0.02)
@example(capital=1e6, nav=979_999.99, limit=0.02)
@example(capital=1e6, nav=979_999.9999999999, limit=0.02)
@given(capital=money, nav=money, limit=st.decimals(0, 1, places=6).map(float))
def test_a_loss_is_within_a_limit_as_exact_arithmetic_says(capital, nav, limit):
    """Units that are used up are rounded up, those that may be used down."""
    then, now = Fraction(capital) * UNITS, Fraction(nav) * UNITS
    found = lost(capital, nav)
    assert found == (math.ceil(then) - math.floor(now), math.floor(then))
    most = math.floor(Fraction(repr(limit)) * found.of)
    assert found.within(limit) == (found.of > 0 and found.lost <= most)
    if found.within(limit):  # rounding lets nothing pass that is beyond
        assert then - now <= Fraction(repr(limit)) * then


@pytest.mark.parametrize("capital", [1e6, 250_000.0, 40.0])
@pytest.mark.parametrize("limit", [0.02, 0.1, 0.07, 0.001])
def test_the_whole_share_may_be_lost_and_not_one_unit_more(capital, limit):
    """1 - .98 is more than .02 in doubles."""
    left = float(Fraction(capital) * (1 - Fraction(repr(limit))))
    assert lost(capital, left).within(limit)
    assert not lost(capital, math.nextafter(left, 0.0)).within(limit)


@pytest.mark.parametrize("nav", [math.nan, math.inf, -math.inf])
def test_what_is_not_known_is_within_no_limit(nav):
    found = lost(1e6, nav)
    assert found == UNKNOWN
    assert math.isnan(found.share)
    assert not found.within(1e9)


def test_a_gain_is_less_than_nothing_lost():
    found = Losses(100.0, lambda boundary_ns: 0).seen(125.0, 0, ())
    assert found.of_day.share == -0.25
    assert found.of_day.within(0.0)
    assert found.of_peak == (0, 125 * UNITS)


def test_all_may_be_lost_and_more():
    assert lost(100.0, -50.0).share == 1.5
    assert not lost(100.0, -50.0).within(1.0)
