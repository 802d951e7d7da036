"""The mids that stood while a bar was open, by the market's time.

What a fill costs is told from the mid that stood when it traded; what the mid had moved
since the decision is another matter. A venue need not know of either: the engine hears
the same quotes, and hears them again in a restart and a replay.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bot4jax.runtime.orders import LARGEST_NS, Fill

MOST = 262_144
"""Quotes of one bar that are kept, 12 MiB; of what trades after more of them no mid is
known. Orders come in the first moments of a bar."""


class _Sorted(NamedTuple):
    """Quotes by symbol, each one's by event time; what came first stands first."""

    symbol: Int[np.ndarray, " N"]
    event_ns: Int[np.ndarray, " N"]
    twice: Int[np.ndarray, " N"]


class Mids:
    """Of every slot, from one boundary to the next."""

    def __init__(
        self,
        before: Int[np.ndarray, " S"],
        heard: Sequence[np.ndarray],
        until_ns: int = LARGEST_NS,
    ) -> None:
        """`before`: twice the mids that stood at first, increments, 0 where there is
        none; `heard`: `TICK` quotes since, in the order of their arrival; `until_ns`:
        from when on some are missing."""
        self._before, self._heard, self._until_ns = before, heard, until_ns

    def of(self, fill: Fill) -> float:
        """The mid that stood when it traded, increments; NaN where none is known.

        What arrives trades with the quotes of that very time; what has rested is traded
        with by what comes, and the mid is the one before that.
        """
        return self.at(fill.symbol, fill.event_ns - fill.is_maker)

    def at(self, slot: int, event_ns: int) -> float:
        """The mid after all quotes up to this event time, increments; NaN where none is
        known."""
        if event_ns >= self._until_ns:
            return float("nan")
        own = self._sorted
        first, stop = own.symbol.searchsorted([slot, slot + 1]).tolist()
        count = int(own.event_ns[first:stop].searchsorted(event_ns, side="right"))
        twice = own.twice[first + count - 1] if count else self._before[slot]
        return int(twice) / 2 if twice > 0 else float("nan")

    @cached_property
    def _sorted(self) -> _Sorted:
        """Once for all fills of a bar, and not at all for a bar without any."""
        names = ("symbol", "event_ns", "a", "b")
        heard = self._heard or [np.empty(0, [(name, np.int64) for name in names])]
        symbol, event_ns, bid, ask = (
            np.concatenate([one[name] for one in heard]) for name in names
        )
        order = np.lexsort((event_ns, symbol))
        twice = twice_the_mid(bid, ask)[order]
        return _Sorted(symbol[order].astype(np.int64), event_ns[order], twice)


class MidsHeard:
    """The quotes of the open bar as they come."""

    def __init__(self, slots: int, most: int = MOST) -> None:
        self._most = most
        self._before = np.zeros(slots, np.int64)
        self._heard: list[np.ndarray] = []
        self._count, self._until_ns = 0, LARGEST_NS

    def hear(self, quotes: np.ndarray) -> None:
        """Take in `TICK` quotes that nobody else will change."""
        if self._count + len(quotes) <= self._most:
            self._heard.append(quotes)
            self._count += len(quotes)
        else:  # behind them an old mid would look new
            missing = int(quotes["event_ns"].min(initial=LARGEST_NS))
            self._until_ns = min(self._until_ns, missing)

    def forget(self, slot: int) -> None:
        """What was quoted there before is no price any more."""
        self._before[slot] = 0

    def taken(self, quotes: Int[np.ndarray, "S 4"]) -> Mids:
        """What has stood since this was asked last; `quotes` stand from now on."""
        found = Mids(self._before, self._heard, self._until_ns)
        self._before = twice_the_mid(quotes[:, 0], quotes[:, 1])
        self._heard, self._count, self._until_ns = [], 0, LARGEST_NS
        return found


def twice_the_mid(
    bid: Int[np.ndarray, " N"], ask: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """In increments; 0 where a side is missing or the quotes are crossed."""
    return np.where((bid > 0) & (bid <= ask), bid + ask, 0)
