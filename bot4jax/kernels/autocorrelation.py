"""Correlations of the bars' log returns with earlier ones, over the last W of each."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bot4jax.kernels.moments import (
    DISTINCT,
    correlation,
    mean,
    pearson,
    resolved,
    variance,
)
from bot4jax.numerics import safe_divide
from bot4jax.registry import Additive, Scalar, Terms, feature

statistical = partial(feature, category="statistical")

Window = Float[np.ndarray, " W"]

LAGS = (1, 2, 3, 4, 5, 6, 10)
"""Lags whose pairs are summed."""
TRIPLES = (1, 2, 3)
"""Distances between the three returns whose products are summed."""

CUBIC = 0.15
"""The same share of which third moments need more, for they lose its power of 1½."""

FLAT = (
    "A variance of at most 10⁻⁵ of the mean square counts as none; one of up to {} is "
    "not told well enough, and masked."
)


class LaggedPairs(Additive):
    """Sums of returns and of their pairs with earlier ones, shared by the lags."""

    @staticmethod
    def terms(
        standardised_return: Scalar,
        standardised_return_1_ago: Scalar,
        standardised_return_2_ago: Scalar,
        standardised_return_3_ago: Scalar,
        standardised_return_4_ago: Scalar,
        standardised_return_5_ago: Scalar,
        standardised_return_6_ago: Scalar,
        standardised_return_10_ago: Scalar,
    ) -> Terms:
        z = standardised_return
        earlier = (
            standardised_return_1_ago,
            standardised_return_2_ago,
            standardised_return_3_ago,
            standardised_return_4_ago,
            standardised_return_5_ago,
            standardised_return_6_ago,
            standardised_return_10_ago,
        )
        pairs = [term for y in earlier for term in (y, y**2, z * y)]
        products = [earlier[k - 1] * earlier[2 * k - 1] for k in TRIPLES]
        triples = [term for one in products for term in (one, z * one)]
        return z, z**2, *pairs, *triples, (z - standardised_return_1_ago) ** 2

    @staticmethod
    def at(lag: int, sums: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        """Σy, Σy² and Σzy of one lag."""
        first = 2 + 3 * LAGS.index(lag)
        return sums[first : first + 3]

    @staticmethod
    def triples(lag: int, sums: tuple[Scalar, ...]) -> tuple[Scalar, ...]:
        """Σyx and Σzyx of returns z, y and x that lie `lag` bars apart."""
        first = 2 + 3 * len(LAGS) + 2 * TRIPLES.index(lag)
        return sums[first : first + 2]

    @staticmethod
    def correlation(lag: int, sums: tuple[Scalar, ...]) -> Scalar:
        z, zz, count = sums[0], sums[1], sums[-1]
        y, yy, zy = LaggedPairs.at(lag, sums)
        return correlation(z, zz, y, yy, zy, count)


class Autocorrelation(LaggedPairs):
    """Correlation of returns with those `lag` bars earlier, over the last W pairs."""

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.__doc__ = (
            f"Autocorrelation of returns at lag {lag}, over the last W pairs."
            f"\n\n{FLAT.format(DISTINCT)}"
        )

    def finish(self, *sums: Scalar) -> Scalar:
        return LaggedPairs.correlation(self.lag, sums)

    def reference(self, standardised_return: Window) -> float:
        return pearson(
            standardised_return[self.lag :], standardised_return[: -self.lag]
        )


for lag in (1, 2, 5, 10):
    statistical(
        name=f"autocorrelation_{lag}",
        lag=lag,
        unit="1",
        low=-1.0,
        high=1.0,
        source="Box & Jenkins (1970), Time Series Analysis: Forecasting and Control",
    )(Autocorrelation(lag))


class PartialAutocorrelation(LaggedPairs):
    """Correlation with returns `lag` bars earlier that nearer ones do not explain.

    Durbin's recursion on the window's autocorrelations. Where those leave nothing to
    explain, further lags are 0.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.__doc__ = (
            f"Partial autocorrelation of returns at lag {lag}."
            f"\n\n{FLAT.format(DISTINCT)}"
        )

    def finish(self, *sums: Scalar) -> Scalar:
        acf = [LaggedPairs.correlation(k, sums) for k in range(1, self.lag + 1)]
        row: list[Scalar] = []
        for k, own in enumerate(acf):
            explained, left = jnp.zeros_like(own), jnp.ones_like(own)
            for j in range(k):
                explained, left = (
                    explained + row[j] * acf[k - 1 - j],
                    left - row[j] * acf[j],
                )
            last = jnp.where(left <= 1e-3, 0.0, safe_divide(own - explained, left))
            row = [row[j] - last * row[k - 1 - j] for j in range(k)] + [last]
        return row[-1]

    def reference(self, standardised_return: Window) -> float:
        z, width = standardised_return, len(standardised_return) - self.lag
        acf = [1.0] + [
            pearson(z[-width:], z[-width - k : -k]) for k in range(1, self.lag + 1)
        ]
        if np.isnan(acf).any():
            return np.nan
        apart = np.abs(np.subtract.outer(range(self.lag), range(self.lag)))
        toeplitz = np.array(acf)[apart]
        return float(np.linalg.solve(toeplitz, acf[1:])[-1])


for lag in (2, 5):
    statistical(
        name=f"partial_autocorrelation_{lag}",
        lag=lag,
        unit="1",
        low=-1.5,
        high=1.5,
        source="Durbin (1960), The Fitting of Time-Series Models",
    )(PartialAutocorrelation(lag))


@statistical(
    lag=1,
    unit="1",
    low=0.0,
    high=40.0,
    source="Batista et al. (2014), CID: An Efficient Complexity-Invariant Distance",
)
class ComplexityEstimate(LaggedPairs):
    """Root of the summed squared changes of z-scored returns; 0 on a flat window.

    A variance of at most 10⁻⁵ of the mean square counts as none; one of up to .04 is
    not told well enough, and masked.
    """

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        z, zz, steps, count = sums[0], sums[1], sums[-2], sums[-1]
        return jnp.sqrt(safe_divide(steps, variance(z, zz, count)))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        spread = resolved(standardised_return[1:])
        steps = (np.diff(standardised_return) ** 2).sum()
        return float(np.sqrt(steps / spread)) if spread else 0.0


class ThirdOrderCumulant(LaggedPairs):
    """Mean product of three z-scored returns `lag` bars apart, over the last W triples.

    It is 0 in expectation for every linear Gaussian process.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.__doc__ = (
            f"Mean product of three z-scored returns {lag} bars apart; 0 if flat."
            f"\n\n{FLAT.format(CUBIC)}"
        )

    def finish(self, *sums: Scalar) -> Scalar:
        z, zz, count = sums[0], sums[1], sums[-1]
        y, _, zy = LaggedPairs.at(self.lag, sums)
        x, _, zx = LaggedPairs.at(2 * self.lag, sums)
        yx, zyx = LaggedPairs.triples(self.lag, sums)
        m, spread = mean(z, count), variance(z, zz, count, CUBIC)
        pairs, ones = mean(zy + zx + yx, count), mean(z + y + x, count)
        centred = mean(zyx, count) - m * pairs + m**2 * ones - m**3
        return safe_divide(centred, spread * jnp.sqrt(spread))

    def reference(self, standardised_return: Window) -> float:
        newest = standardised_return[2 * self.lag :]
        spread = resolved(newest, CUBIC)
        if spread == 0:
            return 0.0
        z = (standardised_return - newest.mean()) / np.sqrt(spread)
        later, middle = z[2 * self.lag :], z[self.lag : -self.lag]
        return float((later * middle * z[: -2 * self.lag]).mean())


for lag in TRIPLES:
    statistical(
        name=f"third_order_cumulant_{lag}",
        lag=2 * lag,
        unit="1",
        low=-17.0,
        high=17.0,
        source="Schreiber & Schmitz (1997), Discrimination Power of Measures for "
        "Nonlinearity in a Time Series",
    )(ThirdOrderCumulant(lag))
