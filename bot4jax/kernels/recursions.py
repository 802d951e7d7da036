"""What incremental features carry from bar to bar, and how they move on.

A call pays for every array it carries: short states of all features are packed into
one. Packing an array as long as the window would copy it at every bar, so each of
those is carried by itself.
"""

from collections.abc import Callable, Iterable
from itertools import compress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bot4jax.registry import FeatureSpec, arguments

SHORT = 64
"""Numbers up to which a carried array is packed."""

BAR = "bar"
"""Parameter of `update` that is the number of the newest bar."""


class Carried(NamedTuple):
    """All incremental features' states, one row a symbol."""

    short: Float[Array, "S K"]
    long: tuple[Array, ...]
    """`[S, …]` each, of the features' own types"""


def inputs(spec: FeatureSpec) -> tuple[str, ...]:
    """What an incremental feature's `update` reads of the bar and of the windows."""
    names = arguments(spec.implementation.update)[1:]
    return tuple(name for name in names if name != BAR)


def fills_ring(spec: FeatureSpec) -> bool:
    """Whether an incremental feature's window is that of the bank's rings."""
    return any(name.endswith(("_ring", "_dropped")) for name in inputs(spec))


def init(specs: Iterable[FeatureSpec], window: int, symbols: int) -> Carried:
    """The state before the first bar."""
    fresh = _packed(_leaves(_fresh(specs, window)))
    return jax.tree.map(
        lambda one: jnp.tile(one[None], (symbols,) + (1,) * one.ndim), fresh
    )


def reset(
    specs: Iterable[FeatureSpec],
    window: int,
    carried: Carried,
    is_fresh: Bool[Array, " S"],
) -> Carried:
    """The state with some symbols as if they had never been seen."""

    def cleared(own: Array, fresh: Array) -> Array:
        chosen = is_fresh.reshape((-1,) + (1,) * fresh.ndim)
        return jnp.where(chosen, fresh[None], own)

    return jax.tree.map(cleared, carried, _packed(_leaves(_fresh(specs, window))))


def part(
    whole: Iterable[FeatureSpec],
    own: Iterable[FeatureSpec],
    window: int,
    carried: Carried,
) -> Carried:
    """Of all features' states those of some of them."""
    asked = _families(own)
    kept = [update in asked for update in _families(whole)]
    fresh = _fresh(whole, window)

    def one_symbol(all_of_them: Carried) -> Carried:
        states = _unpacked(all_of_them, fresh)
        return _packed(_leaves(list(compress(states, kept))))

    return jax.vmap(one_symbol)(carried)


def advance(
    specs: Iterable[FeatureSpec],
    window: int,
    carried: Carried,
    given: dict[str, Array],
    bar: Int[Array, ""],
) -> tuple[Carried, dict[str, Float[Array, " S"]]]:
    """Every recursion one bar further, and the values of all features by name."""
    families = _families(specs)
    if not families:
        return carried, {}
    fresh = _fresh(specs, window)

    def one_symbol(own: Carried, columns: dict[str, Array]) -> tuple[Carried, dict]:
        states = _unpacked(own, fresh)
        values, moved = {}, []
        for (update, members), state in zip(families.items(), states, strict=True):
            asked = [bar if n == BAR else columns[n] for n in arguments(update)[1:]]
            state, found = update(state, *asked)
            moved.append(state)
            values |= {one.name: one.implementation.finish(found) for one in members}
        return _packed(_leaves(moved)), values

    return jax.vmap(one_symbol)(carried, given)


def _families(
    specs: Iterable[FeatureSpec],
) -> dict[Callable[..., Any], list[FeatureSpec]]:
    """Incremental features by the `update` they share."""
    families: dict[Callable[..., Any], list[FeatureSpec]] = {}
    for spec in specs:
        if spec.form == "incremental":
            families.setdefault(spec.implementation.update, []).append(spec)
    return families


def _fresh(specs: Iterable[FeatureSpec], window: int) -> list[Any]:
    """The states of one symbol before its first bar."""
    inits = [members[0].implementation.init for members in _families(specs).values()]
    return [init(window) if arguments(init) else init() for init in inits]


def _leaves(states: list[Any]) -> list[Array]:
    return jax.tree.leaves(states)


def _is_short(leaf: Array) -> bool:
    return leaf.size <= SHORT and leaf.dtype == jnp.float32


def _packed(leaves: list[Array]) -> Carried:
    short = [leaf.ravel() for leaf in leaves if _is_short(leaf)]
    return Carried(
        jnp.concatenate([jnp.zeros(0), *short]),
        tuple(leaf for leaf in leaves if not _is_short(leaf)),
    )


def _unpacked(carried: Carried, fresh: list[Any]) -> list[Any]:
    """One symbol's states, of the same shapes as fresh ones."""
    leaves, tree = jax.tree.flatten(fresh)
    long, first, own = iter(carried.long), 0, []
    for leaf in leaves:
        if _is_short(leaf):
            own.append(carried.short[first : first + leaf.size].reshape(leaf.shape))
            first += leaf.size
        else:
            own.append(next(long))
    return jax.tree.unflatten(tree, own)
