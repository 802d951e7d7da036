"""How good forecasts are, and how sure we can be of it. NumPy, float64.

Forecasts are `[N, C]` or `[T, S, C]` probabilities, labels the true classes, weights
sample weights; rows of weight 0 are left out whatever they hold, and a forecast that is
not a number makes the result NaN. Without any weight there is nothing to average: NaN.
"""

from math import isnan, nan, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.learn import student

LEAST_PROBABILITY = 1e-15
"""A class that was called impossible and happened costs −log of this."""

LEAST_CROSS_SECTION = 10
"""Symbols that a bar needs for a correlation across symbols to mean something."""

ROUNDING = 1e-12
"""Relative spread below which a column counts as constant."""

DOWN, UP = 0, 2


class Reliability(NamedTuple):
    """Bins of one class's forecasts; those without samples are left out."""

    forecast: Float[np.ndarray, " B"]
    """mean probability given"""
    observed: Float[np.ndarray, " B"]
    """frequency with which it happened"""
    share: Float[np.ndarray, " B"]
    """of all weight"""


class Skill(NamedTuple):
    """A mean correlation of forecasts with returns."""

    mean: float
    t: float
    """of the mean, by Newey–West's error and what that leaves out of few bars"""
    degrees: float
    """of freedom of t"""
    bars: int

    @property
    def p_value(self) -> float:
        """Chance of as large a mean without skill; NaN where there is no t."""
        return student.chance(self.t, self.degrees)


def sample_log_loss(
    probability: Float[np.ndarray, "*N C"], labels: Int[np.ndarray, "*N"]
) -> Float[np.ndarray, "*N"]:
    """−log of the probability that each true class was given."""
    given = _of_label(probability, labels)
    return -np.log(np.maximum(given, LEAST_PROBABILITY))


def sample_brier(
    probability: Float[np.ndarray, "*N C"], labels: Int[np.ndarray, "*N"]
) -> Float[np.ndarray, "*N"]:
    """Σ over classes of (p − happened)², 0 … 2 (Brier 1950)."""
    square = (probability.astype(np.float64) ** 2).sum(-1)
    return square - 2 * _of_label(probability, labels) + 1


def log_loss(
    probability: Float[np.ndarray, "*N C"],
    labels: Int[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
) -> float:
    """Weighted mean of `sample_log_loss`, nats."""
    return weighted_mean(sample_log_loss(probability, labels), weights)


def brier(
    probability: Float[np.ndarray, "*N C"],
    labels: Int[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
) -> float:
    """Weighted mean of `sample_brier`."""
    return weighted_mean(sample_brier(probability, labels), weights)


def reliability_curve(
    forecast: Float[np.ndarray, "*N"],
    happened: Bool[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
    bins: int = 15,
) -> Reliability:
    """Forecast against frequency in bins of equal width over [0, 1], closed above."""
    given, did, weight = _weighted_rows(forecast, happened, weights)
    which = np.clip(np.ceil(given * bins).astype(int) - 1, 0, bins - 1)
    total = np.bincount(which, weight, bins)
    filled = total > 0
    by_bin = [np.bincount(which, weight * x, bins)[filled] for x in (given, did)]
    held = total[filled]
    return Reliability(by_bin[0] / held, by_bin[1] / held, held / total.sum())


def ece(
    probability: Float[np.ndarray, "*N C"],
    labels: Int[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
    bins: int = 15,
) -> float:
    """Expected calibration error of the likeliest class (Guo et al. 2017).

    Mean distance of confidence and accuracy over bins, weighted by what they hold.
    """
    confidence = probability.max(-1)
    is_right = probability.argmax(-1) == labels
    return _calibration_error(confidence, is_right, weights, bins)


def classwise_ece(
    probability: Float[np.ndarray, "*N C"],
    labels: Int[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
    bins: int = 15,
) -> Float[np.ndarray, " C"]:
    """The error of every class's own probability, whichever class is likeliest."""
    errors = [
        _calibration_error(probability[..., c], labels == c, weights, bins)
        for c in range(probability.shape[-1])
    ]
    return np.array(errors)


def confusion(
    labels: Int[np.ndarray, "*N"],
    chosen: Int[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
    classes: int = 3,
) -> Float[np.ndarray, "C C"]:
    """Weight of every pair (true class, chosen class)."""
    truth, choice, weight = _weighted_rows(labels, chosen, weights)
    pair = truth.astype(int) * classes + choice.astype(int)
    return np.bincount(pair, weight, classes * classes).reshape(classes, classes)


def macro_f1(counts: Float[np.ndarray, "C C"]) -> float:
    """Mean F1 over the classes that occur or are chosen, from a `confusion`."""
    either = counts.sum(0) + counts.sum(1)
    occurs = either > 0
    if not occurs.any():
        return nan
    return float(np.mean(2 * np.diag(counts)[occurs] / either[occurs]))


def mcc(counts: Float[np.ndarray, "C C"]) -> float:
    """Matthews correlation of true and chosen classes (Gorodkin 2004); 0 if constant.

    Formula: cov(X, Y) / √(cov(X, X)·cov(Y, Y)) of the classes' indicators.
    """
    total = counts.sum()
    if not total > 0:
        return nan
    true, chosen = counts.sum(1), counts.sum(0)
    shared = np.trace(counts) * total - true @ chosen
    spread = (total**2 - true @ true) * (total**2 - chosen @ chosen)
    is_varied = spread > ROUNDING * total**4
    return float(shared / sqrt(spread)) if is_varied else 0.0


def direction(probability: Float[np.ndarray, "*N C"]) -> Float[np.ndarray, "*N"]:
    """P(up) − P(down): the forecast as one signed number."""
    return probability[..., UP] - probability[..., DOWN]


def hit_rate(
    forecast: Float[np.ndarray, "*N"],
    returns: Float[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"] | None = None,
) -> float:
    """Share of signed forecasts whose sign came true; flat returns do not count."""
    weight = np.ones(forecast.shape) if weights is None else weights
    counted = np.where((forecast != 0) & (returns != 0), weight, 0.0)
    agrees = np.where(np.isnan(forecast), nan, np.sign(forecast) == np.sign(returns))
    return weighted_mean(agrees, counted)


def information_coefficient(
    forecast: Float[np.ndarray, "T S"],
    returns: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    horizon: int,
    ranks: bool = False,
) -> Skill:
    """Correlation of forecasts with the returns that followed, and its t statistic.

    Taken across symbols at every bar and averaged (Grinold & Kahn 1999); with fewer
    than `LEAST_CROSS_SECTION` symbols, over all bars together. With `ranks` it is
    Spearman's. The lag of the t statistic covers labels that overlap.
    """
    series = information_series(forecast, returns, weights > 0, ranks)
    series = series[np.isfinite(series)]
    if not series.size:
        return Skill(nan, nan, nan, 0)
    usual = int(4 * (len(series) / 100) ** (2 / 9))
    t, degrees = student_t(series, max(horizon - 1, usual), horizon)
    return Skill(float(series.mean()), t, degrees, len(series))


def information_series(
    forecast: Float[np.ndarray, "T S"],
    returns: Float[np.ndarray, "T S"],
    counts: Bool[np.ndarray, "T S"],
    ranks: bool = False,
) -> Float[np.ndarray, " T"]:
    """What each bar adds to the information coefficient, the mean of all that do.

    NaN for bars that add nothing: of too few symbols where others have enough, and
    where one side is constant.
    """
    is_wide = counts.sum(1) >= LEAST_CROSS_SECTION
    series = np.full(len(counts), np.nan)
    if is_wide.any():
        rows = zip(forecast[is_wide], returns[is_wide], counts[is_wide], strict=True)
        series[is_wide] = [_correlation(f[c], r[c], ranks) for f, r, c in rows]
    else:
        series[counts.any(1)] = _pooled_series(forecast, returns, counts, ranks)
    return series


def student_t(
    series: Float[np.ndarray, " T"], lag: int, overlap: int
) -> tuple[float, float]:
    """The mean over its error, and the degrees of freedom of that.

    The error is Newey & West's, which is too small of few bars and of sums of `overlap`
    that it follows no farther than `lag`: what it misses in the mean is made good
    (`student`), so that t has Student's distribution.
    """
    by_lag = student.triangle(len(series), lag + 1)
    share, degrees = student.trust(by_lag, np.ones(len(series)), overlap)
    return newey_west_t(series, lag) * sqrt(share), degrees


def newey_west_t(series: Float[np.ndarray, " T"], lag: int) -> float:
    """Mean over its standard error, which allows for correlation up to `lag`.

    Formula: mean / √((γ₀ + 2·Σⱼ (1 − j/(lag + 1))·γⱼ) / T) with autocovariances γⱼ
    (Newey & West 1987). NaN for a series that is too short or constant.
    """
    count = len(series)
    if count <= lag + 1:
        return float("nan")
    apart = series - series.mean()
    long_run = apart @ apart / count
    for j in range(1, lag + 1):
        long_run += 2 * (1 - j / (lag + 1)) * (apart[j:] @ apart[:-j]) / count
    return float(series.mean() / sqrt(long_run / count)) if long_run > 0 else np.nan


def weighted_mean(
    values: Float[np.ndarray, "*N"], weights: Float[np.ndarray, "*N"] | None
) -> float:
    """Mean of the rows that weigh more than 0; NaN where none does."""
    kept, _, weight = _weighted_rows(values, values, weights)
    return float(np.average(kept, weights=weight)) if weight.size else float("nan")


def average_ranks(values: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Places in increasing order from 1; equal values share their mean place."""
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[which]


def _weighted_rows(
    first: np.ndarray, second: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two flat columns and their weights, float64, where the weight is above 0."""
    weight = np.ones(first.shape) if weights is None else weights
    kept = weight > 0
    columns = (first[kept], second[kept], weight[kept])
    a, b, w = (column.astype(np.float64) for column in columns)
    return a, b, w


def _of_label(probability: np.ndarray, labels: np.ndarray) -> np.ndarray:
    at = labels.astype(np.int64)[..., None]
    return np.take_along_axis(probability, at, -1)[..., 0].astype(np.float64)


def _calibration_error(
    forecast: np.ndarray, happened: np.ndarray, weights: np.ndarray | None, bins: int
) -> float:
    if isnan(weighted_mean(forecast, weights)):
        return float("nan")
    curve = reliability_curve(forecast, happened, weights, bins)
    return float(curve.share @ np.abs(curve.forecast - curve.observed))


def _correlation(forecast: np.ndarray, returns: np.ndarray, ranks: bool) -> float:
    """Pearson's, or Spearman's of average ranks; NaN where one side is constant."""
    x, y = (_standardised(column, ranks) for column in (forecast, returns))
    return float(np.mean(x * y))


def _pooled_series(
    forecast: np.ndarray, returns: np.ndarray, counts: np.ndarray, ranks: bool
) -> Float[np.ndarray, " T"]:
    """What every bar adds to the correlation over all samples: its mean is that."""
    product = np.zeros(counts.shape)
    if counts.any():
        x, y = (_standardised(column[counts], ranks) for column in (forecast, returns))
        product[counts] = x * y
    is_used = counts.any(1)
    return product.sum(1)[is_used] * is_used.sum() / max(counts.sum(), 1)


def _standardised(values: np.ndarray, ranks: bool) -> np.ndarray:
    """Mean 0 and variance 1; NaN for a constant."""
    column = average_ranks(values) if ranks else values.astype(np.float64)
    spread = column.std()
    is_varied = spread > ROUNDING * np.abs(column).max()
    return (column - column.mean()) / (spread if is_varied else np.nan)
