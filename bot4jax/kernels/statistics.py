"""Moments, autocorrelations and quantiles of log returns."""

import jax.numpy as jnp
import numpy as np

from bot4jax.numerics import safe_divide, safe_root
from bot4jax.registry import Additive, Scalar, Terms, feature


class ReturnMoments(Additive):
    """Powers of the standardised return, shared by the moments."""

    @staticmethod
    def terms(standardised_return: Scalar) -> Terms:
        z = standardised_return
        return z, z**2, z**3, z**4


@feature(
    category="statistical",
    unit="σ of training",
    low=-50.0,
    high=50.0,
    source="Pearson (1894), Contributions to the Mathematical Theory of Evolution",
)
class Mean(ReturnMoments):
    """Mean standardised return of the window."""

    @staticmethod
    def finish(z: Scalar, z2: Scalar, z3: Scalar, z4: Scalar, count: Scalar) -> Scalar:
        return safe_divide(z, count)

    @staticmethod
    def reference(standardised_return: np.ndarray) -> float:
        return float(standardised_return.mean())


@feature(
    category="statistical",
    unit="σ of training",
    low=0.0,
    high=1000.0,
    source="Pearson (1894), Contributions to the Mathematical Theory of Evolution",
)
class StandardDeviation(ReturnMoments):
    """Standard deviation of the standardised return, population form."""

    @staticmethod
    def finish(z: Scalar, z2: Scalar, z3: Scalar, z4: Scalar, count: Scalar) -> Scalar:
        mean = safe_divide(z, count)
        return safe_root(jnp.maximum(safe_divide(z2, count) - mean**2, 0.0))

    @staticmethod
    def reference(standardised_return: np.ndarray) -> float:
        return float(standardised_return.std())
