"""LEAN's tick archives of currency pairs: one zipped CSV of quotes a pair and day.

A line is `ms,bid,ask`, ms of a day that begins at 5:00 UTC all year: LEAN keeps FXCM's
ticks in New York's winter time. The recorded days say so themselves: payrolls, told at
8:30 in New York, move them at 7:30 in May. (Oanda's archives are in UTC, and would come
out five hours late.) Sizes are not told: `STANDING` is taken on either side, so that
orders find something to trade with, and every column that would be made of sizes is
absent. Neither are trades nor the time of receipt.
"""

from pathlib import Path

import numpy as np
import polars as pl

from bot4jax.data.columns import BOOK_COLUMNS, SIDE_COLUMNS, TRADE_COLUMNS
from bot4jax.data.grid import increment, spoiler, told_spoiler
from bot4jax.data.lean import archives, midnight_ns, read_archive
from bot4jax.data.recording import RecordedSource, Recording, in_order
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import QUOTE, TICK, Bar, Instrument

FIELDS = ("ms", "bid", "ask")

ZONE = "Etc/GMT+5"
"""Of the archives' days: UTC−5, whatever the clocks of New York say. (The zone's name
counts hours to the west.)"""

DAY_MS = 86_400_000

STANDING = 1_000
"""Lots at either side of a quote: a million units of the base currency."""

LOT = 1_000.0
"""Units of the base currency."""

SIZE_COLUMNS = (
    "bid_size",
    "ask_size",
    "flow",
    "bid_added",
    "bid_removed",
    "ask_added",
    "ask_removed",
)
"""Bar columns that nobody can fill without sizes of quotes."""


class Forex(RecordedSource):
    """Pairs of a folder `<pair>/<yyyymmdd>_quote.zip`, played as one publisher.

    All days at hand; over a weekend nobody speaks. A pool of banks states quotes whose
    sides meet or cross, for moments: nobody could have traded at them, and they are
    dropped and counted. `symbols` keeps the first so many by name, 0 all.
    """

    columns = tuple(
        name
        for name in Bar._fields
        if name not in {*TRADE_COLUMNS, *SIDE_COLUMNS, *BOOK_COLUMNS, *SIZE_COLUMNS}
    )

    def __init__(
        self, path: str | Path, bar_seconds: float = 10.0, symbols: int = 0
    ) -> None:
        found, _ = archives(Path(path))
        chosen = sorted(found)[: symbols or None]
        read = [
            (name, pl.concat([day_of(one.day, one.quotes) for one in found[name]]))
            for name in chosen
        ]
        steps = [step_of(*one) for one in read]
        recordings = [
            recorded(slot, rows, step)
            for slot, ((_, rows), step) in enumerate(zip(read, steps, strict=True))
        ]
        instruments = [pair(*one) for one in zip(chosen, steps, strict=True)]
        bar_ns = round(bar_seconds * 1e9)
        super().__init__(universe(instruments), in_order(*recordings), bar_ns)
        self.crossed = {
            name: rows.height - len(one.records)
            for (name, rows), one in zip(read, recordings, strict=True)
        }
        """quotes dropped, by pair"""


def step_of(name: str, rows: pl.DataFrame) -> float:
    """The increment on which all quotes of a pair lie."""
    prices = rows.select("bid", "ask").to_numpy().ravel()
    step = increment(prices)
    if (index := spoiler(prices, step)) is not None:
        raise DataError(f"{name}: {told_spoiler(prices, step, index)}")
    return step


def pair(symbol: str, step: float) -> Instrument:
    """A pair as it is traded on margin, thirty to one, without a commission."""
    return Instrument(
        symbol=symbol,
        increment=step,
        lot=LOT,
        base=symbol[:3],
        quote=symbol[3:],
        settlement=symbol[3:],
        margin=1 / 30,
    )


def day_of(day: str, path: Path) -> pl.DataFrame:
    """A day's quotes: ns since 1970, bid, ask; refused by line where one makes none."""
    text = read_archive(path, FIELDS)
    numbers = text.select(
        pl.col("ms").cast(pl.Int64, strict=False),
        pl.col("bid", "ask").cast(pl.Float64, strict=False),
    )
    ms, bid, ask = (pl.col(name) for name in FIELDS)
    in_order = (ms >= ms.shift(1, fill_value=0)) & (ms < DAY_MS)
    good = numbers.select((in_order & (bid > 0) & (ask > 0)).fill_null(False))
    is_good = good.to_series()
    if not is_good.all():
        row = (~is_good).arg_max() or 0
        raise DataError(
            f"{path}, line {row + 1}: {','.join(map(str, text.row(row)))} was found, "
            "'ms,bid,ask' with positive prices was expected, no earlier than the line "
            "before."
        )
    return numbers.with_columns(ns=midnight_ns(day, ZONE) + ms * 1_000_000)


def recorded(slot: int, rows: pl.DataFrame, step: float) -> Recording:
    """Quotes in whole increments, without those whose sides meet or cross."""
    records = np.zeros(rows.height, TICK)
    records["kind"], records["symbol"] = QUOTE, slot
    records["event_ns"] = rows["ns"].to_numpy()
    for field, name in (("a", "bid"), ("b", "ask")):
        records[field] = np.rint(rows[name].to_numpy() / step)
    records["c"] = records["d"] = STANDING
    records = records[records["a"] < records["b"]]
    return Recording(records, records["event_ns"].copy())
