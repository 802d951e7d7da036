"""Moments, changes and asymmetries of the bars' log returns."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.moments import (
    RESOLUTION,
    correlation,
    mean,
    pearson,
    resolved,
    variance,
)
from bot4jax.kernels.shared import intermediate
from bot4jax.kernels.tolerances import CENTRED
from bot4jax.numerics import safe_divide, safe_root
from bot4jax.registry import Additive, Scalar, Shared, Terms, feature

statistical = partial(feature, category="statistical")

Window = Float[np.ndarray, " W"]

PEARSON = "Pearson (1894), Contributions to the Mathematical Theory of Evolution"
TSFRESH = "Christ et al. (2018), Time Series Feature Extraction (tsfresh)"


class ReturnMoments(Additive):
    """The standardised return and its square."""

    @staticmethod
    def terms(standardised_return: Scalar) -> Terms:
        z = standardised_return
        return z, z**2


@statistical(unit="σ of training", low=-50.0, high=50.0, source=PEARSON)
class Mean(ReturnMoments):
    """Mean standardised return of the window."""

    @staticmethod
    def finish(z: Scalar, z2: Scalar, count: Scalar) -> Scalar:
        return mean(z, count)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float(standardised_return.mean())


@statistical(unit="σ of training", low=0.0, high=1000.0, source=PEARSON)
class StandardDeviation(ReturnMoments):
    """Standard deviation of the standardised return, population form.

    A variance of at most 10⁻⁵ of the mean square counts as none; one of up to .04 is
    not told well enough, and masked.
    """

    @staticmethod
    def finish(z: Scalar, z2: Scalar, count: Scalar) -> Scalar:
        return jnp.sqrt(variance(z, z2, count))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        return float(np.sqrt(resolved(standardised_return)))


@intermediate
def central_moments(standardised_return: Float[Array, "S W"]) -> Float[Array, "S 3"]:
    """Second to fourth moments about the window's mean; all 0 where it is flat.

    About the mean, since sums of powers cancel: of a straight line's kurtosis of −1.2
    they left 246.
    """
    x = standardised_return
    middle = x.mean(1)
    apart = x - middle[:, None]
    squares = apart**2
    m2, m3, m4 = squares.mean(1), (squares * apart).mean(1), (squares**2).mean(1)
    # What rounding left in the mean: 1e-5 of σ on a straight line.
    rest = apart.mean(1)
    second = m2 - rest**2
    third = m3 - 3 * rest * m2 + 2 * rest**3
    fourth = m4 - 4 * rest * m3 + 6 * rest**2 * m2 - 3 * rest**4
    differs = second > RESOLUTION * (second + middle**2)
    return jnp.where(differs[:, None], jnp.stack([second, third, fourth], 1), 0.0)


@statistical(unit="1", low=-16.0, high=16.0, source=PEARSON)
class Skewness(Shared):
    """Third standardised moment of returns, population form; 0 on a flat window.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def value(central_moments: Float[Array, " 3"]) -> Scalar:
        second, third, _ = central_moments
        return safe_divide(third, second * safe_root(second))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return, RESOLUTION)
        centred = standardised_return - standardised_return.mean()
        return float((centred**3).mean() / spread**1.5) if spread else 0.0


@statistical(unit="1", low=-3.0, high=256.0, source=PEARSON)
class ExcessKurtosis(Shared):
    """Fourth standardised moment of returns less the normal's 3; 0 on a flat window.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def value(central_moments: Float[Array, " 3"]) -> Scalar:
        second, _, fourth = central_moments
        return safe_divide(fourth, second**2, 3.0) - 3

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return, RESOLUTION)
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

    A variance of at most 10⁻⁵ of the mean square counts as none; one of up to .04 is
    not told well enough, and masked.
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
class RangeOverDeviation(Shared):
    """Largest less smallest return, over the standard deviation; 0 on a flat window.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def value(
        standardised_return: Float[Array, " W"], central_moments: Float[Array, " 3"]
    ) -> Scalar:
        z, spread = standardised_return, central_moments[0]
        return safe_divide(z.max() - z.min(), safe_root(spread))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return, RESOLUTION)
        return float(np.ptp(standardised_return) / np.sqrt(spread)) if spread else 0.0
