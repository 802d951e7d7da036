"""Columns of highs and lows beside those of the bar before."""

import jax.numpy as jnp
from jaxtyping import Array

from bot4jax.kernels.past import Past, price
from bot4jax.numerics import safe_divide
from bot4jax.types import Bar


def ranges(bar: Bar, past: Past) -> dict[str, Array]:
    """Highs and lows beside those of the bar before; ties are exact, in integers."""
    is_known = past.age > 0
    rise = jnp.where(is_known, bar.mid_high - past.high, 0)
    fall = jnp.where(is_known, past.low - bar.mid_low, 0)
    before = jnp.where(is_known, past.mid, bar.mid_close)
    top = jnp.maximum(bar.mid_high, before)
    bottom = jnp.minimum(bar.mid_low, before)
    above = (bar.mid_high - bar.mid_close).astype(jnp.float32)
    below = (bar.mid_close - bar.mid_low).astype(jnp.float32)
    moves = {
        "directional_rise": jnp.where((rise > 0) & (rise > fall), rise, 0),
        "directional_fall": jnp.where((fall > 0) & (fall > rise), fall, 0),
        "true_range": jnp.where(is_known, top - bottom, 0),
    }
    relative = {
        name: safe_divide(move.astype(jnp.float32) / 2, price(bar))
        for name, move in moves.items()
    }
    return relative | {"close_location": safe_divide(below - above, below + above)}
