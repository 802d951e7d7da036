"""Folders of candles as freqtrade keeps them: one feather file a pair and timeframe.

A file is named `<BASE>_<QUOTE>-<timeframe>.feather` and holds `date` (the candle's
opening, UTC), `open`, `high`, `low`, `close` and `volume` in base units. A candle
without trades is missing from it.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import polars as pl

from bot4jax.data.bars import PRICES, BarSource, check_bars, on_clock
from bot4jax.data.grid import increment, spoiler, told_spoiler
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import Instrument

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

Value = TypeVar("Value", str, int)

FEE = 10e-4
"""Share of notional: what most spot venues ask in their public base tier."""


class Candles(BarSource):
    """All pairs of a folder that have one timeframe and one quote currency.

    `bar_seconds` picks the timeframe, `quote` the currency; left out, each is what most
    files of the folder have. The other files are named in `skipped`: a portfolio needs
    one currency and one clock. Bars run from the first candle of any pair to the last;
    a missing candle is not live, repeats the last close and has no volume. `symbols`
    keeps the first so many by name, 0 all.
    """

    def __init__(
        self,
        path: str | Path,
        bar_seconds: float = 0.0,
        symbols: int = 0,
        quote: str = "",
    ) -> None:
        files = candle_files(Path(path))
        bar_ns = round(bar_seconds * 1e9) or _usual((ns for *_, ns in files), 0)
        quote = quote or _usual(
            (currency for _, currency, ns in files if ns == bar_ns), ""
        )
        chosen = {
            f"{base}/{quote}": file
            for (base, currency, ns), file in sorted(files.items())
            if ns == bar_ns and currency == quote
        }
        if not chosen:
            raise DataError(
                f"{path} holds no candles of {bar_ns / 1e9:g} s in {quote or 'any'} "
                "currency; found: "
                + ", ".join(sorted(file.name for file in files.values()))
            )
        chosen = dict(list(chosen.items())[: symbols or None])
        tables = {pair: read_candles(file, bar_ns) for pair, file in chosen.items()}
        start_ns, panel = on_clock(list(tables.values()), bar_ns)
        instruments = [spot(pair, table) for pair, table in tables.items()]
        super().__init__(universe(instruments), panel, bar_ns, start_ns)
        self.skipped = sorted(set(files.values()) - set(chosen.values()))
        """files that were left out"""


def resample_trades(trades: pl.DataFrame, minutes: int) -> pl.DataFrame:
    """Candles of the trades (`timestamp` in ms, `price`, `amount`), by time of trade.

    A candle without trades is missing.
    """
    return (
        trades.with_columns(date=pl.from_epoch("timestamp", time_unit="ms"))
        .sort("date", maintain_order=True)
        .group_by_dynamic("date", every=f"{minutes}m")
        .agg(
            open=pl.col("price").first(),
            high=pl.col("price").max(),
            low=pl.col("price").min(),
            close=pl.col("price").last(),
            volume=pl.col("amount").sum(),
        )
        .with_columns(
            pl.col("date").dt.cast_time_unit("ns").dt.replace_time_zone("UTC")
        )
    )


def candle_files(folder: Path) -> dict[tuple[str, str, int], Path]:
    """Files by base, quote and length of a candle in ns; other files are left alone."""
    if not folder.is_dir():
        raise DataError(f"'{folder}' was given, a folder of candles was expected.")
    files = {}
    for file in sorted(folder.iterdir()):
        if name := re.fullmatch(r"(\w+)_(\w+)-(\d+)([smhd])\.feather", file.name):
            length_ns = int(name[3]) * SECONDS[name[4]] * 10**9
            files[name[1], name[2], length_ns] = file
    if not files:
        raise DataError(
            f"{folder} holds no candles: expected '<BASE>_<QUOTE>-<timeframe>.feather'."
        )
    return files


def read_candles(file: Path, bar_ns: int) -> pl.DataFrame:
    """One file's candles, checked: `time` in ns, then prices and volume."""
    try:
        table = pl.read_ipc(file)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{file} is no readable feather file: {error}") from error
    missing = sorted({"date", *PRICES, "volume"} - set(table.columns))
    if missing or not isinstance(table.schema["date"], pl.Datetime):
        raise DataError(
            f"{file}: expected columns date (a time), open, high, low, close, volume; "
            f"missing or no time: {', '.join(missing) or 'date'}."
        )
    checked = table.select(
        pl.col("date").dt.timestamp("ns").alias("time"),
        pl.col(*PRICES, "volume").cast(pl.Float64),
    )
    check_bars(file.name, checked, bar_ns)
    return checked


def spot(pair: str, table: pl.DataFrame) -> Instrument:
    """The instrument of a pair, its increment and lot read off the candles."""
    base, _, quote = pair.partition("/")
    prices = table.select(PRICES).to_numpy().ravel()
    step = increment(prices)
    if (index := spoiler(prices, step)) is not None:
        row = index // len(PRICES)
        raise DataError(f"{pair}, row {row}: {told_spoiler(prices, step, index)}")
    return Instrument(
        symbol=pair,
        increment=step,
        lot=increment(table["volume"].to_numpy()),
        base=base,
        quote=quote,
        settlement=quote,
        maker_fee=FEE,
        taker_fee=FEE,
    )


def _usual(values: Iterable[Value], default: Value) -> Value:
    """The most frequent value, the smallest among equals."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value), default=default)
