"""In which state volatility is: its level, its change, its jumps, its own motion."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.moments import mean
from bot4jax.numerics import safe_divide, safe_root
from bot4jax.registry import Additive, Scalar, Terms, Windowed, feature

regime = partial(feature, category="volatility regime")

Window = Float[np.ndarray, " W"]

SHORT = 16
"""Bars of the short side of the volatility ratio, and of a block."""


@regime(
    unit="1",
    low=0.0,
    high=16.0 + 1e-3,
    source="Müller et al. (1997), Volatilities of Different Time Resolutions",
)
class VolatilityRatio(Windowed):
    """Root mean square return of the last 16 bars over the window's; 1 if flat."""

    @staticmethod
    def value(standardised_return: Float[Array, " W"]) -> Scalar:
        squares = standardised_return**2
        return safe_root(safe_divide(squares[-SHORT:].mean(), squares.mean(), 1.0))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        long = np.sqrt((standardised_return**2).mean())
        short = np.sqrt((standardised_return[-SHORT:] ** 2).mean())
        return float(short / long) if long else 1.0


@regime(
    unit="1",
    low=0.0,
    high=16.0,
    source="Corsi, Mittnik, Pigorsch & Pigorsch (2008), The Volatility of Realized "
    "Volatility",
)
class VolatilityOfVolatility(Windowed):
    """Standard deviation over mean of the realised volatility of blocks of 16 bars."""

    @staticmethod
    def value(standardised_return: Float[Array, " W"]) -> Scalar:
        blocks = (standardised_return**2).reshape(-1, SHORT).sum(1)
        realised = jnp.sqrt(blocks)
        return safe_divide(realised.std(), realised.mean())

    @staticmethod
    def reference(standardised_return: Window) -> float:
        parts = np.split(standardised_return, len(standardised_return) // SHORT)
        realised = np.array([np.sqrt((part**2).sum()) for part in parts])
        return float(realised.std() / realised.mean()) if realised.any() else 0.0


@regime(
    window=64,
    unit="σ of training",
    low=0.0,
    high=1000.0,
    source="Parkinson (1980), The Extreme Value Method for Estimating the Variance of "
    "the Rate of Return",
)
class Parkinson(Additive):
    """Volatility from highs and lows: root mean square log range over √(4 ln 2)."""

    @staticmethod
    def terms(standardised_range: Scalar) -> Terms:
        return (standardised_range**2,)

    @staticmethod
    def finish(ranges: Scalar, count: Scalar) -> Scalar:
        return safe_root(mean(ranges, count) / float(4 * np.log(2)))

    @staticmethod
    def reference(standardised_range: Window) -> float:
        return float(np.sqrt((standardised_range**2 / (4 * np.log(2))).mean()))


@regime(
    window=64,
    unit="σ of training",
    low=0.0,
    high=1000.0,
    source="Garman & Klass (1980), On the Estimation of Security Price Volatilities",
)
class GarmanKlass(Additive):
    """Volatility from opens, highs, lows and closes: ½ range² − (2 ln 2 − 1) body²."""

    @staticmethod
    def terms(standardised_range: Scalar, standardised_body: Scalar) -> Terms:
        drift = float(2 * np.log(2) - 1)
        return (0.5 * standardised_range**2 - drift * standardised_body**2,)

    @staticmethod
    def finish(squares: Scalar, count: Scalar) -> Scalar:
        return safe_root(mean(squares, count))

    @staticmethod
    def reference(standardised_range: Window, standardised_body: Window) -> float:
        drift = 2 * np.log(2) - 1
        squares = 0.5 * standardised_range**2 - drift * standardised_body**2
        return float(np.sqrt(max(squares.mean(), 0.0)))


@regime(
    lag=1,
    unit="share",
    low=0.0,
    high=1.0,
    source="Barndorff-Nielsen & Shephard (2004), Power and Bipower Variation",
)
class JumpShare(Additive):
    """Share of squared returns that bipower variation leaves to jumps; 0 if flat."""

    @staticmethod
    def terms(standardised_return: Scalar, standardised_return_1_ago: Scalar) -> Terms:
        z, y = standardised_return, standardised_return_1_ago
        return z**2, jnp.abs(z * y)

    @staticmethod
    def finish(squares: Scalar, products: Scalar, count: Scalar) -> Scalar:
        bipower = float(np.pi / 2) * products
        return jnp.maximum(1 - safe_divide(bipower, squares, 1.0), 0.0)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        size = np.abs(standardised_return)
        realised = (size[1:] ** 2).sum()
        bipower = np.pi / 2 * (size[1:] * size[:-1]).sum()
        return float(max(1 - bipower / realised, 0.0)) if realised else 0.0
