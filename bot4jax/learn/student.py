"""How far an error is to be trusted that few bars have told.

The error of a mean over time comes from products of bars and of their neighbours, each
lag with a weight: a bootstrap's of blocks, or Newey & West's. Of few bars it is too
small in the mean, for their own mean was taken off and far neighbours weigh too little,
and it is itself a guess. So its square is divided by the `share` that it finds of the
truth, and the mean is compared with Student's distribution, with as many degrees of
freedom as the guess is worth (Satterthwaite 1946).

That follows the critical values that grow with the bandwidth (Kiefer & Vogelsang 2005,
A New Asymptotic Theory for Heteroskedasticity-Autocorrelation Robust Tests; Lazarus,
Lewis, Stock & Watson 2018, HAR Inference), for any weights and without a table.
"""

from math import nan
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.linalg import matmul_toeplitz
from scipy.special import stdtr, stdtrit


class Trust(NamedTuple):
    """What the square of an error is worth; NaN of less than two bars."""

    share: float
    """that it finds, in the mean, of the true one"""
    degrees: float
    """of freedom"""


def trust(
    by_lag: Float[np.ndarray, " T"], mass: Float[np.ndarray, " T"], overlap: int
) -> Trust:
    """Of an error whose products have these weights by lag, from lag 0 on.

    Bars weigh `mass` in the mean, and neighbours share what they share as sums of
    `overlap` bars do. The share is exact for these, the degrees for bars that share
    nothing. Formula: of what is found, v = u′DWDu with u the bars less their weighted
    mean and D their mass, E v over the variance of Σ mass · bar, and 2 (E v)² / Var v.
    """
    if np.count_nonzero(mass) < 2:
        return Trust(nan, nan)
    mass = mass.astype(np.float64)
    total, shared = mass.sum(), triangle(len(mass), overlap)
    sides = np.stack([np.ones_like(mass), mass], axis=1)
    pulled = mass[:, None] * matmul_toeplitz(by_lag, mass[:, None] * sides)
    weighed = sides.T @ pulled

    true = within(shared, mass)
    cross = matmul_toeplitz(shared, mass) @ pulled[:, 0]
    found = within(by_lag * shared, mass)
    found += (true * weighed[0, 0] / total - 2 * cross) / total

    apart = np.array([[mass @ mass / total, -1.0], [-1.0, 0.0]]) / total
    mean = by_lag[0] * (mass @ mass) + np.trace(apart @ weighed)
    square = within(by_lag**2, mass**2) + 2 * np.trace(apart @ (pulled.T @ pulled))
    square += np.trace(apart @ weighed @ apart @ weighed)
    return Trust(float(found / true), float(mean**2 / square))


def within(by_lag: Float[np.ndarray, " T"], mass: Float[np.ndarray, " T"]) -> float:
    """Σ over pairs of bars of both their masses times the weight of their lag."""
    return float(mass @ matmul_toeplitz(by_lag, mass))


def triangle(bars: int, width: int) -> Float[np.ndarray, " T"]:
    """Weights that fall to none at lag `width`: Bartlett's, or of overlapping sums."""
    return np.maximum(1 - np.arange(bars) / width, 0.0)


def of_blocks(bars: int, block: float) -> Float[np.ndarray, " T"]:
    """Weights by lag of the stationary bootstrap (Politis & Romano 1994, lemma 1)."""
    lag, stay = np.arange(bars), 1 - 1 / block
    return (1 - lag / bars) * stay**lag + lag / bars * stay ** (bars - lag)


def reach(degrees: float, share: float = 0.975) -> float:
    """Errors above the truth that such a share of means are below: one side of 95 %."""
    return float(stdtrit(degrees, share))


def chance(errors: float, degrees: float) -> float:
    """Of a mean so many errors above the truth, or more."""
    return float(stdtr(degrees, -errors))
