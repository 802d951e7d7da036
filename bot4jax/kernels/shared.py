"""Features of whole windows, and the intermediates that several of them share."""

from collections.abc import Callable, Iterable

import jax
from jaxtyping import Array

from bot4jax.registry import FeatureSpec, arguments

INTERMEDIATES: dict[str, Callable[..., Array]] = {}
"""What several shared features read; computed once a bar, for all symbols."""


def intermediate(function: Callable[..., Array]) -> Callable[..., Array]:
    """Register a named intermediate: windows `[S, W]` in, anything `[S, …]` out."""
    INTERMEDIATES[function.__name__] = function
    return function


def expanded(names: Iterable[str]) -> set[str]:
    """The same windows by name, those that intermediates read in their place."""
    found: set[str] = set()
    for name in names:
        if name in INTERMEDIATES:
            found |= expanded(arguments(INTERMEDIATES[name]))
        else:
            found.add(name)
    return found


def values(
    specs: Iterable[FeatureSpec], window: int, ordered: dict[str, Array]
) -> dict[str, Array]:
    """Features by name; an intermediate is computed when it is first asked for."""
    known = dict(ordered)

    def resolve(name: str, length: int) -> Array:
        if name not in known:
            asked = arguments(INTERMEDIATES[name])
            known[name] = INTERMEDIATES[name](*(resolve(one, 0) for one in asked))
        found = known[name]
        return found[:, -length:] if name in ordered and length else found

    named = {}
    for spec in specs:
        if spec.form in ("shared", "windowed"):
            value, length = spec.implementation.value, spec.span(window)
            asked = (resolve(name, length) for name in arguments(value))
            named[spec.name] = jax.vmap(value)(*asked)
    return named
