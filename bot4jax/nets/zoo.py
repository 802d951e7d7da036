"""All nets as one: packed parameters and carries in, log probabilities out.

Flax modules exist while tracing only. Between calls there is one flat vector a net
beside its large matrices, because a call pays for every leaf; what is carried has a
leaf for each vector that a layer remembers, and for each ring.
"""

from collections.abc import Callable
from functools import partial
from itertools import chain, islice
from math import lcm, prod
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int

from bot4jax import registry
from bot4jax.nets.carry import Carry, Clock, Net, advance
from bot4jax.nets.cnn import CNN
from bot4jax.nets.gru import gru
from bot4jax.nets.heads import Heads
from bot4jax.nets.kept import kept_for_nets
from bot4jax.nets.lstm import lstm
from bot4jax.nets.packing import (
    Plan,
    Weights,
    assemble,
    matrices,
    packed,
    pieces,
    plan,
)
from bot4jax.nets.recurrent import Recurrent
from bot4jax.nets.sizes import NetSizes, problems
from bot4jax.nets.stem import Stem
from bot4jax.nets.transformer import Transformer
from bot4jax.types import CLASSES


class NetParams(NamedTuple):
    """Weights, packed: those of the stem, of each net, and of all heads."""

    stem: Weights
    nets: tuple[Weights, ...]
    """in the order of `NetSizes.members`"""
    heads: Weights


class NetCarry(NamedTuple):
    """What all nets remember of all symbols."""

    memory: tuple[Float[Array, "S K"], ...]
    """what is rewritten at every step, net after net"""
    rings: tuple[Array, ...]
    """past inputs, keys and values: `[S, …]`"""
    age: Float[Array, " S"]
    """bars since the slot was fresh"""
    index: Int[Array, ""]
    """where the rings stand, common to all symbols"""


AXES = NetCarry(memory=0, rings=0, age=0, index=None)  # pyright: ignore
"""Axes of `jax.vmap` over symbols. An index of its own for every symbol would turn the
rings' writes, each a `dynamic_update_slice` in place, into scatters."""


EACH = Carry(memory=0, rings=0, clock=Clock(None, 0))  # pyright: ignore
"""The same of one net's carry."""


class Modules(NamedTuple):
    """The nets as Flax modules."""

    stem: Stem
    nets: tuple[Net, ...]
    heads: Heads


class Ends(NamedTuple):
    """The first and the last layer of a net."""

    first: str
    last: str
    larger: float
    """weights of the first over those of the last"""


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
    modules = _build(sizes, features, np.array(prior), np.random.default_rng(seed))
    nets = tuple(packed(net) for net in modules.nets)
    return NetParams(packed(modules.stem), nets, packed(modules.heads))


def init_carry(sizes: NetSizes, symbols: int) -> NetCarry:
    """Nothing remembered of anyone."""
    states = _blueprint(sizes, 1).states
    memory = chain.from_iterable(state.memory for state in states)
    rings = chain.from_iterable(state.rings for state in states)
    return NetCarry(
        tuple(jnp.zeros((symbols, *one.shape)) for one in memory),
        tuple(jnp.zeros((symbols, *one.shape)) for one in rings),
        jnp.zeros(symbols),
        jnp.zeros((), jnp.int32),
    )


def step(
    sizes: NetSizes, params: NetParams, carry: NetCarry, x: Float[Array, "S F"]
) -> tuple[NetCarry, Float[Array, "M S C"]]:
    """One bar of all symbols. A symbol that is not live has x = 0; its time passes."""
    turn = partial(_turn, modules_of(sizes, x.shape[1], params), _stepped, 1)
    return jax.vmap(turn, (AXES, 0), (AXES, 1))(carry, x)


def unroll(
    sizes: NetSizes,
    params: NetParams,
    carry: NetCarry,
    xs: Float[Array, "T S F"],
    products: DTypeLike = jnp.float32,
) -> tuple[NetCarry, Float[Array, "T M S C"]]:
    """Many bars at once: what as many steps would say."""
    bars, _, features = xs.shape
    modules = modules_of(sizes, features, params, products)
    carry, said = _turn(modules, _unrolled, bars, carry, xs)
    return carry, jnp.swapaxes(said, 1, 2)


def gates(
    sizes: NetSizes,
    params: NetParams,
    carry: NetCarry,
    x: Float[Array, "S F"],
    products: DTypeLike = jnp.float32,
) -> tuple[Float[Array, "S G"], ...]:
    """How far all gates are open at the bar that comes next, by layer as `gated` has
    them: 0 is shut, 1 is open."""
    modules = modules_of(sizes, x.shape[1], params, products)
    return jax.vmap(partial(_gates, modules), (AXES, 0))(carry, x)


def reset(carry: NetCarry, is_fresh: Bool[Array, " S"]) -> NetCarry:
    """The slots marked forget everything and answer as if never used.

    Their rings keep what they held: rows older than a symbol's age are never read.
    """
    memory = tuple(jnp.where(is_fresh[:, None], 0, one) for one in carry.memory)
    return carry._replace(memory=memory, age=jnp.where(is_fresh, 0, carry.age))


def parameter_counts(sizes: NetSizes, params: NetParams) -> dict[str, int]:
    """How many weights each part has."""
    parts = dict(zip(parts_of(sizes), _parts(params), strict=True))
    counts = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part))
        for name, part in parts.items()
    }
    return {**counts, "total": sum(counts.values())}


def layers(sizes: NetSizes) -> tuple[str, ...]:
    """Names of all layers, such as `stem`, `lstm layers 0` or `heads gru`."""
    return tuple(dict.fromkeys(_names(sizes, 1)))


def gated(sizes: NetSizes) -> tuple[str, ...]:
    """Names of the layers that have gates, in the order of `layers`."""
    return _blueprint(sizes, 1).gated


def ends(sizes: NetSizes) -> dict[str, Ends]:
    """Of every net that has more than one layer.

    Layers without a matrix do not count; they follow each other as the net's module
    defines them.
    """
    pairs = zip(sizes.members, _blueprint(sizes, 1).depths, strict=True)
    return {
        name: Ends(f"{name} {first}", f"{name} {last}", depth[first] / depth[last])
        for name, depth in pairs
        if len(depth) > 1
        for first, *_, last in [tuple(depth)]
    }


def by_layer(
    sizes: NetSizes, features: int, params: NetParams
) -> dict[str, list[Array]]:
    """Arrays by the layer that they belong to, in the order of `layers`."""
    plans = _plans(_blueprint(sizes, features))
    arrays = chain.from_iterable(map(pieces, plans, _parts(params)))
    found: dict[str, list[Array]] = {}
    for name, piece in zip(_names(sizes, features), arrays, strict=True):
        found.setdefault(name, []).append(piece)
    return found


def parts_of(sizes: NetSizes) -> tuple[str, ...]:
    """The stem, every net, and the heads."""
    return ("stem", *sizes.members, "heads")


def _parts(params: NetParams) -> tuple[Weights, ...]:
    return (params.stem, *params.nets, params.heads)


def _plans(blueprint: "_Blueprint") -> tuple[Plan, ...]:
    return (blueprint.stem, *blueprint.nets, blueprint.heads)


def _names(sizes: NetSizes, features: int) -> list[str]:
    """Of every array, the layer that it belongs to."""
    plans = _plans(_blueprint(sizes, features))
    pairs = zip(parts_of(sizes), plans, strict=True)
    return [_named(sizes, part, layer) for part, own in pairs for layer in own.layers]


def _named(sizes: NetSizes, part: str, layer: str) -> str:
    """A head by the member it belongs to, any other layer as its part calls it."""
    if part == "heads":
        return f"heads {sizes.members[int(layer.split()[1])]}"
    return part if part == "stem" else f"{part} {layer}"


def decay_mask(sizes: NetSizes, features: int) -> NetParams:
    """1 for entries of matrices, which weight decay shrinks; 0 for biases and norms."""
    blueprint = _blueprint(sizes, features)
    nets = tuple(matrices(own) for own in blueprint.nets)
    return NetParams(matrices(blueprint.stem), nets, matrices(blueprint.heads))


def modules_of(
    sizes: NetSizes,
    features: int,
    params: NetParams,
    products: DTypeLike = jnp.float32,
) -> Modules:
    """The modules with these weights, while tracing."""
    blueprint, build = _blueprint(sizes, features), partial(assemble, products=products)
    nets = tuple(map(build, blueprint.nets, params.nets))
    stem = build(blueprint.stem, params.stem)
    return Modules(stem, nets, build(blueprint.heads, params.heads))


class _Blueprint(NamedTuple):
    """The structure of all modules, and the shapes of their states."""

    stem: Plan
    nets: tuple[Plan, ...]
    heads: Plan
    states: tuple[Carry, ...]
    gated: tuple[str, ...]
    """names of the layers that have gates"""
    depths: tuple[dict[str, int], ...]
    """of each net, the layers that have a matrix, from the first to the last, and how
    many weights they have"""


@kept_for_nets(16)
def _blueprint(sizes: NetSizes, features: int) -> _Blueprint:
    prior = np.ones(len(CLASSES))
    some = _build(sizes, features, prior, np.random.default_rng(0))
    nets = tuple(plan(net) for net in some.nets)
    states = tuple(jax.eval_shape(net.init_state) for net in some.nets)
    gated = tuple(
        f"{name} layers {i}"
        for name, net in zip(sizes.members, some.nets, strict=True)
        if isinstance(net, Recurrent)
        for i in net.gated
    )
    depths = tuple(map(_depth, some.nets, nets))
    return _Blueprint(plan(some.stem), nets, plan(some.heads), states, gated, depths)


def _depth(net: Net, own: Plan) -> dict[str, int]:
    """Layers with a matrix, in the order of definition; a plan has them by name."""
    order, pairs = list(vars(net)), list(zip(own.layers, own.shapes, strict=True))
    found = dict.fromkeys(layer for layer, shape in pairs if len(shape) == 2)
    return {
        one: sum(prod(shape) for layer, shape in pairs if layer == one)
        for one in sorted(found, key=lambda layer: order.index(layer.split()[0]))
    }


def _build(
    sizes: NetSizes,
    features: int,
    prior: Float[np.ndarray, " C"],
    rng: np.random.Generator,
) -> Modules:
    makers: dict[str, Callable[[], Net]] = {
        "lstm": lambda: lstm(sizes.lstm, sizes.stem, rng),
        "gru": lambda: gru(sizes.gru, sizes.stem, rng),
        "cnn": lambda: CNN(sizes.cnn, sizes.stem, rng),
        "transformer": lambda: Transformer(sizes.transformer, sizes.stem, rng),
    }
    plugged = {
        name: partial(maker, sizes.stem, rng) for name, maker in registry.NETS.items()
    }
    stem = Stem(features, sizes.stem, rng)
    nets = tuple((makers | plugged)[name]() for name in sizes.members)
    return Modules(stem, nets, Heads([net.width for net in nets], prior, rng))


def _turn(
    modules: Modules, form: Callable, bars: int, carry: NetCarry, x: Array
) -> tuple[NetCarry, Float[Array, "*T M C"]]:
    """Through the stem, each net and the heads: `form(net, carry, x)`."""
    x, hidden, after = modules.stem(x), [], []
    for net, own in zip(modules.nets, _shares(modules, carry), strict=True):
        kept, said = form(net, own, x)
        hidden.append(said)
        after.append(kept)
    period = lcm(*(net.period for net in modules.nets))
    clock = advance(Clock(carry.index, carry.age), bars, period)
    memory = tuple(one for kept in after for one in kept.memory)
    rings = tuple(ring for kept in after for ring in kept.rings)
    return NetCarry(memory, rings, clock.age, clock.index), modules.heads(hidden)


def _stepped(
    net: Net, carry: Carry, x: Float[Array, " F"]
) -> tuple[Carry, Float[Array, " H"]]:
    """One net and one symbol, one bar."""
    return net.step(carry, x)


def _unrolled(
    net: Net, carry: Carry, xs: Float[Array, "T S F"]
) -> tuple[Carry, Float[Array, "T S H"]]:
    """One net and all symbols; what is written for one is vmapped."""
    if getattr(net, "takes_many", False):
        return net.unroll(carry, xs)
    return jax.vmap(net.unroll, (EACH, 1), (EACH, 1))(carry, xs)


def _gates(modules: Modules, carry: NetCarry, x: Array) -> tuple[Array, ...]:
    """Those of one symbol."""
    x, shares = modules.stem(x), _shares(modules, carry)
    pairs = zip(modules.nets, shares, strict=True)
    return tuple(
        gate
        for net, own in pairs
        if isinstance(net, Recurrent)
        for gate in net.gates(own, x)
    )


def _shares(modules: Modules, carry: NetCarry) -> list[Carry]:
    """Each net's part of the carry."""
    states = [jax.eval_shape(net.init_state) for net in modules.nets]
    memory, rings = iter(carry.memory), iter(carry.rings)
    clock = Clock(carry.index, carry.age)
    return [
        Carry(
            tuple(islice(memory, len(state.memory))),
            tuple(islice(rings, len(state.rings))),
            clock,
        )
        for state in states
    ]
