"""Entropies by antropy and SciPy, mutual information by scikit-learn."""

from collections import Counter

import antropy
import numpy as np
from scipy import stats
from sklearn.metrics import mutual_info_score

from tests.oracles.oracle import Oracle

UNMATCHED = "no three returns alike: the authors' upper bound"
FLAT = "nothing but zeros: no entropy by definition"


def _cut(values, shares):
    """Bins between quantiles of the standard normal distribution."""
    return np.searchsorted(stats.norm.ppf(shares), values, side="right")


def _shannon(standardised_return):
    bins = _cut(standardised_return, np.arange(1, 8) / 8)
    return stats.entropy(np.bincount(bins), base=8)


def _permutation(standardised_return):
    found = antropy.perm_entropy(standardised_return, order=3, normalize=True)
    return abs(found)


def _permutation_5(standardised_return):
    found = antropy.perm_entropy(standardised_return, order=5, normalize=True)
    return abs(found)


def _steps(standardised_return):
    """Returns on the frozen grid; antropy's r is a bound that matches stay under."""
    return np.rint(42.5 * standardised_return), 8.5


def _sample(standardised_return):
    steps, within = _steps(standardised_return)
    found = antropy.sample_entropy(steps, order=2, tolerance=within)
    return found if np.isfinite(found) else np.nan


def _approximate(standardised_return):
    steps, within = _steps(standardised_return)
    return antropy.app_entropy(steps, order=2, tolerance=within)


def _lempel_ziv(standardised_return):
    signs = (standardised_return >= 0).astype(int)
    return antropy.lziv_complexity(signs) * np.log2(len(signs)) / len(signs)


def _returns(standardised_return):
    third = _cut(standardised_return, [1 / 3, 2 / 3])
    return mutual_info_score(third[1:], third[:-1])


def _volume(standardised_return, volume):
    third = _cut(standardised_return, [1 / 3, 2 / 3])
    busy = np.where(volume < 0.5, 0, np.where(volume < 2, 1, 2))
    return mutual_info_score(third[1:], busy[:-1])


def _transfer(standardised_return, volume):
    """Schreiber's sum as conditional mutual information, state by state."""
    up, busy = standardised_return > 0, volume > 1
    number = Counter(up[:-1])
    return sum(
        mutual_info_score(up[1:][up[:-1] == state], busy[:-1][up[:-1] == state])
        * number[state]
        / (len(up) - 1)
        for state in number
    )


def _svd(standardised_return):
    if not standardised_return.any():
        return np.nan
    return antropy.svd_entropy(standardised_return, order=3, normalize=True)


ORACLES = {
    "shannon_entropy": Oracle(_shannon, "SciPy"),
    "permutation_entropy_3": Oracle(_permutation, "antropy"),
    "permutation_entropy_5": Oracle(_permutation_5, "antropy"),
    "sample_entropy": Oracle(_sample, "antropy", UNMATCHED),
    "approximate_entropy": Oracle(_approximate, "antropy"),
    "lempel_ziv_complexity": Oracle(_lempel_ziv, "antropy"),
    "mutual_information_returns": Oracle(_returns, "scikit-learn"),
    "mutual_information_volume": Oracle(_volume, "scikit-learn"),
    "transfer_entropy_volume": Oracle(_transfer, "scikit-learn"),
    "svd_entropy": Oracle(_svd, "antropy", FLAT),
}
