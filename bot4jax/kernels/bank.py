"""The bank: every feature of every symbol in one call, each form in its cheapest way.

`planning` decides once which features are computed and what is kept for them; `update`
then is a pure function of arrays. Sums are in `additive`, recursions in `recursions`,
whole windows in `shared`, masks in `usable`.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels import additive, history, recursions, shared, usable
from bot4jax.kernels.history import Past, Scales, Windows
from bot4jax.kernels.planning import Plan
from bot4jax.kernels.recursions import Carried
from bot4jax.kernels.usable import RawFeatures
from bot4jax.numerics import WindowSums
from bot4jax.registry import column_of
from bot4jax.types import Bar


class BankState(NamedTuple):
    """What the bank carries from bar to bar."""

    index: Int[Array, ""]
    past: Past
    windows: Windows
    sums: tuple[WindowSums, ...]
    recursions: Carried
    sound: Int[Array, "C S"]
    """bars since each column that features read was not a finite number"""
    whole: Int[Array, "2 S"]
    """bars since one whose quotes, and one whose trades, are not all known"""
    oldest: Float[Array, "R S"]
    """what the next bar writes over: reading it then would copy all windows"""


def init(plan: Plan) -> BankState:
    """The state before the first bar."""
    symbols, window = plan.layout.symbols, plan.layout.window
    return BankState(
        index=jnp.int32(0),
        past=history.init_past(symbols),
        windows=history.init_windows(len(plan.floats), len(plan.mids), symbols, window),
        sums=additive.init(plan.terms, symbols),
        recursions=recursions.init(plan.incremental, window, symbols),
        sound=jnp.zeros((len(plan.watched), symbols), jnp.int32),
        whole=jnp.zeros((2, symbols), jnp.int32),
        oldest=jnp.zeros((len(plan.floats), symbols)),
    )


def update(
    plan: Plan, scales: Scales, state: BankState, bar: Bar
) -> tuple[BankState, RawFeatures]:
    """One bar of every symbol in, every feature out."""
    window, index = plan.layout.window, state.index
    ranks = [name for name in history.RANKED if name in plan.watched]
    columns = history.bar_columns(bar, state.past, scales, ranks)
    windows = _pushed(plan, state, columns, bar)
    ordered = _ordered(plan, windows, index, bar)
    oldest = [ordered[name][:, 0] for name in plan.floats]
    has_begun = (state.past.age > 0) | (columns["live"] > 0)
    sums, totals = additive.push(
        plan.terms, state.sums, index, has_begun, columns, ordered
    )
    given = _given(plan, state, columns, windows, ordered)
    carried, named = recursions.advance(
        plan.incremental, window, state.recursions, given, index
    )
    sound = usable.count_sound(plan, state.sound, columns)
    whole = usable.count_whole(state.whole, bar)
    past = history.next_past(state.past, bar)
    named |= shared.values(plan.present, window, ordered)
    named |= additive.values(plan.terms, plan.present, window, totals)
    after, left = index + 1, jnp.stack(oldest) if oldest else state.oldest
    carry = BankState(after, past, windows, sums, carried, sound, whole, left)
    return carry, usable.gather(plan, named, past, sound, whole)


def part(whole: Plan, own: Plan, state: BankState) -> BankState:
    """Of what the bank carries for all features, what some of them need.

    `own` is a part of the plan (`planning.part`): its windows are as long.
    """
    floats = _places(whole.floats, own.floats)
    return BankState(
        index=state.index,
        past=state.past,
        windows=Windows(
            state.windows.floats[floats],
            state.windows.mids[_places(whole.mids, own.mids)],
        ),
        sums=additive.part(whole.terms, own.terms, state.sums, whole.layout.symbols),
        recursions=recursions.part(
            whole.incremental, own.incremental, whole.layout.window, state.recursions
        ),
        sound=state.sound[_places(whole.watched, own.watched)],
        whole=state.whole,
        oldest=state.oldest[floats],
    )


def reset(plan: Plan, state: BankState, is_fresh: Bool[Array, " S"]) -> BankState:
    """The state with some slots as if they had never been used."""
    return BankState(
        index=state.index,
        past=Past(*(_cleared(is_fresh, column, 0) for column in state.past)),
        windows=Windows(*(_cleared(is_fresh, one, 1) for one in state.windows)),
        sums=jax.tree.map(partial(_cleared_rows, is_fresh), state.sums),
        recursions=recursions.reset(
            plan.incremental, plan.layout.window, state.recursions, is_fresh
        ),
        sound=_cleared(is_fresh, state.sound, 1),
        whole=_cleared(is_fresh, state.whole, 1),
        oldest=_cleared(is_fresh, state.oldest, 1),
    )


def _pushed(
    plan: Plan, state: BankState, columns: dict[str, Array], bar: Bar
) -> Windows:
    """The kept windows with the newest bar in."""
    return history.push_windows(
        state.windows,
        state.index,
        [columns[name] for name in plan.floats],
        [getattr(bar, name) for name in plan.mids],
    )


def _ordered(
    plan: Plan, windows: Windows, index: Int[Array, ""], bar: Bar
) -> dict[str, Array]:
    """The kept windows by name, paths relative to the newest close."""
    floats = history.in_order(windows.floats, index)
    mids = history.in_order(windows.mids, index)
    ordered = {name: floats[i] for i, name in enumerate(plan.floats)}
    for path, mid in history.PATHS.items():
        if mid in plan.mids:
            own = mids[plan.mids.index(mid)]
            ordered[path] = history.relative_path(own, bar)
    return ordered


def _given(
    plan: Plan,
    state: BankState,
    columns: dict[str, Array],
    windows: Windows,
    ordered: dict[str, Array],
) -> dict[str, Array]:
    """What recursions read: finite numbers only, since they could not forget others."""

    def view(name: str) -> Array:
        column = column_of(name)
        if name == column:
            return _finite(columns[column])
        if name.endswith("_window"):
            return ordered[column]
        ring = plan.floats.index(column)
        if name.endswith("_ring"):
            return windows.floats[ring]
        return _finite(state.oldest[ring])

    asked = {name for spec in plan.incremental for name in recursions.inputs(spec)}
    return {name: view(name) for name in sorted(asked)}


def _places(names: Sequence[str], asked: Sequence[str]) -> Int[np.ndarray, " K"]:
    return np.array([names.index(name) for name in asked], np.int32)


def _finite(column: Float[Array, " S"]) -> Float[Array, " S"]:
    return jnp.where(jnp.isfinite(column), column, 0.0)


def _cleared(is_fresh: Bool[Array, " S"], array: Array, axis: int) -> Array:
    """Zero at fresh slots; `axis` is that of the symbols."""
    shape = [1] * array.ndim
    shape[axis] = len(is_fresh)
    return jnp.where(is_fresh.reshape(shape), jnp.zeros_like(array), array)


def _cleared_rows(is_fresh: Bool[Array, " S"], rows: Array) -> Array:
    """The same for sums, whose last axis holds one row of symbols after the other."""
    split = rows.reshape(rows.shape[0], -1, len(is_fresh))
    return _cleared(is_fresh, split, 2).reshape(rows.shape)
