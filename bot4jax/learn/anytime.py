"""Means of what comes one by one, with intervals that hold at all times at once.

Whoever looks at a usual interval again and again, to stop when it pleases him, finds
something sooner or later. These may be looked at after every value.

Source: Waudby-Smith & Ramdas (2024), Estimating means of bounded random variables by
betting, theorem 2: the empirical Bernstein confidence sequence with predictable stakes.
"""

from math import inf, log, log1p, nan, sqrt

import msgspec

from bot4jax.learn.bootstrap import Interval

LARGEST_STAKE = 0.75
"""Of the stakes λ; the source uses ½ or ¾. Values that hardly vary meet this one."""


class Mean(msgspec.Struct, frozen=True):
    """Values of [0, 1] so far, as far as an interval of their mean needs them."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    """Σ (x − the mean of it and those before)²"""
    staked: float = 0.0
    """Σ λ"""
    won: float = 0.0
    """Σ λ·x"""
    spread: float = 0.0
    """Σ 4·(x − the mean of those before)²·ψ(λ)"""


def observe(mean: Mean, x: float, alpha: float) -> Mean:
    """One value more, of [0, 1]; `alpha` must be the same for all of them.

    Raises `ValueError` for one that is not of [0, 1]: NaN is not.
    """
    if not 0 <= x <= 1:
        raise ValueError(f"expected a value from 0 to 1, found {x}")
    before, variance = _centre(mean), (0.25 + mean.squares) / (mean.count + 1)
    count = mean.count + 1
    stake = sqrt(2 * log(2 / alpha) / (variance * count * log1p(count)))
    stake = min(stake, LARGEST_STAKE)
    total = mean.total + x
    after = (0.5 + total) / (count + 1)
    return Mean(
        count=count,
        total=total,
        squares=mean.squares + (x - after) ** 2,
        staked=mean.staked + stake,
        won=mean.won + stake * x,
        spread=mean.spread + (x - before) ** 2 * (-log1p(-stake) - stake),
    )


def interval(mean: Mean, alpha: float) -> Interval:
    """Where the mean lies, at all times at once but with probability `alpha`.

    It is the mean that each value had, given those before; where that changes, the mean
    of these, the earlier ones weighing more. Of no value: anywhere.
    """
    if not mean.count:
        return Interval(nan, -inf, inf)
    middle = mean.won / mean.staked
    radius = (log(2 / alpha) + mean.spread) / mean.staked
    return Interval(mean.total / mean.count, middle - radius, middle + radius)


def _centre(mean: Mean) -> float:
    """The mean of all so far and of one that is ½."""
    return (0.5 + mean.total) / (mean.count + 1)
