"""Book states: a symbol's best levels after every change of its book.

What benchmarks of limit-order books work on. Their clock is the event: a row is one
change, however long it took to come.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.source import DataError, Source
from bot4jax.types import BOOK, BUY, QUOTE, SELL

DAY_NS = 86_400_000_000_000

ASK, BID = 0, 1


class BookStates(NamedTuple):
    """One symbol's book on one day; nothing reaches from one of these into another."""

    symbol: str
    day: int
    """days since 1970 UTC, or since the first of the data set"""
    at: Float[np.ndarray, " N"]
    """days since the same moment: the common time of all symbols"""
    price: Float[np.ndarray, "N 2 L"]
    """asks, then bids, the best first; increments, or the data set's own unit"""
    size: Float[np.ndarray, "N 2 L"]
    """0 where a level is empty"""
    published: Int[np.ndarray, "N K"] | None = None
    """classes that the data set itself gives, by horizon"""
    block: int = 1
    """events from one row to the next"""

    @property
    def mid(self) -> Float[np.ndarray, " N"]:
        return self.price[:, :, 0].mean(1)

    def part(self, rows: slice | Bool[np.ndarray, " N"]) -> "BookStates":
        """Some of the changes."""
        given = None if self.published is None else self.published[rows]
        return self._replace(
            at=self.at[rows],
            price=self.price[rows],
            size=self.size[rows],
            published=given,
        )


def book_states(source: Source, levels: int, most: int = 0) -> list[BookStates]:
    """The books of every symbol and day of a source, at most `most` changes of each."""
    if not source.has_ticks or "bid_depth_5" not in source.columns:
        raise DataError(
            "This source shows no book below the best quotes: choose data=binance, "
            "data=lobster, data=fi2010 or the simulator."
        )
    frames = source.frames(0, source.bar_count)
    records = whole_moments(np.concatenate([one.records for one in frames]))
    found = [
        one
        for slot, symbol in enumerate(source.universe.symbols)
        for one in by_day(symbol, records[records["symbol"] == slot], levels)
    ]
    return [one.part(slice(most)) for one in found] if most else found


def whole_moments(records: np.ndarray) -> np.ndarray:
    """The records but for the last moment's: the last bar may have cut it short."""
    times = records["event_ns"]
    before = np.flatnonzero(times != times[-1])
    return records[: before[-1] + 1 if before.size else 0]


def by_day(symbol: str, records: np.ndarray, levels: int) -> Iterator[BookStates]:
    """The states after each moment that changed one, cut at midnight UTC.

    Records of one moment change the book together. A state counts once every level has
    been told, and while the best quotes do not cross.
    """
    ends = np.flatnonzero(np.diff(records["event_ns"], append=-1))
    price, size, is_told = folded(records, ends, levels)
    kept = is_told & (size[:, :, 0] > 0).all(1) & (price[:, BID, 0] < price[:, ASK, 0])
    kept &= changes(price, size)
    price, size, times = price[kept], size[kept], records["event_ns"][ends[kept]]
    days = times // DAY_NS
    for day in np.unique(days).tolist():
        own = days == day
        at = times[own] / DAY_NS
        yield BookStates(symbol, int(day), at, price[own], size[own])


def folded(
    records: np.ndarray, ends: Int[np.ndarray, " N"], levels: int
) -> tuple[np.ndarray, np.ndarray, Bool[np.ndarray, " N"]]:
    """Prices and sizes that stand behind the rows `ends`, and where all are told."""
    price, size = np.zeros((2, len(ends), 2, levels))
    is_told = np.ones(len(ends), bool)
    for side in (ASK, BID):
        for level in range(levels):
            says, fields = told_by(records, side, level)
            newest = np.maximum.accumulate(np.where(says, np.arange(len(says)), -1))
            rows = newest[ends]
            is_told &= rows >= 0
            for column, field in zip((price, size), fields, strict=True):
                column[:, side, level] = records[field][rows]
    return price, size, is_told


def told_by(
    records: np.ndarray, side: int, level: int
) -> tuple[Bool[np.ndarray, " M"], tuple[str, str]]:
    """Records that tell a level, and where its price and size stand in them."""
    if level == 0:
        return records["kind"] == QUOTE, (("b", "d"), ("a", "c"))[side]
    own = (records["kind"] == BOOK) & (records["c"] == level)
    return own & (records["side"] == (SELL, BUY)[side]), ("a", "b")


def changes(
    price: Float[np.ndarray, "N 2 L"], size: Float[np.ndarray, "N 2 L"]
) -> Bool[np.ndarray, " N"]:
    """Where a state differs from the one before."""
    moved = np.ones(len(price), bool)
    moved[1:] = ((np.diff(price, axis=0) != 0) | (np.diff(size, axis=0) != 0)).any(
        (1, 2)
    )
    return moved
