"""How sure a figure is: resampled spans of time, with all symbols together.

Whole bars are drawn, so that what symbols share is not taken for evidence; blocks of
consecutive bars keep what labels and volatility share over time.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import student
from bot4jax.learn.metrics import weighted_mean

DRAWS = 500
"""Resampled spans: an error is then known to 3 %."""

BLOCK = 4
"""Horizons in a mean block of resampled bars."""


class Mean(NamedTuple):
    """A weighted mean over time, and how sure it is."""

    value: float
    error: float
    """standard error, stationary block bootstrap over time, its share made good"""
    degrees: float
    """of freedom of the error"""

    @property
    def interval(self) -> "Interval":
        """Student's, at 95 %."""
        side = student.reach(self.degrees) * self.error
        return Interval(self.value, self.value - side, self.value + side)


class Interval(NamedTuple):
    """A figure and what holds its true value 95 times in 100."""

    value: float
    low: float
    high: float


def standard_error(
    loss: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    block: float,
    draws: int = DRAWS,
    seed: int = 0,
) -> float:
    """Of a weighted mean loss, by the stationary bootstrap over bars.

    Blocks are `block` bars long on average: take at least the horizon. For a pair of
    members pass the difference of their losses.
    """
    return float(resampled_means(loss, weights, block, draws, seed).std(ddof=1))


def mean(
    loss: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    horizon: int,
    overlap: int | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Mean:
    """A weighted mean of what labels of some horizon made, by blocks of four.

    Those share at most what sums of `overlap` bars do, the horizon's where none is
    given. What the blocks leave of the error in the mean is made good (`student`).
    """
    value, block = weighted_mean(loss, weights), BLOCK * horizon
    by_lag = student.of_blocks(len(loss), block)
    share, degrees = student.trust(by_lag, weights.sum(1), overlap or horizon)
    error = standard_error(loss, weights, block, draws, seed) / np.sqrt(share)
    return Mean(value, float(error), degrees)


def sum_interval(
    gains: Float[np.ndarray, " T"], horizon: int, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """A total over time, as of profits, bar by bar, and its interval."""
    ones = np.ones((len(gains), 1))
    one = mean(gains[:, None], ones, horizon, 1, draws, seed).interval
    return Interval(*(len(gains) * value for value in one))


def resampled_means(
    loss: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    block: float,
    draws: int,
    seed: int,
) -> Float[np.ndarray, " draws"]:
    """The weighted mean of each resampled span that holds a label.

    One in which nothing weighs anything has no mean: it is drawn again. So the figure's
    spread is that of spans in which it exists, as it does in the one that was seen. Not
    a number where that holds no label either.
    """
    weight = weights.astype(np.float64)
    weighed, weight = np.where(weight > 0, loss * weight, 0.0).sum(1), weight.sum(1)
    if not weight.any():
        return np.full(draws, np.nan)
    random, means = np.random.default_rng(seed), np.empty(0)
    while len(means) < draws:
        rows = stationary_rows(len(loss), block, draws - len(means), random)
        held = weight[rows].sum(1)
        found = weighed[rows].sum(1)[held > 0] / held[held > 0]
        means = np.concatenate((means, found))
    return means


def stationary_rows(
    length: int, block: float, draws: int, random: np.random.Generator
) -> Int[np.ndarray, "draws length"]:
    """Rows of resampled series: blocks of geometric length that wrap around the end.

    Source: Politis & Romano (1994), The Stationary Bootstrap.
    """
    begins = random.random((draws, length)) < 1 / block
    begins[:, 0] = True
    place = np.arange(length)
    begun = np.maximum.accumulate(np.where(begins, place, 0), axis=1)
    first = random.integers(length, size=(draws, length))
    return (np.take_along_axis(first, begun, 1) + place - begun) % length


def effective_size(series: Float[np.ndarray, " T"], lag: int) -> float:
    """How many independent values a series' mean is worth: T·γ₀ / long-run variance.

    Autocovariances up to `lag` count, with Bartlett weights (Newey & West 1987), so
    that the long-run variance is never negative. A constant series is worth all of its
    values.
    """
    count = len(series)
    apart = series - series.mean()
    own = long_run = apart @ apart
    for j in range(1, min(lag, count - 1) + 1):
        long_run += 2 * (1 - j / (lag + 1)) * (apart[j:] @ apart[:-j])
    return float(count * own / long_run) if long_run > 0 else float(count)
