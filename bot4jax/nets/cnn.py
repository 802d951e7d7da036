"""The CNN: causal dilated convolutions with residuals (Bai, Kolter & Koltun 2018)."""

from itertools import accumulate
from math import lcm

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from bot4jax.nets.carry import (
    Carry,
    Clock,
    advance,
    as_ring,
    fresh,
    is_seen,
    oldest_first,
)
from bot4jax.nets.layers import LayerNorm, Linear
from bot4jax.nets.sizes import CNNSizes


class Convolution(nnx.Module):
    """relu(norm(Σ over taps W_k x[t − k·dilation] + b)) + the input.

    The taps lie side by side in one product. `offset` is where the layer's ring of
    past inputs begins in the net's one flat ring: a flat ring is one leaf.
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        rng: np.random.Generator,
        *,
        kernel: int,
        dilation: int,
        offset: int,
    ):
        self.inputs, self.width, self.offset = inputs, width, offset
        self.reach = (kernel - 1) * dilation
        self.ago = tuple(range(self.reach, -1, -dilation))
        self.taps = Linear(kernel * inputs, width, rng)
        self.norm = LayerNorm(width)
        self.shortcut = (
            None if inputs == width else Linear(inputs, width, rng, use_bias=False)
        )

    @property
    def slots(self) -> int:
        """One more than the reach: the newest is written before the oldest is read."""
        return self.reach + 1

    def step(
        self, ring: Float[Array, " R"], clock: Clock, x: Float[Array, " F"]
    ) -> tuple[Float[Array, " R"], Float[Array, " H"]]:
        ring = lax.dynamic_update_slice(ring, x, (self._place(clock, 0),))
        past = [
            lax.dynamic_slice(ring, (self._place(clock, ago),), (self.inputs,))
            for ago in self.ago[:-1]
        ]
        seen = is_seen(clock, jnp.array(self.ago[:-1], jnp.int32))
        past = [jnp.where(seen[k], row, 0) for k, row in enumerate(past)]
        return ring, self._mix(jnp.concatenate([*past, x]), x)

    def unroll(
        self, ring: Float[Array, "*S R"], clock: Clock, xs: Float[Array, "T *S F"]
    ) -> tuple[Float[Array, "*S r"], Float[Array, "T *S H"]]:
        """Returns the layer's own stretch of the ring only."""
        bars, slots, symbols = xs.shape[0], self.slots, xs.shape[1:-1]
        own = lax.dynamic_slice_in_dim(ring, self.offset, slots * self.inputs, -1)
        own = jnp.moveaxis(own.reshape(*symbols, slots, self.inputs), -2, 0)
        rows = jnp.concatenate([oldest_first(own, clock, axis=0), xs])
        taps = [rows[slots - ago : slots - ago + bars] for ago in self.ago]
        after = Clock(clock.index + bars, clock.age)
        own = jnp.moveaxis(as_ring(rows, after, slots, axis=0), 0, -2)
        own = own.reshape(*symbols, slots * self.inputs)
        return own, self._mix(jnp.concatenate(taps, axis=-1), xs)

    def _place(self, clock: Clock, ago: int) -> Array:
        """Where the input of some bars ago lies."""
        return self.offset + (clock.index - ago) % self.slots * self.inputs

    def _mix(self, taps: Array, x: Array) -> Array:
        direct = x if self.shortcut is None else self.shortcut(x)
        return jax.nn.relu(self.norm(self.taps(taps))) + direct


class CNN(nnx.Module):
    """Convolutions in a row, whose rings turn together."""

    takes_many = True

    def __init__(self, sizes: CNNSizes, inputs: int, rng: np.random.Generator):
        channels = (inputs, *sizes.channels)
        slots = [(sizes.kernel - 1) * dilation + 1 for dilation in sizes.dilations]
        lengths = [n * width for n, width in zip(slots, channels, strict=False)]
        offsets = [0, *accumulate(lengths)]
        self.width, self.ring = sizes.channels[-1], offsets[-1]
        self.period = lcm(*slots)
        self.layers = nnx.List(
            Convolution(
                channels[k],
                channels[k + 1],
                rng,
                kernel=sizes.kernel,
                dilation=dilation,
                offset=offsets[k],
            )
            for k, dilation in enumerate(sizes.dilations)
        )

    def init_state(self) -> Carry:
        return fresh(rings=((self.ring,),))

    def step(
        self, carry: Carry, x: Float[Array, " F"]
    ) -> tuple[Carry, Float[Array, " H"]]:
        (ring,) = carry.rings
        for layer in self.layers:
            ring, x = layer.step(ring, carry.clock, x)
        clock = advance(carry.clock, 1, self.period)
        return Carry(carry.memory, (ring,), clock), x

    def unroll(
        self, carry: Carry, xs: Float[Array, "T *S F"]
    ) -> tuple[Carry, Float[Array, "T *S H"]]:
        """A causal convolution whose padding is the past itself."""
        (ring,), bars, kept = carry.rings, xs.shape[0], []
        for layer in self.layers:
            own, xs = layer.unroll(ring, carry.clock, xs)
            kept.append(own)
        clock = advance(carry.clock, bars, self.period)
        return Carry(carry.memory, (jnp.concatenate(kept, -1),), clock), xs
