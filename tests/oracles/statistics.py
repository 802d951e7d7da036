"""Moments and autocorrelations by SciPy, pandas and statsmodels."""

import itertools

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.tsa.stattools import levinson_durbin

from tests.oracles.oracle import Oracle

FLAT = "a window without variance: 0 by definition"


def _autocorrelation(lag):
    def value(standardised_return):
        z = standardised_return
        return pd.Series(z).autocorr(lag) if np.ptp(z) > 0 else np.nan

    return value


def _partial(lag):
    def value(standardised_return):
        width = len(standardised_return) - lag
        if np.ptp(standardised_return) == 0:
            return np.nan
        series = pd.Series(standardised_return)
        acf = [series.iloc[-width - k :].autocorr(k) for k in range(1, lag + 1)]
        return levinson_durbin([1.0, *acf], lag, isacov=True)[2][lag]

    return value


def _skewness(standardised_return):
    z = standardised_return
    return stats.skew(z) if np.ptp(z) > 0 else np.nan


def _kurtosis(standardised_return):
    z = standardised_return
    return stats.kurtosis(z) if np.ptp(z) > 0 else np.nan


def _complexity(standardised_return):
    z = standardised_return
    if np.ptp(z[1:]) == 0:
        return np.nan
    scored = (z - z[1:].mean()) / z[1:].std()
    return np.sqrt(sum((b - a) ** 2 for a, b in itertools.pairwise(scored)))


def _asymmetry(standardised_return):
    z = standardised_return
    triples = zip(z, z[1:], z[2:], strict=False)
    return np.mean([c * c * b - b * a * a for a, b, c in triples])


def _absolute_autocorrelation(standardised_return):
    return _autocorrelation(1)(np.abs(standardised_return))


def _range(standardised_return):
    z = standardised_return
    return np.ptp(np.asarray(stats.zscore(z))) if np.ptp(z) > 0 else np.nan


def _cumulant(lag):
    """tsfresh's c3 of z-scored returns: mean of x[i + 2 lag] · x[i + lag] · x[i]."""

    def value(standardised_return):
        z = standardised_return
        if np.ptp(z[2 * lag :]) == 0:
            return np.nan
        scored = list((z - np.mean(z[2 * lag :])) / np.std(z[2 * lag :]))
        triples = zip(scored, scored[lag:], scored[2 * lag :], strict=False)
        return np.mean([a * b * c for a, b, c in triples])

    return value


def _second_derivative(standardised_return):
    """tsfresh's form: only the first two and the last two values are left."""
    z = standardised_return
    return (z[-1] - z[-2] - z[1] + z[0]) / (2 * (len(z) - 2))


def _quantile(share):
    def value(standardised_return):
        return pd.Series(standardised_return).quantile(share)

    return value


ORACLES = {
    "mean": Oracle(
        lambda standardised_return: stats.tmean(standardised_return), "SciPy"
    ),
    "standard_deviation": Oracle(
        lambda standardised_return: stats.tstd(standardised_return, ddof=0), "SciPy"
    ),
    "skewness": Oracle(_skewness, "SciPy", FLAT),
    "excess_kurtosis": Oracle(_kurtosis, "SciPy", FLAT),
    **{
        f"autocorrelation_{k}": Oracle(_autocorrelation(k), "pandas", FLAT)
        for k in (1, 2, 5, 10)
    },
    **{
        f"partial_autocorrelation_{k}": Oracle(_partial(k), "statsmodels", FLAT)
        for k in (2, 5)
    },
    "complexity_estimate": Oracle(_complexity, "Batista et al. (2014)", FLAT),
    "mean_absolute_change": Oracle(
        lambda standardised_return: pd.Series(standardised_return).diff().abs().mean(),
        "pandas",
    ),
    **{
        f"third_order_cumulant_{k}": Oracle(
            _cumulant(k), "Schreiber & Schmitz (1997)", FLAT
        )
        for k in (1, 2, 3)
    },
    "mean_second_derivative": Oracle(_second_derivative, "Christ et al. (2018)"),
    **{
        f"quantile_{round(100 * share)}": Oracle(_quantile(share), "pandas")
        for share in (0.1, 0.25, 0.5, 0.75, 0.9)
    },
    "share_above_two_sigma": Oracle(
        lambda standardised_return: (
            1 - stats.percentileofscore(np.abs(standardised_return), 2.0, "weak") / 100
        ),
        "SciPy",
    ),
    "time_reversal_asymmetry": Oracle(_asymmetry, "Fulcher & Jones (2014)"),
    "absolute_autocorrelation": Oracle(_absolute_autocorrelation, "pandas", FLAT),
    "range_over_deviation": Oracle(_range, "SciPy", FLAT),
}
