"""The market model by SciPy; for ranks and spread across symbols see `test_cross`."""

import math

import numpy as np
from scipy import stats

from tests.oracles.oracle import Oracle

FLAT = "no variance: 0 by definition"


def _mean(values):
    return math.fsum(values) / len(values)


def _beta(log_return, market_return):
    if np.ptp(market_return) == 0:
        return np.nan
    return stats.linregress(market_return, log_return)[0]


def _correlation(log_return, market_return):
    if np.ptp(log_return) == 0 or np.ptp(market_return) == 0:
        return np.nan
    return stats.pearsonr(log_return, market_return)[0]


def _residual(log_return, market_return):
    if np.ptp(log_return) == 0 or np.ptp(market_return) == 0:
        return np.nan
    return stats.linregress(market_return, log_return)[1] / log_return.std()


ORACLES = {
    "rank_of_return": Oracle(lambda return_rank: _mean(return_rank), "SciPy"),
    "rank_of_volume": Oracle(lambda volume_rank: _mean(volume_rank), "SciPy"),
    "dispersion": Oracle(lambda dispersion: _mean(dispersion), "NumPy"),
    "market_beta": Oracle(_beta, "SciPy", FLAT),
    "market_correlation": Oracle(_correlation, "SciPy", FLAT),
    "residual_return": Oracle(_residual, "SciPy", FLAT),
}
