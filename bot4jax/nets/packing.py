"""Flax modules as a few arrays: split once at the edge, put together while tracing."""

from collections.abc import Iterable, Sequence
from itertools import accumulate
from math import prod
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float

LARGE = 1 << 16
"""Entries from which a matrix stands by itself: cut out of a vector it would be copied
at every step, and what is smaller costs less to copy than one more argument."""


class Weights(NamedTuple):
    """A module's weights: large matrices by themselves, all else end to end."""

    large: tuple[Float[Array, "I O"], ...]
    rest: Float[Array, " P"]


class Plan(NamedTuple):
    """How a module is put together from its weights; static."""

    graph: Any
    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    layers: tuple[str, ...]
    """of each shape, the layer it belongs to: `layers 0`, `embed`"""


def plan(module: Any) -> Plan:
    graph, state = nnx.split(module)
    found, tree = jax.tree_util.tree_flatten_with_path(state)
    shapes = tuple(leaf.shape for _, leaf in found)
    return Plan(graph, tree, shapes, tuple(_layer(path) for path, _ in found))


def packed(module: Any) -> Weights:
    """All weights of a fresh module."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(module))]
    small = [np.ravel(leaf) for leaf in leaves if not is_large(leaf.shape)]
    large = tuple(jnp.asarray(leaf) for leaf in leaves if is_large(leaf.shape))
    return Weights(large, jnp.asarray(np.concatenate(small)))


def assemble(own: Plan, weights: Weights, products: DTypeLike = jnp.float32) -> Any:
    """The module with these weights; its matrices, and so their products, in a type."""
    leaves = [
        piece.astype(products) if len(shape) == 2 else piece
        for piece, shape in zip(pieces(own, weights), own.shapes, strict=True)
    ]
    return nnx.merge(own.graph, jax.tree.unflatten(own.tree, leaves))


def pieces(own: Plan, weights: Weights) -> list[Array]:
    """The weights as the module's own arrays, in the order of `own.shapes`."""
    small = [shape for shape in own.shapes if not is_large(shape)]
    cuts, large = iter(cut(weights.rest, map(prod, small))), iter(weights.large)
    return [
        next(large) if is_large(shape) else next(cuts).reshape(shape)
        for shape in own.shapes
    ]


def matrices(own: Plan) -> Weights:
    """1 for entries of matrices, 0 for those of biases, scales and tables."""
    small = [
        np.full(prod(shape), len(shape) == 2, np.float32)
        for shape in own.shapes
        if not is_large(shape)
    ]
    large = tuple(jnp.ones(shape) for shape in own.shapes if is_large(shape))
    return Weights(large, jnp.asarray(np.concatenate(small)))


def is_large(shape: tuple[int, ...]) -> bool:
    """Whether a matrix of this shape stands by itself."""
    return len(shape) == 2 and prod(shape) >= LARGE


def cut(flat: Float[Array, " P"], sizes: Iterable[int]) -> Sequence[Array]:
    """Consecutive pieces of these lengths."""
    return jnp.split(flat, list(accumulate(sizes))[:-1])


def _layer(path: tuple) -> str:
    """The first part of a path, and the number that follows it."""
    words = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    return " ".join(words[:2]) if words[1].isdecimal() else words[0]
