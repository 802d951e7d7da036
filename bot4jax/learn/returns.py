"""What a span of trading was worth: ratios of its profits to their risk.

Profits are shares of the capital, one a bar or one a day; money and floats are for
reports only, nothing is traded on them.
"""

from collections.abc import Iterable
from math import sqrt

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.learn.metrics import ROUNDING
from bot4jax.types import Instrument

LEAST_DAYS = 30
"""Days below which an annual figure is not given."""

DAYS_A_YEAR = {"always": 365.0, "xnys": 252.0}
"""Days of trading, by the calendar of an instrument."""

CAPACITY_SHARE = 0.05
"""Of the turnover, that may be in symbols which let less pass: the thinnest few decide
nothing."""


def daily_profits(
    profits: Float[np.ndarray, " T"], days: Int[np.ndarray, " T"]
) -> Float[np.ndarray, " D"]:
    """Sums by day of the market, of which each bar has the number of its own.

    Days without a bar are not days of trading and do not occur.
    """
    _, which = np.unique(days, return_inverse=True)
    return np.bincount(which, profits)


def days_a_year(instruments: Iterable[Instrument]) -> float:
    """Days on which some of them trade."""
    return max(DAYS_A_YEAR[one.calendar] for one in instruments)


def sharpe(daily_returns: Float[np.ndarray, " D"], days: float) -> float | None:
    """Annual mean over standard deviation of daily returns; None under 30 days.

    A year has `days` of them. A constant series has no ratio: None. Source: Sharpe
    (1994).
    """
    if len(daily_returns) < LEAST_DAYS:
        return None
    spread = daily_returns.std(ddof=1)
    if not spread > ROUNDING * np.abs(daily_returns).max():
        return None
    return float(daily_returns.mean() / spread * sqrt(days))


def sortino(daily_returns: Float[np.ndarray, " D"], days: float) -> float | None:
    """Annual mean over the root mean square of losses; None under 30 days.

    Source: Sortino & Price (1994), with a target of 0: days without a loss count in the
    mean as 0. Without any loss there is no ratio: None.
    """
    if len(daily_returns) < LEAST_DAYS:
        return None
    downside = sqrt(np.mean(np.minimum(daily_returns, 0.0) ** 2))
    if not downside > 0:
        return None
    return float(daily_returns.mean() / downside * sqrt(days))


def worth(profits: Float[np.ndarray, " T"]) -> Float[np.ndarray, " U"]:
    """Worth of the capital of 1, before the first bar and after each."""
    return np.append(1.0, 1 + np.cumsum(profits))


def max_drawdown(equity: Float[np.ndarray, " T"]) -> float:
    """Largest fall from a previous peak as a share of that peak, 0 … 1 and beyond."""
    peak = np.maximum.accumulate(equity)
    return float(((peak - equity) / peak).max(initial=0.0))


def profit_factor(profits: Float[np.ndarray, " T"]) -> float | None:
    """Everything gained over everything lost; None where nothing was lost."""
    gained = profits[profits > 0].sum()
    lost = -profits[profits < 0].sum()
    return float(gained / lost) if lost > 0 else None


def turnover(holdings: Float[np.ndarray, "T S"]) -> float:
    """Mean traded share of the capital a bar, from nothing at the start."""
    return float(trades(holdings).sum(1).mean())


def trades(holdings: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Absolute change of each holding, from nothing at the start."""
    return np.abs(np.diff(holdings, axis=0, prepend=np.zeros_like(holdings[:1])))


def capacity(
    traded: Float[np.ndarray, "T S"],
    volume: Float[np.ndarray, "T S"],
    participation: float,
) -> float | None:
    """Largest capital of which 95 % trades within a share of the market's volume.

    `traded` are shares of the capital, `volume` what the market traded in the same
    bars, in money: a symbol's are added up over the bars in which it is traded, for a
    bar of a second in which nobody else does would forbid all capital. It knows nothing
    of the prices that a larger trade would move: an upper bound. None where nothing was
    traded or no volume is known.
    """
    counted: Bool[np.ndarray, "T S"] = (traded > 0) & np.isfinite(volume)
    asked, shown = (np.where(counted, x, 0.0).sum(0) for x in (traded, volume))
    if not shown.any():
        return None
    is_asked = asked > 0
    own = asked[is_asked]
    most = participation * shown[is_asked] / own
    order = np.argsort(most)
    reached = np.cumsum(own[order])
    place = np.searchsorted(reached, CAPACITY_SHARE * reached[-1])
    return float(most[order][place])


def break_even(gross: float, cost: float) -> float | None:
    """How many times the cost the gross profit pays; None without a cost to pay."""
    return gross / cost if cost > 0 else None
