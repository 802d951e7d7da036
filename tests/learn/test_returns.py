"""Ratios of profit to risk against their definitions, and what they refuse to say."""

import numpy as np
import pytest

from bot4jax.data.universe import universe
from bot4jax.learn.returns import (
    DAYS_A_YEAR,
    LEAST_DAYS,
    break_even,
    capacity,
    daily_profits,
    days_a_year,
    max_drawdown,
    profit_factor,
    sharpe,
    sortino,
    trades,
    turnover,
    worth,
)
from bot4jax.runtime.equity import DAY_NS
from bot4jax.runtime.sessions import CALENDARS, days_ended
from bot4jax.types import Instrument


def test_drawdown_is_the_largest_fall_from_a_peak():
    assert max_drawdown(np.array([100, 120, 90, 130, 104.0])) == pytest.approx(0.25)
    assert max_drawdown(np.array([1.0, 2, 3])) == 0
    assert max_drawdown(np.array([])) == 0


def test_a_fall_from_the_capital_itself_is_a_drawdown():
    assert max_drawdown(worth(np.array([-0.1, 0.02, -0.12]))) == pytest.approx(0.2)


def test_a_year_has_as_many_days_as_the_market_trades():
    share, coin = Instrument(symbol="A", calendar="xnys"), Instrument(symbol="B")
    assert days_a_year([share]) == 252
    assert days_a_year([share, coin]) == 365
    assert set(DAYS_A_YEAR) == set(CALENDARS)


def test_sharpe_is_annual_and_needs_thirty_days():
    returns = np.random.default_rng(0).normal(0.001, 0.01, 30)
    expected = returns.mean() / returns.std(ddof=1) * np.sqrt(252)
    assert sharpe(returns, 252) == pytest.approx(expected)
    assert sharpe(returns[1:], 252) is None
    assert sharpe(np.zeros(40), 252) is None
    assert LEAST_DAYS == 30


def test_sortino_counts_only_losses_as_risk():
    daily = np.random.default_rng(0).normal(0.001, 0.01, 40)
    squares = [min(r, 0.0) ** 2 for r in daily]
    expected = daily.mean() / np.sqrt(sum(squares) / 40) * np.sqrt(365)
    assert sortino(daily, 365) == pytest.approx(expected)
    assert sortino(daily[:29], 365) is None
    assert sortino(np.abs(daily), 365) is None


def test_days_end_at_midnight():
    hour = DAY_NS // 24
    day_of = days_ended(universe([Instrument(symbol="B")]))
    ends = np.arange(1, 51) * hour  # 24 bars, 24 bars, two of a third day
    days = np.array([day_of(int(x)) for x in ends])
    np.testing.assert_array_equal(daily_profits(np.ones(50), days), [24, 24, 2])
    days[24:] += 5  # days without trading do not occur
    np.testing.assert_array_equal(daily_profits(np.ones(50), days), [24, 24, 2])


def test_weekends_of_a_share_are_no_days_of_trading():
    """Nothing is earned in them, and as days of 252 a year they would thin the ratio:
    hours of seven weeks are of 35 days."""
    day_of = days_ended(universe([Instrument(symbol="A", calendar="xnys")]))
    monday = 1_381_104_000_000_000_000  # 7 October 2013, midnight UTC: no holidays
    ends = monday + np.arange(15, 15 + 46 * 24) * (DAY_NS // 24)  # to a Friday
    days = np.array([day_of(int(x)) for x in ends])
    assert len(daily_profits(np.ones(len(days)), days)) == 35


def test_profit_factor_by_hand():
    assert profit_factor(np.array([3.0, -1.0, 0.0, -0.5])) == 2
    assert profit_factor(np.array([3.0, 1.0])) is None


def test_turnover_begins_from_nothing():
    holdings = np.array([[0.1, 0.0], [0.1, -0.2], [0.0, 0.2]])
    np.testing.assert_allclose(trades(holdings).sum(1), [0.1, 0.2, 0.5])
    assert turnover(holdings) == pytest.approx(0.8 / 3)


def test_capacity_is_what_all_but_the_thinnest_symbols_leave():
    traded, volume = np.full((1, 40), 0.125), np.arange(1, 41.0)[None]
    # of 40 equal symbols 2 are 5 %, so the second thinnest decides
    assert capacity(traded, volume, participation=0.5) == pytest.approx(0.5 * 2 / 0.125)
    traded[:, :2] = 0.0
    assert capacity(traded, volume, 0.5) == pytest.approx(0.5 * 4 / 0.125)
    assert capacity(0 * traded, volume, 0.5) is None
    assert capacity(traded, np.full_like(volume, np.nan), 0.5) is None


def test_seconds_in_which_nobody_trades_do_not_forbid_all_capital():
    """Half of the bars are empty; who trades in all of them takes part in the others'
    volume. Bars in which nothing is asked for, or nothing is known, lend none."""
    volume = np.array([[0.0, 0.0], [40.0, 10.0], [0.0, 0.0], [20.0, 10.0]])
    traded = np.array([[0.1, 0.1]] * 4)
    most = 0.5 * np.array([60 / 0.4, 20 / 0.4])
    assert capacity(traded[:, :1], volume[:, :1], 0.5) == pytest.approx(most[0])
    assert capacity(traded, volume, 0.5) == pytest.approx(most.min())
    traded[3] = 0.0
    assert capacity(traded, volume, 0.5) == pytest.approx(0.5 * 10 / 0.3)
    volume[1, 1] = np.nan
    assert capacity(traded, volume, 0.5) == 0.0


def test_break_even_is_how_often_the_cost_is_earned():
    assert break_even(30.0, 20.0) == 1.5
    assert break_even(-1.0, 2.0) == -0.5
    assert break_even(1.0, 0.0) is None
