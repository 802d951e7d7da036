"""Features of sums: the terms of a bar are pushed into windows, their sums finished.

Classes with the same terms over the same window share their sums. All terms of a window
are rows of one array; its first row counts the bars.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.numerics import WindowSums, init_sums, push_sums
from bot4jax.registry import FeatureSpec, arguments, column_of


@dataclass(frozen=True)
class Term:
    """The sums that one or more additive features share."""

    terms: Callable[..., tuple[Array, ...]]
    window: int
    width: int
    first: int
    """row among the sums of its window"""


def plan_terms(specs: Iterable[FeatureSpec], window: int) -> tuple[Term, ...]:
    """What is summed for these features, each once, and where it lies."""
    planned: dict[tuple[Any, int], Term] = {}
    rows: dict[int, int] = {}
    for spec in specs:
        if spec.form != "additive":
            continue
        terms, length = spec.implementation.terms, spec.span(window)
        if (terms, length) in planned:
            continue
        example = {name: jnp.float32(0) for name in arguments(terms)}
        width = len(jax.eval_shape(lambda kw, terms=terms: terms(**kw), example))
        first = rows.get(length, 0)
        planned[terms, length] = Term(terms, length, width, first)
        rows[length] = first + width
    return tuple(planned.values())


def init(terms: tuple[Term, ...], symbols: int) -> tuple[WindowSums, ...]:
    """Sums before the first bar, by window, the shortest first."""
    return tuple(
        init_sums(length, _width(terms, length) * symbols) for length in _lengths(terms)
    )


def push(
    terms: tuple[Term, ...],
    sums: tuple[WindowSums, ...],
    index: Int[Array, ""],
    has_begun: Bool[Array, " S"],
    columns: dict[str, Array],
    ordered: dict[str, Array],
) -> tuple[tuple[WindowSums, ...], dict[int, Float[Array, "K S"]]]:
    """Every window's sums with the newest bar in and the oldest out."""
    pushed, totals = [], {}
    seen = has_begun.astype(jnp.float32)
    for length, own in zip(_lengths(terms), sums, strict=True):
        rows = [seen]
        for term in (one for one in terms if one.window == length):
            asked = [_lagged(n, columns, ordered) for n in arguments(term.terms)]
            rows += jax.vmap(term.terms)(*asked)
        # A symbol that has not begun counts nothing and sums nothing.
        row = jnp.concatenate([one * seen for one in rows])
        own, total = push_sums(own, index, row)
        pushed.append(own)
        totals[length] = _written(total, index).reshape(len(rows), -1)
    return tuple(pushed), totals


def part(
    whole: tuple[Term, ...],
    own: tuple[Term, ...],
    sums: tuple[WindowSums, ...],
    symbols: int,
) -> tuple[WindowSums, ...]:
    """Of the sums of all terms those of some of them."""
    return tuple(
        jax.tree.map(partial(_rows_of, _places(whole, own, length), symbols), one)
        for length, one in zip(_lengths(whole), sums, strict=True)
        if length in _lengths(own)
    )


def values(
    terms: tuple[Term, ...],
    specs: Iterable[FeatureSpec],
    window: int,
    totals: dict[int, Array],
) -> dict[str, Array]:
    """Features by name, from the sums of their windows."""
    found = {(term.terms, term.window): term for term in terms}
    named = {}
    for spec in specs:
        if spec.form == "additive":
            own, length = spec.implementation, spec.span(window)
            term, total = found[own.terms, length], totals[length]
            sums = total[1 + term.first : 1 + term.first + term.width]
            named[spec.name] = jax.vmap(own.finish)(*sums, total[0])
    return named


def _places(
    whole: tuple[Term, ...], own: tuple[Term, ...], length: int
) -> Int[np.ndarray, " K"]:
    """Rows of a window's sums that belong to some of its terms, and the first."""
    first = {one.terms: 1 + one.first for one in whole if one.window == length}
    asked = (one for one in own if one.window == length)
    rows = [first[one.terms] + np.arange(one.width) for one in asked]
    return np.concatenate([[0], *rows]).astype(np.int32)


def _rows_of(
    places: Int[np.ndarray, " K"], symbols: int, packed: Float[Array, "R Q"]
) -> Float[Array, "R P"]:
    """The same of packed rows, one after the other, a number a symbol."""
    bars = len(packed)
    return packed.reshape(bars, -1, symbols)[:, places].reshape(bars, -1)


def _lengths(terms: tuple[Term, ...]) -> list[int]:
    """Windows that are summed over."""
    return sorted({term.window for term in terms})


def _width(terms: tuple[Term, ...], window: int) -> int:
    """Rows summed over `window`: the terms, and one that counts the bars."""
    return 1 + sum(term.width for term in terms if term.window == window)


def _lagged(name: str, columns: dict[str, Array], ordered: dict[str, Array]) -> Array:
    if not name.endswith("_ago"):
        return columns[name]
    back = name.removeprefix(f"{column_of(name)}_").removesuffix("_ago")
    return ordered[column_of(name)][:, -1 - int(back)]


def _written(total: Float[Array, " K"], index: Int[Array, ""]) -> Float[Array, " K"]:
    """The same numbers, summed once: XLA would sum them anew in each of their readers.

    Of all it fuses, only what is written into a place known at run time stays put.
    """
    places = jnp.zeros((2, total.size), total.dtype)
    places = lax.dynamic_update_slice_in_dim(places, total[None], index % 2, 0)
    return places[0] + places[1]
