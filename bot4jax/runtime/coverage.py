"""Of which symbols something was missed, and what a snapshot may put right.

Ticks go on being absorbed while a symbol is stale, so a snapshot may be older than what
is known by then. Each place therefore remembers up to which record it has been told
of: a snapshot writes only where nothing younger has been written, and it heals
only if it was taken after everything that was missed.
"""

import zlib

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.publishers import Publisher
from bot4jax.runtime.standing import NOWHERE, PLACES, places, quoted
from bot4jax.types import Frame

UNTOUCHED = -1


class Missing:
    """What of one publisher is not known since it was last heard in full."""

    def __init__(self, until: int, stale: Bool[np.ndarray, " S"]) -> None:
        self.until = until
        """number of the first record after what was missed"""
        self.stale = stale
        self.touched: Int[np.ndarray, "S P"] = np.full((len(stale), PLACES), UNTOUCHED)
        """number of the last record of the frame that restated a place since then"""


class Coverage:
    """Which symbols can be believed, over all publishers."""

    def __init__(self, symbols: int) -> None:
        self.blind: Bool[np.ndarray, " S"] = np.zeros(symbols, bool)
        """stale at some moment of the open bar"""
        self.waiting: dict[int, Frame] = {}
        """the latest snapshot of each publisher, until its place in the stream comes"""
        self._spoken: dict[int, Bool[np.ndarray, " S"]] = {}
        self._missing: dict[int, Missing] = {}

    @property
    def is_behind(self) -> bool:
        """Whether anything is missing; another thread may ask."""
        return bool(self._missing)

    @property
    def stale(self) -> Bool[np.ndarray, " S"]:
        """Symbols of which something is missing."""
        found = np.zeros_like(self.blind)
        for one in self._missing.values():
            found |= one.stale
        return found

    @property
    def checksum(self) -> int:
        """Equal for two coverages that go on alike."""
        parts = [self.blind.tobytes()]
        for name, spoken in sorted(self._spoken.items()):
            parts += [name.to_bytes(4), spoken.tobytes()]
        for name, one in sorted(self._missing.items()):
            numbers = np.array([name, one.until]).tobytes()
            parts += [numbers, one.stale.tobytes(), one.touched.tobytes()]
        return zlib.crc32(b"".join(parts))

    def lose(self, publisher: int, until: int) -> None:
        """Something before the record `until` was missed: of any of its symbols.

        Symbols that no publisher has spoken of may be this one's as well.
        """
        nobody = ~np.any([*self._spoken.values(), np.zeros_like(self.blind)], axis=0)
        stale = self._spoken.get(publisher, nobody) | nobody
        if (former := self._missing.get(publisher)) is not None:
            stale |= former.stale
        self._missing[publisher] = Missing(until, stale)
        self.blind |= stale

    def hear(self, publisher: int, number: int, records: np.ndarray) -> None:
        """Records were believed; the last of their frame has this number.

        What the frame says of a place counts from its last record on: all that came
        between is in it.
        """
        symbols = records["symbol"]
        spoken = self._spoken.setdefault(publisher, np.zeros_like(self.blind))
        one = self._missing.get(publisher)
        if one is not None:
            one.stale[symbols] |= ~spoken[symbols]
            self.blind |= one.stale
            place = places(records)
            stated = place != NOWHERE
            one.touched[symbols[stated], place[stated]] = number
        spoken[symbols] = True

    def due(self, name: int, publisher: Publisher) -> Frame | None:
        """A publisher's snapshot whose place has come, if it is of this life."""
        place = publisher.epoch, publisher.next_sequence
        snapshot = self.waiting.get(name)
        if snapshot is None or (snapshot.epoch, snapshot.sequence) > place:
            return None
        del self.waiting[name]
        is_old = snapshot.epoch != publisher.epoch or publisher.is_catching_up
        return None if is_old else snapshot

    def covers(self, snapshot: Frame) -> bool:
        """Whether it was taken after all that was missed of its publisher."""
        one = self._missing.get(snapshot.publisher)
        return one is not None and snapshot.sequence >= one.until

    def news(self, snapshot: Frame, records: np.ndarray) -> np.ndarray:
        """Of a covering snapshot's records those that nothing younger has replaced, in
        order of event time, so that they enter the bars they belong to."""
        one = self._missing[snapshot.publisher]
        symbols, place = records["symbol"], places(records)
        is_younger = one.touched[symbols, place] < snapshot.sequence
        news = records[one.stale[symbols] & is_younger & (place != NOWHERE)]
        return news[news["event_ns"].argsort(kind="stable")]

    def heal(self, snapshot: Frame, records: np.ndarray) -> None:
        """Believe again the symbols whose quote a covering snapshot has stated."""
        one = self._missing[snapshot.publisher]
        one.stale[quoted(records)] = False
        if not one.stale.any():
            del self._missing[snapshot.publisher]

    def next_bar(self) -> None:
        """A new bar opens: it is blind where something is still missing."""
        self.blind = self.stale
