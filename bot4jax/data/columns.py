"""Any Parquet or CSV file, or a frame, by a mapping from our names to its columns.

Bars need `time` (the opening), `open`, `high`, `low`, `close` and `volume`; ticks need
`time`, `bid`, `ask`, `bid_size` and `ask_size`, and may have `price`, `size`, `side`
(the aggressor) for trades and `received` for the local time. `symbol` is the file's
name where it is not mapped. Prices are quote currency a base unit, sizes base units.
A row of ticks is a quote, a trade, or a quote and then a trade: the other columns are
empty.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from bot4jax.data.bars import PRICES, BarSource, as_told, check_bars, on_clock
from bot4jax.data.grid import increment, spoiler, told_spoiler
from bot4jax.data.origin import digest
from bot4jax.data.recording import RecordedSource, Recording
from bot4jax.data.source import BarBlock, DataError
from bot4jax.data.table import (
    BARS,
    FRAME,
    NAMES,
    QUOTES,
    TIME_UNITS,
    TRADES,
    read_columns,
    read_table,
)
from bot4jax.data.universe import universe
from bot4jax.types import (
    QUOTE,
    TICK,
    TRADE,
    UNKNOWN_SIDE,
    Bar,
    Frame,
    Instrument,
)

TRADE_COLUMNS = (
    "trade_open",
    "trade_high",
    "trade_low",
    "trade_close",
    "trade_count",
    "base_turnover",
    "quote_turnover",
    "vwap_offset",
    "squared_return_fast",
    "squared_return_slow",
    "inferred_cancels",
)
"""Bar columns that nobody can fill without trades."""

SIDE_COLUMNS = (
    "buy_count",
    "sell_count",
    "buy_volume",
    "sell_volume",
    "signed_root_notional",
    "effective_spread",
    "realised_spread",
    "price_impact",
)
"""Those that need a trade's aggressor."""

BOOK_COLUMNS = (
    "flow_2",
    "flow_3",
    "flow_4",
    "flow_5",
    "bid_depth_5",
    "ask_depth_5",
    "bid_depth_10",
    "ask_depth_10",
)
"""Those that need levels below the best."""


OFF_GRID = 1e-4
"""Share of an increment or lot that a float may be off by rounding."""


class Columns:
    """A `Source` read from one file or frame; bars or ticks, as the mapping says.

    `instruments` gives the terms of trade; without them every symbol is a spot pair
    whose increment and lot are read off its prices and sizes. `symbols` keeps the first
    so many by name, 0 all. Row numbers in errors count from 0, without the header.
    """

    simulated = False

    def __init__(
        self,
        market: str | Path | pl.DataFrame,
        mapping: Mapping[str, str],
        times_unit: str = "ns",
        bar_seconds: float = 1.0,
        symbols: int = 0,
        instruments: Sequence[Instrument] = (),
    ) -> None:
        if not mapping:
            raise DataError(unmapped(market))
        check_mapping(mapping, times_unit)
        bar_ns = round(bar_seconds * 1e9)
        self.has_ticks = "bid" in mapping
        is_frame = isinstance(market, pl.DataFrame)
        place = FRAME if is_frame else Path(market)
        table = read_columns(market if is_frame else place, mapping, times_unit)
        terms = {one.symbol: one for one in instruments}
        named = by_name(place, table, symbols, terms)
        play = _ticks if self.has_ticks else _bars
        self._source = play(place, named, bar_ns)
        self.universe = self._source.universe
        self.columns = filled_columns(mapping)
        self.bar_ns = bar_ns
        self.start_ns = self._source.start_ns
        self.bar_count = self._source.bar_count
        self.anchors = self._source.anchors

    def frames(self, first: int, stop: int) -> Iterator[Frame]:
        """Ticks of the bars `first … stop − 1`; see `RecordedSource.frames`."""
        return self._source.frames(first, stop)

    def bars(self, first: int, stop: int) -> Iterator[BarBlock]:
        """Bars `first … stop − 1` of a file of bars."""
        return self._source.bars(first, stop)

    def digest(self, stop: int) -> str:
        """Of the first `stop` bars, see `origin.py`."""
        return digest(self._source, stop)


def unmapped(market: str | Path | pl.DataFrame) -> str:
    """What to do about a file or frame whose columns nobody has named."""
    is_frame = isinstance(market, pl.DataFrame)
    table = market if is_frame else read_table(Path(market))
    return (
        "data.mapping names no column yet: give each of our names the file's own, as "
        "in 'data.mapping={time: ts, open: o, …}'. A file of bars needs time, "
        f"{', '.join(BARS)}; one of ticks time, {', '.join(QUOTES)}. "
        f"{FRAME if is_frame else market} has {', '.join(table.columns)}."
    )


def check_mapping(mapping: Mapping[str, str], times_unit: str) -> None:
    """Refuse unknown names and a set of columns that makes neither bars nor ticks."""
    unknown = sorted(set(mapping) - set(NAMES))
    if unknown:
        raise DataError(
            f"Unknown column names {', '.join(unknown)}. Use some of: "
            + ", ".join(NAMES)
        )
    if times_unit not in TIME_UNITS:
        raise DataError(
            f"Unknown time unit '{times_unit}'. Use one of: " + ", ".join(TIME_UNITS)
        )
    is_bars = any(name in mapping for name in BARS)
    needed = {"time", *(BARS if is_bars else QUOTES)}
    if not is_bars and {"price", "size", "side"} & set(mapping):
        needed |= set(TRADES)
    missing = sorted(needed - set(mapping))
    mixed = sorted({*QUOTES, *TRADES, "side", "received"} & set(mapping))
    if missing:
        raise DataError(
            f"The mapping (data.mapping) lacks {', '.join(missing)}: a file of "
            f"{'bars' if is_bars else 'ticks'} needs {', '.join(sorted(needed))}."
            f"{'' if is_bars or set(QUOTES) & set(mapping) else _OR_BARS}"
        )
    if is_bars and mixed:
        raise DataError(
            f"The mapping holds bars and also {', '.join(mixed)}: give bars and ticks "
            "as two sources."
        )


_OR_BARS = f" One of bars needs time, {', '.join(BARS)}."


def filled_columns(mapping: Mapping[str, str]) -> tuple[str, ...]:
    """The bar columns that a file with these columns can fill."""
    if "bid" not in mapping:
        return BarSource.columns
    absent = set(BOOK_COLUMNS)
    absent |= set() if "price" in mapping else set(TRADE_COLUMNS)
    absent |= set() if "side" in mapping else set(SIDE_COLUMNS)
    return tuple(name for name in Bar._fields if name not in absent)


Named = dict[str, tuple[Instrument, pl.DataFrame]]
"""Instrument and rows of each symbol, by name."""


def by_name(
    place: Path,
    table: pl.DataFrame,
    symbols: int,
    instruments: Mapping[str, Instrument],
) -> Named:
    """The rows of each of the first `symbols` symbols, with its terms of trade."""
    parts = table.partition_by("symbol", as_dict=True)
    names = sorted(str(key[0]) for key in parts)[: symbols or None]
    if not names:
        raise DataError(
            f"{place} holds no rows below its header: one a bar or tick was expected. "
            "Fill it, or name another by data.file."
        )
    rows = {name: parts[(name,)] for name in names}
    if not instruments:
        return {name: (_spot(place, name, rows[name]), rows[name]) for name in names}
    unknown = sorted(set(names) - set(instruments))
    if unknown:
        raise DataError(f"No instrument is given for {', '.join(unknown)}.")
    for name in names:
        check_grid(place, instruments[name], rows[name])
    return {name: (instruments[name], rows[name]) for name in names}


def check_grid(place: Path, one: Instrument, rows: pl.DataFrame) -> None:
    """Ticks must lie on the increment and lot that are given for their instrument."""
    units = dict.fromkeys(("bid", "ask", "price"), one.increment)
    units |= dict.fromkeys(("bid_size", "ask_size", "size"), one.lot)
    for name, unit in units.items():
        if name in rows.columns:
            steps = pl.col(name) / unit
            off = rows.filter((steps - steps.round()).abs() > OFF_GRID)
            if off.height:
                raise DataError(
                    f"{place}, {one.symbol}, row {off['row'][0]}: {name} "
                    f"{off[name][0]} was found, a multiple of {unit} was expected. "
                    "Mend the row, or give the instrument a finer grid."
                )


def _spot(place: Path, name: str, rows: pl.DataFrame) -> Instrument:
    columns = [one for one in (*PRICES, "bid", "ask", "price") if one in rows.columns]
    prices = rows.select(columns).fill_null(0).to_numpy()
    step = increment(prices.ravel())
    if (index := spoiler(prices.ravel(), step)) is not None:
        row = rows["row"][index // len(columns)]
        said = told_spoiler(prices.ravel(), step, index)
        raise DataError(f"{place}, {name}, row {row}: {said}")
    sizes = [one for one in ("volume", *QUOTES[2:], "size") if one in rows.columns]
    return Instrument(
        symbol=name,
        increment=step,
        lot=increment(rows.select(sizes).fill_null(0).to_numpy().ravel()),
        base=name,
    )


def _bars(place: Path, named: Named, bar_ns: int) -> BarSource:
    for name, (_, rows) in named.items():
        check_bars(f"{place}, {name}", rows.select("row", "time", *BARS), bar_ns)
    start_ns, panel = on_clock([rows for _, rows in named.values()], bar_ns)
    instruments = universe([one for one, _ in named.values()])
    return BarSource(instruments, panel, bar_ns, start_ns)


def _ticks(place: Path, named: Named, bar_ns: int) -> RecordedSource:
    parts = [
        part
        for slot, (one, rows) in enumerate(named.values())
        for part in _records(place, slot, one, rows)
    ]
    records = np.concatenate([records for records, _ in parts])
    rows = pl.concat([rows for _, rows in parts])
    received, row = rows["received"].to_numpy(), rows["row"].to_numpy()
    order = np.lexsort((row, received))  # stable: a quote stays before its trade
    recording = Recording(records[order], received[order])
    instruments = universe([one for one, _ in named.values()])
    return RecordedSource(instruments, recording, bar_ns)


def _records(
    place: Path, slot: int, one: Instrument, rows: pl.DataFrame
) -> Iterator[tuple[np.ndarray, pl.DataFrame]]:
    """Quotes and trades of one symbol as tick records, with the rows they came from."""
    if "received" not in rows.columns:
        rows = rows.with_columns(received="time")
    check_rows(f"{place}, {one.symbol}", rows)
    quotes = rows.drop_nulls(QUOTES[0])
    units = (one.increment, one.increment, one.lot, one.lot)
    yield _filled(QUOTE, slot, quotes, zip("abcd", QUOTES, units, strict=True)), quotes
    if "price" in rows.columns:
        trades = rows.drop_nulls(TRADES[0])
        units = (one.increment, one.lot)
        records = _filled(TRADE, slot, trades, zip("ab", TRADES, units, strict=True))
        records["side"] = trades["side"] if "side" in trades.columns else UNKNOWN_SIDE
        yield records, trades


def _filled(
    kind: int, slot: int, rows: pl.DataFrame, fields: Iterable[tuple[str, str, float]]
) -> np.ndarray:
    records = np.zeros(rows.height, TICK)
    records["kind"], records["symbol"] = kind, slot
    records["event_ns"] = rows["time"].to_numpy()
    for field, name, unit in fields:
        records[field] = np.rint(rows[name].to_numpy() / unit)
    return records


def check_rows(where: str, rows: pl.DataFrame) -> None:
    """A row of ticks must be a whole quote, a whole trade, or both."""
    groups = [QUOTES, TRADES] if "price" in rows.columns else [QUOTES]
    counts = [
        pl.sum_horizontal(pl.col(name).is_not_null() for name in group)
        for group in groups
    ]
    sizes = [len(group) for group in groups]
    whole = [
        (count == 0) | (count == size)
        for count, size in zip(counts, sizes, strict=True)
    ]
    good = pl.all_horizontal(*whole) & (pl.sum_horizontal(counts) > 0)
    wrong = rows.filter(~good)
    if wrong.height:
        told = wrong.drop("row", "received", strict=False).row(0, named=True)
        raise DataError(
            f"{where}, row {wrong['row'][0]}: {as_told(told)} was found, a whole quote "
            f"({', '.join(QUOTES)}) or trade ({', '.join(TRADES)}) was expected. Fill "
            "what is empty, or leave the row out."
        )
