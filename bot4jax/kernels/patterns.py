"""How many patterns returns make: orders of five, and new words in their signs."""

from functools import partial
from itertools import permutations
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from bot4jax.kernels.moments import shannon
from bot4jax.numerics import safe_divide, safe_log
from bot4jax.registry import Incremental, Scalar, feature

information = partial(feature, category="information")

Window = Float[np.ndarray, " W"]

ORDER = 5
"""Consecutive returns whose order is one pattern."""
PLACES = (24, 6, 2, 1, 0)
"""Worth of each return's inversions: 5! patterns are numbered 0 … 119."""
PATTERNS = 120


class Orders(NamedTuple):
    """Patterns of the window and how often each of them occurs."""

    ring: Int[Array, " W"]
    counts: Int[Array, " P"]
    oldest: Int[Array, ""]
    """what the next pattern is written over"""


@information(
    lag=ORDER - 1,
    unit="1",
    low=0.0,
    high=1.0 + 1e-5,
    source="Bandt & Pompe (2002), Permutation Entropy",
)
class PermutationEntropy5(Incremental):
    """Entropy of the order of five consecutive returns; 1 if all 120 are even.

    Equal returns rank by age, the older first. Bias about −.05: half of the patterns
    are seen twice at most.
    """

    @staticmethod
    def init(window: int) -> Orders:
        none = jnp.int32(PATTERNS)
        return Orders(jnp.full(window, none), jnp.zeros(PATTERNS, jnp.int32), none)

    @staticmethod
    def update(
        state: Orders,
        standardised_return_window: Float[Array, " W"],
        bar: Int[Array, ""],
    ) -> tuple[Orders, Int[Array, " P"]]:
        pattern = number_of(standardised_return_window[-ORDER:])
        place = bar % state.ring.size
        cells = jnp.arange(PATTERNS, dtype=jnp.int32)
        come, left = (
            (cells == one).astype(jnp.int32) for one in (pattern, state.oldest)
        )
        ring = lax.dynamic_update_index_in_dim(state.ring, pattern, place, 0)
        counts = state.counts + come - left
        after = (place + 1) % state.ring.size
        oldest = lax.dynamic_index_in_dim(ring, after, 0, False)
        return Orders(ring, counts, oldest), counts

    @staticmethod
    def finish(found: Int[Array, " P"]) -> Scalar:
        counts = found.astype(jnp.float32)
        shares = safe_divide(counts, counts.sum(keepdims=True))
        return -(shares * safe_log(shares)).sum() / float(np.log(PATTERNS))

    @staticmethod
    def reference(standardised_return: Window) -> float:
        pieces = np.lib.stride_tricks.sliding_window_view(standardised_return, ORDER)
        orders = np.argsort(pieces, axis=1, kind="stable")
        every = list(permutations(range(ORDER)))
        counts = [(orders == order).all(1).sum() for order in every]
        return shannon(np.array(counts)) / np.log(PATTERNS)


def number_of(returns: Float[Array, " M"]) -> Int[Array, ""]:
    """The number of the returns' order, from how many later ones are smaller."""
    number = jnp.int32(0)
    for i in range(ORDER):
        smaller = (returns[i + 1 :] < returns[i]).astype(jnp.int32).sum()
        number += PLACES[i] * smaller
    return number
