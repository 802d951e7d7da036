"""The mid that stood before a trade by the exchange's time, whatever came first here.

Trades and quotes are streams of their own in many feeds, and race: a trade may arrive
after quotes that the exchange has stamped later, those that it caused among them. So
the last quotes of every symbol are remembered, and a trade is given the newest of them
that is older than itself. Only quotes that arrived before it count, in their order of
arrival, so that no cut of the stream into batches shows; where another came after it,
or none that is remembered is older, the bar is put right at its end (`disorder.py`).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

REMEMBERED = 64
"""Quotes of a symbol, a power of two. Among so many 99.9 % of the trades on Binance's
USD-margined contracts, as recorded, find one that is older."""

WITHIN = REMEMBERED - 1
"""Bits of a quote's number that say where it lies."""

BACK = np.arange(REMEMBERED)


class Quoted(NamedTuple):
    """A batch's quotes, symbol after symbol, in their order of arrival."""

    symbol: Int[np.ndarray, " Q"]
    row: Int[np.ndarray, " Q"]
    event_ns: Int[np.ndarray, " Q"]
    mid: Int[np.ndarray, " Q"]
    """bid + ask, half increments"""


class Traded(NamedTuple):
    """A batch's trades."""

    symbol: Int[np.ndarray, " N"]
    row: Int[np.ndarray, " N"]
    event_ns: Int[np.ndarray, " N"]


class EarlierMids:
    """The last `REMEMBERED` mids of every symbol, and the exchange's times of them."""

    def __init__(self, symbols: int) -> None:
        self._count = np.zeros(symbols, np.int64)
        """quotes seen; the n-th lies at n modulo `REMEMBERED`"""
        self._event_ns = np.zeros(symbols * REMEMBERED, np.int64)
        self._mid = np.zeros(symbols * REMEMBERED, np.int64)
        self._opening = [one.copy() for one in self._rings]
        """what was remembered when the bar began"""

    def begin_bar(self) -> None:
        """What is remembered now may be come back to."""
        for kept, ring in zip(self._opening, self._rings, strict=True):
            np.copyto(kept, ring)

    def reopen(self, slots: Bool[np.ndarray, " S"]) -> None:
        """Of these symbols, remember what was remembered when the bar began."""
        for kept, ring in zip(self._opening, self._rings, strict=True):
            by_slot = len(slots), -1
            ring.reshape(by_slot)[slots] = kept.reshape(by_slot)[slots]

    def forget(self, changed: Bool[np.ndarray, " S"]) -> None:
        """Prices of these symbols mean something else now."""
        self._count[changed] = 0

    def take(
        self, quotes: Quoted, trades: Traded
    ) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """Each trade's mid, whether there is any, and whether only newer ones are left.

        The quotes are remembered.
        """
        number = self._numbers(quotes.symbol)
        found = self._before(quotes, number, trades)
        place = quotes.symbol * REMEMBERED + (number & WITHIN)
        # Of places that come twice the last counts, which is the newest quote.
        self._event_ns[place] = quotes.event_ns
        self._mid[place] = quotes.mid
        self._count[quotes.symbol] = number + 1
        return found

    @property
    def _rings(self) -> tuple[np.ndarray, ...]:
        return self._count, self._event_ns, self._mid

    def _numbers(self, symbol: Int[np.ndarray, " Q"]) -> Int[np.ndarray, " Q"]:
        """How many quotes of its symbol came before each."""
        at = np.arange(len(symbol))
        begin = np.zeros_like(at)
        begin[1:] = at[1:] * (symbol[1:] != symbol[:-1])
        return self._count.take(symbol) + at - np.maximum.accumulate(begin)

    def _before(
        self, quotes: Quoted, number: Int[np.ndarray, " Q"], trades: Traded
    ) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """The last quote to arrive, unless it is no older than the trade."""
        behind = (quotes.symbol << 32) + quotes.row
        at = behind.searchsorted((trades.symbol << 32) + trades.row) - 1
        newest = self._count.take(trades.symbol) - 1
        place = trades.symbol * REMEMBERED + (newest & WITHIN)
        event_ns, mid = self._event_ns.take(place), self._mid.take(place)
        if len(number):
            is_own = (at >= 0) & (quotes.symbol.take(at) == trades.symbol)
            newest = np.where(is_own, number.take(at), newest)
            event_ns = np.where(is_own, quotes.event_ns.take(at), event_ns)
            mid = np.where(is_own, quotes.mid.take(at), mid)
        is_known = newest >= 0
        is_lost = is_known & (event_ns > trades.event_ns)
        (racing,) = (is_known & (event_ns >= trades.event_ns)).nonzero()
        if len(racing):
            raced = Traded(*(column.take(racing) for column in trades))
            mid[racing], is_found = self._older(
                quotes, raced, at.take(racing), newest.take(racing)
            )
            is_lost[racing] &= ~is_found
        return mid, is_known, is_lost

    def _older(
        self,
        quotes: Quoted,
        trades: Traded,
        at: Int[np.ndarray, " N"],
        newest: Int[np.ndarray, " N"],
    ) -> tuple[Int[np.ndarray, " N"], Bool[np.ndarray, " N"]]:
        """The newest mid that is older than its trade, if one is; else the oldest."""
        number = newest[:, None] - BACK
        place = trades.symbol[:, None] * REMEMBERED + (number & WITHIN)
        event_ns, mid = self._event_ns.take(place), self._mid.take(place)
        is_here = number >= self._count.take(trades.symbol)[:, None]
        here = (at[:, None] - BACK)[is_here]
        event_ns[is_here], mid[is_here] = quotes.event_ns[here], quotes.mid[here]
        is_older = (event_ns < trades.event_ns[:, None]) & (number >= 0)
        first = is_older.argmax(1)
        is_found = np.take_along_axis(is_older, first[:, None], 1)[:, 0]
        back = np.where(is_found, first, np.minimum(newest, REMEMBERED - 1))
        return np.take_along_axis(mid, back[:, None], 1)[:, 0], is_found
