"""Ticks of the open bar that came in another order than that of their event times.

The device has absorbed them by then. So the ticks of a bar are kept until it closes:
where a symbol's were out of order, its bar is begun anew and absorbs them once more, in
order of event time. Trades that only lag behind quotes are no disorder: `earlier.py`
finds the mid that stood before them.
"""

import zlib

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.displayed import WORDS
from bot4jax.types import NEVER, QUOTE, TICK, TRADE

CHAINS = 32
"""Chains of one symbol: quotes, trades, statuses, and the levels of its book."""


class Disorder:
    """One bar's ticks, and the symbols whose order is to be put right at its end."""

    def __init__(self, symbols: int, most: int) -> None:
        """`most` ticks are kept; of longer bars the order of arrival stands."""
        self.symbols: Bool[np.ndarray, " S"] = np.zeros(symbols, bool)
        self._newest = np.full(symbols * CHAINS, NEVER)
        """event time of every chain's last tick"""
        self._latest = NEVER
        """event time that no tick is behind"""
        self._words = np.empty((most, WORDS), np.int64)
        self.count = 0
        """ticks, more than are kept where the bar is too long"""

    @property
    def is_too_long(self) -> bool:
        """More ticks than can be kept: none of them is absorbed again."""
        return self.count > len(self._words)

    @property
    def checksum(self) -> int:
        """Equal where the same ticks came in the same order."""
        return zlib.crc32(self._words[: self.count].tobytes())

    def keep(self, records: np.ndarray) -> None:
        """Take in a batch's ticks as they are absorbed."""
        stop = self.count + len(records)
        if stop <= len(self._words):  # NumPy copies structures field by field
            words = records.view(np.int64).reshape(-1, WORDS)
            self._words[self.count : stop] = words
        self.count = stop

    def mark(self, symbols: Int[np.ndarray, " n"]) -> None:
        """Their ticks were out of order."""
        self.symbols[symbols] = True

    def watch(
        self,
        event_ns: Int[np.ndarray, " N"],
        kind: Int[np.ndarray, " N"],
        chain: Int[np.ndarray, " N"],
    ) -> None:
        """Look at a batch's ticks in order of arrival.

        `chain` is symbol × `CHAINS` + what must be in order for itself. Both sides of a
        book's level are one, since their flows are added up as one.
        """
        is_sorted = bool((event_ns[1:] >= event_ns[:-1]).all())
        if not is_sorted or event_ns[0] < self._latest:
            order = in_order_of(chain)
            self._look(event_ns.take(order), kind.take(order), chain.take(order), order)
        # Of a chain's several ticks the last counts: the newest, or the chain is mixed.
        self._newest[chain] = event_ns
        newest = event_ns[-1] if is_sorted else event_ns.max()
        self._latest = max(self._latest, int(newest))

    def ordered(self) -> np.ndarray:
        """All ticks of the symbols concerned, in order of event time."""
        kept = self._words[: self.count].view(TICK)[:, 0]
        found = kept[self.symbols[kept["symbol"]]]
        return found[found["event_ns"].argsort(kind="stable")]

    def forget(self) -> None:
        """Nothing has come yet."""
        self.symbols[:] = False
        self._newest.fill(NEVER)
        self._latest, self.count = NEVER, 0

    def _look(
        self,
        event_ns: Int[np.ndarray, " N"],
        kind: Int[np.ndarray, " N"],
        chain: Int[np.ndarray, " N"],
        row: Int[np.ndarray, " N"],
    ) -> None:
        """Within a chain, and quotes behind trades; all of them chain after chain."""
        before = np.empty_like(event_ns)
        before[1:] = event_ns[:-1]
        begins = np.flatnonzero(np.diff(chain, prepend=-1))
        before[begins] = self._newest.take(chain.take(begins))
        symbol = chain // CHAINS
        self.mark(symbol[event_ns < before])
        quotes, trades = (np.flatnonzero(kind == one) for one in (QUOTE, TRADE))
        traded = self._last_trade(symbol, event_ns, row, quotes, trades)
        self.mark(symbol.take(quotes)[event_ns.take(quotes) < traded])

    def _last_trade(
        self,
        symbol: Int[np.ndarray, " N"],
        event_ns: Int[np.ndarray, " N"],
        row: Int[np.ndarray, " N"],
        quotes: Int[np.ndarray, " Q"],
        trades: Int[np.ndarray, " T"],
    ) -> Int[np.ndarray, " Q"]:
        """Event time of the trade that came before each quote."""
        known = self._newest.take(symbol.take(quotes) * CHAINS + TRADE)
        if not len(trades):
            return known
        place = (symbol << 32) + row
        at = place.take(trades).searchsorted(place.take(quotes)) - 1
        last = trades.take(np.maximum(at, 0))
        is_own = (at >= 0) & (symbol.take(last) == symbol.take(quotes))
        return np.where(is_own, event_ns.take(last), known)


def in_order_of(key: Int[np.ndarray, " N"]) -> Int[np.ndarray, " N"]:
    """Rows in stable order of their keys.

    Keys of 16 bits are sorted by radix; wider ones go into one number with their row,
    which makes a plain sort stable. Both are several times as quick as a stable sort.
    """
    if key.max() < 1 << 16:
        return key.astype(np.uint16).argsort(kind="stable")
    bits = len(key).bit_length()
    both = (key << bits) + np.arange(len(key))
    both.sort()
    return both & ((1 << bits) - 1)
