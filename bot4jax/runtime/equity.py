"""The account at one boundary, and the losses that limits are set to.

A loss is whole units of money (`runtime.money`): what there was is rounded up and what
is left down, and the share of it that may be lost is rounded down as well.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from bot4jax.runtime.money import capital, capital_up, share

DAY_NS = 86_400_000_000_000


class EquityRow(NamedTuple):
    """The account at one boundary, base currency; shares are of 1."""

    step: int
    boundary_ns: int
    nav: float
    """net asset value; NaN while a rate that matters is unknown"""
    cash: float
    """capital less what was paid for positions, plus realised profit, less fees"""
    gross: float
    net: float
    realised: float
    """before fees"""
    unrealised: float
    fees: float
    funding: float
    """paid on what was held, less what was received: dividends are received, what is
    short pays its lender"""
    spread: float
    """of the fills' prices from the mids that stood as they traded: effective half
    spreads, the book that was walked included; what rests earns it; part of the
    profits already, as the next"""
    delay: float
    """of those mids from the mids at decision: what the market moved meanwhile"""
    turnover: float
    rested: float
    """turnover of what rested and traded, once the mids of `adverse` are known"""
    earned: float
    """by it, of the half spreads: part of `spread`, with the other sign"""
    adverse: float
    """what mids then moved against it, over the bars that labels look ahead: adverse
    selection, part of the profits already; negative: in our favour"""
    daily_loss: float
    """share of the asset value with which the market's day began"""
    drawdown: float
    """share of the highest asset value so far"""
    losses: int
    """boundaries in a row, since the day began, that came to a loss"""

    @property
    def slippage(self) -> float:
        """Of the fills' prices from the mids at decision: with fees the implementation
        shortfall of what was traded (Perold 1988)."""
        return self.spread + self.delay


ROW = np.dtype(list(EquityRow.__annotations__.items()))
"""The same as a row of an array: whole numbers of 64 bits and doubles."""


class Loss(NamedTuple):
    """Units that were lost, of so many that there were."""

    lost: int
    of: int

    @property
    def share(self) -> float:
        """For people; NaN while it is unknown."""
        return self.lost / self.of if self.is_known else math.nan

    @property
    def is_known(self) -> bool:
        return self.of > 0

    def within(self, limit: float) -> bool:
        """Whether at most this share was lost; what is unknown is within no limit."""
        return self.is_known and self.lost <= share(limit, self.of)


UNKNOWN = Loss(0, 0)


class Lost(NamedTuple):
    """Losses at one boundary."""

    of_day: Loss
    of_peak: Loss
    in_a_row: int
    """as `EquityRow.losses`"""


NOTHING_LOST = Lost(Loss(0, 1), Loss(0, 1), 0)


class Losses:
    """What was lost since the day began, since the best moment, and how often."""

    def __init__(self, capital: float, day_of: Callable[[int], int]) -> None:
        """`day_of`: the number of the market's day at a boundary."""
        self._day_of = day_of
        self._day, self._day_began, self._peak = -1, capital, capital
        self._last = math.nan
        self._in_a_row = 0

    def seen(self, nav: float, boundary_ns: int, ended: Sequence[float]) -> Lost:
        """The losses at a boundary; a day starts from the last value before it.

        `ended`: what the round trips since the last boundary have come to. They are one
        result, the same in any order: Python's own sum rounds otherwise from 3.12 on.
        What is not a number is a loss.
        """
        day = self._day_of(boundary_ns)
        if day != self._day:
            is_known = math.isfinite(self._last)
            self._day_began = self._last if is_known else self._day_began
            self._day, self._in_a_row = day, 0
        if nav > self._peak:
            self._peak = nav
        if ended:
            self._in_a_row = 0 if _total(ended) >= 0 else self._in_a_row + 1
        self._last = nav
        of_day, of_peak = _loss(nav, self._day_began), _loss(nav, self._peak)
        return Lost(of_day, of_peak, self._in_a_row)


def _loss(now: float, then: float) -> Loss:
    if not math.isfinite(now):
        return UNKNOWN
    return Loss(capital_up(then) - capital(now), capital(then))


def _total(results: Sequence[float]) -> float:
    """Their sum, rounded once; NaN where it is not a number."""
    try:
        return math.fsum(results)
    except (OverflowError, ValueError):  # of infinities
        return math.nan
