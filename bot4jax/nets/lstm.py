"""The LSTM: gated memory with projected residuals (Hochreiter & Schmidhuber 1997)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from bot4jax.nets.carry import Memory
from bot4jax.nets.layers import LayerNorm, Linear, orthogonal
from bot4jax.nets.recurrence import recur
from bot4jax.nets.recurrent import Recurrent
from bot4jax.nets.sizes import LSTMSizes


class LSTMLayer(nnx.Module):
    """norm(hidden + projection of the input), hidden from four gates.

    i, f, o = σ(·), g = tanh(·) of W x + U hidden + b; cell ← f cell + i g;
    hidden ← o tanh(cell). The forget gate opens at 1 (Gers, Schmidhuber & Cummins
    2000), so that the first gradients reach back at all.
    """

    def __init__(self, inputs: int, width: int, rng: np.random.Generator):
        self.width, self.memory = width, (width, width)
        bias = np.repeat(np.array([0, 1, 0, 0], np.float32), width)
        self.input = Linear(inputs, 4 * width, rng, bias=bias)
        self.hidden = Linear(width, 4 * width, rng, start=orthogonal, use_bias=False)
        self.shortcut = Linear(inputs, width, rng, use_bias=False)
        self.norm = LayerNorm(width)

    def step(
        self, memory: Memory, x: Float[Array, " F"]
    ) -> tuple[Memory, Float[Array, " H"]]:
        memory = _cell(self.input(x), self.hidden(memory[0]), memory)
        return memory, self.norm(memory[0] + self.shortcut(x))

    def unroll(
        self, memory: Memory, xs: Float[Array, "T *S F"]
    ) -> tuple[Memory, Float[Array, "T *S H"]]:
        """All that does not wait for the past is one matrix product for all bars."""
        memory, hidden = recur(_cell, self.hidden.weights, self.input(xs), memory)
        return memory, self.norm(hidden + self.shortcut(xs))

    def gates(self, memory: Memory, x: Float[Array, " F"]) -> Float[Array, " G"]:
        """i, f and o at one bar, each unit's."""
        drive = self.input(x) + self.hidden(memory[0])
        return jax.nn.sigmoid(drive[: 3 * self.width])


def _cell(
    drive: Float[Array, "*S G"], past: Float[Array, "*S G"], memory: Memory
) -> Memory:
    _, cell = memory
    i, f, o, g = _gates(drive + past)
    cell = f * cell + i * g
    return o * jnp.tanh(cell), cell


@jax.custom_vjp
def _gates(z: Float[Array, "*S G"]) -> tuple[Array, Array, Array, Array]:
    """i, f, o and g, parted.

    The three that share σ go through it side by side and are parted behind it: on a CPU
    a forward turn takes less than half of what three of their own take. The way back
    joins the four at once, where the derivative of a slice would pad and add.
    """
    width = z.shape[-1] // 4
    i, f, o = jnp.split(jax.nn.sigmoid(z[..., : 3 * width]), 3, axis=-1)
    return i, f, o, jnp.tanh(z[..., 3 * width :])


def _gates_forth(z: Array) -> tuple[tuple, tuple]:
    said = _gates(z)
    return said, said


def _gates_back(said: tuple, gradient: tuple) -> tuple[Array]:
    *switches, g = said
    *on_switches, on_g = gradient
    pairs = zip(on_switches, switches, strict=True)
    own = [on * (open_ * (1 - open_)) for on, open_ in pairs]
    return (jnp.concatenate([*own, on_g * (1 - g * g)], axis=-1),)


_gates.defvjp(_gates_forth, _gates_back)


def lstm(sizes: LSTMSizes, inputs: int, rng: np.random.Generator) -> Recurrent:
    """One layer a width."""
    ends = (inputs, *sizes.widths)
    pairs = zip(ends, sizes.widths, strict=False)
    layers = [LSTMLayer(before, width, rng) for before, width in pairs]
    return Recurrent(layers, takes_many=True)
