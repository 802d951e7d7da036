"""The GRU: two gates and no separate cell (Cho et al. 2014)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from bot4jax.nets.carry import Memory
from bot4jax.nets.layers import LayerNorm, Linear, orthogonal
from bot4jax.nets.recurrence import recur
from bot4jax.nets.recurrent import Recurrent
from bot4jax.nets.sizes import GRUSizes


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
        memory = _cell(self.input(x), self.hidden(memory[0]), memory)
        return memory, self.norm(memory[0])

    def unroll(
        self, memory: Memory, xs: Float[Array, "T *S F"]
    ) -> tuple[Memory, Float[Array, "T *S H"]]:
        memory, hidden = recur(_cell, self.hidden.weights, self.input(xs), memory)
        return memory, self.norm(hidden)

    def gates(self, memory: Memory, x: Float[Array, " F"]) -> Float[Array, " G"]:
        """r and z at one bar, each unit's."""
        drive = self.input(x) + self.hidden(memory[0])
        return jax.nn.sigmoid(drive[: 2 * self.width])


def _cell(
    drive: Float[Array, "*S G"], past: Float[Array, "*S G"], memory: Memory
) -> Memory:
    (hidden,) = memory
    r, z, n = jnp.split(drive, 3, axis=-1)
    past_r, past_z, past_n = jnp.split(past, 3, axis=-1)
    n = jnp.tanh(n + jax.nn.sigmoid(r + past_r) * past_n)
    z = jax.nn.sigmoid(z + past_z)
    return (n + z * (hidden - n),)


def gru(sizes: GRUSizes, inputs: int, rng: np.random.Generator) -> Recurrent:
    """One layer a width."""
    ends = (inputs, *sizes.widths)
    pairs = zip(ends, sizes.widths, strict=False)
    layers = [GRULayer(before, width, rng) for before, width in pairs]
    return Recurrent(layers, takes_many=True)
