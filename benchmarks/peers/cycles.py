"""Spectra by SciPy, wavelets by PyWavelets: one transform for all that reads it."""

import numpy as np
import pywt
from scipy import signal, stats

from benchmarks.peers.peer import peer
from bot4jax.kernels.frequency import AS_STRONG

BANDS = tuple(f"relative_power_{k}" for k in range(1, 11))
LEVELS = (1, 2, 3, 4)


def _quantile(below: np.ndarray, density: np.ndarray, share: float) -> np.ndarray:
    """Power lies evenly within a bin; `below` is what has been passed at its end."""
    bin = (below < share).sum(1)
    row = np.arange(len(below))
    inside = (below[row, bin] - share) / density[row, bin]
    return (bin + 1 - inside) / (2 * density.shape[1])


@peer(
    "scipy",
    *BANDS,
    "spectral_entropy",
    "peak_frequency",
    "spectral_centroid",
    "median_frequency",
    "spectral_roll_off",
)
def spectrum(standardised_return):
    z = standardised_return
    frequency, density = signal.periodogram(z, window="hann", detrend="linear")
    frequency, density = frequency[1:], density[:, 1:]
    density = density / density.sum(1, keepdims=True)
    bins = density.shape[1]
    edges = np.logspace(0, np.log10(bins), len(BANDS) + 1)[:-1]
    starts = np.searchsorted(np.arange(1, bins + 1), edges - 1e-9)
    bands = np.add.reduceat(density, starts, axis=1)
    # a band that holds no bin takes the next one's first
    bands[:, np.flatnonzero(np.diff(starts) == 0)] = 0
    below = np.cumsum(density, axis=1)
    # of peaks that count as equal the slowest
    strong = density >= AS_STRONG * density.max(1, keepdims=True)
    return [
        *bands.T,
        stats.entropy(density, base=bins, axis=1),
        frequency[strong.argmax(1)],
        density @ frequency,
        _quantile(below, density, 0.5),
        _quantile(below, density, 0.85),
    ]


@peer("pywt", *(f"wavelet_{what}_{k}" for what in ("energy", "entropy", "kurtosis")
                for k in LEVELS))  # fmt: skip
def wavelets(standardised_return):
    parts = pywt.wavedec(
        standardised_return, "db4", mode="periodization", level=4, axis=1
    )
    squares = [part * part for part in parts]
    total = sum(square.sum(1) for square in squares)
    details = [(parts[-k], squares[-k]) for k in LEVELS]
    return [
        *(square.sum(1) / total for _, square in details),
        *(stats.entropy(s, base=s.shape[1], axis=1) for _, s in details),
        *(stats.kurtosis(part, axis=1) for part, _ in details),
    ]


PEERS = [spectrum, wavelets]
