"""LEAN's tick archives of US equities: one zipped CSV a symbol, day and kind.

Quotes are consolidated: a line states the best bid or the best ask of all exchanges and
leaves the other side at 0. Lines of one change come one after the other, the bid first;
only the second makes a quote. Trades tell no aggressor. Times are ms of the New York
day, event time alone: nothing says when a line was received.
"""

import io
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from bot4jax.data.columns import BOOK_COLUMNS, SIDE_COLUMNS
from bot4jax.data.daily import COMMISSION, MARGIN
from bot4jax.data.grid import grid
from bot4jax.data.recording import RecordedSource, Recording, in_order
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import QUOTE, TICK, TRADE, Bar, Instrument

NUMBERS = {
    "quote": ("ms", "bid", "bid_size", "ask", "ask_size"),
    "trade": ("ms", "price", "size"),
}
REST = ("exchange", "condition", "suspicious")
"""Fields of a line: its numbers, then these."""

PRICE_UNITS = 10_000
"""Units in a dollar."""

OPENS_MS, CLOSES_MS = 34_200_000, 57_600_000
"""The regular session, 9:30 to 16:00 in New York; before and after it few trade."""
DAY_MS = 90_000_000
"""No New York day is longer, that of a clock put back included."""


class Lean(RecordedSource):
    """Symbols of a folder `<symbol>/<day>_quote.zip` and `<day>_trade.zip`.

    The regular sessions of all days at hand, played as one publisher; between them
    nobody speaks. What is flagged suspicious is dropped and counted. Within a
    millisecond trades come before quotes, so that none meets a quote that it caused.
    `symbols` keeps the first so many by name, 0 all; one without quotes is `skipped`.
    """

    columns = tuple(
        name for name in Bar._fields if name not in {*SIDE_COLUMNS, *BOOK_COLUMNS}
    )

    def __init__(
        self, path: str | Path, bar_seconds: float = 1.0, symbols: int = 0
    ) -> None:
        found, self.skipped = archives(Path(path))
        chosen = sorted(found)[: symbols or None]
        read = [_symbol(slot, found[name]) for slot, name in enumerate(chosen)]
        instruments = [
            equity(name, one.price_step, one.size_step)
            for name, one in zip(chosen, read, strict=True)
        ]
        recording = in_order(*(one.recording for one in read))
        super().__init__(universe(instruments), recording, round(bar_seconds * 1e9))
        self.suspicious = dict(
            zip(chosen, (one.suspicious for one in read), strict=True)
        )
        """lines dropped by symbol"""


class Archive(NamedTuple):
    """The two files of one symbol and day."""

    day: str
    quotes: Path
    trades: Path | None


class Read(NamedTuple):
    """What the archives of one symbol hold, on the grid of its prices and sizes."""

    recording: Recording
    price_step: int
    """units of a ten-thousandth of a dollar"""
    size_step: int
    """shares"""
    suspicious: int


def equity(symbol: str, price_step: int, size_step: int) -> Instrument:
    """A US share, on the terms of a broker as in the daily panel."""
    return Instrument(
        symbol=symbol,
        kind="equity",
        increment=price_step / PRICE_UNITS,
        lot=float(size_step),
        base=symbol,
        maker_fee=COMMISSION,
        taker_fee=COMMISSION,
        margin=MARGIN,
        calendar="xnys",
    )


def archives(folder: Path) -> tuple[dict[str, list[Archive]], list[str]]:
    """Archives by symbol in the order of their days, and symbols without quotes."""
    found: dict[str, list[Archive]] = {}
    skipped = []
    for own in sorted(one for one in folder.iterdir() if one.is_dir()):
        files = {file.name: file for file in own.glob("*_*.zip")}
        days = sorted(name[:8] for name in files if re.match(r"\d{8}_quote", name))
        if days:
            found[own.name.upper()] = [
                Archive(day, files[f"{day}_quote.zip"], files.get(f"{day}_trade.zip"))
                for day in days
            ]
        elif files:
            skipped.append(own.name.upper())
    if not found:
        raise DataError(
            f"{folder} holds no tick archive with quotes: expected "
            "'<symbol>/<yyyymmdd>_quote.zip'."
        )
    return found, skipped


def _symbol(slot: int, found: Iterable[Archive]) -> Read:
    days = [_day(one) for one in found]
    records = np.concatenate([part for part, _ in days])
    records["symbol"] = slot
    price_step, size_step = _onto_grid(records)
    received = records["event_ns"].copy()
    dropped = sum(suspicious for _, suspicious in days)
    return Read(Recording(records, received), price_step, size_step, dropped)


def _day(archive: Archive) -> tuple[np.ndarray, int]:
    """Ticks of one day's regular session in order of time, and the lines dropped."""
    midnight = midnight_ns(archive.day)
    quotes, dropped = _lines(archive.quotes, "quote")
    records = [_quotes(quotes, midnight)]
    if archive.trades is not None:
        trades, more = _lines(archive.trades, "trade")
        records.insert(0, _trades(trades, midnight))
        dropped += more
    joined = np.concatenate(records)
    # Stable: trades stay before the quotes of their millisecond.
    return joined[np.argsort(joined["event_ns"], kind="stable")], dropped


def midnight_ns(day: str, zone: str = "America/New_York") -> int:
    """Start of a day `yyyymmdd` in New York or another zone, ns since 1970 UTC."""
    local = pl.Series([day]).str.to_datetime("%Y%m%d", time_unit="ns")
    return int(local.dt.replace_time_zone(zone).dt.timestamp("ns")[0])


def _lines(path: Path, kind: str) -> tuple[pl.DataFrame, int]:
    """The numbers of every line that nothing is suspicious about, and how many fell."""
    text = read_archive(path, (*NUMBERS[kind], *REST))
    numbers = text.select(pl.col(NUMBERS[kind]).cast(pl.Int64, strict=False))
    flag = text["suspicious"]
    good = _is_good(numbers, kind) & flag.is_in(["0", "1"]).to_numpy()
    if not good.all():
        row = int(np.argmin(good))
        raise DataError(
            f"{path}, line {row + 1}: {','.join(str(x) for x in text.row(row))} was "
            f"found, {_expected(kind)} was expected, no earlier than the line before."
        )
    is_kept = (flag == "0").to_numpy()
    return numbers.filter(is_kept), int((~is_kept).sum())


def read_archive(path: Path, fields: tuple[str, ...]) -> pl.DataFrame:
    """The lines of the archive's only file, as text."""
    try:
        with zipfile.ZipFile(path) as archive:
            (name,) = archive.namelist()
            body = archive.read(name)
        table = pl.read_csv(io.BytesIO(body), has_header=False, infer_schema=False)
    except (OSError, ValueError, zipfile.BadZipFile, pl.exceptions.PolarsError) as bad:
        raise DataError(
            f"{path} is damaged ({bad}): expected a zip of one CSV file."
        ) from bad
    if table.width != len(fields):
        raise DataError(
            f"{path}: {table.width} fields a line were found, {len(fields)} were "
            f"expected: {', '.join(fields)}."
        )
    return table.rename(dict(zip(table.columns, fields, strict=True)))


def _expected(kind: str) -> str:
    if kind == "trade":
        return "'ms,price,size,exchange,condition,suspicious'"
    return "'ms,bid,size,ask,size,exchange,condition,suspicious' with a bid or an ask"


def _is_good(numbers: pl.DataFrame, kind: str) -> Bool[np.ndarray, " N"]:
    """Lines whose numbers make sense, in the order of time."""
    ms = pl.col("ms")
    in_order = (ms >= ms.shift(1, fill_value=0)) & (ms < DAY_MS)
    if kind == "trade":
        stated = (pl.col("price") > 0) & (pl.col("size") > 0)
    else:
        sides = [(pl.col(side), pl.col(f"{side}_size")) for side in ("bid", "ask")]
        whole = [
            ((price > 0) & (size > 0)) | ((price == 0) & (size == 0))
            for price, size in sides
        ]
        stated = whole[0] & whole[1] & (pl.col("bid") + pl.col("ask") > 0)
    return numbers.select((in_order & stated).fill_null(False)).to_series().to_numpy()


def _trades(lines: pl.DataFrame, midnight: int) -> np.ndarray:
    ms, price, size = (lines[name].to_numpy() for name in NUMBERS["trade"])
    records = _records(TRADE, ms, midnight)
    records["a"], records["b"] = price, size
    return records[_is_regular(ms)]


def _quotes(lines: pl.DataFrame, midnight: int) -> np.ndarray:
    """A quote wherever both sides of a change have been stated."""
    ms = lines["ms"].to_numpy()
    states_bid = (lines["bid"] > 0).to_numpy()
    states_ask = (lines["ask"] > 0).to_numpy()
    records = _records(QUOTE, ms, midnight)
    names = ("bid", "ask", "bid_size", "ask_size")
    for field, name in zip("abcd", names, strict=True):
        said = pl.col(name).replace(0, None)
        stands = lines.select(said.forward_fill().fill_null(0)).to_series()
        records[field] = stands.to_numpy()
    follows = np.zeros(len(ms), bool)
    follows[:-1] = (ms[1:] == ms[:-1]) & states_ask[1:] & ~states_bid[1:]
    is_half = states_bid & ~states_ask & follows
    is_whole = (records["a"] > 0) & (records["b"] > 0) & ~is_half
    return records[is_whole & _is_regular(ms)]


def _records(kind: int, ms: Int[np.ndarray, " N"], midnight: int) -> np.ndarray:
    records = np.zeros(len(ms), TICK)
    records["kind"] = kind
    records["event_ns"] = midnight + ms * 1_000_000
    return records


def _is_regular(ms: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
    return (ms >= OPENS_MS) & (ms < CLOSES_MS)


def _onto_grid(records: np.ndarray) -> tuple[int, int]:
    """Divide prices and sizes by their grid, in place; returns the two steps."""
    is_quote = records["kind"] == QUOTE
    prices = np.concatenate([records["a"], records["b"][is_quote]])
    sizes = np.concatenate(
        [records["b"][~is_quote], records["c"][is_quote], records["d"][is_quote]]
    )
    price_step, size_step = grid(prices), grid(sizes)
    records["a"] //= price_step
    records["b"] //= np.where(is_quote, price_step, size_step)
    records["c"] //= size_step
    records["d"] //= size_step
    return price_step, size_step
