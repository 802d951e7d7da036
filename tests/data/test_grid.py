"""Grids of prices, against increments that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.data.grid import UNITS, grid, increment, spoiler, units


@given(st.decimals(0, 10**9, places=8))
def test_units_are_exact(number):
    assert units(f"{number:f}") == int(number * UNITS)


@pytest.mark.parametrize("text", ["", ".5", "1.123456789", "1e5", "nan", "1.2.3"])
def test_units_refuse_what_is_no_plain_decimal(text):
    with pytest.raises(ValueError, match=r"\S"):
        units(text)


@pytest.mark.parametrize("step", [1, 2, 5, 10, 25, 50, 1_000_000, 2_500_000])
def test_grid_is_the_step_prices_were_drawn_on(step):
    numbers = np.random.default_rng(1).integers(1, 10**6, 500)
    assert grid(numbers * step) == step


def test_grid_of_nothing_is_one():
    assert grid(np.array([], np.int64)) == 1
    assert grid(np.array([0, 0])) == 1


@pytest.mark.parametrize("step", [0.01, 0.05, 0.25, 1.0, 0.0001, 1e-7])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_increment_of_floats(step, kind):
    prices = np.random.default_rng(2).integers(1_000, 30_000, 500) * step
    assert increment(prices.astype(kind)) == pytest.approx(step, rel=1e-12)


def test_increment_ignores_what_is_no_price():
    prices = np.array([np.nan, 0.0, 10.25, np.inf, 10.5])
    assert increment(prices) == 0.25


def test_increment_of_averages_leaves_room_on_the_device():
    prices = np.random.default_rng(3).uniform(50_000, 60_000, 100)
    step = increment(prices)
    assert 2 * prices.max() / step < 2**30
    assert step <= 1e-3


@pytest.mark.parametrize("prices", [[99.93, 99.94, 0.0], [1e-6, 1e-3, np.nan]])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sound_prices_spoil_no_grid(prices, kind):
    found = np.array(prices, kind)
    assert spoiler(found, increment(found)) is None


def test_averages_over_a_wide_range_spoil_no_grid():
    prices = np.random.default_rng(4).uniform(50, 60_000, 1_000)
    assert spoiler(prices, increment(prices)) is None


@pytest.mark.parametrize("others", [[99.93, 99.94], [0.0, 1e-4]])
def test_one_absurd_price_is_found_that_would_round_all(others):
    """Beside 1e9 the increment is 10: 99.93 would be 100, and 1e-4 nothing."""
    prices = np.array([*others, 1e9])
    assert increment(prices) == 10
    assert spoiler(prices, 10.0) == 2
