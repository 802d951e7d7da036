"""The mids that stood while a bar was open, by the market's time.

What a fill costs is told from the mid that stood when it traded; what the mid had moved
since the decision is another matter. A venue need not know of either: the engine hears
the same quotes, and hears them again in a restart and a replay.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from bot4jax.runtime.orders import LARGEST_NS, Fill
from bot4jax.types import TICK

MOST = 262_144
"""Quotes of one bar that are kept, 12 MiB; of what trades after more of them no mid is
known. Orders come in the first moments of a bar."""


SINCE_EVER = np.iinfo(np.int64).min
"""Event time of what stood at first: before all others."""


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

    def of(self, fills: Sequence[Fill]) -> Float[np.ndarray, " F"]:
        """The mids that stood when they traded, increments; NaN where none is known.

        What arrives trades with the quotes of that very time; what has rested is traded
        with by what comes, and the mid is the one before that.
        """
        slots = np.array([one.symbol for one in fills], np.int64)
        times = [one.event_ns - one.is_maker for one in fills]
        return self.at(slots, np.array(times, np.int64))

    def at(
        self, slots: Int[np.ndarray, " F"], event_ns: Int[np.ndarray, " F"]
    ) -> Float[np.ndarray, " F"]:
        """The mids after all quotes up to these event times, increments; NaN where none
        is known.

        Of the quotes that come after the last question of their slot none is sorted.
        """
        last_ns = np.full(len(self._before), SINCE_EVER)
        np.maximum.at(last_ns, slots, event_ns)
        symbol, heard_ns, bid, ask = self._until(last_ns)
        newest = last_before(
            np.append(np.arange(len(last_ns)), symbol),
            np.append(np.full(len(last_ns), SINCE_EVER), heard_ns),
            slots,
            event_ns,
        )
        twice = np.append(self._before, twice_the_mid(bid, ask))[newest]
        is_known = (twice > 0) & (event_ns < self._until_ns)
        return np.where(is_known, twice / 2, np.nan)

    def _until(self, last_ns: Int[np.ndarray, " S"]) -> list[np.ndarray]:
        """Slots, event times, bids and asks, as they came, of the quotes that come no
        later than these event times of their slots."""
        latest_ns, near = last_ns.max(initial=SINCE_EVER), [np.empty(0, TICK)]
        for one in self._heard:
            if one["event_ns"].min(initial=LARGEST_NS) <= latest_ns:
                near.append(one[one["event_ns"] <= last_ns[one["symbol"]]])
        names = "symbol", "event_ns", "a", "b"
        return [np.concatenate([one[name] for one in near]) for name in names]


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


def last_before(
    slots: Int[np.ndarray, " N"],
    event_ns: Int[np.ndarray, " N"],
    asked: Int[np.ndarray, " F"],
    asked_ns: Int[np.ndarray, " F"],
) -> Int[np.ndarray, " F"]:
    """Rows of the newest events of the slots asked for, up to the times asked for; of
    equals those that stand last. Every such slot has one early enough.

    All are sorted together: what is asked for is the event before the question.
    """
    times, places = np.append(event_ns, asked_ns), np.append(slots, asked)
    order = np.lexsort((times, places))
    is_event = order < len(slots)
    found = np.empty(len(asked), np.int64)
    before = np.cumsum(is_event)[~is_event] - 1
    found[order[~is_event] - len(slots)] = order[is_event][before]
    return found


def twice_the_mid(
    bid: Int[np.ndarray, " N"], ask: Int[np.ndarray, " N"]
) -> Int[np.ndarray, " N"]:
    """In increments; 0 where a side is missing or the quotes are crossed."""
    return np.where((bid > 0) & (bid <= ask), bid + ask, 0)
