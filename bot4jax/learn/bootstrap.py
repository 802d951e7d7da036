"""How sure a figure is that was taken over time, with all symbols together.

Whole bars count, so that what symbols share is not taken for evidence. A mean's error
follows the memory of its bars (`longrun`); spans in blocks are drawn for what is no
mean.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import longrun, student
from bot4jax.learn.metrics import weighted_mean

DRAWS = 500
"""Resampled spans: an error is then known to 3 %."""


class Mean(NamedTuple):
    """A weighted mean over time, and how sure it is."""

    value: float
    error: float
    """standard error that Student's distribution of so many degrees goes with"""
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


def mean(
    loss: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    horizon: int,
    overlap: int | None = None,
) -> Mean:
    """A weighted mean over time of what labels of some horizon made.

    Bars share at least what sums of `overlap` bars do, the horizon's where none is
    given; how long they remember beyond that, they tell themselves (`longrun`). For a
    pair of forecasters pass the difference of their losses.
    """
    weight = weights.astype(np.float64)
    sums = np.where(weight > 0, loss * weight, 0.0).sum(1)
    told = longrun.spread(sums, weight.sum(1), overlap or horizon)
    return Mean(weighted_mean(loss, weights), *told)


def sum_interval(gains: Float[np.ndarray, " T"], horizon: int) -> Interval:
    """A total over time, as of profits, bar by bar, and its interval."""
    one = mean(gains[:, None], np.ones((len(gains), 1)), horizon, 1).interval
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
