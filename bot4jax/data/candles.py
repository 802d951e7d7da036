"""Folders of candles as freqtrade keeps them: one feather file a pair and timeframe.

A file is named `<BASE>_<QUOTE>-<timeframe>.feather` and holds `date` (the candle's
opening, UTC), `open`, `high`, `low`, `close` and `volume` in base units. A candle
without trades is missing from it.
"""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from bot4jax.data.bars import PRICES, BarSource, check_bars, on_clock
from bot4jax.data.grid import increment
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import Instrument

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}

FEE = 10e-4
"""Share of notional: what most spot venues ask in their public base tier."""


class Candles(BarSource):
    """All pairs of a folder that have one timeframe and one quote currency.

    `timeframe` and `quote` default to what most files of the folder have; the other
    files are named in `skipped`, since a portfolio needs one currency and one clock.
    Bars run from the first candle of any pair to the last; a missing candle is not
    live, repeats the last close and has no volume. `symbols` keeps the first so many
    by name, 0 all.
    """

    def __init__(
        self, path: str | Path, timeframe: str = "", quote: str = "", symbols: int = 0
    ) -> None:
        files = candle_files(Path(path))
        timeframe = timeframe or _usual(frame for _, _, frame in files)
        quote = quote or _usual(q for _, q, frame in files if frame == timeframe)
        chosen = {
            f"{b}/{q}": file
            for (b, q, frame), file in sorted(files.items())
            if frame == timeframe and q == quote
        }
        if not chosen:
            raise DataError(
                f"{path} holds no candles of {timeframe} in {quote}; found: "
                + ", ".join(sorted(file.name for file in files.values()))
            )
        chosen = dict(list(chosen.items())[: symbols or None])
        bar_ns = timeframe_ns(timeframe)
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


def candle_files(folder: Path) -> dict[tuple[str, str, str], Path]:
    """Files of the folder by base, quote and timeframe; other files are left alone."""
    if not folder.is_dir():
        raise DataError(f"'{folder}' was given, a folder of candles was expected.")
    pattern = re.compile(r"(\w+)_(\w+)-(\d+[smhdw])\.feather")
    found = [(pattern.fullmatch(file.name), file) for file in sorted(folder.iterdir())]
    files = {
        (name[1], name[2], name[3]): file for name, file in found if name is not None
    }
    if not files:
        raise DataError(
            f"{folder} holds no candles: expected '<BASE>_<QUOTE>-<timeframe>.feather'."
        )
    return files


def timeframe_ns(timeframe: str) -> int:
    """Length of a candle: `5m` is 300 s."""
    if not re.fullmatch(r"[1-9]\d*[smhdw]", timeframe):
        raise DataError(
            f"Timeframe '{timeframe}' was found; expected a number and one of "
            + ", ".join(SECONDS)
        )
    return int(timeframe[:-1]) * SECONDS[timeframe[-1]] * 10**9


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
    return Instrument(
        symbol=pair,
        increment=increment(table.select(PRICES).to_numpy().ravel()),
        lot=increment(table["volume"].to_numpy()),
        base=base,
        quote=quote,
        settlement=quote,
        maker_fee=FEE,
        taker_fee=FEE,
    )


def _usual(names: Iterable[str]) -> str:
    """The most frequent name, the first by alphabet among equals; '' of none."""
    counts = Counter(names)
    return min(counts, key=lambda name: (-counts[name], name), default="")
