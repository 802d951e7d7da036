"""Ticks of the open bar that came in another order than that of their event times.

The device has absorbed them by then. So the ticks of a bar are kept until it closes:
where a symbol's were out of order, its bar is begun anew and absorbs them once more, in
order of event time. Trades that only lag behind quotes are no disorder: `earlier.py`
finds the mid that stood before them.
"""

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.types import QUOTE, TICK, TRADE

CHAINS = 32
"""Chains of one symbol: quotes, trades, statuses, and each side's book levels."""

MOST_KEPT = 1 << 20
"""Ticks of a bar (48 MiB); of longer bars the order of arrival stands, and is told."""

NEVER = -(2**62)
"""Event time of a tick that has not been seen."""


class Disorder:
    """One bar's ticks, and the symbols whose order is to be put right at its end."""

    def __init__(self, symbols: int) -> None:
        self.symbols: Bool[np.ndarray, " S"] = np.zeros(symbols, bool)
        self._newest = np.full(symbols * CHAINS, NEVER)
        """event time of every chain's last tick"""
        self._latest = NEVER
        """event time that no tick is behind"""
        self._kept = np.empty(MOST_KEPT, TICK)
        self.count = 0
        """ticks, more than are kept where the bar is too long"""

    @property
    def is_too_long(self) -> bool:
        """More ticks than can be kept: none of them is absorbed again."""
        return self.count > len(self._kept)

    def keep(self, records: np.ndarray) -> None:
        """Take in a batch's ticks as they are absorbed."""
        if self.count + len(records) <= len(self._kept):
            self._kept[self.count : self.count + len(records)] = records
        self.count += len(records)

    def watch(
        self,
        event_ns: Int[np.ndarray, " N"],
        kind: Int[np.ndarray, " N"],
        chain: Int[np.ndarray, " N"],
        order: Int[np.ndarray, " N"],
    ) -> None:
        """Look at a batch's ticks in order of arrival; `order` sorts their chains."""
        is_sorted = bool((event_ns[1:] >= event_ns[:-1]).all())
        if not is_sorted or event_ns[0] < self._latest:
            self._look(event_ns.take(order), kind.take(order), chain.take(order), order)
        # Of a chain's several ticks the last counts: the newest, or the chain is mixed.
        self._newest[chain] = event_ns
        newest = event_ns[-1] if is_sorted else event_ns.max()
        self._latest = max(self._latest, int(newest))

    def ordered(self) -> np.ndarray:
        """All ticks of the symbols concerned, in order of event time."""
        kept = self._kept[: self.count]
        found = kept[self.symbols[kept["symbol"]]]
        return found[found["event_ns"].argsort(kind="stable")]

    def next_bar(self) -> None:
        """Nothing of it has come yet."""
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
        self.symbols[symbol[event_ns < before]] = True
        quotes, trades = (np.flatnonzero(kind == one) for one in (QUOTE, TRADE))
        traded = self._last_trade(symbol, event_ns, row, quotes, trades)
        self.symbols[symbol.take(quotes)[event_ns.take(quotes) < traded]] = True

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
