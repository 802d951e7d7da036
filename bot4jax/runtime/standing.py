"""What stands in a market: the last word on every quote, book level and status.

A trade is over when it has happened and stands for nothing; a snapshot leaves it out.
"""

import numpy as np
from jaxtyping import Int

from bot4jax.types import (
    BOOK,
    BUY,
    CONFLATED,
    LEVELS,
    NEVER,
    QUOTE,
    SELL,
    SNAPSHOT,
    STATUS,
    TICK,
    TRADE,
    Frame,
)

BEHIND = LEVELS - 1
"""Levels behind the best one, of a side."""

PLACES = 2 + 2 * BEHIND
"""What a symbol has one of: its quote, each side's levels, its status."""

NOWHERE = -1


def places(records: np.ndarray) -> Int[np.ndarray, " N"]:
    """Which place of its symbol each record restates; trades: `NOWHERE`."""
    kind = records["kind"]
    level = BEHIND * (records["side"].astype(np.int64) - 1) + records["c"]
    found = np.where(kind == BOOK, level, 0)
    found[kind == STATUS] = PLACES - 1
    found[kind == TRADE] = NOWHERE
    return found


class Standing:
    """The last record of every place, in the order of the slots."""

    def __init__(self, symbols: int) -> None:
        self._records = np.zeros((symbols, PLACES), TICK)
        self._is_known = np.zeros((symbols, PLACES), bool)
        self._latest = NEVER
        """event time that nothing is behind"""

    def absorb(self, records: np.ndarray) -> None:
        """Take in records: of one place the newest stays, of equals the last."""
        if not len(records):
            return
        event_ns = records["event_ns"]
        if (event_ns[1:] < event_ns[:-1]).any() or event_ns[0] < self._latest:
            records = self._news(records)
        self._latest = max(self._latest, int(event_ns.max()))
        place = places(records)
        stated = place != NOWHERE
        at = records["symbol"][stated], place[stated]
        self._records[at] = records[stated]
        self._is_known[at] = True

    def _news(self, records: np.ndarray) -> np.ndarray:
        """What nothing newer is known of, in order of event time."""
        records = records[records["event_ns"].argsort(kind="stable")]
        known = self._records[records["symbol"], places(records)]
        return records[records["event_ns"] >= known["event_ns"]]

    def snapshot(self, after: Frame) -> Frame:
        """All that stands once the frame `after` has been sent."""
        records = self._records[self._is_known]
        records["flags"] |= CONFLATED
        following = after.sequence + len(after.records)
        return after._replace(
            sequence=following, records=records, kind=SNAPSHOT, flags=0
        )


def unstated(slots: Int[np.ndarray, " N"], event_ns: int) -> np.ndarray:
    """Records for a venue's book: of these slots no quote and no level is known."""
    found = np.zeros((len(slots), 1 + 2 * BEHIND), TICK)
    found["symbol"], found["event_ns"] = slots[:, None], event_ns
    found["kind"] = BOOK
    found["kind"][:, 0] = QUOTE
    found["side"][:, 1:] = np.repeat((BUY, SELL), BEHIND)
    found["c"][:, 1:] = np.tile(np.arange(1, LEVELS), 2)
    return found.ravel()


def quoted(records: np.ndarray) -> Int[np.ndarray, " N"]:
    """Slots whose quote a snapshot states."""
    return records["symbol"][records["kind"] == QUOTE]
