"""The Transformer: attention over the last bars (Vaswani et al. 2017).

Keys and values lie in rings `[blocks, key heads, d, context]`, the bars minor. They
are read whole at every step and so are the net's cost; key heads that several query
heads share divide it (Shazeer 2019, Fast Transformer Decoding: One Write-Head Is All
You Need).
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.nets.carry import (
    Carry,
    Clock,
    advance,
    as_ring,
    distances,
    fresh,
    is_seen,
    oldest_first,
)
from bot4jax.nets.layers import LayerNorm, Linear
from bot4jax.nets.sizes import TransformerSizes

NEVER = -1e30
"""Score of what must not be attended to; its exponential is 0."""


class Block(nnx.Module):
    """x + attention(norm(x)), then x + feed-forward(norm(x)) (Xiong et al. 2020).

    Positions are relative: one bias a head and distance (Raffel et al. 2020), stored
    by minus the distance, modulo the context, so that the ring's slots see it rolled.
    """

    def __init__(self, sizes: TransformerSizes, row: int, rng: np.random.Generator):
        width, self.row, self.context = sizes.width, row, sizes.context
        self.groups, self.depth = sizes.key_heads, width // sizes.heads
        self.shared = sizes.heads // sizes.key_heads
        inner = width + 2 * self.groups * self.depth
        bias = (self.groups, self.shared, self.context)
        self.norm = LayerNorm(width)
        self.project = Linear(width, inner, rng, use_bias=False)
        self.bias = nnx.Param(np.zeros(bias, np.float32))
        self.out = Linear(width, width, rng, use_bias=False)
        self.mix_norm = LayerNorm(width)
        self.widen = Linear(width, sizes.feed_forward, rng)
        self.narrow = Linear(sizes.feed_forward, width, rng)

    def step(
        self, keys: Array, values: Array, clock: Clock, x: Float[Array, " H"]
    ) -> tuple[Array, Array, Float[Array, " H"]]:
        """Write this bar's key and value, then attend to the rings as they lie.

        Products are written out as sums: small matrix products, one a symbol, take
        longer.
        """
        query, key, value = self._heads(x)
        place = (self.row, 0, 0, clock.index % self.context)
        keys = lax.dynamic_update_slice(keys, key[None, ..., None], place)
        values = lax.dynamic_update_slice(values, value[None, ..., None], place)
        seen = is_seen(clock, distances(clock, self.context))[None, None]
        bias = jnp.roll(self.bias[...], clock.index % self.context, axis=2)
        scores = jnp.sum(query[..., None] * keys[self.row][:, None], axis=2)
        weight, total = _weights(scores + bias, seen)
        read = jnp.where(seen, values[self.row], 0)[:, None]
        mixed = jnp.sum(weight[:, :, None] * read, axis=-1) / total
        return keys, values, self._mix(x, mixed.reshape(-1))

    def unroll(
        self, keys: Array, values: Array, clock: Clock, xs: Float[Array, "T *S H"]
    ) -> tuple[Array, Array, Float[Array, "T *S H"]]:
        """Banded attention over the rings, oldest first, followed by the new bars.

        Returns the block's own rows of the rings. Only attention itself is a matter of
        one symbol: all symbols' bars go side by side through the rest.
        """
        near, bias = self._band(xs.shape[0])
        attend = partial(self._attend, near, clock.index)
        if xs.ndim > 2:
            bias = _spread(bias, xs.shape[1])
            attend = jax.vmap(attend, (0, 0, 0, 1), (0, 1))
        rings = keys[..., self.row, :, :, :], values[..., self.row, :, :, :]
        (keys, values), mixed = attend(clock.age, bias, rings, self._heads(xs))
        return keys, values, self._mix(xs, mixed)

    def _band(self, bars: int) -> tuple[Bool[Array, "T R"], Float[Array, "G N T R"]]:
        """Which rows, the ring's and then the new ones, each new bar may read, and
        their bias."""
        at = jnp.arange(self.context + bars, dtype=jnp.int32)
        ago = at[self.context :, None] - at[None]
        near = (ago >= 0) & (ago < self.context)
        return near, self.bias[...][:, :, -ago % self.context]

    def _attend(
        self,
        near: Bool[Array, "T R"],
        index: Int[Array, ""],
        age: Float[Array, ""],
        bias: Float[Array, "G N T R"],
        rings: tuple[Array, Array],
        new: tuple[Array, Array, Array],
    ) -> tuple[tuple[Array, Array], Float[Array, "T H"]]:
        """One symbol's attention, and its rings behind the last bar.

        Of each new bar there are query, key and value.
        """
        clock, context, bars = Clock(index, age), self.context, near.shape[0]
        query, *written = (jnp.moveaxis(one, 0, -2) for one in new)
        written = (jnp.swapaxes(one, -1, -2) for one in written)
        keys, values = (
            jnp.concatenate([oldest_first(ring, clock, 2), rows], axis=2)
            for ring, rows in zip(rings, written, strict=True)
        )
        first = context - jnp.minimum(age, context).astype(jnp.int32)
        seen = near & (jnp.arange(context + bars, dtype=jnp.int32) >= first)[None]
        scores = jnp.einsum("ghtd,gdr->ghtr", query, keys) + bias
        weight, total = _weights(scores, seen[None, None])
        mixed = jnp.einsum("ghtr,gdr->ghtd", weight, values) / total
        mixed = jnp.moveaxis(mixed, 2, 0).reshape(bars, -1)
        after = Clock(index + bars, age)
        keys, values = (as_ring(rows, after, context, 2) for rows in (keys, values))
        return (keys, values), mixed

    def _heads(self, x: Float[Array, "*T H"]) -> tuple[Array, Array, Array]:
        """Query, scaled by 1/√d, key and value."""
        inner, rows, width = self.project(self.norm(x)), x.shape[:-1], x.shape[-1]
        shape, shared = (*rows, self.groups, self.depth), self.shared
        ends = (width, width + self.groups * self.depth)
        query, key, value = jnp.split(inner, ends, axis=-1)
        query = query.reshape(*rows, self.groups, shared, self.depth)
        return query * self.depth**-0.5, key.reshape(shape), value.reshape(shape)

    def _mix(self, x: Array, mixed: Array) -> Array:
        x = x + self.out(mixed)
        return x + self.narrow(jax.nn.relu(self.widen(self.mix_norm(x))))


class Transformer(nnx.Module):
    """Blocks in a row over rings that turn together."""

    takes_many = True

    def __init__(self, sizes: TransformerSizes, inputs: int, rng: np.random.Generator):
        self.width, self.period = sizes.width, sizes.context
        depth = sizes.width // sizes.heads
        self.ring = (sizes.blocks, sizes.key_heads, depth, sizes.context)
        self.embed = Linear(inputs, sizes.width, rng)
        self.blocks = nnx.List(Block(sizes, row, rng) for row in range(sizes.blocks))
        self.norm = LayerNorm(sizes.width)

    def init_state(self) -> Carry:
        return fresh(rings=(self.ring, self.ring))

    def step(
        self, carry: Carry, x: Float[Array, " F"]
    ) -> tuple[Carry, Float[Array, " H"]]:
        (keys, values), x = carry.rings, self.embed(x)
        for block in self.blocks:
            keys, values, x = block.step(keys, values, carry.clock, x)
        clock = advance(carry.clock, 1, self.period)
        return Carry(carry.memory, (keys, values), clock), self.norm(x)

    def unroll(
        self, carry: Carry, xs: Float[Array, "T *S F"]
    ) -> tuple[Carry, Float[Array, "T *S H"]]:
        (keys, values), xs, rows = carry.rings, self.embed(xs), []
        for block in self.blocks:
            key, value, xs = block.unroll(keys, values, carry.clock, xs)
            rows.append((key, value))
        keys, values = (jnp.stack(own, -4) for own in zip(*rows, strict=True))
        clock = advance(carry.clock, xs.shape[0], self.period)
        return Carry(carry.memory, (keys, values), clock), self.norm(xs)


def _spread(bias: Float[Array, "*R"], symbols: int) -> Float[Array, "S *R"]:
    """The same for each symbol, as a product with ones: so is its gradient, which XLA
    would add up ten times as slowly on a CPU."""
    rows = jnp.ones((symbols, 1)) @ bias.reshape(1, -1)
    return rows.reshape(symbols, *bias.shape)


def _weights(
    scores: Float[Array, "*R T"], seen: Bool[Array, "*R T"]
) -> tuple[Float[Array, "*R T"], Float[Array, "*R 1"]]:
    """Softmax before its division: exp(score − largest), and their sum."""
    scores = jnp.where(seen, scores, NEVER)
    largest = lax.stop_gradient(jnp.max(scores, axis=-1, keepdims=True))
    weight = jnp.exp(scores - largest)
    return weight, jnp.sum(weight, axis=-1, keepdims=True)
