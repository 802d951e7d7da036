"""What a bar is measured against: the bar before it, and frozen units."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bot4jax.numerics import log_growth, safe_divide
from bot4jax.types import Bar


class Past(NamedTuple):
    """What the next bar's columns need of the bars before."""

    mid: Int[Array, " S"]
    trade: Int[Array, " S"]
    """the last one's price"""
    earlier_trade: Int[Array, " S"]
    """the last one's price in the traded bar before that of `trade`"""
    traded_bars: Int[Array, " S"]
    """in which anything was traded, two at most"""
    high: Int[Array, " S"]
    low: Int[Array, " S"]
    sided_count: Int[Array, " S"]
    age: Int[Array, " S"]
    """bars since the symbol was first live"""
    silent: Int[Array, " S"]
    """bars since the symbol was last live"""


class Scales(NamedTuple):
    """Frozen units, fitted on training bars."""

    returns: Float[Array, " S"]
    """standard deviation of a bar's log return"""
    volume: Float[Array, " S"]
    """median base volume of a bar that traded"""
    levels: Float[Array, " L"]
    """weight of each book level's order flow; their absolute values add up to 1"""


def price(bar: Bar) -> Float[Array, " S"]:
    """Closing mid in increments."""
    return bar.anchor + bar.mid_close.astype(jnp.float32) / 2


def log_ratio(bar: Bar, mid: Array, base: Array) -> Float[Array, " S"]:
    """log(mid / base) of two mids; exact where the difference is small."""
    moved = (mid - base).astype(jnp.float32) / 2
    below = bar.anchor + base.astype(jnp.float32) / 2
    return log_growth(safe_divide(moved, below))
