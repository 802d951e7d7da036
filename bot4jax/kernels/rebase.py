"""What is remembered of a symbol whose prices and sizes mean something else now.

After a split a price of the past is divided by the factor and a size multiplied by it,
so that returns, ranges and volumes across it are those of a market without one. Prices
are whole increments: what a division leaves over is rounded away once, by at most half
an increment of the new price.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels.bars import (
    FLOATS,
    INTS,
    LEVEL_PRICES,
    LEVEL_SIZES,
    MIDS,
    TRADES,
    OpenBars,
    opened,
)
from bot4jax.kernels.history import Past, Scales, Windows
from bot4jax.kernels.outcome import Pending

WHOLE = ("bid", "ask", *TRADES)
"""Columns of open bars in increments; those in half increments:"""
HALF = ("reference", "earlier_reference", *MIDS)


class Terms(NamedTuple):
    """What new prices are in old ones; where nothing has changed, 1, 0 and 1."""

    changes: Bool[Array | np.ndarray, " S"]
    price: Float[Array | np.ndarray, " S"]
    """a new price over an old one"""
    shift: Float[Array | np.ndarray, " S"]
    """old anchor × `price` − new anchor, increments: what an offset has to make good"""
    anchor: Float[Array | np.ndarray, " S"]
    """new, increments"""
    volume: Float[Array | np.ndarray, " S"]
    """a new size over an old one"""

    def whole(self, offset: Int[Array, "... S"]) -> Int[Array, "... S"]:
        """An offset from the anchor, in increments."""
        return self._moved(offset, self.shift)

    def half(self, offset: Int[Array, "... S"]) -> Int[Array, "... S"]:
        """The offset of a mid, in half increments."""
        return self._moved(offset, 2 * self.shift)

    def _moved(self, offset: Array, shift: Array | np.ndarray) -> Array:
        price, shift, changes = (
            jnp.broadcast_to(one, offset.shape)
            for one in (self.price, shift, self.changes)
        )
        new = jnp.round(offset.astype(jnp.float32) * price + shift)
        return jnp.where(changes, new.astype(jnp.int32), offset)


def rebase_bars(bars: OpenBars, terms: Terms) -> OpenBars:
    """Open bars that nothing has entered yet.

    Their adjustment is what the events make of a share, and 1 again in the bars behind.
    """
    ints, floats = bars.ints, bars.floats
    prices = {name: terms.whole(ints[:, INTS[name]]) for name in WHOLE}
    prices |= {name: terms.half(ints[:, INTS[name]]) for name in HALF}
    for name, column in prices.items():
        ints = ints.at[:, INTS[name]].set(column)
    behind = terms.whole(ints[:, LEVEL_PRICES:].T).T
    sizes = {
        "bid_size": terms.volume,
        "ask_size": terms.volume,
        "earlier_signed_offset": terms.price,
        "adjustment": terms.volume,
    }
    for name, factor in sizes.items():
        floats = floats.at[:, FLOATS[name]].multiply(factor)
    floats = floats.at[:, FLOATS["anchor"]].set(terms.anchor)
    floats = floats.at[:, LEVEL_SIZES:].multiply(terms.volume[:, None])
    return opened(ints.at[:, LEVEL_PRICES:].set(behind), floats)


def rebase_past(past: Past, terms: Terms) -> Past:
    """The bar before."""
    return past._replace(
        mid=terms.half(past.mid),
        trade=terms.whole(past.trade),
        earlier_trade=terms.whole(past.earlier_trade),
        high=terms.half(past.high),
        low=terms.half(past.low),
    )


def rebase_windows(windows: Windows, terms: Terms) -> Windows:
    """The windows of mids; all others are without a dimension."""
    return windows._replace(mids=terms.half(windows.mids.mT).mT)


def rebase_pending(pending: Pending, terms: Terms) -> Pending:
    """Entries and closes of labels that are not known yet."""
    return pending._replace(
        entry=terms.half(pending.entry), close=terms.half(pending.close)
    )


def rebase_scales(scales: Scales, terms: Terms) -> Scales:
    """Units: a median volume is of so many more shares."""
    return scales._replace(volume=scales.volume * terms.volume)
