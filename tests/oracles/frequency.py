"""Spectra by SciPy: its periodogram detrends, tapers and doubles by itself."""

import numpy as np
from scipy import signal, stats

from tests.oracles.oracle import Oracle

FLAT = "no power: 0 by definition"


def _spectrum(z):
    frequency, density = signal.periodogram(z, window="hann", detrend="linear")
    return frequency[1:], density[1:]


def _of_spectrum(function):
    def value(standardised_return):
        if not standardised_return.any():
            return np.nan
        return function(*_spectrum(standardised_return))

    return value


def _band(number):
    def share(frequency, density):
        edges = np.logspace(0, np.log10(len(density)), 11)
        bins = np.round(frequency * 2 * len(density))
        band = np.searchsorted(edges[1:10], bins, side="right") + 1
        return density[band == number].sum() / density.sum()

    return share


def _quantile(share):
    def find(frequency, density):
        wanted, below, width = share * density.sum(), 0.0, frequency[0]
        for top, own in zip(frequency, density, strict=True):
            if below + own >= wanted:
                return top - width + width * (wanted - below) / own
            below += own
        return frequency[-1]

    return find


def _centroid(frequency, density):
    return np.average(frequency, weights=density)


def _entropy(frequency, density):
    return stats.entropy(density, base=len(density))


def _peak(frequency, density):
    # Of peaks that are equal but for a thousandth, the slowest.
    return frequency[density >= (1 - 2**-10) * density.max()].min()


ORACLES = {
    **{
        f"relative_power_{k}": Oracle(_of_spectrum(_band(k)), "SciPy", FLAT)
        for k in range(1, 11)
    },
    "spectral_entropy": Oracle(_of_spectrum(_entropy), "SciPy", FLAT),
    "peak_frequency": Oracle(_of_spectrum(_peak), "SciPy", FLAT),
    "spectral_centroid": Oracle(_of_spectrum(_centroid), "SciPy", FLAT),
    "median_frequency": Oracle(_of_spectrum(_quantile(0.5)), "SciPy", FLAT),
    "spectral_roll_off": Oracle(_of_spectrum(_quantile(0.85)), "SciPy", FLAT),
}
