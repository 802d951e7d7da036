"""A symbol among the others: its place, its share of the market, what is its own.

The market is the mean return of all *other* live symbols of the same bar, so that a
symbol is never explained by itself.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bot4jax.kernels.moments import (
    correlation,
    least_squares,
    mean,
    pearson,
    resolved,
    slope,
    variance,
)
from bot4jax.kernels.tolerances import REGRESSION
from bot4jax.numerics import safe_divide
from bot4jax.registry import Additive, Scalar, Terms, feature

cross_sectional = partial(feature, category="cross-sectional")

Window = Float[np.ndarray, " W"]

JEGADEESH = "Jegadeesh & Titman (1993), Returns to Buying Winners and Selling Losers"
SHARPE = "Sharpe (1963), A Simplified Model for Portfolio Analysis"


@cross_sectional(window=16, unit="share", low=-0.5, high=0.5, source=JEGADEESH)
class RankOfReturn(Additive):
    """Mean rank of the return among live symbols, from −½ to ½; ties share theirs."""

    @staticmethod
    def terms(return_rank: Scalar) -> Terms:
        return (return_rank,)

    @staticmethod
    def finish(rank: Scalar, count: Scalar) -> Scalar:
        return mean(rank, count)

    @staticmethod
    def reference(return_rank: Window) -> float:
        return float(return_rank.mean())


@cross_sectional(
    window=16,
    unit="share",
    low=-0.5,
    high=0.5,
    source="Lee & Swaminathan (2000), Price Momentum and Trading Volume",
)
class RankOfVolume(Additive):
    """Mean rank of the volume, in own medians, among live symbols, from −½ to ½."""

    @staticmethod
    def terms(volume_rank: Scalar) -> Terms:
        return (volume_rank,)

    @staticmethod
    def finish(rank: Scalar, count: Scalar) -> Scalar:
        return mean(rank, count)

    @staticmethod
    def reference(volume_rank: Window) -> float:
        return float(volume_rank.mean())


@cross_sectional(
    window=16,
    unit="σ of training",
    low=0.0,
    high=1000.0,
    source="Solnik & Roulet (2000), Dispersion as Cross-Sectional Correlation",
)
class Dispersion(Additive):
    """Mean of the standard deviation of standardised returns over live symbols."""

    @staticmethod
    def terms(dispersion: Scalar) -> Terms:
        return (dispersion,)

    @staticmethod
    def finish(spread: Scalar, count: Scalar) -> Scalar:
        return mean(spread, count)

    @staticmethod
    def reference(dispersion: Window) -> float:
        return float(dispersion.mean())


class MarketModel(Additive):
    """Sums of the regression of a symbol's return on the market's."""

    @staticmethod
    def terms(log_return: Scalar, market_return: Scalar) -> Terms:
        r, m = log_return, market_return
        return m, m**2, r, r**2, r * m


@cross_sectional(unit="1", low=-100.0, high=100.0, source=SHARPE, tolerance=REGRESSION)
class MarketBeta(MarketModel):
    """Slope of the symbol's return on the market's; 0 where the market stands still.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def finish(
        m: Scalar, mm: Scalar, r: Scalar, rr: Scalar, rm: Scalar, count: Scalar
    ) -> Scalar:
        return slope(m, mm, r, rm, count)

    @staticmethod
    def reference(log_return: Window, market_return: Window) -> float:
        return least_squares(market_return, log_return)


@cross_sectional(unit="1", low=-1.0, high=1.0, source=SHARPE)
class MarketCorrelation(MarketModel):
    """Correlation of the symbol's return with the market's; 0 where either is flat.

    A variance of at most 10⁻⁵ of the mean square counts as none; one of up to .04 is
    not told well enough, and masked.
    """

    @staticmethod
    def finish(
        m: Scalar, mm: Scalar, r: Scalar, rr: Scalar, rm: Scalar, count: Scalar
    ) -> Scalar:
        return correlation(m, mm, r, rr, rm, count)

    @staticmethod
    def reference(log_return: Window, market_return: Window) -> float:
        return pearson(market_return, log_return)


@cross_sectional(
    unit="σ of the window",
    low=-100.0,
    high=100.0,
    source="Jensen (1968), The Performance of Mutual Funds",
)
class ResidualReturn(MarketModel):
    """Mean return that the market does not explain, in the symbol's own σ.

    A variance of at most 10⁻⁵ of the mean square counts as none; one of up to .04 is
    not told well enough, and masked.
    """

    @staticmethod
    def finish(
        m: Scalar, mm: Scalar, r: Scalar, rr: Scalar, rm: Scalar, count: Scalar
    ) -> Scalar:
        own = mean(r, count) - slope(m, mm, r, rm, count) * mean(m, count)
        return safe_divide(own, jnp.sqrt(variance(r, rr, count)))

    @staticmethod
    def reference(log_return: Window, market_return: Window) -> float:
        spread = resolved(log_return)
        if spread == 0:
            return 0.0
        beta = least_squares(market_return, log_return)
        own = log_return.mean() - beta * market_return.mean()
        return float(own / np.sqrt(spread))
