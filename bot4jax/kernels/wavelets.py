"""How the variance of returns is spread over scales, by Daubechies wavelets.

`db4` in four levels, periodic at the window's ends: the transform is then orthonormal
and energies of the levels add up to the window's. It is linear, so the coefficients
of all levels are one matrix product; the matrix is PyWavelets' transform of unit
vectors. Level 1 has the cycles of 2 to 4 bars, level 4 those of 16 to 32.
"""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pywt
from jaxtyping import Array, Float

from bot4jax.kernels.shared import intermediate
from bot4jax.numerics import safe_divide, safe_log
from bot4jax.registry import Scalar, Shared, feature

wavelet = partial(feature, category="wavelet")

Window = Float[np.ndarray, " W"]

LEVELS = 4
WAVELET, MODE = "db4", "periodization"
BOUNDARY = "`db4`, periodic at the window's ends (`periodization`)."
SILENT = 1e-5
"""Share of the window's energy below which a level holds nothing but rounding."""
DISTINCT = 2e-4
"""Share of the window's energy from which on a level's fourth moment is known."""

ROSSO = "Rosso et al. (2001), Wavelet Entropy: a New Tool for Analysis of Short Signals"


@cache
def transform(window: int) -> Float[np.ndarray, "W K"]:
    """The matrix that turns a window into the details of all levels, finest first."""
    smooth, details = np.eye(window), []
    for _ in range(LEVELS):
        smooth, detail = pywt.dwt(smooth, WAVELET, MODE, axis=0)
        details.append(detail)
    return np.concatenate(details).T.astype(np.float32)


def level_slice(level: int, window: int) -> slice:
    """Where a level's `window / 2**level` coefficients lie among all."""
    first = window - (window >> (level - 1))
    return slice(first, first + (window >> level))


@intermediate
def wavelet_details(standardised_return: Float[Array, "S W"]) -> Float[Array, "S K"]:
    """Detail coefficients over the root of the window's energy: squares are shares."""
    x = standardised_return
    matrix = transform(x.shape[1])
    details = jnp.matmul(x, matrix, precision=jax.lax.Precision.HIGHEST)
    return safe_divide(details, jnp.sqrt((x**2).sum(1, keepdims=True)))


def own_details(standardised_return: Window, level: int) -> Window:
    """A level's details by its definition: filter, keep every second, repeat."""
    if not standardised_return.any():
        return np.zeros(len(standardised_return) >> level)
    smooth = standardised_return / np.sqrt((standardised_return**2).sum())
    detail = smooth
    for _ in range(level):
        smooth, detail = pywt.dwt(smooth, WAVELET, MODE)
    return detail


class OfLevel(Shared):
    """A function of one level's detail coefficients."""

    about = ""

    def __init__(self, level: int) -> None:
        self.level = level
        self.__doc__ = f"{self.about} level {level}, of {1 << level} to "
        self.__doc__ += f"{2 << level} bars.\n\n{BOUNDARY}"

    def own(self, details: Float[Array, " K"]) -> Float[Array, " J"]:
        window = details.size * (1 << LEVELS) // ((1 << LEVELS) - 1)
        return details[level_slice(self.level, window)]


class WaveletEnergy(OfLevel):
    """Sum of squared coefficients; they are scaled to the window's energy."""

    about = "Share of the energy of returns in wavelet"

    def value(self, wavelet_details: Float[Array, " K"]) -> Scalar:
        return (self.own(wavelet_details) ** 2).sum()

    def reference(self, standardised_return: Window) -> float:
        return float((own_details(standardised_return, self.level) ** 2).sum())


class WaveletEntropy(OfLevel):
    """Entropy of the squared coefficients over that of as many equal ones."""

    about = "Evenness of the energy over time (entropy, 1 if even) in wavelet"

    def value(self, wavelet_details: Float[Array, " K"]) -> Scalar:
        energy = self.own(wavelet_details) ** 2
        if energy.size == 1:
            return jnp.float32(jnp.nan)
        total = energy.sum()
        share = safe_divide(energy, total)
        found = -(share * safe_log(share)).sum() / float(np.log(energy.size))
        return jnp.where(total > SILENT, found, 0.0)

    def reference(self, standardised_return: Window) -> float:
        energy = own_details(standardised_return, self.level) ** 2
        if len(energy) == 1:
            return np.nan
        if energy.sum() <= SILENT:
            return 0.0
        share = energy[energy > 0] / energy.sum()
        return float(-(share * np.log(share)).sum() / np.log(len(energy)))


class WaveletKurtosis(OfLevel):
    """Fourth standardised moment of the coefficients less the normal's 3."""

    about = "Excess kurtosis of the detail coefficients in wavelet"

    def value(self, wavelet_details: Float[Array, " K"]) -> Scalar:
        own = self.own(wavelet_details)
        centred = own - own.mean()
        spread = (centred**2).mean()
        found = safe_divide((centred**4).mean(), spread**2) - 3
        share = spread * own.size
        known = jnp.where(share > DISTINCT, found, jnp.nan)
        return jnp.where(share > SILENT, known, 0.0)

    def reference(self, standardised_return: Window) -> float:
        own = own_details(standardised_return, self.level)
        centred = own - own.mean()
        share = own.var() * len(own)
        if share <= SILENT:
            return 0.0
        if share <= DISTINCT:
            return np.nan
        return float((centred**4).mean() / own.var() ** 2) - 3


for level in range(1, LEVELS + 1):
    wavelet(
        name=f"wavelet_energy_{level}",
        unit="share",
        low=0.0,
        high=1.0 + 1e-5,
        source=ROSSO,
    )(WaveletEnergy(level))

for level in range(1, LEVELS + 1):
    wavelet(
        name=f"wavelet_entropy_{level}",
        unit="1",
        low=0.0,
        high=1.0 + 1e-5,
        source=ROSSO,
    )(WaveletEntropy(level))

for level in range(1, LEVELS + 1):
    wavelet(
        name=f"wavelet_kurtosis_{level}",
        unit="1",
        low=-3.0,
        high=128.0,
        source="Mallat (1989), A Theory for Multiresolution Signal Decomposition",
    )(WaveletKurtosis(level))
