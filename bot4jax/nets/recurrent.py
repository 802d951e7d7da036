"""Layers in a row whose whole memory is rewritten at every step."""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from bot4jax.nets.carry import Carry, advance, fresh


class Layer(Protocol):
    """One recurrent layer; `memory` is the length of what it remembers."""

    memory: int
    width: int

    def step(
        self, memory: Float[Array, " K"], x: Float[Array, " F"]
    ) -> tuple[Float[Array, " K"], Float[Array, " H"]]: ...

    def unroll(
        self, memory: Float[Array, " K"], xs: Float[Array, "T F"]
    ) -> tuple[Float[Array, " K"], Float[Array, "T H"]]: ...


class Recurrent(nnx.Module):
    """Each layer reads what the one before it said."""

    period = 1

    def __init__(self, layers: Sequence[Layer]):
        self.layers = nnx.List(layers)
        self.width = layers[-1].width

    def init_state(self) -> Carry:
        return fresh(sum(layer.memory for layer in self.layers))

    def step(
        self, carry: Carry, x: Float[Array, " F"]
    ) -> tuple[Carry, Float[Array, " H"]]:
        return self._pass(carry, x, [layer.step for layer in self.layers], 1)

    def unroll(
        self, carry: Carry, xs: Float[Array, "T F"]
    ) -> tuple[Carry, Float[Array, "T H"]]:
        bars = xs.shape[0]
        return self._pass(carry, xs, [layer.unroll for layer in self.layers], bars)

    def _pass(
        self, carry: Carry, x: Array, layers: Sequence[Callable], bars: int
    ) -> tuple[Carry, Array]:
        ends = list(accumulate(layer.memory for layer in self.layers))
        parts = jnp.split(carry.memory, ends[:-1])
        kept = []
        for layer, part in zip(layers, parts, strict=True):
            part, x = layer(part, x)
            kept.append(part)
        clock = advance(carry.clock, bars, self.period)
        return Carry(jnp.concatenate(kept), (), clock), x
