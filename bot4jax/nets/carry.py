"""What a net remembers of one symbol, and the clock that all rings share.

Nets step one symbol and are vmapped outside. They unroll all symbols side by side, the
bars first: all rows of a layer are then one axis of one product, and of that with its
gradient too. What is rewritten at every step (hidden states) is a vector each: joined
in one, they would be cut out and joined anew at every step, a tenth of the time of a
large LSTM. What is written at one place only (past inputs, keys, values) lies in rings,
whose write position is the same for all symbols.
"""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

OLDEST = float(1 << 20)
"""Bars after which the age of a symbol is counted no further; float32 is exact."""


class Clock(NamedTuple):
    """Where the rings stand."""

    index: Int[Array, ""]
    """steps since the rings began, modulo a multiple of every ring's length"""
    age: Float[Array, "*S"]
    """bars the symbol has been seen before this one: what older rows hold is stale"""


Memory = tuple[Float[Array, "*S K"], ...]
"""Vectors that are rewritten at every step."""


class Carry(NamedTuple):
    """The state of one net and one symbol; of several, they come first in each leaf."""

    memory: Memory
    rings: tuple[Array, ...]
    clock: Clock


class Net(Protocol):
    """One net and one symbol: `step` serves, `unroll` trains, both say the same.

    One whose `takes_many` is true has an `unroll` that takes all symbols side by side,
    `[T, S, F]`, as well; any other is vmapped.
    """

    width: int
    """of what it says"""
    period: int
    """a multiple of the length of each of its rings"""

    def init_state(self) -> Carry: ...

    def step(
        self, carry: Carry, x: Float[Array, " F"]
    ) -> tuple[Carry, Float[Array, " H"]]: ...

    def unroll(
        self, carry: Carry, xs: Float[Array, "T F"]
    ) -> tuple[Carry, Float[Array, "T H"]]: ...


def fresh(memory: Iterable[int] = (), rings: Iterable[tuple[int, ...]] = ()) -> Carry:
    """The state before the first bar: zeros, of these lengths and these shapes."""
    return Carry(
        tuple(jnp.zeros(length) for length in memory),
        tuple(jnp.zeros(shape) for shape in rings),
        Clock(jnp.zeros((), jnp.int32), jnp.zeros(())),
    )


def advance(clock: Clock, bars: int, period: int) -> Clock:
    """The clock some bars later."""
    index = (clock.index + bars) % period
    return Clock(index, jnp.minimum(clock.age + bars, OLDEST))


def distances(clock: Clock, length: int) -> Int[Array, " R"]:
    """How many bars ago each slot of a ring was written, once this bar is written."""
    return (clock.index - jnp.arange(length, dtype=jnp.int32)) % length


def is_seen(clock: Clock, bars: Int[Array, " R"]) -> Bool[Array, "R *S"]:
    """Whether the symbol had been here this many bars ago; of many, each one."""
    ago = bars.astype(jnp.float32).reshape(-1, *[1] * clock.age.ndim)
    return ago <= clock.age[None]


def oldest_first(ring: Array, clock: Clock, axis: int) -> Array:
    """The rows of a ring in the order of time, before this bar is written.

    Behind `axis` come the symbols, if the clock is that of several.
    Rows from before the symbol's first bar are zero: a slot may be inherited.
    """
    length = ring.shape[axis]
    rows = jnp.roll(ring, -(clock.index % length), axis)
    ago = jnp.arange(length, 0, -1, dtype=jnp.int32)
    seen, shape = is_seen(clock, ago), [1] * ring.ndim
    shape[axis : axis + seen.ndim] = seen.shape
    return jnp.where(seen.reshape(shape), rows, 0)


def as_ring(rows: Array, clock: Clock, length: int, axis: int) -> Array:
    """The ring that holds the last `length` of the rows written up to `clock`."""
    total = rows.shape[axis]
    last = lax.slice_in_dim(rows, total - length, total, axis=axis)
    return jnp.roll(last, clock.index % length, axis)
