"""Moments, changes and autocorrelations of returns, by NumPy, SciPy and tsfresh."""

import numpy as np
from scipy import stats

from benchmarks.peers import is_here
from benchmarks.peers.peer import Peer, one_by_one, peer


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    return (x * y).sum(1) / np.sqrt((x * x).sum(1) * (y * y).sum(1))


def _lagged(lag: int) -> Peer:
    @peer("numpy", f"autocorrelation_{lag}")
    def values(standardised_return):
        return _correlation(standardised_return[:, lag:], standardised_return[:, :-lag])

    return values


def _partial(lag: int) -> Peer:
    @peer("numpy", f"partial_autocorrelation_{lag}")
    def values(standardised_return):
        z, width = standardised_return, standardised_return.shape[1] - lag
        r = [np.ones(len(z))]
        r += [_correlation(z[:, -width:], z[:, -width - k : -k]) for k in _up_to(lag)]
        by_lag = np.stack(r, axis=1)
        apart = np.abs(np.subtract.outer(np.arange(lag), np.arange(lag)))
        return np.linalg.solve(by_lag[:, apart], by_lag[:, 1:, None])[:, -1, 0]

    return values


def _up_to(lag: int) -> range:
    return range(1, lag + 1)


@peer("numpy", "mean")
def mean(standardised_return):
    return standardised_return.mean(1)


@peer("numpy", "standard_deviation")
def deviation(standardised_return):
    return standardised_return.std(1)


@peer("scipy", "skewness")
def skewness(standardised_return):
    return stats.skew(standardised_return, axis=1)


@peer("scipy", "excess_kurtosis")
def kurtosis(standardised_return):
    return stats.kurtosis(standardised_return, axis=1)


@peer("numpy", "skewness", "excess_kurtosis")
def moments(standardised_return):
    centred = standardised_return - standardised_return.mean(1, keepdims=True)
    square = centred * centred
    variance = square.mean(1)
    skew = (square * centred).mean(1) / variance**1.5
    return skew, (square * square).mean(1) / variance**2 - 3


@peer("numpy", "mean_absolute_change")
def mean_absolute_change(standardised_return):
    return np.abs(np.diff(standardised_return, axis=1)).mean(1)


def _cumulant(lag: int) -> Peer:
    @peer("numpy", f"third_order_cumulant_{lag}")
    def values(standardised_return):
        newest = standardised_return[:, 2 * lag :]
        z = standardised_return - newest.mean(1, keepdims=True)
        each = z[:, 2 * lag :] * z[:, lag:-lag] * z[:, : -2 * lag]
        return each.mean(1) / newest.std(1) ** 3

    return values


@peer("numpy", *(f"quantile_{k}" for k in (10, 25, 50, 75, 90)))
def quantiles(standardised_return):
    return np.quantile(standardised_return, (0.1, 0.25, 0.5, 0.75, 0.9), axis=1)


@peer("numpy", "mean_second_derivative")
def second_derivative(standardised_return):
    change = np.diff(standardised_return, axis=1)
    return (change[:, -1] - change[:, 0]) / 2 / (change.shape[1] - 1)


@peer("numpy", "share_above_two_sigma")
def share_above(standardised_return):
    return (np.abs(standardised_return) > 2).mean(1)


@peer("numpy", "time_reversal_asymmetry")
def asymmetry(standardised_return):
    a, b, c = (standardised_return[:, k : k - 2 or None] for k in range(3))
    return (c * c * b - b * a * a).mean(1)


@peer("numpy", "absolute_autocorrelation")
def absolute_autocorrelation(standardised_return):
    size = np.abs(standardised_return)
    return _correlation(size[:, 1:], size[:, :-1])


@peer("numpy", "range_over_deviation")
def range_over_deviation(standardised_return):
    return np.ptp(standardised_return, axis=1) / standardised_return.std(1)


@peer("numpy", "complexity_estimate")
def complexity(standardised_return):
    changes = np.diff(standardised_return, axis=1)
    deviation = standardised_return[:, 1:].std(1)
    return np.sqrt((changes * changes).sum(1)) / deviation


@peer("numpy", "volatility_ratio")
def volatility_ratio(standardised_return):
    square = standardised_return**2
    return np.sqrt(square[:, -16:].mean(1) / square.mean(1))


@peer("numpy", "volatility_of_volatility")
def volatility_of_volatility(standardised_return):
    blocks = (standardised_return**2).reshape(len(standardised_return), -1, 16)
    realised = np.sqrt(blocks.sum(2))
    return realised.std(1) / realised.mean(1)


@peer("numpy", "jump_share")
def jump_share(standardised_return):
    size = np.abs(standardised_return)
    bipower = np.pi / 2 * (size[:, 1:] * size[:, :-1]).sum(1)
    return np.maximum(1 - bipower / (size[:, 1:] ** 2).sum(1), 0)


PEERS = [
    *(_lagged(lag) for lag in (1, 2, 5, 10)),
    *(_partial(lag) for lag in (2, 5)),
    *(_cumulant(lag) for lag in (1, 2, 3)),
    quantiles,
    second_derivative,
    mean,
    deviation,
    skewness,
    kurtosis,
    moments,
    mean_absolute_change,
    share_above,
    asymmetry,
    absolute_autocorrelation,
    range_over_deviation,
    complexity,
    volatility_ratio,
    volatility_of_volatility,
    jump_share,
]

if is_here("tsfresh"):
    from tsfresh.feature_extraction import (  # pyright: ignore[reportMissingImports]
        feature_calculators as tsfresh,
    )

    @one_by_one("tsfresh", "mean_absolute_change")
    def tsfresh_change(standardised_return):
        return tsfresh.mean_abs_change(standardised_return)

    @one_by_one("tsfresh", "time_reversal_asymmetry")
    def tsfresh_asymmetry(standardised_return):
        return tsfresh.time_reversal_asymmetry_statistic(standardised_return, 1)

    @one_by_one("tsfresh", "mean_second_derivative")
    def tsfresh_second_derivative(standardised_return):
        return tsfresh.mean_second_derivative_central(standardised_return)

    PEERS += [tsfresh_change, tsfresh_asymmetry, tsfresh_second_derivative]
