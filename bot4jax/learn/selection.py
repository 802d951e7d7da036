"""What is left of the best result once we remember how many were tried.

A Sharpe ratio here is that of single periods, never annual: mean over standard
deviation of the period's profits.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from math import e, isfinite, log, sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.learn.metrics import ROUNDING

EULER = 0.5772156649015329
"""Euler–Mascheroni constant"""

NORMAL = NormalDist()

BLOCKS = 10
"""Of time, for cross-validating a choice: C(10, 5) = 252 ways to part them."""

LEAST_PERIODS = 3
"""Below them there is no third moment to speak of."""

ALIKE = 1e-6
"""Of the largest profit: multiples of each other differ by less, for holdings are
float32, which rounds by 2⁻²⁴, and each is a product of a few."""


class Deflated(NamedTuple):
    """A Sharpe ratio beside the best that luck alone would have found."""

    sharpe: float
    """of one period"""
    periods: int
    trials: int
    expected_best: float
    """Sharpe ratio that the best of as many worthless trials would show"""
    probability: float
    """that the true ratio is above that: the deflated Sharpe ratio"""


class Overfit(NamedTuple):
    """How a choice made in one half of time did in the other."""

    probability: float
    """share of ways in which the best was below the median later"""
    ways: int
    candidates: int
    """that moved at all, and are no multiples of each other"""


def period_sharpe(profits: Float[np.ndarray, " T"]) -> float:
    """Mean over standard deviation; NaN where the profits are constant or too few."""
    if len(profits) < LEAST_PERIODS:
        return float("nan")
    spread = profits.std(ddof=1)
    if not spread > ROUNDING * np.abs(profits).max():
        return float("nan")
    return float(profits.mean() / spread)


def period_profits(
    profits: Float[np.ndarray, " T"], length: int
) -> Float[np.ndarray, " P"]:
    """Sums over whole periods of `length` bars; a rest at the end is left out."""
    whole = len(profits) // length
    return profits[: whole * length].reshape(whole, length).sum(1)


def expected_best(trials: int, spread: float) -> float:
    """Expected largest of `trials` Sharpe ratios whose true value is 0.

    Formula: √V · ((1 − γ)·Φ⁻¹(1 − 1/N) + γ·Φ⁻¹(1 − 1/(N·e))); `spread` is √V, their
    standard deviation across trials. Source: Bailey & López de Prado (2014), The
    Deflated Sharpe Ratio, (1). One trial has nothing to be best of: 0.
    """
    if trials < 2:
        return 0.0
    first = NORMAL.inv_cdf(1 - 1 / trials)
    second = NORMAL.inv_cdf(1 - 1 / (trials * e))
    return spread * ((1 - EULER) * first + EULER * second)


def probabilistic_sharpe(
    sharpe: float, benchmark: float, periods: int, skewness: float, kurtosis: float
) -> float:
    """Probability that the true ratio is above the benchmark.

    Formula: Φ((S − S₀)·√(T − 1) / √(1 − γ₃·S + (γ₄ − 1)/4·S²)), γ₄ not in excess of 3.
    Source: Bailey & López de Prado (2012), The Sharpe Ratio Efficient Frontier.
    """
    variance = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if not (periods > 1 and variance > 0):
        return float("nan")
    return NORMAL.cdf((sharpe - benchmark) * sqrt(periods - 1) / sqrt(variance))


def deflated_sharpe(
    profits: Float[np.ndarray, " T"], trials: int, others: Sequence[float] = ()
) -> Deflated:
    """The deflated Sharpe ratio of a series of profits of independent periods.

    `others` are the ratios of all trials of such periods, this one included, as far as
    they are known; their spread says how far luck reaches.
    """
    ratio, periods = period_sharpe(profits), len(profits)
    best = expected_best(trials, luck_spread(others, periods))
    if not isfinite(ratio):
        return Deflated(ratio, periods, trials, best, float("nan"))
    score = (profits - profits.mean()) / profits.std()
    skewness, kurtosis = float((score**3).mean()), float((score**4).mean())
    chance = probabilistic_sharpe(ratio, best, periods, skewness, kurtosis)
    return Deflated(ratio, periods, trials, best, chance)


def luck_spread(others: Sequence[float], periods: int) -> float:
    """Standard deviation of Sharpe ratios across trials, as far as they are known.

    It is at least that of the ratio of this many worthless periods, 1/√(T − 1): trials
    that resemble each other make no luck smaller than that of a single one.
    """
    known = [one for one in others if isfinite(one)]
    own = 1 / sqrt(max(periods - 1, 1))
    return max(float(np.std(known, ddof=1)), own) if len(known) > 1 else own


def overfitting(
    profits: Float[np.ndarray, "T N"], blocks: int = BLOCKS
) -> Overfit | None:
    """Probability of backtest overfitting, by combinatorially symmetric validation.

    Time is cut into an even number of equal blocks. For every choice of half of them,
    the candidate of the largest Sharpe ratio there is ranked in the other half; the
    result is the share of choices in which the logit of its relative rank is not above
    0. Who never moves has no ratio and is no candidate. Of positive multiples of each
    other, who have the same ratio in every half, one is. None with fewer than two
    candidates or too few periods.

    Source: Bailey, Borwein, López de Prado & Zhu (2017), The Probability of Backtest
    Overfitting.
    """
    length = len(profits) // blocks
    if length < LEAST_PERIODS:
        return None
    whole = profits[: length * blocks]
    differing = _differing(whole[:, np.ptp(whole, axis=0) > 0])
    if (candidates := differing.shape[1]) < 2:
        return None
    cut = differing.reshape(blocks, length, candidates)
    logits = list(_logits(cut.sum(1), (cut**2).sum(1), length))
    share = float(np.mean(np.array(logits) <= 0))
    return Overfit(share, len(logits), candidates)


def _differing(profits: Float[np.ndarray, "T N"]) -> Float[np.ndarray, "T M"]:
    """The first of those that are positive multiples of each other."""
    shapes = (profits / np.abs(profits).max(0)).T
    means, kept = shapes.mean(1), list[int]()
    for one in range(len(shapes)):
        near = [other for other in kept if abs(means[other] - means[one]) <= ALIKE]
        if not any(np.abs(shapes[k] - shapes[one]).max() <= ALIKE for k in near):
            kept.append(one)
    return profits[:, kept]


def _logits(total: np.ndarray, square: np.ndarray, length: int) -> Iterator[float]:
    """Of the later rank of each choice's best; blocks × candidates."""
    blocks, candidates = total.shape
    for inside in combinations(range(blocks), blocks // 2):
        is_inside = np.isin(np.arange(blocks), inside)
        first, second = (
            _ratios(total[half].sum(0), square[half].sum(0), half.sum() * length)
            for half in (is_inside, ~is_inside)
        )
        later = second[first.argmax()]
        below, equal = (second < later).sum(), (second == later).sum()
        rank = (below + (equal + 1) / 2) / (candidates + 1)
        yield log(rank / (1 - rank))


def _ratios(total: np.ndarray, square: np.ndarray, count: int) -> np.ndarray:
    """Sharpe ratio of each candidate from its sums; 0 for one that never moved."""
    mean = total / count
    variance = np.maximum(square / count - mean**2, 0.0)
    is_varied = variance > 1e-12 * square / count
    return np.where(is_varied, mean / np.sqrt(np.where(is_varied, variance, 1.0)), 0.0)
