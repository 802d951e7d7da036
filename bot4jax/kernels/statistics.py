"""Moments, changes and asymmetries of the bars' log returns."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.moments import correlation, mean, pearson, resolved, variance
from bot4jax.kernels.tolerances import CENTRED
from bot4jax.numerics import safe_divide, safe_root
from bot4jax.registry import Additive, Scalar, Terms, Windowed, feature

statistical = partial(feature, category="statistical")

Window = Float[np.ndarray, " W"]

PEARSON = "Pearson (1894), Contributions to the Mathematical Theory of Evolution"
TSFRESH = "Christ et al. (2018), Time Series Feature Extraction (tsfresh)"


class ReturnMoments(Additive):
    """Powers of the standardised return, shared by the moments."""

    @staticmethod
    def terms(standardised_return: Scalar) -> Terms:
        z = standardised_return
        return z, z**2, z**3, z**4


@statistical(unit="σ of training", low=-50.0, high=50.0, source=PEARSON)
class Mean(ReturnMoments):
    """Mean standardised return of the window."""

    @staticmethod
    def finish(z: Scalar, z2: Scalar, z3: Scalar, z4: Scalar, count: Scalar) -> Scalar:
        return mean(z, count)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float(standardised_return.mean())


@statistical(unit="σ of training", low=0.0, high=1000.0, source=PEARSON)
class StandardDeviation(ReturnMoments):
    """Standard deviation of the standardised return, population form.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def finish(z: Scalar, z2: Scalar, z3: Scalar, z4: Scalar, count: Scalar) -> Scalar:
        return safe_root(variance(z, z2, count))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float(np.sqrt(resolved(standardised_return)))


@statistical(unit="1", low=-16.0, high=16.0, source=PEARSON)
class Skewness(ReturnMoments):
    """Third standardised moment of returns, population form; 0 on a flat window.

    Raw moments lose (mean/σ)³ × 6e-8: 1e-4 on windows of 16 bars that trend ten times
    as much as they vary, nothing to speak of on 256.
    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def finish(z: Scalar, z2: Scalar, z3: Scalar, z4: Scalar, count: Scalar) -> Scalar:
        m, m2, m3 = mean(z, count), mean(z2, count), mean(z3, count)
        spread = variance(z, z2, count)
        return safe_divide(m3 - 3 * m * m2 + 2 * m**3, spread * safe_root(spread))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return)
        centred = standardised_return - standardised_return.mean()
        return float((centred**3).mean() / spread**1.5) if spread else 0.0


@statistical(unit="1", low=-3.0, high=256.0, source=PEARSON)
class ExcessKurtosis(ReturnMoments):
    """Fourth standardised moment of returns less the normal's 3; 0 on a flat window.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def finish(z: Scalar, z2: Scalar, z3: Scalar, z4: Scalar, count: Scalar) -> Scalar:
        m, m2, m3, m4 = (mean(total, count) for total in (z, z2, z3, z4))
        spread = variance(z, z2, count)
        fourth = m4 - 4 * m * m3 + 6 * m**2 * m2 - 3 * m**4
        return safe_divide(fourth, spread**2, 3.0) - 3

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return)
        centred = standardised_return - standardised_return.mean()
        return float((centred**4).mean() / spread**2) - 3 if spread else 0.0


class ReturnShape(Additive):
    """Sums of changes, of sizes and of asymmetries of returns."""

    @staticmethod
    def terms(
        standardised_return: Scalar,
        standardised_return_1_ago: Scalar,
        standardised_return_2_ago: Scalar,
    ) -> Terms:
        z, y, x = (
            standardised_return,
            standardised_return_1_ago,
            standardised_return_2_ago,
        )
        size, earlier = jnp.abs(z), jnp.abs(y)
        return (
            jnp.abs(z - y),
            (size > 2).astype(z.dtype),
            z**2 * y - y * x**2,
            size,
            size**2,
            earlier,
            earlier**2,
            size * earlier,
            (z - 2 * y + x) / 2,
        )


@statistical(lag=1, unit="σ of training", low=0.0, high=1000.0, source=TSFRESH)
class MeanAbsoluteChange(ReturnShape):
    """Mean absolute difference of consecutive standardised returns."""

    @staticmethod
    def finish(change: Scalar, *rest: Scalar) -> Scalar:
        return mean(change, rest[-1])

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float(np.abs(np.diff(standardised_return)).mean())


@statistical(
    lag=2,
    unit="σ of training",
    low=-1000.0,
    high=1000.0,
    source=TSFRESH,
    tolerance=CENTRED,
)
class MeanSecondDerivative(ReturnShape):
    """Mean of half the change of the change of returns, by central differences."""

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        bend, count = sums[-2:]
        return mean(bend, count)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float(np.diff(standardised_return, 2).mean() / 2)


@statistical(unit="share", low=0.0, high=1.0, source=TSFRESH)
class ShareAboveTwoSigma(ReturnShape):
    """Share of returns larger than two of the training data's standard deviations."""

    @staticmethod
    def finish(change: Scalar, beyond: Scalar, *rest: Scalar) -> Scalar:
        return mean(beyond, rest[-1])

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float((np.abs(standardised_return) > 2).mean())


@statistical(
    lag=2,
    unit="σ³ of training",
    low=-1e4,
    high=1e4,
    source="Fulcher & Jones (2014), Highly Comparative Feature-Based Classification",
)
class TimeReversalAsymmetry(ReturnShape):
    """Mean of z²ₜ zₜ₋₁ − zₜ₋₁ z²ₜ₋₂: 0 where time runs alike in both directions."""

    @staticmethod
    def finish(
        change: Scalar, beyond: Scalar, asymmetry: Scalar, *rest: Scalar
    ) -> Scalar:
        return mean(asymmetry, rest[-1])

    @staticmethod
    def reference(standardised_return: Window) -> float:
        x, y, z = (
            standardised_return[k : len(standardised_return) - 2 + k] for k in range(3)
        )
        return float((z**2 * y - y * x**2).mean())


@statistical(
    lag=1,
    unit="1",
    low=-1.0,
    high=1.0,
    source="Ding, Granger & Engle (1993), A Long Memory Property of Stock Returns",
)
class AbsoluteAutocorrelation(ReturnShape):
    """Correlation of absolute returns with those one bar earlier.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        size, square, earlier, earlier_square, product, _, count = sums[3:]
        return correlation(size, square, earlier, earlier_square, product, count)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        size = np.abs(standardised_return)
        return pearson(size[1:], size[:-1])


@statistical(
    unit="σ of the window",
    low=0.0,
    high=40.0,
    source="David, Hartley & Pearson (1954), The Distribution of the Ratio of Range "
    "to Standard Deviation",
)
class RangeOverDeviation(Windowed):
    """Largest less smallest return, over the standard deviation; 0 on a flat window.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def value(standardised_return: Float[Array, " W"]) -> Scalar:
        z = standardised_return
        spread = variance(z.sum(), (z**2).sum(), jnp.full((), z.size, z.dtype))
        return safe_divide(z.max() - z.min(), safe_root(spread))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return)
        return float(np.ptp(standardised_return) / np.sqrt(spread)) if spread else 0.0
