"""How sure a figure is: resampled spans of time, with all symbols together.

Whole bars are drawn, so that what symbols share is not taken for evidence; blocks of
consecutive bars keep what labels and volatility share over time.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

DRAWS = 500
"""Resampled spans; their 2.5 % tail then holds a dozen."""


class Interval(NamedTuple):
    """A figure and where 95 % of its resampled values lie."""

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


def mean_interval(
    loss: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    block: float,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval:
    """A weighted mean and its percentile interval (Efron 1981)."""
    weight = weights.astype(np.float64)
    total = weight.sum()
    value = np.where(weight > 0, loss * weight, 0.0).sum() / (total or np.nan)
    means = resampled_means(loss, weights, block, draws, seed)
    low, high = np.quantile(means, [0.025, 0.975])
    return Interval(float(value), float(low), float(high))


def sum_interval(
    gains: Float[np.ndarray, " T"], block: float, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """A total over time, as of profits, and its percentile interval."""
    ones = np.ones((len(gains), 1))
    one = mean_interval(gains[:, None], ones, block, draws, seed)
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
