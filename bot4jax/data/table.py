"""Columns of a Parquet or CSV file under our names, as checked values.

Everything that cannot be read is refused with its column, its row, what was found and
what was expected; nothing is guessed or dropped. Rows count from 0, without the header.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from bot4jax.data.bars import PRICES
from bot4jax.data.source import DataError
from bot4jax.types import BUY, SELL, UNKNOWN_SIDE

BARS = (*PRICES, "volume")
QUOTES = ("bid", "ask", "bid_size", "ask_size")
TRADES = ("price", "size")
NAMES = ("symbol", "time", "received", *BARS, *QUOTES, *TRADES, "side")

TIME_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
"""Nanoseconds in a unit; columns of a time type need none."""

ISO_TIME = (
    r"^\s*(?<day>\d{4}-\d{2}-\d{2})"
    r"(?:[Tt ](?<clock>\d{2}:\d{2})(?::(?<second>\d{2})(?:[.,](?<part>\d{1,9}))?)?"
    r"\s?(?:[Zz]|(?<sign>[+-])(?<hours>\d{2}):?(?<minutes>\d{2})?)?)?\s*$"
)
"""A day, a time of day and its offset, as ISO 8601 writes them; UTC without one."""

OF_TIMES = (
    " Numbers count from 1970 UTC in data.times_unit; text is read as in "
    "2024-01-02T09:30:00Z, all of a column or none."
)
OF_BARS = (
    " Mend the row or leave it out: a symbol is not live where it has no bar, and "
    "nothing is filled in."
)
HINTS: Mapping[str, str] = {
    **dict.fromkeys(("time", "received"), OF_TIMES),
    **dict.fromkeys(BARS, OF_BARS),
}
"""What else may stand in a column."""

ISO_YEARS = range(1700, 2200)
"""Those that int64 ns hold, with some to spare."""

SIDES = {"buy": BUY, "b": BUY, "1": BUY, "sell": SELL, "s": SELL, "-1": SELL}
"""What a side may be written as, in small letters."""


FRAME = Path("frame")
"""What a table that came from no file is called."""


def read_columns(
    market: Path | pl.DataFrame, mapping: Mapping[str, str], times_unit: str
) -> pl.DataFrame:
    """The mapped columns under our names: times in ns, numbers float64, all checked."""
    is_frame = isinstance(market, pl.DataFrame)
    path, table = (FRAME, market) if is_frame else (market, read_table(market))
    missing = sorted(set(mapping.values()) - set(table.columns))
    if missing:
        raise DataError(
            f"{path}: column {', '.join(missing)} is missing; found: "
            + ", ".join(table.columns)
        )
    found = {ours: table[theirs] for ours, theirs in mapping.items()}
    parsed = {name: _parsed(path, name, found[name], times_unit) for name in found}
    if "symbol" not in parsed:
        parsed["symbol"] = pl.repeat(path.stem, table.height, eager=True)
    return pl.DataFrame({"row": np.arange(table.height), **parsed})


def read_table(path: Path) -> pl.DataFrame:
    """All of a Parquet file, or of a CSV file as text."""
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path} is no readable Parquet (.parquet) or CSV file: {error}"
        ) from error


def _parsed(path: Path, name: str, values: pl.Series, times_unit: str) -> pl.Series:
    """One column as its name asks for it; the first value that is not so is refused."""
    if name == "symbol":
        parsed, expected = values.cast(pl.String), "a name"
    elif name == "side":
        parsed, expected = _sides(values), f"one of {', '.join(SIDES)} or nothing"
    elif name in ("time", "received") and is_iso(values):
        parsed, expected = iso_times(values), "a time such as 2024-01-02T09:30:00Z"
    elif name in ("time", "received"):
        parsed, expected = _times(values, times_unit), f"a time in {times_unit}"
    else:
        parsed, expected = _numbers(name, values)
    may_be_empty = name in QUOTES or name in TRADES
    wrong = parsed.is_null() & ~(values.is_null() & may_be_empty)
    if wrong.any():
        row = int(wrong.arg_max() or 0)
        raise DataError(
            f"{path}, row {row}, {name} (column '{values.name}'): {values[row]!r} was "
            f"found, {expected} was expected.{HINTS.get(name, '')}"
        )
    return parsed


def _numbers(name: str, values: pl.Series) -> tuple[pl.Series, str]:
    """Float64, null where it is no finite number in its bounds; and those bounds."""
    numbers = values.cast(pl.Float64, strict=False)
    if name in (*PRICES, "bid", "ask", "price"):
        is_good, expected = numbers > 0, "a finite price above 0"
    else:
        is_good, expected = numbers >= 0, "a finite size of at least 0"
    good = (is_good & numbers.is_finite()).fill_null(False)
    return numbers.zip_with(good, pl.repeat(None, len(numbers), eager=True)), expected


def _sides(values: pl.Series) -> pl.Series:
    """The aggressor; unknown where the cell is empty, null where it is nonsense."""
    text = values.cast(pl.String).str.to_lowercase().fill_null("")
    return text.replace_strict({**SIDES, "": UNKNOWN_SIDE}, default=None)


def is_iso(values: pl.Series) -> bool:
    """Whether the first time that is told is written as ISO 8601 does, so that all
    must be."""
    told = values.drop_nulls()
    return told.dtype == pl.String and bool(told.head(1).str.contains(ISO_TIME).any())


def iso_times(values: pl.Series) -> pl.Series:
    """int64 ns; null where it is no time of ISO 8601. Without an offset it is UTC."""
    parts = pl.col("text").str.extract_groups(ISO_TIME).struct
    second, clock = parts.field("second").fill_null("00"), parts.field("clock")
    text = pl.concat_str(
        parts.field("day"), pl.lit("T"), clock.fill_null("00:00"), pl.lit(":"), second
    )
    moment = text.str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    part = parts.field("part").fill_null("").str.pad_end(9, "0").cast(pl.Int64)
    hours, minutes = (
        parts.field(name).fill_null("0").cast(pl.Int64) for name in ("hours", "minutes")
    )
    behind = pl.when(parts.field("sign") == "-").then(-1).otherwise(1)
    is_held = moment.dt.year().is_between(ISO_YEARS.start, ISO_YEARS.stop - 1)
    is_offset = (hours < 24) & (minutes < 60)
    shift = behind * (hours * 60 + minutes) * 60 * TIME_UNITS["s"]
    found = moment.dt.timestamp("us") * TIME_UNITS["us"] + part - shift
    return values.to_frame("text").select(pl.when(is_held & is_offset).then(found))[
        :, 0
    ]


def _times(values: pl.Series, times_unit: str) -> pl.Series:
    """int64 ns; null where it cannot be read.

    A type with fractions is read as text with fractions is: cast to whole numbers it
    would lose what is below one unit, without a word.
    """
    if values.dtype.is_temporal():
        return values.cast(pl.Datetime("ns"), strict=False).dt.timestamp("ns")
    unit = TIME_UNITS[times_unit]
    if values.dtype.is_integer() or values.dtype == pl.String:
        whole = values.cast(pl.Int64, strict=False)
        is_known = whole.null_count() == values.null_count()
        if is_known and (whole.abs() <= np.iinfo(np.int64).max // unit).all():
            return whole * unit
    exact = values.cast(pl.Float64, strict=False) * unit
    return exact.round().cast(pl.Int64, strict=False)
