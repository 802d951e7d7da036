"""What a venue displays: best quotes, known levels, and what our orders took of them.

Updates of a whole batch are written at once; the last one of each place stays.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int

from bot4jax.types import BOOK, BUY, LEVELS, QUOTE, STATUS, TICK, TRADING

WORDS = TICK.itemsize // 8
"""A tick as 64-bit words: kind to symbol, event time, a, b, c, d."""


class Displayed:
    """Displayed prices (increments) and sizes (lots) by slot and side."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.quotes: Int[np.ndarray, "S 4"] = np.zeros((slots, 4), np.int64)
        """bid, ask, bid size, ask size"""
        self.levels: Int[np.ndarray, "S 2 L 2"] = np.zeros(
            (slots, 2, LEVELS, 2), np.int64
        )
        """price and size of levels 1 … 9; level 0 is the quote"""
        self.taken: Int[np.ndarray, "S 2 L"] = np.zeros((slots, 2, LEVELS), np.int64)
        """by our own orders since the place was last stated"""
        self.status: Int[np.ndarray, " S"] = np.full(slots, TRADING, np.int64)

    def absorb(self, records: np.ndarray) -> None:
        """Take in `TICK` records in their order; unknown slots cannot write."""
        kind, symbol = records["kind"], records["symbol"]
        words = np.ascontiguousarray(records).view(np.int64).reshape(-1, WORDS)
        is_known = symbol < self.slots
        quotes = np.flatnonzero((kind == QUOTE) & is_known)
        slots, last = _last_of_each(symbol[quotes], self.slots)
        self.quotes[slots] = words[quotes[last], 2:]
        self.taken[slots, :, 0] = 0
        self._absorb_levels(records, np.flatnonzero((kind == BOOK) & is_known))
        changes = np.flatnonzero((kind == STATUS) & is_known)
        self.status[symbol[changes]] = records["a"][changes]

    def side(self, symbol: int, side: int) -> Iterator[tuple[int, int, int]]:
        """(level, price, lots not taken) from the best on; `side` is BUY or SELL.

        A level that is not worse than the one before it is out of date and skipped.
        """
        column, sign = _column(side)
        quote = self.quotes[symbol].tolist()
        best, left = quote[column], quote[2 + column]
        if best <= 0:
            return
        left -= self.taken_at_best(symbol, side)
        if left > 0:
            yield 0, best, left
        known, taken = self.levels[symbol, column], self.taken[symbol, column]
        for level in np.flatnonzero(known[:, 0] > 0).tolist():
            price, left = int(known[level, 0]), int(known[level, 1] - taken[level])
            if sign * price <= sign * best:
                continue
            best = price
            if left > 0:
                yield level, price, left

    def queue(self, symbol: int, side: int, price: int) -> int | None:
        """Lots displayed on our own side at this price; None where it is not known."""
        column, sign = _column(side)
        best, size = self.quotes[symbol, [column, 2 + column]].tolist()
        if best <= 0:
            return None
        if sign * price < sign * best:
            return 0
        if price == best:
            return max(size, 0)
        known = dict(self.levels[symbol, column, 1:].tolist())
        return known.get(price)

    def take(self, symbol: int, side: int, level: int, lots: int) -> None:
        """Our orders traded with so much of what stands there."""
        self.taken[symbol, _column(side)[0], level] += lots

    def taken_at_best(self, symbol: int, side: int) -> int:
        return int(self.taken[symbol, _column(side)[0], 0])

    def forget(self, symbols: Sequence[int]) -> None:
        """Their terms have changed: what was stated is no price any more."""
        slots = list(symbols)
        self.quotes[slots] = self.levels[slots] = self.taken[slots] = 0

    def refresh(self, symbol: int) -> None:
        """The best quotes were stated anew: nothing of them is taken yet."""
        self.taken[symbol, :, 0] = 0

    def _absorb_levels(self, records: np.ndarray, rows: Int[np.ndarray, " n"]) -> None:
        if not len(rows):
            return
        side, level = records["side"][rows], records["c"][rows]
        is_valid = (side >= 1) & (side <= 2) & (level >= 1) & (level < LEVELS)
        rows, side, level = rows[is_valid], side[is_valid], level[is_valid]
        symbol = records["symbol"][rows].astype(np.int64)
        places = (symbol * 2 + side - 1) * LEVELS + level
        touched, last = _last_of_each(places, self.taken.size)
        stated = records[rows[last]]
        self.levels.reshape(-1, 2)[touched, 0] = stated["a"]
        self.levels.reshape(-1, 2)[touched, 1] = stated["b"]
        self.taken.reshape(-1)[touched] = 0


def _last_of_each(
    keys: Int[np.ndarray, " n"], size: int
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """The different keys, and where each stands last: a third of writing every row."""
    at = np.full(size, -1)
    at[keys] = np.arange(len(keys))
    found = np.flatnonzero(at >= 0)
    return found, at[found]


def _column(side: int) -> tuple[int, int]:
    """Where a side stands, and +1 if its worse prices are higher, else −1."""
    return (0, -1) if side == BUY else (1, 1)
