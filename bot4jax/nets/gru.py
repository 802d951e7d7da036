"""The GRU: two gates and no separate cell (Cho et al. 2014)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from bot4jax.nets.carry import Memory
from bot4jax.nets.layers import LayerNorm, Linear, orthogonal
from bot4jax.nets.recurrent import Recurrent
from bot4jax.nets.sizes import GRUSizes

UNROLL = 1
"""Steps of a scan that are compiled as one: fewer turns of the loop."""


class GRULayer(nnx.Module):
    """norm(hidden), hidden from a reset and an update gate.

    r, z = σ(W x + U hidden + b); n = tanh(W x + r (U hidden + c) + b);
    hidden ← (1 − z) n + z hidden. The reset gate acts after the product, so that the
    three products are one.
    """

    def __init__(self, inputs: int, width: int, rng: np.random.Generator):
        self.width, self.memory = width, (width,)
        self.input = Linear(inputs, 3 * width, rng)
        self.hidden = Linear(width, 3 * width, rng, start=orthogonal)
        self.norm = LayerNorm(width)

    def step(
        self, memory: Memory, x: Float[Array, " F"]
    ) -> tuple[Memory, Float[Array, " H"]]:
        memory, hidden = self._turn(memory, self.input(x))
        return memory, self.norm(hidden)

    def unroll(
        self, memory: Memory, xs: Float[Array, "T F"]
    ) -> tuple[Memory, Float[Array, "T H"]]:
        memory, hidden = lax.scan(self._turn, memory, self.input(xs), unroll=UNROLL)
        return memory, self.norm(hidden)

    def _turn(
        self, memory: Memory, drive: Float[Array, " G"]
    ) -> tuple[Memory, Float[Array, " H"]]:
        (hidden,) = memory
        r, z, n = jnp.split(drive, 3)
        past_r, past_z, past_n = jnp.split(self.hidden(hidden), 3)
        n = jnp.tanh(n + jax.nn.sigmoid(r + past_r) * past_n)
        z = jax.nn.sigmoid(z + past_z)
        hidden = n + z * (hidden - n)
        return (hidden,), hidden


def gru(sizes: GRUSizes, inputs: int, rng: np.random.Generator) -> Recurrent:
    """One layer a width."""
    ends = (inputs, *sizes.widths)
    pairs = zip(ends, sizes.widths, strict=False)
    return Recurrent([GRULayer(before, width, rng) for before, width in pairs])
