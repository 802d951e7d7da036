"""Reference events that wait for their boundary, whoever told of them, and how.

An event that is heard waits for the first boundary that its own time has reached. What
a snapshot tells of missed ones and should have acted by now is *late*: it acts at the
next boundary. Until then the snapshot's quotes may be in terms that the open bar does
not count in.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from bot4jax.runtime.ledger import is_payment
from bot4jax.runtime.messages import Entry, Ledger, Reference
from bot4jax.runtime.publishers import Counters, Publisher, unrepeated_events
from bot4jax.runtime.reference import Pending, due, slots, understood
from bot4jax.runtime.retelling import (
    boundary_ns,
    in_order,
    is_due,
    once,
    retold,
    unreplaced,
)
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.terms import changes_terms
from bot4jax.types import BOOK, NEVER, QUOTE, Frame


class Acting(NamedTuple):
    """What happens at a boundary."""

    events: tuple[Reference, ...]
    renewed: set[int]
    """publishers that have quoted in terms which hold only from here on"""
    doubted: tuple[int, ...]
    """slots in which late events have changed what is owned, if anything is"""


class EventQueue:
    """Of all publishers; `open_ns` opens the bar that is open."""

    def __init__(self, symbols: int, bar_ns: int, counters: Counters) -> None:
        self.pending: tuple[Pending, ...] = ()
        """in the order in which they act"""
        self.renewed: set[int] = set()
        self.doubted: set[int] = set()
        self._since_ns = np.full(symbols, NEVER)
        """boundaries at which the slots' terms have changed last"""
        self._bar_ns, self._counters = bar_ns, counters

    def hear(self, publisher: Publisher, frame: Frame, open_ns: int) -> None:
        """A frame of events that was not heard before."""
        found = understood(frame.records, len(self._since_ns))
        if not found.is_whole:
            self._counters.dropped[Drop.REFERENCE] += 1
            self._counters.unheard += 1
        news = self._news(publisher, found.events, open_ns)
        place = frame.publisher, frame.sequence
        self.pending += tuple(Pending(*place, one) for one in news)

    def retell(
        self,
        publisher: Publisher,
        snapshot: Frame,
        ledger: Ledger | None,
        unknown: Bool[np.ndarray, " S"],
        open_ns: int,
    ) -> None:
        """Take up what a snapshot tells of missed events, if it was taken behind them.

        `unknown`: slots whose bars were not believed, and of which no other publisher
        may have told the same events.
        """
        if not is_due(publisher, snapshot):
            return
        grid = open_ns, self._bar_ns
        found = retold(publisher, snapshot, ledger, len(unknown), self._counters)
        self.doubted |= set(range(len(unknown))) if found.lacks_payments else set()
        missed = once(found, *grid)
        news = self._news(publisher, (one.event for one in missed), open_ns)
        entries = [one for one in missed if one.event in news]
        late = [one for one in entries if one.since_ns <= open_ns]
        late = self._believed(snapshot.publisher, in_order(late, *grid), unknown)
        late = unreplaced(late, found.heard, *grid)
        later = [one for one in entries if one.since_ns > open_ns]
        self._weave(snapshot.publisher, late, later)

    def in_force(
        self, records: np.ndarray, ledger: Ledger | None, open_ns: int
    ) -> np.ndarray:
        """A snapshot's records without the quotes and levels in terms of before the
        open bar, by what was heard and what the ledger tells: they are no prices now.
        """
        grid = open_ns, self._bar_ns
        since_ns = np.append(self._since_ns, NEVER)  # of a slot that there is not
        for one in ledger.entries if ledger is not None else ():
            if changes_terms(one.event) and one.since_ns <= open_ns:
                slot, began_ns = one.event.symbol, boundary_ns(one, *grid)
                since_ns[slot] = max(since_ns[slot], began_ns)
        is_priced = np.isin(records["kind"], (QUOTE, BOOK))
        of_slot = since_ns[np.minimum(records["symbol"], len(since_ns) - 1)]
        return records[~(is_priced & (records["event_ns"] < of_slot))]

    def act(self, boundary_ns: int) -> Acting:
        """What acts at this boundary waits no longer."""
        events, self.pending = due(self.pending, boundary_ns)
        changed = [one.symbol for one in events if changes_terms(one)]
        self._since_ns[changed] = boundary_ns
        acting = Acting(events, self.renewed, tuple(sorted(self.doubted)))
        self.renewed, self.doubted = set(), set()
        return acting

    def _news(
        self, publisher: Publisher, events: Iterable[Reference], open_ns: int
    ) -> tuple[Reference, ...]:
        """Those that do not wait, and that no former life may have told of."""
        waiting = [one.event for one in self.pending if not one.is_late]
        news = tuple(one for one in events if one not in waiting)
        return unrepeated_events(publisher, news, self._counters, open_ns)

    def _believed(
        self, name: int, late: Sequence[Entry], unknown: Bool[np.ndarray, " S"]
    ) -> list[Entry]:
        """The late events that may still act.

        Payments may not: what was held at their time, and at which price, is not known
        here. Nor may new terms of slots that are not `unknown`.
        """
        paid = [one for one in late if is_payment(one.event)]
        terms = [one for one in late if changes_terms(one.event)]
        too_late = [one for one in terms if not unknown[list(slots(one.event))].all()]
        self.doubted |= {slot for one in (*paid, *terms) for slot in slots(one.event)}
        self.renewed |= {name} if len(too_late) < len(terms) else set()
        self._counters.unheard += len(too_late)
        left_out = {one.number for one in (*paid, *too_late)}
        return [one for one in late if one.number not in left_out]

    def _weave(self, name: int, late: Sequence[Entry], later: Sequence[Entry]) -> None:
        """What is late acts first, and a publisher's events as it has told them."""
        first = (Pending(name, one.sequence, one.event, is_late=True) for one in late)
        others = [one for one in self.pending if one.publisher != name]
        own = [one for one in self.pending if one.publisher == name]
        own += [Pending(name, one.sequence, one.event) for one in later]
        own.sort(key=lambda one: one.sequence)
        self.pending = (*first, *others, *own)
