"""Moments and autocorrelations by SciPy, pandas, statsmodels and tsfresh.

tsfresh standardises a window by itself, ours by the W newest returns of the W + lag
that it reads: what it is asked about is standardised so, and it computes the rest.
"""

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.tsa.stattools import levinson_durbin
from tsfresh.feature_extraction import feature_calculators as tsfresh

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


def _scored(z, lag):
    """By mean and deviation of what is left behind a lag; None where that is flat."""
    newest = z[lag:]
    return (z - newest.mean()) / newest.std() if np.ptp(newest) > 0 else None


def _complexity(standardised_return):
    scored = _scored(standardised_return, 1)
    return np.nan if scored is None else tsfresh.cid_ce(scored, normalize=False)


def _asymmetry(standardised_return):
    return tsfresh.time_reversal_asymmetry_statistic(standardised_return, 1)


def _change(standardised_return):
    return tsfresh.mean_abs_change(standardised_return)


def _absolute_autocorrelation(standardised_return):
    return _autocorrelation(1)(np.abs(standardised_return))


def _range(standardised_return):
    z = standardised_return
    return np.ptp(np.asarray(stats.zscore(z))) if np.ptp(z) > 0 else np.nan


def _cumulant(lag):
    def value(standardised_return):
        scored = _scored(standardised_return, 2 * lag)
        return np.nan if scored is None else tsfresh.c3(scored, lag)

    return value


def _second_derivative(standardised_return):
    return tsfresh.mean_second_derivative_central(standardised_return)


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
    "complexity_estimate": Oracle(_complexity, "tsfresh", FLAT),
    "mean_absolute_change": Oracle(_change, "tsfresh"),
    **{
        f"third_order_cumulant_{k}": Oracle(_cumulant(k), "tsfresh", FLAT)
        for k in (1, 2, 3)
    },
    "mean_second_derivative": Oracle(_second_derivative, "tsfresh"),
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
    "time_reversal_asymmetry": Oracle(_asymmetry, "tsfresh"),
    "absolute_autocorrelation": Oracle(_absolute_autocorrelation, "pandas", FLAT),
    "range_over_deviation": Oracle(_range, "SciPy", FLAT),
}
