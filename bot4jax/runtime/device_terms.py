"""What a split or new terms make of prices and sizes on the device."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe
from bot4jax.kernels.rebase import Terms
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.terms import changes_terms, is_split, ratio, universe_after


def unchanged(symbols: int) -> Terms:
    """Terms in which everything stays what it is; no bars have an anchor in them."""
    each = np.ones(symbols, np.float32)
    return Terms(np.zeros(symbols, bool), each, 0 * each, 0 * each, each)


def terms_after(
    events: Iterable[Reference], anchors: Int[np.ndarray, " S"], universe: Universe
) -> tuple[Terms | None, Int[np.ndarray, " S"]]:
    """What the events make of prices and sizes on the device, and the anchors then.

    Sizes are base units there, so that only a split changes them.
    """
    price, volume = np.ones(len(anchors)), np.ones(len(anchors))
    for event in filter(changes_terms, events):
        slot = event.symbol
        price[slot] *= ratio(universe.instruments[slot], event).increments
        volume[slot] *= event.factor if is_split(event) else 1.0
        universe = universe_after(universe, [event])
    changes = (price != 1) | (volume != 1)
    if not changes.any():
        return None, anchors
    moved = np.round(anchors * price).astype(np.int64)
    terms = Terms(
        changes=changes,
        price=price.astype(np.float32),
        shift=(anchors * price - moved).astype(np.float32),
        anchor=moved.astype(np.float32),
        volume=volume.astype(np.float32),
    )
    return terms, moved
