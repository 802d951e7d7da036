"""All nets as one: packed parameters and carries in, log probabilities out.

Flax modules exist while tracing only. Between calls there is one flat vector a net
and five leaves of carry, because a call pays for every leaf.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from math import lcm, prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from bot4jax.nets.carry import Carry, Clock, advance
from bot4jax.nets.cnn import CNN
from bot4jax.nets.gru import gru
from bot4jax.nets.heads import Heads
from bot4jax.nets.lstm import lstm
from bot4jax.nets.sizes import NetSizes, problems
from bot4jax.nets.stem import Stem
from bot4jax.nets.transformer import Transformer
from bot4jax.types import CLASSES


class NetParams(NamedTuple):
    """Weights, ravelled: one vector for the stem, one a net, one for all heads."""

    stem: Float[Array, " P"]
    nets: tuple[Float[Array, " P"], ...]
    """in the order of `NetSizes.members`"""
    heads: Float[Array, " P"]


class NetCarry(NamedTuple):
    """What all nets remember of all symbols; at most five leaves."""

    memory: Float[Array, "S K"]
    """what is rewritten at every step"""
    rings: tuple[Array, ...]
    """past inputs, keys and values: `[S, …]`"""
    age: Float[Array, " S"]
    """bars since the slot was fresh; not a column of `memory`, whose every reader
    must come before its rewriting, or XLA copies the whole of it"""
    index: Int[Array, ""]
    """where the rings stand, common to all symbols"""


class Modules(NamedTuple):
    """The nets as Flax modules."""

    stem: Stem
    nets: tuple[nnx.Module, ...]
    heads: Heads


def init(
    sizes: NetSizes,
    features: int,
    seed: int,
    prior: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3),
) -> NetParams:
    """Fresh weights; every member forecasts the class prior until it is trained."""
    found = problems(sizes)
    if found:
        raise ValueError("nets: " + "; ".join(found))
    return _fresh(sizes, features, jax.random.key(seed), jnp.array(prior))


def init_carry(sizes: NetSizes, symbols: int) -> NetCarry:
    """Nothing remembered of anyone."""
    states = [net.init_state() for net in _plan(sizes, 1).abstract.nets]
    width = sum(state.memory.shape[0] for state in states)
    rings = tuple(
        jnp.zeros((symbols, *ring.shape)) for state in states for ring in state.rings
    )
    index = jnp.zeros((), jnp.int32)
    return NetCarry(jnp.zeros((symbols, width)), rings, jnp.zeros(symbols), index)


def step(
    sizes: NetSizes, params: NetParams, carry: NetCarry, x: Float[Array, "S F"]
) -> tuple[NetCarry, Float[Array, "M S C"]]:
    """One bar of all symbols. A symbol that is not live has x = 0; its time passes."""
    modules = _restore(sizes, x.shape[1], params)
    turn = partial(_turn, sizes, modules, "step", 1)
    axes = (NetCarry(0, 0, 0, None), 0)  # pyright: ignore[reportArgumentType]
    return jax.vmap(turn, axes, (axes[0], 1))(carry, x)


def unroll(
    sizes: NetSizes, params: NetParams, carry: NetCarry, xs: Float[Array, "T S F"]
) -> tuple[NetCarry, Float[Array, "T M S C"]]:
    """Many bars at once: what as many steps would say."""
    modules = _restore(sizes, xs.shape[2], params)
    turn = partial(_turn, sizes, modules, "unroll", xs.shape[0])
    axes = (NetCarry(0, 0, 0, None), 1)  # pyright: ignore[reportArgumentType]
    return jax.vmap(turn, axes, (axes[0], 2))(carry, xs)


def reset(carry: NetCarry, is_fresh: Bool[Array, " S"]) -> NetCarry:
    """The slots marked forget everything and answer as if never used.

    Their rings keep what they held: rows older than a symbol's age are never read.
    """
    memory = jnp.where(is_fresh[:, None], 0, carry.memory)
    return carry._replace(memory=memory, age=jnp.where(is_fresh, 0, carry.age))


def parameter_counts(sizes: NetSizes, params: NetParams) -> dict[str, int]:
    """How many weights each part has."""
    nets = {name: p.size for name, p in zip(sizes.members, params.nets, strict=True)}
    counts = {"stem": params.stem.size, **nets, "heads": params.heads.size}
    return {**counts, "total": sum(counts.values())}


def decay_mask(sizes: NetSizes, features: int) -> NetParams:
    """1 for entries of matrices, which weight decay shrinks; 0 for biases and norms."""

    def mask(part: "_Part") -> Float[Array, " P"]:
        return jnp.concatenate(
            [jnp.full(prod(shape), float(len(shape) > 1)) for shape in part.shapes]
        )

    plan = _plan(sizes, features)
    return NetParams(mask(plan.stem), tuple(map(mask, plan.nets)), mask(plan.heads))


class _Part(NamedTuple):
    """How a module is put together from a flat vector."""

    graph: nnx.GraphDef
    tree: jax.tree_util.PyTreeDef
    shapes: tuple[tuple[int, ...], ...]


class _Plan(NamedTuple):
    stem: _Part
    nets: tuple[_Part, ...]
    heads: _Part
    abstract: Modules


def _build(
    sizes: NetSizes, features: int, prior: Float[Array, " C"], rngs: nnx.Rngs
) -> Modules:
    makers: dict[str, Callable] = {
        "lstm": lambda: lstm(sizes.lstm, sizes.stem, rngs),
        "gru": lambda: gru(sizes.gru, sizes.stem, rngs),
        "cnn": lambda: CNN(sizes.cnn, sizes.stem, rngs=rngs),
        "transformer": lambda: Transformer(sizes.transformer, sizes.stem, rngs=rngs),
    }
    stem = Stem(features, sizes.stem, rngs=rngs)
    nets = tuple(makers[name]() for name in sizes.members)
    return Modules(stem, nets, Heads([net.width for net in nets], prior, rngs=rngs))


@partial(jax.jit, static_argnums=(0, 1))
def _fresh(
    sizes: NetSizes, features: int, key: PRNGKeyArray, prior: Float[Array, " C"]
) -> NetParams:
    """Compiled as one: a hundred small arrays one by one take half a minute."""
    modules = _build(sizes, features, prior, nnx.Rngs(key))
    return NetParams(
        _ravel(modules.stem),
        tuple(_ravel(net) for net in modules.nets),
        _ravel(modules.heads),
    )


@lru_cache(maxsize=16)
def _plan(sizes: NetSizes, features: int) -> _Plan:
    """The structure of the nets, found without computing a weight."""

    def build() -> Modules:
        return _build(sizes, features, jnp.ones(len(CLASSES)), nnx.Rngs(0))

    abstract = nnx.eval_shape(build)
    return _Plan(
        _part(abstract.stem),
        tuple(_part(net) for net in abstract.nets),
        _part(abstract.heads),
        abstract,
    )


def _part(module: nnx.Module) -> _Part:
    graph, state = nnx.split(module)
    leaves, tree = jax.tree.flatten(state)
    return _Part(graph, tree, tuple(leaf.shape for leaf in leaves))


def _ravel(module: nnx.Module) -> Float[Array, " P"]:
    leaves = jax.tree.leaves(nnx.state(module))
    return jnp.concatenate([leaf.reshape(-1) for leaf in leaves])


def _assemble(part: _Part, flat: Float[Array, " P"]) -> nnx.Module:
    sizes = [prod(shape) for shape in part.shapes]
    ends = [sum(sizes[: k + 1]) for k in range(len(sizes) - 1)]
    pieces = jnp.split(flat, ends)
    leaves = [p.reshape(s) for p, s in zip(pieces, part.shapes, strict=True)]
    return nnx.merge(part.graph, jax.tree.unflatten(part.tree, leaves))


def _restore(sizes: NetSizes, features: int, params: NetParams) -> Modules:
    plan = _plan(sizes, features)
    nets = map(_assemble, plan.nets, params.nets)
    return Modules(
        _assemble(plan.stem, params.stem),  # pyright: ignore[reportArgumentType]
        tuple(nets),
        _assemble(plan.heads, params.heads),  # pyright: ignore[reportArgumentType]
    )


def _turn(
    sizes: NetSizes, modules: Modules, form: str, bars: int, carry: NetCarry, x: Array
) -> tuple[NetCarry, Array]:
    """One symbol through the stem, each net and the heads."""
    hidden, after = [], []
    x = modules.stem(x)
    for net, own in zip(modules.nets, _shares(modules, carry), strict=True):
        kept, h = getattr(net, form)(own, x)
        hidden.append(h)
        after.append(kept)
    clock = Clock(carry.index, carry.age)
    clock = advance(clock, bars, lcm(*(net.period for net in modules.nets)))
    memory = jnp.concatenate([kept.memory for kept in after])
    rings = tuple(ring for kept in after for ring in kept.rings)
    return NetCarry(memory, rings, clock.age, clock.index), modules.heads(hidden)


def _shares(modules: Modules, carry: NetCarry) -> list[Carry]:
    """Each net's part of the packed carry."""
    clock, rings, at, shares = Clock(carry.index, carry.age), carry.rings, 0, []
    for net in modules.nets:
        state = jax.eval_shape(net.init_state)
        width, own = state.memory.shape[0], len(state.rings)
        shares.append(Carry(carry.memory[at : at + width], rings[:own], clock))
        at, rings = at + width, rings[own:]
    return shares
