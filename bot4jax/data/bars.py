"""Bars that come ready-made, as open, high, low, close and volume, onto the device's
columns.

Such bars hold trade prices; no quotes, trade sides or book. Their prices stand for
the mid as well, since there is no other; every column that would have to be guessed is
absent.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from bot4jax.data.origin import digest_of
from bot4jax.data.recording import check_span
from bot4jax.data.source import BarBlock, DataError
from bot4jax.data.universe import Universe
from bot4jax.types import BAR_FLOATS, BAR_INTS, ENDED, Frame

COLUMNS = (
    "mid_open",
    "mid_high",
    "mid_low",
    "mid_close",
    "mid_entry",
    "trade_open",
    "trade_high",
    "trade_low",
    "trade_close",
    "live",
    "anchor",
    "base_turnover",
    "vwap_offset",
    "adjustment",
)
"""What such bars can fill: volume counts at the typical price. Quote turnover is not
among them: it needs the price of every trade."""

PRICES = ("open", "high", "low", "close")

LIMIT = 1 << 30
"""Device offsets stay below this many half increments from the anchor."""

_INTS = {name: row for row, name in enumerate(BAR_INTS)}
_FLOATS = {name: row for row, name in enumerate(BAR_FLOATS)}


class Panel(NamedTuple):
    """Bars of all symbols on one clock; prices in quote currency a base unit.

    Where `live` is false the other values do not count and may be NaN.
    """

    open: Float[np.ndarray, "T S"]
    high: Float[np.ndarray, "T S"]
    low: Float[np.ndarray, "T S"]
    close: Float[np.ndarray, "T S"]
    volume: Float[np.ndarray, "T S"]
    """base units"""
    live: Bool[np.ndarray, "T S"]
    adjustment: Float[np.ndarray, "T S"]
    """factor of corporate actions, 1 where there was none"""


class BarSource:
    """A `Source` of ready-made bars.

    A bar that is not live repeats the last close with zero volume; before its first
    live bar a symbol stands at its anchor, its first price. An order decided on one bar
    meets the open of the next, which is therefore the entry price. `ended` is the first
    bar of each symbol in which it is known to have ended for good, or one that never
    comes: nobody has, where nothing is said.
    """

    columns: tuple[str, ...] = COLUMNS
    simulated = False
    has_ticks = False

    def __init__(
        self,
        universe: Universe,
        panel: Panel,
        bar_ns: int,
        start_ns: int,
        ended: Int[np.ndarray, " S"] | None = None,
    ) -> None:
        increments = universe.column("increment").astype(np.float64)
        check_live(panel, universe)
        self.universe = universe
        self.bar_ns = bar_ns
        self.start_ns = start_ns
        self.bar_count = len(panel.close)
        self.panel = repeated(panel)
        self.anchors = np.rint(self.panel.close[0] / increments).astype(np.int64)
        self._increments = increments
        self._ended = np.full(len(increments), self.bar_count)
        if ended is not None:
            self._ended = ended
        check_range(self.panel, self.anchors, universe)

    def frames(self, first: int, stop: int) -> Iterator[Frame]:
        """Nothing: this source has no ticks."""
        return iter(())

    def bars(self, first: int, stop: int) -> Iterator[BarBlock]:
        """The bars `first … stop − 1`."""
        check_span(first, stop, self.bar_count)
        for index in range(first, stop):
            row = Panel(*(column[index] for column in self.panel))
            before = self.panel.close[max(index - 1, 0)]
            block = bar_block(index, row, before, self.anchors, self._increments)
            block.ints[_INTS["live"], index >= self._ended] = ENDED
            yield block

    def digest(self, stop: int) -> str:
        """Of the first `stop` bars as they were read, see `origin.py`."""
        return digest_of(column[:stop] for column in self.panel)


def bar_block(
    index: int,
    row: Panel,
    before: Float[np.ndarray, " S"],
    anchors: Int[np.ndarray, " S"],
    increments: Float[np.ndarray, " S"],
) -> BarBlock:
    """One row of a panel as device columns; mids in half increments from the anchor.

    `before` are the closes before it: what a bar's volume cost is told from there on.
    """
    ints = np.zeros((len(BAR_INTS), len(anchors)), np.int32)
    floats = np.zeros((len(BAR_FLOATS), len(anchors)), np.float32)
    for name in PRICES:
        price = getattr(row, name) / increments
        ints[_INTS[f"mid_{name}"]] = np.rint(2 * price) - 2 * anchors
        ints[_INTS[f"trade_{name}"]] = np.rint(price) - anchors
    ints[_INTS["mid_entry"]] = ints[_INTS["mid_open"]]
    ints[_INTS["live"]] = row.live
    floats[_FLOATS["anchor"]] = anchors
    floats[_FLOATS["base_turnover"]] = row.volume
    typical = (row.high + row.low + row.close) / 3
    floats[_FLOATS["vwap_offset"]] = (typical - before) / increments * row.volume
    floats[_FLOATS["adjustment"]] = row.adjustment
    return BarBlock(index, ints, floats)


def repeated(panel: Panel) -> Panel:
    """The panel without holes: the last close, no volume, no adjustment in them."""
    last = last_live(panel.live)
    first = np.argmax(panel.live, axis=0)
    slots = np.arange(panel.live.shape[1])
    close = np.where(
        last >= 0, panel.close[last, slots], panel.open[first, slots]
    ).astype(np.float64)
    return Panel(
        open=np.where(panel.live, panel.open, close),
        high=np.where(panel.live, panel.high, close),
        low=np.where(panel.live, panel.low, close),
        close=close,
        volume=np.where(panel.live, panel.volume, 0.0),
        live=panel.live,
        adjustment=np.where(panel.live, panel.adjustment, 1.0),
    )


def last_live(live: Bool[np.ndarray, "T S"]) -> Int[np.ndarray, "T S"]:
    """Index of the newest live bar up to and including each; −1 before the first."""
    index = np.where(live, np.arange(len(live))[:, None], -1)
    return np.maximum.accumulate(index, axis=0)


def check_live(panel: Panel, universe: Universe) -> None:
    """A symbol without any bar has no price to stand at."""
    for slot in np.flatnonzero(~np.any(panel.live, axis=0)):
        raise DataError(
            f"{universe.symbols[slot]} has no bar that can be used: leave it out."
        )


def check_range(
    panel: Panel, anchors: Int[np.ndarray, " S"], universe: Universe
) -> None:
    """Every offset must fit the device's integers; names the symbol that does not."""
    increments = universe.column("increment").astype(np.float64)
    highest = np.max(panel.high, axis=0) / increments - anchors
    lowest = np.min(panel.low, axis=0) / increments - anchors
    farthest = 2 * np.maximum(np.abs(highest), np.abs(lowest))
    fits = farthest < LIMIT
    if not fits.all():
        slot = int(np.argmin(fits))
        one = universe.instruments[slot]
        raise DataError(
            f"{one.symbol} moves {farthest[slot]:.3g} half increments of "
            f"{one.increment:g} from its first price, fewer than "
            f"{LIMIT} were expected: "
            "give it a coarser increment or leave it out."
        )


def check_bars(name: str, table: pl.DataFrame, bar_ns: int) -> None:
    """Refuse the first row that is no bar: name, row, what was expected, what to do.

    A column `row` has their numbers in the file that holds them; without it they are
    counted from 0.
    """
    if not table.height:
        raise DataError(f"{name} holds no bars.")
    for expected, advice, rule in rules_of(bar_ns):
        kept = table.select(rule.fill_null(False)).to_series()
        if not kept.all():
            first = table.row(int((~kept).arg_max() or 0), named=True)
            row = first.pop("row", int((~kept).arg_max() or 0))
            raise DataError(
                f"{name}, row {row}: {as_told(first)} was found, {expected} was "
                f"expected. {advice}"
            )


def rules_of(bar_ns: int) -> tuple[tuple[str, str, pl.Expr], ...]:
    """What every bar must keep: in words, what to do where it does not, and whether."""
    time, high, low, volume = map(pl.col, ("time", "high", "low", "volume"))
    is_price = pl.all_horizontal(
        *(pl.col(price).is_finite() & (pl.col(price) > 0) for price in PRICES)
    )
    return (
        (
            f"a time on the {bar_ns / 1e9:g} s clock",
            "A bar's time is its opening, a whole number of data.bar_seconds since "
            "1970 UTC.",
            time % bar_ns == 0,
        ),
        (
            "a time later than the row before",
            "Sort the rows of a symbol by time, and keep one of each time.",
            (time.diff() > 0).fill_null(True),
        ),
        ("prices that are finite and positive", LEFT_OUT, is_price),
        (
            "low ≤ open, close ≤ high",
            LEFT_OUT,
            (low <= pl.min_horizontal("open", "close"))
            & (pl.max_horizontal("open", "close") <= high),
        ),
        (
            "a volume that is finite and not negative",
            LEFT_OUT,
            volume.is_finite() & (volume >= 0),
        ),
    )


LEFT_OUT = "Mend the row or leave it out: a symbol is not live where it has no bar."
"""What to do about a bar that cannot be used."""


def as_told(row: Mapping[str, Any]) -> str:
    """A row's names and values, its time as people read it."""
    said = dict(row)
    if said.get("time") is not None:
        instant = str(np.datetime64(said["time"], "ns"))
        said["time"] = f"{instant.rstrip('0').rstrip('.')}Z"
    return ", ".join(f"{name} {value}" for name, value in said.items())


def on_clock(tables: list[pl.DataFrame], bar_ns: int) -> tuple[int, Panel]:
    """Opening of the first bar, and all tables on one clock; holes are not live."""
    times = [table["time"].to_numpy() for table in tables]
    start_ns = int(min(time[0] for time in times))
    count = int(max(time[-1] for time in times) - start_ns) // bar_ns + 1
    rows = [(time - start_ns) // bar_ns for time in times]

    def matrix(name: str) -> Float[np.ndarray, "T S"]:
        filled = np.full((count, len(tables)), np.nan)
        for slot, (table, row) in enumerate(zip(tables, rows, strict=True)):
            filled[row, slot] = table[name].to_numpy()
        return filled

    columns = {name: matrix(name) for name in (*PRICES, "volume")}
    live = np.isfinite(columns["close"])
    return start_ns, Panel(**columns, live=live, adjustment=np.ones(live.shape))
