"""What was found in boxes of bars, kept until they leave the window.

A window is cut into boxes from its newest bar backwards. As it moves on by one bar, so
do all its boxes: they are those that ended a box, two boxes … before. So only the box
that ends with the newest bar is looked into, and its value is kept for the others.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from bot4jax.registry import Scalar

BoxRings = Float[Array, "K W"]
"""A value for each size of box and bar at which a box ended; boxes of one window lie
side by side."""


def init(window: int, count: int) -> BoxRings:
    """Rings for so many sizes of boxes."""
    return jnp.zeros((count, window))


def push(
    rings: BoxRings, values: Sequence[Scalar], sizes: Sequence[int], bar: Int[Array, ""]
) -> tuple[BoxRings, list[Float[Array, " B"]]]:
    """The values of the newest boxes in; those of the window's boxes, size by size."""
    window = rings.shape[1]
    rows = [jnp.full_like(bar, k) for k in range(len(sizes))]
    firsts = [bar % size * (window // size) for size in sizes]
    for k, (value, size) in enumerate(zip(values, sizes, strict=True)):
        place = firsts[k] + bar // size % (window // size)
        at = (rows[k], place)
        rings = lax.dynamic_update_slice(rings, value[None, None], at)
    # Read after all is written: a write would copy what is still to be read.
    found = [
        lax.dynamic_slice(rings, (row, first), (1, window // size))[0]
        for row, first, size in zip(rows, firsts, sizes, strict=True)
    ]
    return rings, found
