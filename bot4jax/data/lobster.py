"""LOBSTER's files: every message of one share and day, and the book after each.

Two CSV files of equal length without heads: `…_message_<levels>.csv` (seconds after
midnight in New York, type, order id, size, price, direction) and
`…_orderbook_<levels>.csv` (ask price, ask size, bid price, bid size of each level).
Prices are ten-thousandths of a dollar. Event time alone: nothing says when a message
was received.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Bool, Int

from bot4jax.data.columns import BOOK_COLUMNS
from bot4jax.data.grid import grid
from bot4jax.data.lean import equity, midnight_ns
from bot4jax.data.recording import RecordedSource, Recording, in_order
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import (
    BOOK,
    BUY,
    HALTED,
    LEVELS,
    QUOTE,
    SELL,
    STATUS,
    TICK,
    TRADE,
    TRADING,
    Bar,
)

MESSAGE = ("seconds", "type", "order", "size", "price", "direction")
VISIBLE, HIDDEN, HALT = 4, 5, 7
"""Types of message: an execution against a displayed or a hidden order, a halt. The
others add to orders, shrink them, or tell of auctions: the book shows what they did."""

DAY_S = 86_400

EMPTY = 9_999_999_999
"""Absolute price of a level that holds nothing."""

NAME = re.compile(r"(\w+)_(\d{4}-\d\d-\d\d)_\d+_\d+_message_(\d+)\.csv")


class Lobster(RecordedSource):
    """Shares of a folder `<symbol>_<day>_<start>_<end>_message_<levels>.csv`.

    All days at hand, played as one publisher; between sessions nobody speaks. A trade
    comes before the quote that it caused. `symbols` keeps the first so many by name, 0
    all.
    """

    def __init__(
        self, path: str | Path, bar_seconds: float = 1.0, symbols: int = 0
    ) -> None:
        found = day_files(Path(path))
        chosen = sorted(found)[: symbols or None]
        read = [share(slot, found[name]) for slot, name in enumerate(chosen)]
        instruments = [
            equity(name, price_step, size_step)
            for name, (_, price_step, size_step) in zip(chosen, read, strict=True)
        ]
        levels = min(day.levels for name in chosen for day in found[name])
        self.columns = columns_of(levels)
        recordings = in_order(*(recording for recording, *_ in read))
        super().__init__(universe(instruments), recordings, round(bar_seconds * 1e9))


class Day(NamedTuple):
    """The two files of one share and day."""

    day: str
    levels: int
    messages: Path
    books: Path


def columns_of(levels: int) -> tuple[str, ...]:
    """The bar columns that so many levels a side can fill."""
    deep = ("bid_depth_10", "ask_depth_10")
    absent = () if levels >= LEVELS else deep if levels >= 5 else BOOK_COLUMNS
    return tuple(name for name in Bar._fields if name not in absent)


def day_files(folder: Path) -> dict[str, list[Day]]:
    """Files by share, in the order of their days."""
    found: dict[str, list[Day]] = {}
    for path in sorted(folder.glob("*_message_*.csv")):
        parts = NAME.fullmatch(path.name)
        if parts is None:
            continue
        books = path.with_name(path.name.replace("_message_", "_orderbook_"))
        if not books.is_file():
            raise DataError(f"{path} has no {books.name} beside it: fetch both.")
        symbol, day, levels = parts.groups()
        found.setdefault(symbol, []).append(Day(day, int(levels), path, books))
    if not found:
        raise DataError(
            f"{folder} holds no messages of LOBSTER: expected "
            "'<symbol>_<yyyy-mm-dd>_<start>_<end>_message_<levels>.csv'."
        )
    return found


def share(slot: int, days: list[Day]) -> tuple[Recording, int, int]:
    """The ticks of all days of one share, and the steps of its prices and sizes."""
    records = np.concatenate([ticks(day) for day in days])
    records["symbol"] = slot
    steps = onto_grid(records)
    received = np.maximum.accumulate(records["event_ns"])
    return Recording(records, received), *steps


def ticks(day: Day) -> np.ndarray:
    """Trades, quotes and levels of one day, in the order of the messages."""
    messages, books = read_day(day)
    midnight = midnight_ns(day.day.replace("-", ""))
    times = midnight + np.rint(messages[:, 0] * 1e9).astype(np.int64)
    parts = [halts(messages), trades(messages), *levels(books)]
    rows, records = zip(*parts, strict=True)
    rows, records = np.concatenate(rows), np.concatenate(records)
    records["event_ns"] = times[rows]
    return records[np.argsort(rows, kind="stable")]


def read_day(day: Day) -> tuple[np.ndarray, Int[np.ndarray, "N L 2 2"]]:
    """Messages as numbers; levels of the book: ask and bid, price and size."""
    messages = numbers(day.messages, len(MESSAGE))
    books = numbers(day.books, 4 * day.levels)
    if len(messages) != len(books):
        raise DataError(
            f"{day.books}: {len(books)} lines were found, {len(messages)} were "
            f"expected, one for each of {day.messages.name}."
        )
    wrong = np.flatnonzero(np.diff(messages[:, 0]) < 0)
    if wrong.size:
        before, after = messages[wrong[0] : wrong[0] + 2, 0]
        raise DataError(
            f"{day.messages}, line {wrong[0] + 2}: time runs backwards, {after:.9g} s "
            f"was found behind {before:.9g} s. Messages are in the order of time: "
            "fetch it again, or sort both files alike."
        )
    books = books.reshape(-1, day.levels, 2, 2)
    expect(day.messages, message_rules(messages))
    expect(day.books, book_rules(books))
    return messages, books.astype(np.int64)


Rules = dict[str, Any]
"""What is expected of each line, and a mask `[N]` of the lines that are so."""


def message_rules(messages: np.ndarray) -> Rules:
    """What is expected of a message, and of which it holds."""
    seconds, kind, _, size, price, _ = messages.T
    is_trade = np.isin(kind, (VISIBLE, HIDDEN))
    return {
        "a time within the day": (seconds >= 0) & (seconds < DAY_S),
        "whole numbers behind the time": is_whole(messages[:, 1:]).all(1),
        "an execution of a size and at a price above 0": ~is_trade
        | ((size > 0) & (price > 0)),
    }


def book_rules(books: np.ndarray) -> Rules:
    """What is expected of a book, and of which it holds."""
    price, size = books[..., 0], books[..., 1]
    is_price = (price > 0) | (np.abs(price) == EMPTY)
    return {
        "whole numbers": is_whole(books).all((1, 2, 3)),
        "prices above 0, or ±9999999999 where a level is empty": is_price.all((1, 2)),
        "sizes from 0 on": (size >= 0).all((1, 2)),
    }


def is_whole(numbers: np.ndarray) -> Bool[np.ndarray, "..."]:
    """Numbers that float64 holds as the integers that they are."""
    return np.logical_and(np.abs(numbers) < 1 << 53, np.floor(numbers) == numbers)


def expect(path: Path, rules: Rules) -> None:
    """Refuse the first line that breaks a rule."""
    for expected, holds in rules.items():
        if not holds.all():
            line = int(np.argmin(holds)) + 1
            raise DataError(f"{path}, line {line}: {expected} was expected.")


def numbers(path: Path, fields: int) -> np.ndarray:
    """A file of numbers, float64: every price and size is an integer well below 2⁵³."""
    try:
        table = pl.read_csv(
            path, has_header=False, schema_overrides=[pl.Float64] * fields
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).partition("\n")[0]  # what follows is for programmers
        raise DataError(
            f"{path} is damaged: {reason}. Numbers without a header were expected, "
            f"{fields} a line: fetch it again."
        ) from error
    if table.width != fields:
        raise DataError(
            f"{path}: {table.width} fields a line were found, {fields} were expected."
        )
    missing = table.select(pl.any_horizontal(pl.all().is_null())).to_series()
    if missing.any():
        line = int(np.argmax(missing.to_numpy())) + 1
        raise DataError(f"{path}, line {line}: a number is missing.")
    return table.to_numpy()


Part = tuple[Int[np.ndarray, " N"], np.ndarray]
"""Rows of messages, and a record of each."""


def trades(messages: np.ndarray) -> Part:
    """Executions; the direction is that of the resting order, so the other one took."""
    rows = np.flatnonzero(np.isin(messages[:, 1], (VISIBLE, HIDDEN)))
    records = np.zeros(len(rows), TICK)
    records["kind"] = TRADE
    records["side"] = np.where(messages[rows, 5] > 0, SELL, BUY)
    records["a"], records["b"], records["c"] = messages[rows][:, (4, 3, 2)].T
    return rows, records


def halts(messages: np.ndarray) -> Part:
    """A halt has price −1, quoting anew 0, trading anew 1."""
    rows = np.flatnonzero(messages[:, 1] == HALT)
    records = np.zeros(len(rows), TICK)
    records["kind"] = STATUS
    records["a"] = np.where(messages[rows, 4] == 1, TRADING, HALTED)
    return rows, records


def levels(books: Int[np.ndarray, "N L 2 2"]) -> Iterator[Part]:
    """A quote where the best changed, then each deeper level that did.

    An empty level keeps its last price, with size 0. A book of which a side is empty
    has no quote.
    """
    is_empty = np.abs(books[..., 0]) == EMPTY
    price = kept_prices(books[..., 0], is_empty)
    size = np.where(is_empty, 0, books[..., 1])
    best = np.concatenate([price[:, 0], size[:, 0]], axis=1)  # ask, bid, sizes alike
    rows = np.flatnonzero(changed(best) & (size[:, 0] > 0).all(1))
    quotes = np.zeros(len(rows), TICK)
    quotes["kind"] = QUOTE
    for field, column in zip("abcd", (1, 0, 3, 2), strict=True):
        quotes[field] = best[rows, column]
    yield rows, quotes
    for level in range(1, min(books.shape[1], LEVELS)):
        for column, side in enumerate((SELL, BUY)):
            own = np.stack([price[:, level, column], size[:, level, column]], axis=1)
            rows = np.flatnonzero(changed(own) & (own[:, 0] > 0))
            records = np.zeros(len(rows), TICK)
            records["kind"], records["side"], records["c"] = BOOK, side, level
            records["a"], records["b"] = own[rows].T
            yield rows, records


def kept_prices(
    price: Int[np.ndarray, "N L 2"], is_empty: Bool[np.ndarray, "N L 2"]
) -> Int[np.ndarray, "N L 2"]:
    """Prices, an empty level's being its last one; 0 before its first."""
    bars = np.arange(len(price))[:, None, None]
    newest = np.maximum.accumulate(np.where(is_empty, -1, bars), axis=0)
    last = np.take_along_axis(price, np.maximum(newest, 0), axis=0)
    return np.where(newest >= 0, last, 0)


def changed(rows: Int[np.ndarray, "N K"]) -> Bool[np.ndarray, " N"]:
    """Where a row differs from the one before; the first does."""
    found = np.ones(len(rows), bool)
    found[1:] = (np.diff(rows, axis=0) != 0).any(1)
    return found


def onto_grid(records: np.ndarray) -> tuple[int, int]:
    """Divide prices and sizes by their grid, in place; the two steps.

    A hidden order may trade between two increments: its price is then rounded down to
    the grid of the quotes.
    """
    kind = records["kind"]
    is_quote, is_status = kind == QUOTE, kind == STATUS
    shown = np.concatenate([records["a"][is_quote | (kind == BOOK)]])
    price_step = grid(np.concatenate([shown, records["b"][is_quote]]))
    sizes = np.concatenate(
        [records["b"][~is_quote & ~is_status], *(records[x][is_quote] for x in "cd")]
    )
    size_step = grid(sizes)
    records["a"] //= np.where(is_status, 1, price_step)
    records["b"] //= np.where(is_quote, price_step, size_step)
    for name in ("c", "d"):
        records[name] //= np.where(is_quote, size_step, 1)
    return price_step, size_step
