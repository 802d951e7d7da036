"""How sure a mean over time is, whatever memory its bars have: no block is chosen.

A series is projected on slow cosines. Each is about normal, as independent of the
others as the mean is, and its variance is the spectrum at its frequency; the mean's is
the spectrum at zero. What memory does to the spectrum there is asked of the cosines
themselves: each `shapes` foretells the mean by Student's distribution, and weighs as
much as it has made the cosines likely. So the error of a series that forgets at once is
the textbook's, that of one with memory grows, and not knowing which makes both wider.

Sources: Müller & Watson (2016), Measuring Uncertainty about Long-Run Predictions, for
cosines and mixture; Lazarus, Lewis, Stock & Watson (2018), HAR Inference, for
cosines with equal weights, which these are if there is but the flat shape.
"""

from collections.abc import Callable
from math import nan
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import root_scalar
from scipy.special import stdtr, stdtrit

MOST = 32
"""Cosines at most: faster ones tell how bars begin to forget, not how they end."""

SPANS = np.geomspace(1, 128, 9)
"""Memories that the span holds, by shape."""

RISES = np.array([1.0, 4.0, 16.0, 64.0, 256.0])
"""Spectrum of the part with a memory at zero, over that of the rest."""

FLAT = 0.92
"""Weight of no memory at all before the cosines are seen; the rest is shared evenly."""

ROUNDING = 1e-9

ONE_SIDE, TWO_SIDES = 0.95, 0.975
"""Where the mixture and its Student's distribution have the same quantile: a p of .05,
and an interval of 95 %."""


class Spread(NamedTuple):
    """Of a mean over time about the truth: Student's distribution; NaN of one bar,
    and of what is none."""

    error: float
    degrees: float
    """of freedom"""


def spread(
    sums: Float[np.ndarray, " T"], mass: Float[np.ndarray, " T"], overlap: int
) -> Spread:
    """Of Σ sums / Σ mass, where bars of `mass` each sum up what weighs so much.

    Neighbours share at least what sums of `overlap` bars do.
    """
    total = mass.sum()
    worth = total**2 / (mass @ mass) if total > 0 else 0.0
    count = min(MOST, len(mass) // overlap, round(worth) - 1)
    if worth < 2 - ROUNDING or not np.isfinite(sums).all():
        return Spread(nan, nan)
    count = max(count, 1)
    found = cosines(sums.astype(np.float64), mass.astype(np.float64), count) / total
    if not np.any(found):
        return Spread(0.0, float(count))
    flat = overlapping(np.pi * np.arange(1, count + 1) / len(mass), overlap)
    scales, weights = mixture(found, shapes(count) * flat)
    return student_of(scales, weights, count)


def cosines(
    sums: Float[np.ndarray, " T"], mass: Float[np.ndarray, " T"], count: int
) -> Float[np.ndarray, " J"]:
    """Σ √2 · cos(π·j·F) · (sums − mean · mass).

    F is the share of mass up to a bar's middle. Time is counted in mass: an
    empty bar is none, and all cosines forget the mean.
    """
    total = mass.sum()
    place = (np.cumsum(mass) - mass / 2) / total
    waves = np.cos(np.pi * np.arange(1, count + 1)[:, None] * place)
    return np.sqrt(2) * waves @ (sums - sums.sum() / total * mass)


def shapes(count: int) -> Float[np.ndarray, "K J"]:
    """Spectra at the cosines' frequencies over that at zero; the first has no memory.

    Formula: 1 + a / (1 + (π·j / c)²), of white noise and a first-order autoregression
    that has decayed to 1/e after 1/c of the span, over 1 + a.
    """
    fast = (np.pi * np.arange(1, count + 1) / SPANS[:, None]) ** 2
    rise = RISES[:, None, None]
    slow = (1 + rise / (1 + fast)) / (1 + rise)
    return np.concatenate([np.ones((1, count)), slow.reshape(-1, count)])


def overlapping(
    frequency: Float[np.ndarray, " J"], bars: int
) -> Float[np.ndarray, " J"]:
    """Spectrum of sums of so many bars over that at zero: Fejér's kernel."""
    return (np.sin(bars * frequency / 2) / (bars * np.sin(frequency / 2))) ** 2


def mixture(
    found: Float[np.ndarray, " J"], shape: Float[np.ndarray, "K J"]
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Each shape's error of the mean, and how much it is to be believed.

    With 1/σ² before anything is seen, the chance of the cosines λ is that of
    Π g^−½ · (Σ λ²/g)^(−J/2), and the mean has Student's distribution with J degrees.
    """
    count = len(found)
    squares = (found**2 / shape).sum(1)
    before = np.full(len(shape), (1 - FLAT) / (len(shape) - 1))
    before[0] = FLAT
    chance = np.log(before) - (np.log(shape).sum(1) + count * np.log(squares)) / 2
    chance = np.exp(chance - chance.max())
    return np.sqrt(squares / count), chance / chance.sum()


def student_of(
    scales: Float[np.ndarray, " K"], weights: Float[np.ndarray, " K"], degrees: int
) -> Spread:
    """The one distribution of Student's with the mixture's quantiles."""

    def quantile(share: float) -> float:
        reach = stdtrit(degrees, share)
        ends = (
            scales.min() * reach * (1 - ROUNDING),
            scales.max() * reach * (1 + ROUNDING),
        )
        return crossing(lambda x: weights @ stdtr(degrees, x / scales) - share, *ends)

    near, far = quantile(ONE_SIDE), quantile(TWO_SIDES)

    def beyond(own: float) -> float:
        return stdtrit(own, TWO_SIDES) / stdtrit(own, ONE_SIDE) - far / near

    own = crossing(beyond, 0.2, degrees) if beyond(degrees) < 0 else degrees
    return Spread(float(far / stdtrit(own, TWO_SIDES)), float(own))


def crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is 0, between ends at which it is not on the same side."""
    found = root_scalar(function, bracket=(low, high), rtol=ROUNDING)
    return float(found.root)
