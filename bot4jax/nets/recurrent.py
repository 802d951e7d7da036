"""Layers in a row whose whole memory is rewritten at every step."""

from collections.abc import Callable, Sequence
from itertools import chain, islice
from typing import Protocol, runtime_checkable

from flax import nnx
from jaxtyping import Array, Float

from bot4jax.nets.carry import Carry, Memory, advance, fresh


class Layer(Protocol):
    """One recurrent layer; `memory` is the lengths of the vectors that it remembers."""

    memory: tuple[int, ...]
    width: int

    def step(
        self, memory: Memory, x: Float[Array, " F"]
    ) -> tuple[Memory, Float[Array, " H"]]: ...

    def unroll(
        self, memory: Memory, xs: Float[Array, "T *S F"]
    ) -> tuple[Memory, Float[Array, "T *S H"]]: ...


@runtime_checkable
class Gated(Protocol):
    """A layer that can say how far its gates are open; it need not have any."""

    def gates(self, memory: Memory, x: Float[Array, " F"]) -> Float[Array, " G"]:
        """Each between 0, shut, and 1, open, at the bar that comes next."""
        ...


class Recurrent(nnx.Module):
    """Each layer reads what the one before it said.

    `takes_many` says that every layer unrolls many symbols side by side too.
    """

    period = 1

    def __init__(self, layers: Sequence[Layer], takes_many: bool = False):
        self.layers, self.takes_many = nnx.List(layers), takes_many
        self.width = layers[-1].width

    def init_state(self) -> Carry:
        return fresh(chain.from_iterable(layer.memory for layer in self.layers))

    def step(
        self, carry: Carry, x: Float[Array, " F"]
    ) -> tuple[Carry, Float[Array, " H"]]:
        return self._pass(carry, x, [layer.step for layer in self.layers], 1)

    def unroll(
        self, carry: Carry, xs: Float[Array, "T *S F"]
    ) -> tuple[Carry, Float[Array, "T *S H"]]:
        bars = xs.shape[0]
        return self._pass(carry, xs, [layer.unroll for layer in self.layers], bars)

    @property
    def gated(self) -> tuple[int, ...]:
        """Which of the layers have gates."""
        return tuple(i for i, own in enumerate(self.layers) if isinstance(own, Gated))

    def gates(
        self, carry: Carry, x: Float[Array, " F"]
    ) -> tuple[Float[Array, " G"], ...]:
        """Those of each of them at the bar that comes next."""
        left, found = iter(carry.memory), []
        for layer in self.layers:
            memory = tuple(islice(left, len(layer.memory)))
            if isinstance(layer, Gated):
                found.append(layer.gates(memory, x))
            _, x = layer.step(memory, x)
        return tuple(found)

    def _pass(
        self, carry: Carry, x: Array, turns: Sequence[Callable], bars: int
    ) -> tuple[Carry, Array]:
        left, kept = iter(carry.memory), []
        for layer, turn in zip(self.layers, turns, strict=True):
            own, x = turn(tuple(islice(left, len(layer.memory))), x)
            kept += own
        clock = advance(carry.clock, bars, self.period)
        return Carry(tuple(kept), (), clock), x
