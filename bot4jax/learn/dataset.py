"""Closed bars and features over time: what learning and judging work from.

Bars are recorded once; features come from the engine's own `observe`, the executable
that serves, so there is no difference between training and serving to explain.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.kernels.clean import Scaler, fit_scaler
from bot4jax.kernels.history import BOOK_LEVELS, Scales
from bot4jax.kernels.rebase import Terms
from bot4jax.kernels.sizing import Risk
from bot4jax.learn.shelf import MEMORY, Shelf, gathered, one_behind
from bot4jax.state import Observing, Seen, Units
from bot4jax.types import BAR_FLOATS, BAR_INTS

Observe = Callable[..., tuple[Observing, Seen]]

SEEN = ("features", "usable", "volatility", "beta", "market_volatility")
SEEN += ("half_spread",)
"""What is kept of `Seen`, in the order of `Dataset`."""

SCALER_SAMPLES = 200_000
"""Rows that the scaler's quantiles are fitted on: their error is below 1 %."""

LEAST_RETURN_SCALE = 1e-6
"""Of log returns: no symbol is measured in a smaller unit."""


class BarRecord(NamedTuple):
    """Closed bars of consecutive boundaries."""

    first: int
    """number of the first bar"""
    ints: Int[np.ndarray, "T B S"]
    floats: Float[np.ndarray, "T D S"]
    seams: tuple[int, ...] = ()
    """rows behind which another time begins: whatever remembers begins anew there"""
    warm: int = 0
    """rows from each seam on that only warm up: nothing is decided in them"""
    price_factor: Float[np.ndarray, "T S"] | None = None
    """a price of each bar over the same in the terms of the first; None: all are 1"""

    def column(self, name: str) -> np.ndarray:
        """One column of every bar, `[T, S]`."""
        if name in BAR_INTS:
            return self.ints[:, BAR_INTS.index(name)]
        return self.floats[:, BAR_FLOATS.index(name)]

    def part(self, span: range) -> "BarRecord":
        """The bars numbered `span.start … span.stop − 1`."""
        rows = slice(span.start - self.first, span.stop - self.first)
        factor = None if self.price_factor is None else self.price_factor[rows]
        parts = span.start, self.ints[rows], self.floats[rows]
        return BarRecord(*parts, price_factor=factor)

    def price(self, mid: str) -> Float[np.ndarray, "T S"]:
        """A mid in increments of the first bar's terms, float64."""
        own = self.column("anchor") + self.column(mid) / 2.0
        return own if self.price_factor is None else own / self.price_factor

    def live(self) -> Bool[np.ndarray, "T S"]:
        """Where a decision could be made and met."""
        return self._behind_warm_up(self.column("live") > 0)

    def settled(self) -> Bool[np.ndarray, "T S"]:
        """Where a label can end: who is live, or has ended for good (`types.ENDED`)."""
        return self._behind_warm_up(self.column("live") != 0)

    def _behind_warm_up(self, found: Bool[np.ndarray, "T S"]) -> np.ndarray:
        """The same, nowhere in the bars that only warm up."""
        for seam in self.seams:
            found[seam : seam + self.warm] = False
        return found


class Dataset(NamedTuple):
    """Features and what is needed to label, weigh and judge them; bars × symbols."""

    first: int
    features: Float[np.ndarray, "T S F"]
    usable: Bool[np.ndarray, "T S F"]
    volatility: Float[np.ndarray, "T S"]
    """of one bar's log return, causal"""
    beta: Float[np.ndarray, "T S"]
    market_volatility: Float[np.ndarray, " T"]
    half_spread: Float[np.ndarray, "T S"]
    close: Float[np.ndarray, "T S"]
    """mid at closing, increments"""
    entry: Float[np.ndarray, "T S"]
    """mid that an order decided on the previous bar meets, increments"""
    live: Bool[np.ndarray, "T S"]
    settled: Bool[np.ndarray, "T S"]
    """where a label can end: live, or ended for good"""

    def part(self, span: range) -> "Dataset":
        """The bars numbered `span.start … span.stop − 1`."""
        rows = slice(span.start - self.first, span.stop - self.first)
        arrays = (column[rows] for column in self[1:])
        return Dataset(span.start, *arrays)


def record_bars(
    first: int,
    bars: Iterable[tuple],
    shelf: Shelf = MEMORY,
    count: int | None = None,
) -> BarRecord:
    """Bring closed bars `(ints, floats)` to the host and keep them.

    A bar is brought while the next is made; `count` as in `shelf.gathered`.
    """
    names = "bar_ints", "bar_floats"
    ints, floats = gathered(shelf, names, one_behind(bars), count)
    return BarRecord(first, ints, floats)


def price_factors(
    changes: Sequence[Terms | None], symbols: int
) -> Float[np.ndarray, "T S"] | None:
    """A price of each bar over the same in the terms of the first, by what became of
    prices behind each; None where they stayed what they were."""
    if not any(changes):
        return None
    found = np.ones((len(changes), symbols))
    for t, one in enumerate(changes[:-1]):
        found[t + 1] = found[t] if one is None else found[t] * np.asarray(one.price)
    return found


def fit_scales(record: BarRecord, span: range) -> Scales:
    """The units of features, from training bars only.

    The spread of returns is the median absolute return made consistent with a normal
    distribution, unless more than half are zero: then the standard deviation. Who did
    not move or trade in these bars, as who was not there yet, is measured in the median
    unit of those who did: in a tiny one a single newcomer would be the whole spread of
    the market's returns.
    """
    rows = slice(span.start - record.first, span.stop - record.first)
    mids, live = record.price("mid_close")[rows], record.column("live")[rows] > 0
    moved = np.zeros_like(mids)
    moved[1:] = np.diff(np.log(np.maximum(mids, 1e-9)), axis=0)
    is_known = live.copy()
    is_known[1:] &= live[:-1]
    is_known[0] = False
    counted = np.where(is_known, moved, np.nan)
    volume = record.column("base_turnover")[rows]
    traded = np.where(volume > 0, volume, np.nan)
    return Scales(
        returns=jnp.asarray(_column_scale(counted), jnp.float32),
        volume=jnp.asarray(_lent(_column_median(traded, 0.0), 1.0), jnp.float32),
        levels=jnp.asarray(_level_weights(record, rows), jnp.float32),
    )


def _level_weights(record: BarRecord, rows: slice) -> Float[np.ndarray, " L"]:
    """First principal component of the order flow of the book's levels, Σ |w| = 1.

    All symbols together, each brought to the same total variance first. A market that
    never showed its book has no such component: its levels weigh the same.
    """
    names = ["flow", *(f"flow_{k}" for k in range(2, BOOK_LEVELS + 1))]
    flow = np.stack([record.column(name)[rows] for name in names]).astype(np.float64)
    centred = flow - flow.mean(1, keepdims=True)
    total = np.sqrt((centred**2).mean(1).sum(0))
    each = centred[:, :, total > 0] / total[total > 0]
    if each.size == 0:
        return np.full(BOOK_LEVELS, 1 / BOOK_LEVELS)
    first = np.linalg.eigh(np.einsum("kts,lts->kl", each, each))[1][:, -1]
    return first * np.sign(first.sum()) / np.abs(first).sum()


def _column_scale(moved: Float[np.ndarray, "T S"]) -> Float[np.ndarray, " S"]:
    is_known = np.isfinite(moved)
    count = np.maximum(is_known.sum(0), 1)
    square = np.where(is_known, moved, 0.0) ** 2
    spread = np.sqrt(square.sum(0) / count)
    robust = 1.4826 * _column_median(np.abs(moved), 0.0)
    own = np.where(robust > 0, robust, spread)
    return np.maximum(_lent(own, LEAST_RETURN_SCALE), LEAST_RETURN_SCALE)


def _lent(units: Float[np.ndarray, " S"], default: float) -> Float[np.ndarray, " S"]:
    """Units, of who has none (0) the median of all others; `default` if nobody has."""
    known = units[units > 0]
    return np.where(units > 0, units, np.median(known) if len(known) else default)


def _column_median(
    values: Float[np.ndarray, "T S"], default: float
) -> Float[np.ndarray, " S"]:
    """Median of the finite values of each column; `default` where there are none."""
    is_empty = ~np.isfinite(values).any(0)
    filled = np.where(is_empty.reshape(1, -1), default, values)
    return np.nanmedian(filled, axis=0)


def observe_bars(
    observe: Observe,
    units: Units,
    state: Observing,
    record: BarRecord,
    on_bar: Callable[[int], None],
    shelf: Shelf = MEMORY,
) -> tuple[Observing, Dataset]:
    """Every recorded bar through the engine; `on_bar` hears how many are done.

    Behind a seam the engine begins with the state that it was given.
    """
    blank = jax.device_get(state) if record.seams else None

    def rows() -> Iterator[Seen]:
        nonlocal state
        for t in range(len(record.ints)):
            if t in record.seams:
                state = jax.device_put(blank)
            bar = jax.device_put((record.ints[t], record.floats[t]))
            state, seen = observe(units, state, *bar)
            yield seen
            on_bar(t + 1)

    found = dataset(record, one_behind(rows()), shelf)
    return state, found


def dataset(record: BarRecord, rows: Iterable[Seen], shelf: Shelf = MEMORY) -> Dataset:
    """The bars and what was seen of each, on the host or in its files."""
    seen = gathered(
        shelf,
        SEEN,
        ((one.values, one.usable, *one.risk, one.half_spread) for one in rows),
        len(record.ints),
    )
    return Dataset(
        record.first,
        *seen,
        close=record.price("mid_close"),
        entry=record.price("mid_entry"),
        live=record.live(),
        settled=record.settled(),
    )


def fit_scores(raw: Dataset, span: range, seed: int) -> Scaler:
    """The scaler of raw features, from rows of live symbols in the training span."""
    rows = scaler_rows(raw, span, seed)
    return fit_scaler(raw.features[rows], raw.usable[rows])


def scaler_rows(
    raw: Dataset, span: range, seed: int
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Bars, counted from the first of the data, and symbols that scalers see."""
    rows = np.argwhere(raw.part(span).live)
    if len(rows) > SCALER_SAMPLES:
        chosen = np.random.default_rng(seed).choice(
            len(rows), SCALER_SAMPLES, replace=False
        )
        rows = rows[np.sort(chosen)]
    t, s = rows.T
    return t + span.start - raw.first, s


def score(raw: Dataset, scaler: Scaler, clip: float) -> Dataset:
    """Raw features as the scores that `observe` gives with this scaler, in place."""
    centre, width = (np.asarray(one) for one in scaler)
    shrink = np.float32(1) / width
    for bar, usable in zip(raw.features, raw.usable, strict=True):
        scores = np.where(usable, (bar - centre) * shrink, np.float32(0))
        np.clip(scores, np.float32(-clip), np.float32(clip), out=bar)
    return raw


def seen_rows(data: Dataset, start: int = 0) -> Iterator[Seen]:
    """What was seen of each bar from row `start` on, as `conclude` takes it."""
    for t in range(start, len(data.features)):
        yield Seen(
            values=data.features[t],
            usable=data.usable[t],
            risk=Risk(data.volatility[t], data.beta[t], data.market_volatility[t]),
            half_spread=data.half_spread[t],
        )
