"""Where the variance of returns lies between slow and fast cycles.

One power spectrum serves all: linear trend removed, Hann window, one-sided, without
the mean. Frequencies are in cycles per bar, ½ at most.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.shared import intermediate
from bot4jax.kernels.tolerances import NEARLY_EMPTY
from bot4jax.numerics import safe_divide, safe_log
from bot4jax.registry import Scalar, Shared, feature

spectral = partial(feature, category="frequency")

Window = Float[np.ndarray, " W"]

HIGHEST = jax.lax.Precision.HIGHEST
"""Products in full float32, on accelerators too."""

BANDS = 10
BLOCK = 8
"""Bins of one block of the cumulated power; half a window is a multiple of it."""
AS_STRONG = 1 - 2**-10
"""Cycles of this share of the highest power count as equals. Two or three moves in a
window give a row of peaks that differ by anything from 1e-8 on, which float32 cannot
tell apart; at a thousandth there are few."""
WELCH = "Welch (1967), The Use of Fast Fourier Transform for Power Spectra"


def hann(window: int) -> Float[np.ndarray, " W"]:
    """Hann's window, periodic form."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)


def band_edges(bins: int) -> Float[np.ndarray, " B"]:
    """Edges of the bands among the bins 1 … `bins`, evenly spaced in logarithm."""
    edges = np.geomspace(1, bins, BANDS + 1)
    edges[-1] = bins + 1
    return edges


def members(bins: int) -> Float[np.ndarray, "K B"]:
    """1 where a bin belongs to a band; short windows leave some bands without any."""
    edges, number = band_edges(bins), np.arange(1, bins + 1)
    within = (number[:, None] >= edges[:-1]) & (number[:, None] < edges[1:])
    return within.astype(np.float32)


@intermediate
def power(standardised_return: Float[Array, "S W"]) -> Float[Array, "S K"]:
    """One-sided power of the cycles 1 … W/2 to the window, in no particular unit."""
    x = standardised_return
    window = x.shape[1]
    time = (np.arange(window) - (window - 1) / 2).astype(np.float32)
    centred = x - x.mean(1, keepdims=True)
    trend = (centred * time[None]).sum(1, keepdims=True) / float((time**2).sum())
    tapered = (centred - trend * time[None]) * hann(window).astype(np.float32)[None]
    spectrum = jnp.fft.rfft(tapered)[:, 1:]
    sides = np.full(window // 2, 2.0, np.float32)
    sides[-1] = 1.0  # the fastest cycle has no mirror image
    return (spectrum.real**2 + spectrum.imag**2) * sides[None]


@intermediate
def power_shares(power: Float[Array, "S K"]) -> Float[Array, "S K"]:
    """Power over its total; all zero on a flat window."""
    return safe_divide(power, power.sum(1, keepdims=True))


@intermediate
def band_shares(power_shares: Float[Array, "S K"]) -> Float[Array, "S B"]:
    """Relative power of each band."""
    belongs = members(power_shares.shape[1])
    return jnp.matmul(power_shares, belongs, precision=HIGHEST)


@intermediate
def power_below(power_shares: Float[Array, "S K"]) -> Float[Array, "S K"]:
    """Relative power of all slower cycles, the bin itself not included.

    Within blocks, then over blocks: two small products instead of a running sum.
    """
    symbols, bins = power_shares.shape
    blocks = power_shares.reshape(symbols, -1, BLOCK)
    earlier = np.triu(np.ones((BLOCK, BLOCK), np.float32), 1)
    within = jnp.matmul(blocks, earlier, precision=HIGHEST)
    totals = within[:, :, -1] + blocks[:, :, -1]
    before = np.triu(np.ones((bins // BLOCK,) * 2, np.float32), 1)
    below = jnp.matmul(totals, before, precision=HIGHEST)
    return (within + below[:, :, None]).reshape(symbols, bins)


def shares(standardised_return: Window) -> Window:
    """The relative power spectrum by its definition."""
    window = len(standardised_return)
    time = np.arange(window)
    trend = np.polynomial.Polynomial.fit(time, standardised_return, 1)(time)
    spectrum = np.fft.rfft((standardised_return - trend) * hann(window))
    density = np.abs(spectrum) ** 2
    density[1:-1] *= 2
    total = density[1:].sum()
    # A straight line leaves nothing but rounding.
    is_flat = total <= 1e-20 * max((standardised_return**2).sum(), 1e-300)
    return np.zeros(window // 2) if is_flat else density[1:] / total


class RelativePower(Shared):
    """Share of the power of returns in one band of frequencies."""

    def __init__(self, band: int) -> None:
        self.band = band
        self.__doc__ = f"Share of the power of returns in band {band + 1} of {BANDS}."

    def value(self, band_shares: Float[Array, " B"]) -> Scalar:
        return band_shares[self.band]

    def reference(self, standardised_return: Window) -> float:
        found = shares(standardised_return)
        edges = band_edges(len(found))
        number = np.arange(1, len(found) + 1)
        chosen = (number >= edges[self.band]) & (number < edges[self.band + 1])
        return float(found[chosen].sum())


for band in range(BANDS):
    spectral(
        name=f"relative_power_{band + 1}",
        unit="share",
        low=0.0,
        high=1.0 + 1e-5,
        source=WELCH,
    )(RelativePower(band))


@spectral(
    unit="1",
    low=0.0,
    high=1.0 + 1e-5,
    source="Inouye et al. (1991), Quantification of EEG Irregularity by Entropy",
)
class SpectralEntropy(Shared):
    """Entropy of the power spectrum over that of white noise; 0 on a flat window."""

    @staticmethod
    def value(power_shares: Float[Array, " K"]) -> Scalar:
        share = power_shares
        return -(share * safe_log(share)).sum() / float(np.log(share.size))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        found = shares(standardised_return)
        present = found[found > 0]
        return float(-(present * np.log(present)).sum() / np.log(len(found)))


@spectral(unit="cycles per bar", low=0.0, high=0.5, source=WELCH)
class PeakFrequency(Shared):
    """Frequency of the strongest cycle, of equals the slowest; 0 on a flat window."""

    @staticmethod
    def value(power_shares: Float[Array, " K"]) -> Scalar:
        highest, bins = power_shares.max(), power_shares.size
        number = np.arange(1, bins + 1, dtype=np.float32)
        is_equal = power_shares >= AS_STRONG * highest
        strongest = jnp.where(is_equal, number, np.inf).min()
        return jnp.where(highest > 0, strongest / (2 * bins), 0.0)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        found = shares(standardised_return)
        strongest = (found >= AS_STRONG * found.max()).argmax() + 1
        return strongest / len(standardised_return) if found.any() else 0.0


@spectral(
    unit="cycles per bar",
    low=0.0,
    high=0.5,
    source="Grey & Gordon (1978), Perceptual Effects of Spectral Modifications",
)
class SpectralCentroid(Shared):
    """Mean frequency, weighted by power; 0 on a flat window."""

    @staticmethod
    def value(power_shares: Float[Array, " K"]) -> Scalar:
        bins = power_shares.size
        frequency = (np.arange(1, bins + 1) / (2 * bins)).astype(np.float32)
        return (power_shares * frequency).sum()

    @staticmethod
    def reference(standardised_return: Window) -> float:
        found = shares(standardised_return)
        return float(found @ (np.arange(1, len(found) + 1) / len(standardised_return)))


class FrequencyQuantile(Shared):
    """Frequency below which a given share of the power lies; 0 on a flat window.

    Power is taken as spread evenly over its bin: the quantile moves without jumps,
    as a sum of how much of each bin lies below it. In a bin that holds a share s, an
    error of 1e-7 in the power below it moves the quantile by 1e-7 / s of a bin.
    """

    def __init__(self, share: float, doc: str) -> None:
        self.share, self.__doc__ = share, doc

    def value(
        self, power_below: Float[Array, " K"], power_shares: Float[Array, " K"]
    ) -> Scalar:
        missing = self.share - power_below
        covered = safe_divide(missing, power_shares, default=1.0)
        covered = jnp.where(missing > 0, jnp.clip(covered, 0.0, 1.0), 0.0)
        found = covered.sum() / (2 * power_shares.size)
        return jnp.where(power_shares.max() > 0, found, 0.0)

    def reference(self, standardised_return: Window) -> float:
        found = shares(standardised_return)
        if not found.any():
            return 0.0
        reached = np.concatenate([[0.0], np.cumsum(found)])
        grid = np.arange(len(reached)) / len(standardised_return)
        return float(np.interp(self.share, reached, grid))


spectral(
    name="median_frequency",
    unit="cycles per bar",
    low=0.0,
    high=0.5,
    source="Stulen & De Luca (1981), Frequency Parameters of the Myoelectric Signal",
    tolerance=NEARLY_EMPTY,
)(FrequencyQuantile(0.5, "Frequency below which half of the power lies."))

spectral(
    name="spectral_roll_off",
    unit="cycles per bar",
    low=0.0,
    high=0.5,
    source="Scheirer & Slaney (1997), Evaluation of a Robust Multifeature Speech/Music "
    "Discriminator",
)(FrequencyQuantile(0.85, "Frequency below which 85 % of the power lies."))
