"""Whole numbers of money and shares are what exact arithmetic says, rounded."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.runtime.money import (
    MOST,
    MOST_PARTS,
    PARTS,
    UNITS,
    bracketed,
    capital,
    part,
    parts,
    products,
    share,
    written,
)

amounts = st.one_of(
    st.floats(1e-12, float(MOST // UNITS)),
    st.integers(1, 2**60).map(lambda units: units / UNITS),
    st.integers(1, MOST // UNITS).map(float),
)
ROUNDING = Fraction(1, 2**53)
"""Of one product of doubles, relative."""


@example(money=0.29)
@example(money=1e-8)
@example(money=5e-324)
@example(money=float(MOST // UNITS))
@given(money=amounts)
def test_money_is_rounded_to_either_side(money):
    """Of what one product of doubles makes of it."""
    found, exact = bracketed(np.array([money])), Fraction(money) * UNITS
    (low,), (high,) = (one.tolist() for one in found)
    assert exact * (1 - ROUNDING) - 1 < low <= exact * (1 + ROUNDING)
    assert exact * (1 - ROUNDING) <= high < exact * (1 + ROUNDING) + 1
    assert 0 <= high - low <= 1


def test_most_decimals_stay_what_they_are():
    cents = np.arange(1, 10_000)
    found = bracketed(cents / 100)
    assert np.mean(found.high == cents * UNITS // 100) > 0.9
    assert (found.high - cents * UNITS // 100 <= 1).all()


@pytest.mark.parametrize(
    "money", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300, float(MOST // UNITS) * 1.01]
)
def test_what_cannot_be_counted_has_no_units(money):
    assert [one.tolist() for one in bracketed(np.array([money, 1.0]))] == [
        [0, UNITS],
        [0, UNITS],
    ]


@given(money=st.floats(-1e300, 1e300))
def test_capital_is_rounded_down_and_unknown_is_less_than_nothing(money):
    assert capital(money) == math.floor(Fraction(money) * UNITS)
    assert {capital(one) for one in (math.nan, math.inf, -math.inf)} == {-1}
    assert share(0.001, -1) < 0


@given(number=st.decimals(0, 10**6, places=6).map(float), whole=st.integers(-1, 2**80))
def test_a_limit_is_the_decimal_that_was_written(number, whole):
    millionths = round(number * 10**6)
    assert written(number) == Fraction(millionths, 10**6)
    assert share(number, whole) == millionths * whole // 10**6
    assert parts(number) == min(millionths * PARTS // 10**6, MOST_PARTS)


def test_a_limit_that_is_written_as_one_can_be_reached_to_the_unit():
    assert share(0.29, 100 * UNITS) == 29 * UNITS
    assert math.floor(Fraction(0.29) * 100 * UNITS) < 29 * UNITS


@example(whole=MOST, of=MOST_PARTS)
@example(whole=MOST, of=PARTS)
@example(whole=2**54, of=PARTS)
@example(whole=2**54, of=200 * PARTS)
@given(whole=st.integers(0, MOST), of=st.integers(0, MOST_PARTS))
def test_a_part_is_rounded_down_and_never_wraps(whole, of):
    """Within two shares of the most it is the most: no price or size is near that."""
    exact = whole * of // PARTS
    expected = exact if exact <= MOST - 2 * of else MOST
    alone, by_row = part(np.array([whole]), of), part(np.array([whole]), np.array([of]))
    assert alone == by_row
    assert alone == expected or alone == exact <= MOST


@example(rows=[(2**53, MOST)] * 3)
@example(rows=[(-(2**30), 2**31), (2**30, 2**31)])
@example(rows=[(1, MOST), (1, MOST - 1)])
@example(rows=[])
@given(
    rows=st.lists(
        st.tuples(st.integers(-(2**54), 2**54), st.integers(0, MOST)), max_size=40
    )
)
def test_products_and_their_sums_are_exact_whatever_the_sizes(rows):
    lots, values = np.array(rows, np.int64).reshape(-1, 2).T
    exact = [a * b for a, b in rows]
    found = products(lots, values)
    assert found.tolist() == exact
    assert int(found.sum()) == sum(exact)
    assert np.cumsum(found).tolist() == [
        sum(exact[: stop + 1]) for stop in range(len(exact))
    ]
