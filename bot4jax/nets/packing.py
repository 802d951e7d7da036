"""Flax modules as flat vectors: split once at the edge, put together while tracing."""

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float


class Plan(NamedTuple):
    """How a module is put together from a flat vector; static."""

    graph: Any
    tree: Any
    shapes: tuple[tuple[int, ...], ...]


def plan(module: Any) -> Plan:
    graph, state = nnx.split(module)
    leaves, tree = jax.tree.flatten(state)
    return Plan(graph, tree, tuple(leaf.shape for leaf in leaves))


def ravel(module: Any) -> Float[Array, " P"]:
    """All weights of a fresh module, end to end."""
    leaves = jax.tree.leaves(nnx.state(module))
    return jnp.asarray(np.concatenate([np.ravel(leaf) for leaf in leaves]))


def assemble(own: Plan, flat: Float[Array, " P"]) -> Any:
    """The module with these weights."""
    pieces = cut(flat, [prod(shape) for shape in own.shapes])
    leaves = [p.reshape(s) for p, s in zip(pieces, own.shapes, strict=True)]
    return nnx.merge(own.graph, jax.tree.unflatten(own.tree, leaves))


def matrices(own: Plan) -> Float[np.ndarray, " P"]:
    """1 for entries of matrices, 0 for those of biases, scales and tables."""
    return np.concatenate(
        [np.full(prod(shape), len(shape) == 2, np.float32) for shape in own.shapes]
    )


def cut(flat: Float[Array, " P"], sizes: Sequence[int]) -> list[Array]:
    """Consecutive pieces of these lengths."""
    return jnp.split(flat, list(accumulate(sizes))[:-1])
