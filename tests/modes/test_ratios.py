"""What an account is told to have earned beside what it risked."""

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.modes.ratios import ratios_of
from bot4jax.modes.report_trade import risked
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.story import TradeFacts
from bot4jax.runtime.equity import DAY_NS, EquityRow
from tests.small_stage import FEW

DAYS, BARS = 40, 6


@pytest.fixture(scope="module")
def stage(words) -> Setting:
    return set_stage(load([*words, *FEW]))


def curve(gains: np.ndarray, capital: float) -> list[EquityRow]:
    """Six bars a day, the last of which ends at midnight."""
    blank = EquityRow(**dict.fromkeys(EquityRow._fields, 0.0))
    worth, every = capital + np.cumsum(gains), DAY_NS // BARS
    return [
        blank._replace(
            step=n, boundary_ns=n * every, nav=float(nav), turnover=n * capital / 100
        )
        for n, nav in enumerate(worth, 1)
    ]


def test_ratios_are_those_of_whole_days(stage):
    capital, rng = stage.config.strategy.capital, np.random.default_rng(1)
    gains = rng.normal(20.0, 900.0, DAYS * BARS)
    found = ratios_of(stage, curve(gains, capital))
    assert found is not None
    daily = gains.reshape(DAYS, BARS).sum(1) / capital
    year = 365**0.5
    assert found.days == DAYS
    assert found.sharpe == pytest.approx(daily.mean() / daily.std(ddof=1) * year)
    below = np.sqrt(np.mean(np.minimum(daily, 0) ** 2))
    assert found.sortino == pytest.approx(daily.mean() / below * year)
    worth = [capital, *(capital + np.cumsum(gains))]
    falls = [1 - one / max(worth[: n + 1]) for n, one in enumerate(worth)]
    assert found.drawdown == pytest.approx(max(falls))
    lost = -gains[gains < 0].sum()
    assert found.profit_factor == pytest.approx(gains[gains > 0].sum() / lost)
    assert found.turnover == pytest.approx(0.01)


def test_no_annual_figure_of_less_than_thirty_days(stage):
    gains = np.tile([900.0, -500.0], 29 * BARS // 2)
    found = ratios_of(stage, curve(gains, stage.config.strategy.capital))
    assert found is not None
    assert (found.days, found.sharpe, found.sortino) == (29, None, None)
    assert found.profit_factor == pytest.approx(1.8)
    trade = TradeFacts(**dict.fromkeys(TradeFacts._fields))
    said = risked(trade._replace(ratios=found))
    assert "<td>Sharpe · Sortino</td><td>– · –</td>" in said
    assert "of 29 days, and not given under 30" in said
    assert risked(trade) == ""


def test_no_bar_has_no_ratio(stage):
    assert ratios_of(stage, []) is None
