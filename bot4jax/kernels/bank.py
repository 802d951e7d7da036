"""The bank: every feature of every symbol in one call, each form in its cheapest way.

Which features are computed, which columns they need and where their sums lie is
decided once, in `Plan`; `update` then is a pure function of arrays.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels import history, recursions
from bot4jax.kernels.history import COLUMNS, Past, Scales, Windows
from bot4jax.kernels.recursions import Carried
from bot4jax.numerics import WindowSums, init_sums, push_sums
from bot4jax.registry import FeatureSpec, arguments, column_of
from bot4jax.types import Bar, Layout

INTERMEDIATES: dict[str, Callable[..., Array]] = {}
"""What several shared features read; computed once a bar, for all symbols."""


def intermediate(function: Callable[..., Array]) -> Callable[..., Array]:
    """Register a named intermediate: windows `[S, W]` in, anything `[S, …]` out."""
    INTERMEDIATES[function.__name__] = function
    return function


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


class RawFeatures(NamedTuple):
    """The catalogue's values as defined, and which of them mean something."""

    values: Float[Array, "S F"]
    usable: Bool[Array, "S F"]


@dataclass(frozen=True)
class Term:
    """The sums that one or more additive features share."""

    terms: Callable[..., tuple[Array, ...]]
    window: int
    width: int
    first: int
    """row among the sums of its window"""


@dataclass(frozen=True)
class Plan:
    """Static: which features are computed and how."""

    layout: Layout
    specs: tuple[FeatureSpec, ...]
    present: tuple[FeatureSpec, ...]
    floats: tuple[str, ...]
    """float windows that are kept"""
    mids: tuple[str, ...]
    """mid windows that are kept"""
    terms: tuple[Term, ...]
    windows: tuple[int, ...]
    """lengths over which sums are kept"""

    @property
    def incremental(self) -> tuple[FeatureSpec, ...]:
        return tuple(spec for spec in self.present if spec.form == "incremental")

    @property
    def absent(self) -> dict[str, tuple[str, ...]]:
        """Features that the source cannot feed, and the columns they miss."""
        return {
            spec.name: missing_columns(spec, self.layout)
            for spec in self.specs
            if spec not in self.present
        }


def plan(layout: Layout, specs: Iterable[FeatureSpec]) -> Plan:
    """Decide once what every bar will do."""
    chosen = tuple(specs)
    layout = _cut(layout, chosen)
    present = tuple(one for one in chosen if not missing_columns(one, layout))
    terms = _plan_terms(layout, present)
    kept = {name for spec in present for name in _windows_read(spec)}
    return Plan(
        layout=layout,
        specs=chosen,
        present=present,
        floats=tuple(name for name in history.FLOAT_WINDOWS if name in kept),
        mids=tuple(
            dict.fromkeys(mid for path, mid in history.PATHS.items() if path in kept)
        ),
        terms=terms,
        windows=tuple(sorted({term.window for term in terms})),
    )


def _cut(layout: Layout, specs: tuple[FeatureSpec, ...]) -> Layout:
    """The layout with rings no longer than any feature looks back."""
    longest = max((spec.window for spec in specs), default=layout.window)
    window = min(layout.window, longest)
    for spec in specs:
        fills_ring = spec.form == "incremental" and recursions.fills_ring(spec)
        if fills_ring and spec.window < window:
            raise ValueError(
                f"Feature '{spec.name}' counts over whole rings, which are {window} "
                f"bars long here, but its window is {spec.window}. Make both equal."
            )
    return layout._replace(window=window)


def missing_columns(spec: FeatureSpec, layout: Layout) -> tuple[str, ...]:
    """Columns of `Bar` that the feature needs and the source does not fill."""
    return tuple(sorted(_bar_columns(spec) - set(layout.columns)))


def init(plan: Plan) -> BankState:
    """The state before the first bar."""
    symbols, window = plan.layout.symbols, plan.layout.window
    return BankState(
        index=jnp.int32(0),
        past=history.init_past(symbols),
        windows=history.init_windows(len(plan.floats), len(plan.mids), symbols, window),
        sums=tuple(
            init_sums(length, _width(plan, length) * symbols) for length in plan.windows
        ),
        recursions=recursions.init(plan.incremental, window, symbols),
        sound=jnp.zeros((len(_watched(plan)), symbols), jnp.int32),
        whole=jnp.zeros((2, symbols), jnp.int32),
        oldest=jnp.zeros((len(plan.floats), symbols)),
    )


def update(
    plan: Plan, scales: Scales, state: BankState, bar: Bar
) -> tuple[BankState, RawFeatures]:
    """One bar of every symbol in, every feature out."""
    columns = history.bar_columns(bar, state.past, scales)
    windows = history.push_windows(
        state.windows,
        state.index,
        [columns[name] for name in plan.floats],
        [getattr(bar, name) for name in plan.mids],
    )
    ordered = _ordered(plan, windows, state.index, bar)
    oldest = [ordered[name][:, 0] for name in plan.floats]
    sums, totals = _push_terms(plan, state, columns, ordered)
    given = _given(plan, state, columns, windows, ordered)
    carried, recursive = recursions.advance(
        plan.incremental, plan.layout.window, state.recursions, given, state.index
    )
    sound = _sound(plan, state.sound, columns)
    whole = _whole(state.whole, bar)
    past = history.next_past(state.past, bar)
    named = _shared(plan, ordered) | recursive | _finished(plan, totals)
    next_state = BankState(
        index=state.index + 1,
        past=past,
        windows=windows,
        sums=sums,
        recursions=carried,
        sound=sound,
        whole=whole,
        oldest=jnp.stack(oldest) if oldest else state.oldest,
    )
    return next_state, _gather(plan, named, past, sound, whole)


def reset(plan: Plan, state: BankState, is_fresh: Bool[Array, " S"]) -> BankState:
    """The state with some slots as if they had never been used."""
    symbols = plan.layout.symbols

    def clear(array: Array, axis: int) -> Array:
        shape = [1] * array.ndim
        shape[axis] = symbols
        return jnp.where(is_fresh.reshape(shape), jnp.zeros_like(array), array)

    def clear_sums(rows: Array) -> Array:
        split = rows.reshape(rows.shape[0], -1, symbols)
        return clear(split, 2).reshape(rows.shape)

    return BankState(
        index=state.index,
        past=Past(*(clear(column, 0) for column in state.past)),
        windows=Windows(*(clear(column, 1) for column in state.windows)),
        sums=jax.tree.map(clear_sums, state.sums),
        recursions=recursions.reset(
            plan.incremental, plan.layout.window, state.recursions, is_fresh
        ),
        sound=clear(state.sound, 1),
        whole=clear(state.whole, 1),
        oldest=clear(state.oldest, 1),
    )


def _windows_read(spec: FeatureSpec) -> set[str]:
    """Ordered windows that a feature reads, through intermediates and lags too."""
    is_whole = spec.form in ("shared", "windowed")
    names = _streamed(spec)
    return {column_of(name) for name in names if is_whole or column_of(name) != name}


def _streamed(spec: FeatureSpec) -> tuple[str, ...]:
    """What a feature's streaming form reads, as it names it."""
    if spec.form == "additive":
        return arguments(spec.implementation.terms)
    if spec.form == "incremental":
        return recursions.inputs(spec)
    return tuple(_expand(arguments(spec.implementation.value)))


def _expand(names: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name in INTERMEDIATES:
            found |= _expand(arguments(INTERMEDIATES[name]))
        else:
            found.add(name)
    return found


def _window_of(spec: FeatureSpec, layout: Layout) -> int:
    return min(spec.window, layout.window)


def _plan_terms(layout: Layout, present: tuple[FeatureSpec, ...]) -> tuple[Term, ...]:
    planned: dict[tuple[Any, int], Term] = {}
    rows: dict[int, int] = {}
    for spec in present:
        if spec.form != "additive":
            continue
        terms, window = spec.implementation.terms, _window_of(spec, layout)
        if (terms, window) in planned:
            continue
        example = {name: jnp.float32(0) for name in arguments(terms)}
        width = len(jax.eval_shape(lambda kw, terms=terms: terms(**kw), example))
        first = rows.get(window, 0)
        planned[terms, window] = Term(terms, window, width, first)
        rows[window] = first + width
    return tuple(planned.values())


def _width(plan: Plan, window: int) -> int:
    """Rows summed over `window`: the terms, and one that counts the bars."""
    return 1 + sum(term.width for term in plan.terms if term.window == window)


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


def _lagged(name: str, columns: dict[str, Array], ordered: dict[str, Array]) -> Array:
    if not name.endswith("_ago"):
        return columns[name]
    back = name.removeprefix(f"{column_of(name)}_").removesuffix("_ago")
    return ordered[column_of(name)][:, -1 - int(back)]


def _push_terms(
    plan: Plan,
    state: BankState,
    columns: dict[str, Array],
    ordered: dict[str, Array],
) -> tuple[tuple[WindowSums, ...], dict[int, Float[Array, "K S"]]]:
    """Every window's sums with the newest bar in and the oldest out."""
    pushed, totals = [], {}
    seen = ((state.past.age > 0) | (columns["live"] > 0)).astype(jnp.float32)
    for length, sums in zip(plan.windows, state.sums, strict=True):
        rows = [seen]
        for term in (one for one in plan.terms if one.window == length):
            asked = [_lagged(n, columns, ordered) for n in arguments(term.terms)]
            rows += jax.vmap(term.terms)(*asked)
        # A symbol that has not begun counts nothing and sums nothing.
        row = jnp.concatenate([one * seen for one in rows])
        sums, total = push_sums(sums, state.index, row)
        pushed.append(sums)
        totals[length] = _written(total, state.index).reshape(len(rows), -1)
    return tuple(pushed), totals


def _written(total: Float[Array, " K"], index: Int[Array, ""]) -> Float[Array, " K"]:
    """The same numbers, summed once: XLA would sum them anew in each of their readers.

    Of all it fuses, only what is written into a place known at run time stays put.
    """
    places = jnp.zeros((2, total.size), total.dtype)
    places = lax.dynamic_update_slice_in_dim(places, total[None], index % 2, 0)
    return places[0] + places[1]


def _finished(plan: Plan, totals: dict[int, Array]) -> dict[str, Array]:
    """Additive features from their sums."""
    found = {(term.terms, term.window): term for term in plan.terms}
    values = {}
    for spec in plan.present:
        if spec.form != "additive":
            continue
        window = _window_of(spec, plan.layout)
        term = found[spec.implementation.terms, window]
        total = totals[window]
        sums = total[1 + term.first : 1 + term.first + term.width]
        values[spec.name] = jax.vmap(spec.implementation.finish)(*sums, total[0])
    return values


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


def _finite(column: Float[Array, " S"]) -> Float[Array, " S"]:
    return jnp.where(jnp.isfinite(column), column, 0.0)


def _sound(
    plan: Plan, sound: Int[Array, "C S"], columns: dict[str, Array]
) -> Int[Array, "C S"]:
    """Bars since a column was no number: as long is masked what reads it.

    A feature may make a number of what is none: a comparison with NaN is false, and a
    variance that is none counts as flat.
    """
    if not (names := _watched(plan)):
        return sound
    is_number = jnp.isfinite(jnp.stack([columns[name] for name in names]))
    return jnp.where(is_number, sound + 1, 0)


def _watched(plan: Plan) -> list[str]:
    """The columns that present features read."""
    return sorted({name for spec in plan.present for name in _columns(spec)})


def _columns(spec: FeatureSpec) -> frozenset[str]:
    """Columns that a feature reads; a path is as good as the returns along it."""
    names = map(column_of, _streamed(spec))
    return frozenset("log_return" if name in history.PATHS else name for name in names)


def _whole(whole: Int[Array, "2 S"], bar: Bar) -> Int[Array, "2 S"]:
    """A bar that was conflated lacks quotes; one that was masked as well, trades."""
    lacks_quotes = bar.conflated > 0
    lacks_trades = lacks_quotes & (bar.live == 0)
    return jnp.where(jnp.stack([lacks_quotes, lacks_trades]), 0, whole + 1)


def _shared(plan: Plan, ordered: dict[str, Array]) -> dict[str, Array]:
    """Features of whole windows; intermediates are computed when first asked for."""
    known = dict(ordered)

    def resolve(name: str, window: int) -> Array:
        if name not in known:
            asked = arguments(INTERMEDIATES[name])
            known[name] = INTERMEDIATES[name](*(resolve(one, 0) for one in asked))
        found = known[name]
        return found[:, -window:] if name in ordered and window else found

    values = {}
    for spec in plan.present:
        if spec.form in ("shared", "windowed"):
            window = _window_of(spec, plan.layout)
            asked = arguments(spec.implementation.value)
            values[spec.name] = jax.vmap(spec.implementation.value)(
                *(resolve(name, window) for name in asked)
            )
    return values


def _gather(
    plan: Plan,
    named: dict[str, Array],
    past: Past,
    sound: Int[Array, "C S"],
    whole: Int[Array, "2 S"],
) -> RawFeatures:
    """All features in the catalogue's order; absent ones are zero and unusable."""
    zero = jnp.zeros(plan.layout.symbols, jnp.float32)
    values = jnp.stack([named.get(spec.name, zero) for spec in plan.specs]).T
    needed = jnp.array(
        [_window_of(spec, plan.layout) + spec.lag for spec in plan.specs], jnp.int32
    )
    low = jnp.array([spec.low for spec in plan.specs], jnp.float32)
    high = jnp.array([spec.high for spec in plan.specs], jnp.float32)
    is_present = jnp.array([spec in plan.present for spec in plan.specs])
    known = _known(plan, past.age, sound)
    for since, reads in zip(whole, (_reads_quotes, _reads_trades), strict=True):
        concerned = jnp.array([reads(spec) for spec in plan.specs])[None]
        known = jnp.where(concerned, jnp.minimum(known, since[:, None]), known)
    warm = known >= needed[None]
    heard = (past.silent <= history.STALE_BARS)[:, None]
    valid = (values >= low[None]) & (values <= high[None]) & jnp.isfinite(values)
    return RawFeatures(values, is_present[None] & warm & heard & valid)


def _known(
    plan: Plan, age: Int[Array, " S"], sound: Int[Array, "C S"]
) -> Int[Array, "S F"]:
    """Bars since a symbol began, and since all that a feature reads were numbers."""
    since = dict(zip(_watched(plan), sound, strict=True))
    read = [_columns(spec) for spec in plan.specs]
    groups = list(dict.fromkeys(read))

    def least(names: frozenset[str]) -> Int[Array, " S"]:
        watched = [since[name] for name in sorted(names) if name in since]
        return jnp.stack([age, *watched]).min(0)

    known = jnp.stack([least(names) for names in groups])
    return known[jnp.array([groups.index(names) for names in read])].T


def _reads_quotes(spec: FeatureSpec) -> bool:
    """Whether a quote that was never seen may have changed the feature."""
    return bool(_bar_columns(spec) - history.STANDING - history.TRADED)


def _reads_trades(spec: FeatureSpec) -> bool:
    """Whether a trade, or a quote, that was never seen may have."""
    return bool(_bar_columns(spec) - history.STANDING)


def _bar_columns(spec: FeatureSpec) -> set[str]:
    return {bar for name in spec.columns for bar in COLUMNS[name]}
