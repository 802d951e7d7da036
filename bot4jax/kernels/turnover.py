"""Columns of what was traded: volumes, by whom, at which prices, and at which cost."""

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from bot4jax.kernels.past import Past, Scales, price
from bot4jax.numerics import pairwise_sum, safe_divide
from bot4jax.types import Bar

RESOLUTION = 1e-5
"""Share of a bar's volume below which a difference of its sums is rounding."""


def volumes(bar: Bar, past: Past, scales: Scales) -> dict[str, Array]:
    volume = bar.base_turnover
    vwap = safe_divide(bar.vwap_offset, volume)
    from_close = (past.mid - bar.mid_close).astype(jnp.float32) / 2
    traded = (volume > 0) & (past.age > 0)
    deviation = jnp.where(traded, safe_divide(vwap + from_close, price(bar)), 0.0)
    level = safe_divide(price(bar), bar.anchor)
    return {
        "volume": volume / scales.volume,
        "notional": volume / scales.volume * level * (1 + deviation),
        "buy_volume": bar.buy_volume / scales.volume,
        "sell_volume": bar.sell_volume / scales.volume,
        "signed_volume": (bar.buy_volume - bar.sell_volume) / scales.volume,
        "money_flow": _money_flow(bar, past) * volume / scales.volume,
        "vwap_deviation": deviation,
    }


def _money_flow(bar: Bar, past: Past) -> Float[Array, " S"]:
    """Typical price over the anchor, signed by its move since the bar before."""
    now = (bar.mid_high, bar.mid_low, bar.mid_close)
    before = (past.high, past.low, past.mid)
    # The sum of three offsets might not fit an int32; their small moves do.
    moved = [(a - b).astype(jnp.float32) for a, b in zip(now, before, strict=True)]
    offset = pairwise_sum([one.astype(jnp.float32) for one in now]) / 6
    typical = safe_divide(bar.anchor + offset, bar.anchor)
    return jnp.where(past.age > 0, jnp.sign(pairwise_sum(moved)) * typical, 0.0)


def unsided(
    turnover: Float[Array, " S"], sided: Float[Array, " S"]
) -> Float[Array, " S"]:
    """Volume whose aggressor is not told; what one rounding error leaves is none."""
    is_told = sided > turnover * (1 - RESOLUTION)
    return jnp.where(is_told, 0.0, turnover - sided)


def classified(bar: Bar, own: dict[str, Array]) -> dict[str, Array]:
    """Bought less sold volume: the aggressor's, and Φ(z) of what has none.

    Bulk classification after Easley, López de Prado & O'Hara (2012): of the volume of
    a bar whose return is z standard deviations the share Φ(z) was bought.
    """
    sided = own["buy_volume"] + own["sell_volume"]
    bulk = unsided(own["volume"], sided)
    leaning = lax.erf(own["standardised_return"] / np.sqrt(2).item())
    return {"classified_volume": own["signed_volume"] + bulk * leaning}


def trades(bar: Bar, past: Past, scales: Scales) -> dict[str, Array]:
    root = jnp.sqrt(bar.anchor * scales.volume)
    signed, sided = bar.buy_count - bar.sell_count, bar.buy_count + bar.sell_count
    return {
        "signed_count": signed.astype(jnp.float32),
        "sided_count": sided.astype(jnp.float32),
        "earlier_sided_count": past.sided_count.astype(jnp.float32),
        "trade_count": bar.trade_count.astype(jnp.float32),
        "signed_root_notional": safe_divide(bar.signed_root_notional, root),
        "effective_spread": bar.effective_spread,
        "realised_spread": bar.realised_spread,
        "price_impact": bar.price_impact,
        "squared_return_fast": safe_divide(bar.squared_return_fast, scales.returns**2),
        "squared_return_slow": safe_divide(bar.squared_return_slow, scales.returns**2),
    }
