"""Whole numbers of money and shares are what exact arithmetic says, rounded against us."""

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
    st.integers(1, 2**53).map(float),
)
JUST_BELOW, JUST_ABOVE = np.nextafter(0.29, 0), np.nextafter(0.29, 1)


@example(money=0.29)  # as doubles 29,000,000 exactly, and it is a little less
@example(money=float(JUST_BELOW))
@example(money=float(JUST_ABOVE))
@example(money=float(2**45) / UNITS)
@example(money=1e-8)
@example(money=5e-324)
@example(money=float(MOST // UNITS))
@given(money=amounts)
def test_money_is_rounded_to_either_side_exactly(money):
    found, exact = bracketed(np.array([money])), Fraction(money) * UNITS
    assert found.low.tolist() == [math.floor(exact)]
    assert found.high.tolist() == [math.ceil(exact)]


def test_doubles_alone_round_to_the_wrong_side():
    """Without what the product leaves out both sides would be 29,000,000."""
    assert 0.29 * UNITS == 29_000_000.0 != Fraction(0.29) * UNITS
    assert [one.tolist() for one in bracketed(np.array([0.29]))] == [
        [math.floor(Fraction(0.29) * UNITS)],
        [math.ceil(Fraction(0.29) * UNITS)],
    ]


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


@example(whole=2**62, parts_of=MOST_PARTS)
@example(whole=2**54, parts_of=PARTS)
@example(whole=MOST, parts_of=PARTS)
@example(whole=MOST, parts_of=PARTS + 1)
@given(whole=st.integers(0, 2**62), parts_of=st.integers(0, MOST_PARTS))
def test_a_part_is_rounded_down_and_never_wraps(whole, parts_of):
    exact = min(whole * parts_of // PARTS, MOST)
    assert part(np.array([whole]), parts_of).tolist() in ([exact], [MOST])
    assert exact > MOST - 2 * MOST_PARTS or part(np.array([whole]), parts_of) == exact
    assert part(np.array([whole]), np.array([parts_of])) == part(
        np.array([whole]), parts_of
    )


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
