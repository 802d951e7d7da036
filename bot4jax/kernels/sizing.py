"""From a forecast to a target position: its worth, its cost, what is risked.

Every clamp shrinks risk and none enlarges it; NaN means no trade.
"""

import enum
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bot4jax.numerics import safe_divide, safe_root


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


def no_trade_band(
    forecast: Forecast, kelly: Array, cost: Array, held: Array
) -> Float[Array, " S"]:
    """What is held, moved only as far as the gain covers the cost of the move.

    Davis & Norman (1990): with proportional cost the best action is to do nothing
    inside a band and to trade to its edge outside.
    """
    low = kelly * (forecast.mean - cost) / forecast.variance
    high = kelly * (forecast.mean + cost) / forecast.variance
    return jnp.clip(held, low, high)


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
    cost = half_spread + params.fee
    wanted = kelly * forecast.mean / forecast.variance
    target = no_trade_band(forecast, kelly, cost, held)
    flags = jnp.where(jnp.abs(target - held) < jnp.abs(wanted - held), Clamp.COST, 0)
    capped = jnp.clip(target, -params.symbol_cap, params.symbol_cap)
    flags = flags | jnp.where(capped != target, Clamp.SYMBOL_CAP, 0)
    factor, why = _common_factor(params, risk, horizon, capped)
    target = capped * factor
    net = jnp.abs(target.sum())
    narrowed = target * jnp.minimum(1.0, safe_divide(params.net_cap, net, 1.0))
    flags = flags | why | jnp.where(net > params.net_cap, Clamp.NET, 0)
    return _permitted(narrowed, held, may_open, flags)


def _common_factor(
    params: SizingParams, risk: Risk, horizon: int, target: Array
) -> tuple[Array, Array]:
    """The one factor ≤ 1 that brings volatility and gross within their caps."""
    spread = book_volatility(risk, target) * horizon**0.5
    gross = jnp.abs(target).sum()
    by_risk = jnp.minimum(1.0, safe_divide(params.volatility_cap, spread, 1.0))
    by_gross = jnp.minimum(1.0, safe_divide(params.gross_cap, gross, 1.0))
    why = jnp.where(by_risk < 1, Clamp.VOLATILITY, 0)
    why = why | jnp.where(by_gross < 1, Clamp.GROSS, 0)
    return jnp.minimum(by_risk, by_gross), why


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
