"""What a venue displays: best quotes, known levels, and what our orders took of them.

Updates of a whole batch are written at once; the last one of each place stays.
"""

from collections.abc import Iterator

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
        slots = symbol[quotes].astype(np.int64)
        self.quotes[slots] = words[quotes, 2:]
        self.taken[slots, :, 0] = 0
        self._absorb_levels(records, np.flatnonzero((kind == BOOK) & is_known))
        changes = np.flatnonzero((kind == STATUS) & is_known)
        self.status[symbol[changes]] = records["a"][changes]

    def side(self, symbol: int, side: int) -> Iterator[tuple[int, int, int]]:
        """(level, price, lots not taken) from the best on; `side` is BUY or SELL.

        A level that is not worse than the one before it is out of date and skipped.
        """
        column, sign = _column(side)
        best = int(self.quotes[symbol, column])
        if best <= 0:
            return
        places = [[best, int(self.quotes[symbol, 2 + column])]]
        places += self.levels[symbol, column, 1:].tolist()
        taken = self.taken[symbol, column].tolist()
        for level, (price, size) in enumerate(places):
            if level and not (price > 0 and sign * price > sign * best):
                continue
            best = price
            if size > taken[level]:
                yield level, price, size - taken[level]

    def queue(self, symbol: int, side: int, price: int) -> int | None:
        """Lots displayed on our own side at this price; None where it is not known."""
        column, sign = _column(side)
        best, size = self.quotes[symbol, [column, 2 + column]].tolist()
        if best <= 0 or sign * price < sign * best:
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

    def refresh(self, symbol: int) -> None:
        """The best quotes were stated anew: nothing of them is taken yet."""
        self.taken[symbol, :, 0] = 0

    def _absorb_levels(self, records: np.ndarray, rows: Int[np.ndarray, " n"]) -> None:
        if not len(rows):
            return
        some = records[rows]
        is_valid = (some["side"] >= 1) & (some["side"] <= 2)
        is_valid &= (some["c"] >= 1) & (some["c"] < LEVELS)
        some = some[is_valid]
        place = (some["symbol"].astype(np.int64), some["side"] - 1, some["c"])
        self.levels[*place, 0] = some["a"]
        self.levels[*place, 1] = some["b"]
        self.taken[place] = 0


def _column(side: int) -> tuple[int, int]:
    """Where a side stands, and +1 if its worse prices are higher, else −1."""
    return (0, -1) if side == BUY else (1, 1)
