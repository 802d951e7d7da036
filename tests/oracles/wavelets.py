"""Wavelet details by PyWavelets' multilevel transform, their moments by SciPy."""

import numpy as np
import pywt
from scipy import stats

from tests.oracles.oracle import Oracle

FLAT = "no energy: 0 by definition"


def _details(z, level):
    return pywt.wavedec(z, "db4", mode="periodization", level=4)[-level]


def _energy(level):
    def value(standardised_return):
        whole = pywt.wavedec(standardised_return, "db4", mode="periodization", level=4)
        total = sum((part**2).sum() for part in whole)
        return (whole[-level] ** 2).sum() / total if total else np.nan

    return value


def _entropy(level):
    def value(standardised_return):
        energy = _details(standardised_return, level) ** 2
        return stats.entropy(energy, base=len(energy)) if energy.any() else np.nan

    return value


def _kurtosis(level):
    def value(standardised_return):
        own = _details(standardised_return, level)
        return stats.kurtosis(own) if own.any() else np.nan

    return value


ORACLES = {
    f"wavelet_{name}_{level}": Oracle(make(level), "PyWavelets", FLAT)
    for name, make in (
        ("energy", _energy),
        ("entropy", _entropy),
        ("kurtosis", _kurtosis),
    )
    for level in range(1, 5)
}
