"""What forecasts came to: running volatility, and labels as they mature.

A decision at the close of bar `t` meets the mid of bar `t + 1` that stands after the
latency, and is judged by the close of bar `t + h`. Its label is known then, and not a
bar earlier.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels import history
from bot4jax.kernels.history import Scales
from bot4jax.numerics import safe_divide, safe_root
from bot4jax.types import Bar

DECAY = 0.97
"""Of the running variance; about 32 bars (RiskMetrics, 1996, uses .94 … .97)."""


class Moments(NamedTuple):
    """Running second moments of a bar's log return, exponentially weighted."""

    variance: Float[Array, " S"]
    covariance: Float[Array, " S"]
    """with the mean return of the live symbols"""
    market_variance: Float[Array, ""]


class Pending(NamedTuple):
    """Forecasts whose labels are not known yet, one row for each of `h + 1` bars."""

    index: Int[Array, ""]
    log_probability: Float[Array, "D K S C"]
    """of every member, then of the vote"""
    scale: Float[Array, "D S"]
    """volatility per bar at the decision"""
    entry: Int[Array, "D S"]
    """executable mid of the row's own bar"""
    close: Int[Array, "D S"]
    live: Bool[Array, "D S"]


class Matured(NamedTuple):
    """Forecasts made `h` bars ago, and what became of them."""

    log_probability: Float[Array, "K S C"]
    label: Int[Array, " S"]
    """0 down, 1 flat, 2 up"""
    counts: Bool[Array, " S"]
    """live at the decision and at the entry, and at the end live or ended for good"""


def init_moments(scales: Scales) -> Moments:
    """Start from the training data's own volatility, without a market factor."""
    return Moments(scales.returns**2, jnp.zeros_like(scales.returns), jnp.float32(0.0))


def push_moments(moments: Moments, columns: dict[str, Array]) -> Moments:
    """One bar later; symbols that are not live keep their moments."""
    r, live = columns["log_return"], columns["live"] > 0
    count = live.sum().astype(jnp.float32)
    market = safe_divide(jnp.where(live, r, 0.0).sum(), count)

    def blend(old: Array, new: Array) -> Array:
        # Not DECAY * old: its rounding, bar after bar the same, piles up in calm.
        return old + (1 - DECAY) * (new - old)

    return Moments(
        jnp.where(live, blend(moments.variance, r**2), moments.variance),
        jnp.where(live, blend(moments.covariance, r * market), moments.covariance),
        blend(moments.market_variance, market**2),
    )


def reset_moments(
    moments: Moments, scales: Scales, is_fresh: Bool[Array, " S"]
) -> Moments:
    """The slots marked start anew; what is the market's own goes on."""
    fresh = init_moments(scales)
    return Moments(
        jnp.where(is_fresh, fresh.variance, moments.variance),
        jnp.where(is_fresh, fresh.covariance, moments.covariance),
        moments.market_variance,
    )


def volatility(moments: Moments) -> Float[Array, " S"]:
    """Standard deviation of one bar's log return, causal."""
    return safe_root(moments.variance)


def init_pending(horizon: int, rows: int, symbols: int) -> Pending:
    depth = horizon + 1
    return Pending(
        index=jnp.int32(0),
        log_probability=jnp.zeros((depth, rows, symbols, 3), jnp.float32),
        scale=jnp.zeros((depth, symbols), jnp.float32),
        entry=jnp.zeros((depth, symbols), jnp.int32),
        close=jnp.zeros((depth, symbols), jnp.int32),
        live=jnp.zeros((depth, symbols), bool),
    )


def reset_pending(pending: Pending, is_fresh: Bool[Array, " S"]) -> Pending:
    """Forecasts about the former owner of a slot are forgotten: none will mature."""
    kept = ~is_fresh
    return Pending(
        index=pending.index,
        log_probability=jnp.where(
            kept[None, None, :, None], pending.log_probability, 0
        ),
        scale=jnp.where(kept[None], pending.scale, 0),
        entry=jnp.where(kept[None], pending.entry, 0),
        close=jnp.where(kept[None], pending.close, 0),
        live=pending.live & kept[None],
    )


def mature(
    pending: Pending, bar: Bar, threshold: Float[Array, ""], has_barriers: bool = False
) -> Matured:
    """The forecasts whose horizon ends with `bar`; call before `push_pending`.

    With barriers the first close beyond the edge decides, if there was one on the way.
    """
    depth = pending.scale.shape[0]
    horizon = depth - 1
    made = jnp.mod(pending.index - horizon, depth)
    entered = jnp.mod(pending.index - horizon + 1, depth)
    # With a horizon of one bar the entry belongs to this very bar.
    entry = bar.mid_entry if horizon == 1 else pending.entry[entered]
    entry_live = bar.live > 0 if horizon == 1 else pending.live[entered]
    scale = pending.scale[made] * horizon**0.5
    log_return = history.log_ratio(bar, bar.mid_close, entry)
    if has_barriers and horizon > 1:
        way = jnp.mod(pending.index - horizon + 1 + jnp.arange(horizon - 1), depth)
        passed = jax.vmap(lambda mid: history.log_ratio(bar, mid, entry))
        returns = jnp.concatenate([passed(pending.close[way]), log_return[None]])
        log_return = first_beyond(returns, threshold * scale)
    counts = pending.live[made] & entry_live & (bar.live != 0) & (scale > 0)
    return Matured(
        log_probability=pending.log_probability[made],
        label=classify(log_return, threshold * scale),
        counts=counts & (pending.index >= horizon),
    )


def first_beyond(
    returns: Float[Array, "H S"], edge: Float[Array, " S"]
) -> Float[Array, " S"]:
    """The first return beyond ±edge, else the last one."""
    is_beyond = (jnp.abs(returns) > edge[None]).at[-1].set(True)
    first = jnp.argmax(is_beyond, axis=0)
    return jnp.take_along_axis(returns, first[None], axis=0)[0]


def classify(log_return: Array, edge: Array) -> Int[Array, " S"]:
    """0 below −edge, 2 above edge, 1 between."""
    up = (log_return > edge).astype(jnp.int32)
    down = (log_return < -edge).astype(jnp.int32)
    return 1 + up - down


def push_pending(
    pending: Pending, log_probability: Float[Array, "K S C"], scale: Array, bar: Bar
) -> Pending:
    """Remember this bar's forecasts until their horizon has passed."""
    at = jnp.mod(pending.index, pending.scale.shape[0])

    def write(rows: Array, row: Array) -> Array:
        return lax.dynamic_update_index_in_dim(rows, row, at, 0)

    return Pending(
        index=pending.index + 1,
        log_probability=write(pending.log_probability, log_probability),
        scale=write(pending.scale, scale),
        entry=write(pending.entry, bar.mid_entry),
        close=write(pending.close, bar.mid_close),
        live=write(pending.live, bar.live > 0),
    )
