"""Wilder's sums of how far a price moves within a bar, shared by their indicators."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bot4jax.kernels.smoothing import faded
from bot4jax.registry import Incremental, Scalar

Sums = Float[Array, "2"]
"""Net directional movement and true ranges, over the newest close."""


class NetMovement(Incremental):
    """Rises of the high less falls of the low, and true ranges.

    Movements are netted before they are summed: two long sums that nearly cancel would
    leave their rounding.
    """

    @staticmethod
    def init() -> Sums:
        return jnp.zeros(2, jnp.float32)

    @staticmethod
    def update(
        state: Sums,
        log_return: Scalar,
        directional_rise: Scalar,
        directional_fall: Scalar,
        true_range: Scalar,
    ) -> tuple[Sums, Sums]:
        net = directional_rise - directional_fall
        state = faded(state, log_return, jnp.stack([net, true_range]))
        return state, state
