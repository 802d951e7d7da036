"""From a forecast to a target position: its worth, its cost, what is risked.

Every clamp shrinks risk and none enlarges it; NaN means no trade.
"""

import enum
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.numerics import safe_root


class Clamp(enum.IntFlag):
    """Why a target is smaller than the forecast asked for."""

    NOT_LIVE = 1
    COST = 2
    SYMBOL_CAP = 4
    VOLATILITY = 8
    GROSS = 16
    NET = 32
    NO_MEMBER = 64
    NOT_FINITE = 128
    TOO_SLOW = 256
    """the members had not answered in time; the fallback decides, and opens nothing"""
    UNSEEN = 512
    """the fallback had not either; what is held is kept"""


HALVINGS = 36
"""Steps of bisection: the factor is then as exact as float32 has it."""


class SizingParams(NamedTuple):
    """What a class is worth, what trading costs, how much may be risked."""

    class_mean: Float[Array, " C"]
    """mean return of a class, in units of σ √h"""
    class_square: Float[Array, " C"]
    """mean squared return of a class, in units of σ² h"""
    kelly: Float[Array, ""]
    """share of the growth-optimal position, at most a quarter"""
    fee: Float[Array, " S"]
    """taker's fee, share of notional"""
    symbol_cap: Float[Array, ""]
    """largest position, share of capital"""
    gross_cap: Float[Array, ""]
    net_cap: Float[Array, ""]
    volatility_cap: Float[Array, ""]
    """standard deviation of the book's return over one horizon"""


class Risk(NamedTuple):
    """A one-factor covariance of returns over one bar."""

    volatility: Float[Array, " S"]
    beta: Float[Array, " S"]
    market_volatility: Float[Array, ""]


class Forecast(NamedTuple):
    """Mean and variance of the return over the horizon."""

    mean: Float[Array, " S"]
    variance: Float[Array, " S"]


def forecast(
    params: SizingParams, probability: Float[Array, "S C"], scale: Float[Array, " S"]
) -> Forecast:
    """μ = Σ p·E[r|c], s² = Σ p·E[r²|c] − μ²; `scale` is σ √h."""
    mean = (probability * params.class_mean[None]).sum(1) * scale
    square = (probability * params.class_square[None]).sum(1) * scale**2
    return Forecast(mean, jnp.maximum(square - mean**2, 1e-12))


class Band(NamedTuple):
    """Positions between which trading would cost more than it gains."""

    low: Float[Array, " S"]
    high: Float[Array, " S"]

    def scaled(self, factor: Array, cap: Array) -> "Band":
        """Both edges times the factor, then within ±cap."""
        return Band(
            jnp.clip(self.low * factor, -cap, cap),
            jnp.clip(self.high * factor, -cap, cap),
        )

    def nearest(self, held: Float[Array, " S"]) -> Float[Array, " S"]:
        """What is held, moved only as far as the gain covers the cost of the move."""
        return jnp.clip(held, self.low, self.high)


def no_trade_band(forecast: Forecast, kelly: Array, cost: Array) -> Band:
    """Davis & Norman (1990): with proportional cost the best action is to do nothing
    inside a band and to trade to its edge outside."""
    return Band(
        kelly * (forecast.mean - cost) / forecast.variance,
        kelly * (forecast.mean + cost) / forecast.variance,
    )


def targets(
    params: SizingParams,
    forecast: Forecast,
    risk: Risk,
    horizon: int,
    confidence: Float[Array, " S"],
    half_spread: Float[Array, " S"],
    held: Float[Array, " S"],
    may_open: Bool[Array, " S"],
) -> tuple[Float[Array, " S"], Int[Array, " S"]]:
    """Target shares of capital, and the `Clamp` flags that bound them."""
    kelly = params.kelly * confidence
    free = no_trade_band(forecast, kelly, half_spread + params.fee)
    wanted = kelly * forecast.mean / forecast.variance
    target = free.nearest(held)
    flags = jnp.where(jnp.abs(target - held) < jnp.abs(wanted - held), Clamp.COST, 0)
    factor, why = _common_factor(params, risk, horizon, free, held)
    uncapped = jnp.clip(held, free.low * factor, free.high * factor)
    capped = free.scaled(factor, params.symbol_cap).nearest(held)
    flags = flags | why | jnp.where(capped != uncapped, Clamp.SYMBOL_CAP, 0)
    return _permitted(capped, held, may_open, flags)


def _common_factor(
    params: SizingParams, risk: Risk, horizon: int, band: Band, held: Array
) -> tuple[Array, Array]:
    """The largest factor ≤ 1 that brings volatility, gross and net within their caps.

    It scales the band and not the target: what is held inside the smaller band stays,
    or a factor that trembles from bar to bar would trade every position every bar.
    """

    def excess(factor: Array) -> list[tuple[Clamp, Array]]:
        target = band.scaled(factor, params.symbol_cap).nearest(held)
        # Kept where unknown: one NaN in the sums would lift the caps for everyone.
        target = jnp.where(jnp.isfinite(target), target, held)
        spread = book_volatility(risk, target) * horizon**0.5
        return [
            (Clamp.VOLATILITY, ~(spread <= params.volatility_cap)),
            (Clamp.GROSS, ~(jnp.abs(target).sum() <= params.gross_cap)),
            (Clamp.NET, ~(jnp.abs(target.sum()) <= params.net_cap)),
        ]

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        is_large = jnp.stack([over for _, over in excess(middle)]).any()
        return jnp.where(is_large, low, middle), jnp.where(is_large, middle, high)

    over = excess(jnp.float32(1.0))
    why = jnp.stack([jnp.where(is_over, c.value, 0) for c, is_over in over]).sum()
    # At 0 nothing is held, which is within every cap: `low` never leaves them.
    low, _ = lax.fori_loop(0, HALVINGS, halve, (jnp.float32(0.0), jnp.float32(1.0)))
    return jnp.where(why > 0, low, 1.0), why


def book_volatility(risk: Risk, target: Float[Array, " S"]) -> Float[Array, ""]:
    """Standard deviation of the book's return over one bar; O(S) for one factor."""
    common = (target * risk.beta).sum() * risk.market_volatility
    own = risk.volatility**2 - (risk.beta * risk.market_volatility) ** 2
    alone = (target**2 * jnp.maximum(own, 0.0)).sum()
    return safe_root(common**2 + alone)


def _permitted(
    target: Array, held: Array, may_open: Array, flags: Array
) -> tuple[Array, Array]:
    """Where opening is barred a position may only shrink; NaN keeps what is held."""
    is_finite = jnp.isfinite(target)
    target = jnp.where(is_finite, target, held)
    shrunk = jnp.where(
        target * held > 0, jnp.minimum(jnp.abs(target), jnp.abs(held)), 0.0
    )
    allowed = jnp.where(may_open, target, jnp.sign(held) * shrunk)
    flags = flags | jnp.where(is_finite, 0, Clamp.NOT_FINITE)
    return allowed, flags.astype(jnp.int32)
