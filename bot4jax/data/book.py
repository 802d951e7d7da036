"""An order book rebuilt from a snapshot and the differences around it.

The exchange sends differences with absolute sizes, numbered by update ids, and the
snapshot is fetched beside them: differences that arrive before it are kept, those it
already holds are dropped, and the one that straddles its id is applied after it.
Prices and sizes are integers in whatever unit the caller keeps.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

Level = tuple[int, int]
"""Price and size."""

PATIENCE = 10_000
"""Differences kept while waiting for a snapshot; older ones are forgotten, which the
chain of ids then reveals."""


class Difference(NamedTuple):
    """Levels that changed, with their new sizes; size 0 removes the level."""

    previous: int
    """last update id of the difference before: `pu` of derivatives, `U − 1` of spot"""
    last: int
    """last update id in this one"""
    bids: Iterable[Level]
    asks: Iterable[Level]


class Side:
    """Levels of one side, the best first; `sign` is −1 for bids, 1 for asks."""

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self._sizes: dict[int, int] = {}
        self._keys: list[int] = []

    def __len__(self) -> int:
        return len(self._keys)

    def replace(self, levels: Iterable[Level]) -> None:
        """Forget what was and hold `levels`."""
        sign = self.sign
        self._sizes = {sign * price: size for price, size in levels if size}
        self._keys = sorted(self._sizes)

    def change(self, levels: Iterable[Level]) -> None:
        """Set the sizes of `levels`; size 0 removes, even what was not there."""
        sign, sizes, keys = self.sign, self._sizes, self._keys
        for price, size in levels:
            key = sign * price
            if size:
                if key not in sizes:
                    insort(keys, key)
                sizes[key] = size
            elif sizes.pop(key, 0):
                del keys[bisect_left(keys, key)]

    def top(self, depth: int) -> list[Level]:
        """The best `depth` levels, or as many as there are."""
        sign, sizes = self.sign, self._sizes
        return [(sign * key, sizes[key]) for key in self._keys[:depth]]


class Book:
    """Both sides, while every difference joins the one before.

    A broken chain empties the book and is counted in `breaks`: a book with missing
    updates keeps levels that are long gone and looks no different from a good one.
    It stays empty, with `is_synced` False, until the next snapshot.
    """

    def __init__(self) -> None:
        self.bids, self.asks = Side(-1), Side(1)
        self.is_synced = False
        self.breaks = 0
        self.last = 0
        """update id up to which the book is true"""
        self._has_joined = False
        self._waiting: deque[Difference] = deque(maxlen=PATIENCE)

    def restore(self, last: int, bids: Iterable[Level], asks: Iterable[Level]) -> None:
        """Take over a snapshot that is true at update id `last`."""
        self.bids.replace(bids)
        self.asks.replace(asks)
        self.last, self.is_synced, self._has_joined = last, True, False
        waiting = list(self._waiting)
        self._waiting.clear()
        for difference in waiting:
            self.apply(difference)

    def apply(self, difference: Difference) -> None:
        """Apply, keep for later, drop as already known, or notice the gap."""
        if not self.is_synced:
            self._waiting.append(difference)
        elif difference.last <= self.last:
            return
        elif self._joins(difference):
            self.bids.change(difference.bids)
            self.asks.change(difference.asks)
            self.last, self._has_joined = difference.last, True
        else:
            self._lose(difference)

    def _joins(self, difference: Difference) -> bool:
        if self._has_joined:
            return difference.previous == self.last
        return difference.previous <= self.last

    def _lose(self, difference: Difference) -> None:
        self.breaks += 1
        self.is_synced = False
        self.bids.replace(())
        self.asks.replace(())
        self._waiting.append(difference)
