"""VPIN: how one-sided trading has been, counted in volume instead of time.

Volume falls into buckets of equal size one after the other, whatever time they take. A
bar that does not fit into what is left of one is split, both sides alike, and goes on
in the next: events within a bar are not ordered here, as in the paper, whose bars last
a minute.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.tolerances import SPLIT_VOLUME
from bot4jax.numerics import safe_divide
from bot4jax.registry import Incremental, Scalar, feature

microstructure = partial(feature, category="microstructure")

Window = Float[np.ndarray, " W"]
Buckets = Float[Array, " B"]

BUCKETS = 50
"""Full buckets that count, as in the paper."""
BUCKET = 4.0
"""Median bar volumes of the training data that fill a bucket."""
SLACK = 2.0**-13
"""Of a bucket: what lacks less is full. Volumes come in lots, so buckets often fill to
the last one, and rounding must not decide whether they did."""


@microstructure(
    unit="share",
    low=0.0,
    high=1.001,
    source="Easley, López de Prado & O'Hara (2012), Flow Toxicity and Liquidity in a "
    "High-Frequency World",
    tolerance=SPLIT_VOLUME,
    carried=True,
)
class Vpin(Incremental):
    """Mean share by which one side outweighs the other in the last 50 volume buckets.

    A trade counts for its aggressor, what has none is classified in bulk, by the bar's
    return (column `classified_volume`). A bar counts with no more than all buckets
    hold; 0 before the first is full. What a bucket is cut from reaches back without
    limit, so its filling is carried.
    """

    @staticmethod
    def init() -> tuple[Buckets, Float[Array, "3"]]:
        """Imbalances of full buckets; how many were filled, what is in the open one.

        Volumes are in buckets. The count starts again from 50 when it reaches 100: it
        tells where the next full bucket goes, and whether all 50 hold one.
        """
        return jnp.zeros(BUCKETS, jnp.float32), jnp.zeros(3, jnp.float32)

    @staticmethod
    def update(
        state: tuple[Buckets, Float[Array, "3"]],
        classified_volume: Scalar,
        volume: Scalar,
    ) -> tuple[tuple[Buckets, Float[Array, "3"]], Scalar]:
        full, (filled, inside, net) = state
        leaning = safe_divide(classified_volume, volume)
        end = inside + jnp.minimum(volume / BUCKET, float(BUCKETS))
        closed = jnp.floor(end + SLACK)
        first = net + leaning * (jnp.where(closed > 0, 1.0, end) - inside)
        # Which of the buckets filled now, if any, each place is for.
        next_place = jnp.where(filled >= BUCKETS, filled - BUCKETS, filled)
        turn = jnp.arange(BUCKETS, dtype=jnp.float32) - next_place
        turn = jnp.where(turn < 0, turn + BUCKETS, turn)
        imbalance = jnp.where(turn == 0, jnp.abs(first), jnp.abs(leaning))
        full = jnp.where(turn < closed, imbalance, full)
        filled = filled + closed
        filled = jnp.where(filled >= 2 * BUCKETS, filled - BUCKETS, filled)
        rest = end - closed
        net = jnp.where(closed > 0, leaning * rest, first)
        counted = jnp.minimum(filled, float(BUCKETS))
        value = safe_divide(full.sum(), counted)
        return (full, jnp.stack([filled, rest, net])), value

    @staticmethod
    def path(classified_volume: Window, volume: Window) -> Window:
        full, inside, net, found = [], 0.0, 0.0, []
        for signed, total in zip(classified_volume, volume, strict=True):
            leaning = signed / total if total else 0.0
            left = min(total / BUCKET, BUCKETS)
            while left + SLACK >= 1 - inside:
                full.append(abs(net + leaning * (1 - inside)))
                left, inside, net = left - (1 - inside), 0.0, 0.0
            inside, net = inside + left, net + leaning * left
            found.append(np.mean(full[-BUCKETS:]) if full else 0.0)
        return np.array(found)
