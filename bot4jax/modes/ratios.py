"""What trading earned beside what it risked: ratios of the account's own curve."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bot4jax.learn import returns
from bot4jax.modes.setting import Setting
from bot4jax.modes.trials import account_earned
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.sessions import days_ended


class Ratios(NamedTuple):
    """Of the bars of a curve; None where it says nothing of one."""

    days: int
    """of the market, with a bar"""
    sharpe: float | None
    """annual, from daily profits, as the next"""
    sortino: float | None
    drawdown: float
    """largest, share of the peak before it"""
    profit_factor: float | None
    """of bars"""
    turnover: float
    """mean share of the capital that was traded in a bar"""


def ratios_of(setting: Setting, curve: Sequence[EquityRow]) -> Ratios | None:
    """By the days of the market; None without a bar."""
    capital, universe = setting.config.strategy.capital, setting.source.universe
    earned = account_earned(curve, capital)
    if not len(earned.profits):
        return None
    day_of = days_ended(universe)
    days = np.array([day_of(one) for one in earned.ends_ns.tolist()], np.int64)
    daily = returns.daily_profits(earned.profits, days)
    year = returns.days_a_year(universe.instruments)
    return Ratios(
        days=len(daily),
        sharpe=returns.sharpe(daily, year),
        sortino=returns.sortino(daily, year),
        drawdown=returns.max_drawdown(returns.worth(earned.profits)),
        profit_factor=returns.profit_factor(earned.profits),
        turnover=curve[-1].turnover / capital / len(curve),
    )
