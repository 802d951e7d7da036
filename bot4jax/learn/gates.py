"""Whether gates still move: a glance at one bar of some of the chunks that are learnt.

A gate near 0 or 1 hardly passes a gradient on, its slope p (1 − p) being small there: a
layer most of whose gates are nearly shut or open no longer learns when to remember.
The glance is compiled by itself, so that the update is the same program as without it.
It takes one bar of all symbols of a batch, the first of its chunk, with the memory that
the chunk begins with.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from bot4jax.learn.schedule import Samples
from bot4jax.learn.update import Form
from bot4jax.nets import zoo

SHUT, OPEN = 0.05, 0.95
"""Edges beyond which a gate is saturated: its slope is under a fifth of the largest."""

EVERY = 8
"""Updates from one glance to the next: each takes .7 % of an update of the default."""


def is_due(done: int, updates: int) -> bool:
    """Whether the next update is looked at, after so many of all: the first and the
    last always are."""
    return done % EVERY == 0 or done == updates - 1


def saturated(
    form: Form, params: zoo.NetParams, carry: zoo.NetCarry, batch: Samples
) -> Float[Array, " L"]:
    """Share of each layer's gates beyond the edges, by `zoo.gated`.

    Symbols that teach nothing in the chunk, which may only fill it up, do not count.
    """
    first = jnp.asarray(batch.features[0])
    teaches = jnp.any(jnp.asarray(batch.weights) > 0, axis=0)
    symbols = jnp.maximum(teaches.sum(dtype=jnp.float32), 1)
    found = zoo.gates(form.sizes, params, carry, first, form.products)
    shares = [jnp.where(teaches, _beyond(gates), 0).sum() / symbols for gates in found]
    return jnp.stack(shares) if shares else jnp.zeros(0)


def _beyond(gates: Float[Array, "S G"]) -> Float[Array, " S"]:
    is_beyond = (gates < SHUT) | (gates > OPEN)
    return is_beyond.astype(jnp.float32).mean(axis=1)
