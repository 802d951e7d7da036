"""From sums over a window to variances, slopes, correlations and entropies.

A window on which a price stands still, or moves by the same step every bar, has no
variance; float32 sums cannot tell it from one that is tiny. Both count as zero, here
and in `resolved`, the same rule for the features' definitions in NumPy. Where there is
one that sums do not know well enough, it is no number, and what reads it is masked.
"""

from collections.abc import Iterable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bot4jax.numerics import pairwise_sum, safe_divide, safe_log
from bot4jax.registry import Scalar

RESOLUTION = 1e-5
"""Share of the mean square below which a variance is rounding."""
DISTINCT = 0.04
"""Share of the mean square from which on sums know a variance to 1e-5 of itself."""


def mean(total: Scalar, count: Scalar) -> Scalar:
    """Mean of a window; 0 before its first bar."""
    return total / jnp.maximum(count, 1.0)


def variance(
    x: Scalar, xx: Scalar, count: Scalar, distinct: float = DISTINCT
) -> Scalar:
    """Population variance from Σx and Σx²; no number where they do not tell it."""
    square = mean(xx, count)
    spread = square - mean(x, count) ** 2
    known = jnp.where(spread > distinct * square, spread, jnp.nan)
    return jnp.where(spread > RESOLUTION * square, known, 0.0)


def covariance(x: Scalar, y: Scalar, xy: Scalar, count: Scalar) -> Scalar:
    """Population covariance from Σx, Σy and Σxy."""
    return mean(xy, count) - mean(x, count) * mean(y, count)


def slope(x: Scalar, xx: Scalar, y: Scalar, xy: Scalar, count: Scalar) -> Scalar:
    """Least-squares slope of y on x; 0 where x does not vary."""
    spread = variance(x, xx, count, RESOLUTION)
    return safe_divide(covariance(x, y, xy, count), spread)


def correlation(
    x: Scalar, xx: Scalar, y: Scalar, yy: Scalar, xy: Scalar, count: Scalar
) -> Scalar:
    """Pearson's correlation; 0 where either does not vary."""
    spread = jnp.sqrt(variance(x, xx, count) * variance(y, yy, count))
    return jnp.clip(safe_divide(covariance(x, y, xy, count), spread), -1.0, 1.0)


def entropy(counts: Iterable[Scalar], count: Scalar) -> Scalar:
    """Shannon's entropy in nats of a distribution given by counts."""
    shares = [mean(one, count) for one in counts]
    return -pairwise_sum([share * safe_log(share) for share in shares])


def resolved(x: Float[np.ndarray, " W"], distinct: float = DISTINCT) -> float:
    """Population variance, 0 where float32 could not tell it from 0.

    No number up to that share of the mean square at which float32 tells it well.
    """
    spread, square = x.var(), (x**2).mean()
    if spread <= RESOLUTION * square:
        return 0.0
    return float(spread) if spread > distinct * square else np.nan


def pearson(x: Float[np.ndarray, " W"], y: Float[np.ndarray, " W"]) -> float:
    """Pearson's correlation, 0 where either does not vary."""
    spread = np.sqrt(resolved(x) * resolved(y))
    if spread == 0:
        return 0.0
    return float(((x - x.mean()) * (y - y.mean())).mean() / spread)


def least_squares(x: Float[np.ndarray, " W"], y: Float[np.ndarray, " W"]) -> float:
    """Least-squares slope of y on x, 0 where x does not vary."""
    spread = resolved(x, RESOLUTION)
    if spread == 0:
        return 0.0
    return float(((x - x.mean()) * (y - y.mean())).mean() / spread)


def shannon(counts: Float[np.ndarray, " B"]) -> float:
    """Shannon's entropy in nats of a distribution given by counts."""
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())
