"""Reference events that still count: what a publisher tells of them in its snapshots.

Each event has a number. It stands in the ledger as long as somebody who missed it would
be wrong without it: a split for ever, the newest terms of an instrument, its newest
mark, news that last, and the newest payments. The others are *over*, and only their
numbers are kept: so every number is accounted for, and none is left out unseen.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from bot4jax.runtime.messages import (
    CorporateAction,
    Entry,
    Funding,
    InstrumentChange,
    Ledger,
    Mark,
    MessageError,
    News,
    Reference,
    pack,
    unpack_ledger,
)
from bot4jax.runtime.reference import acts_ns, boxed, slots, told, unboxed
from bot4jax.runtime.terms import is_split
from bot4jax.types import EVENTS, LEDGER, NEVER, REFERENCE, TICKS, Frame

PAYMENTS = 1_024
"""The newest ones that are stated: what was paid before is known to be missing."""

LARGEST = 1 << 22
"""Bytes; a larger ledger is not told, so that a snapshot always arrives."""

SLACK = 256
"""Entries more than at the last look before it is looked again which are over."""

Ranges = Sequence[tuple[int, int]]
"""First and last numbers, rising."""


class EventLedger:
    """A publisher's own, of all that it sends."""

    def __init__(self) -> None:
        self._begin(0)

    def absorb(self, frame: Frame) -> None:
        """A frame has left."""
        if frame.epoch != self._epoch:
            self._begin(frame.epoch)
        if frame.kind == REFERENCE:
            self._tell(frame)
        elif frame.kind == TICKS:
            came_ns = int(frame.records["event_ns"].max(initial=NEVER))
            silent_ns = NEVER if len(frame.records) else frame.sent_ns
            self._reached_ns = max(self._reached_ns, came_ns, silent_ns)

    def stated(self, snapshot: Frame) -> Frame:
        """The snapshot with the ledger before its records, where it may be believed."""
        is_counted = self._frames % EVENTS == snapshot.events
        if not self._frames or not self._is_whole or not is_counted:
            return snapshot
        self._look()
        ledger = Ledger(
            frames=self._frames,
            events=self._events,
            over=self._over,
            paid=self._paid,
            entries=self._entries,
        )
        return snapshot if len(pack(ledger)) > LARGEST else attached(snapshot, ledger)

    def _begin(self, epoch: int) -> None:
        """A publisher's new life counts anew."""
        self._epoch = epoch
        self._frames = self._events = self._paid = 0
        self._over: list[tuple[int, int]] = []
        self._entries: list[Entry] = []
        self._reached_ns = NEVER
        """event time that has been told"""
        self._most = SLACK
        self._is_whole = True
        """all was understood here"""

    def _tell(self, frame: Frame) -> None:
        self._frames += 1
        try:
            events = told(frame.records)
        except MessageError:
            self._is_whole = False
            return
        for one in events:
            self._events += 1
            since_ns = max(acts_ns(one), self._reached_ns + 1)
            own = {"number": self._events, "sequence": frame.sequence}
            self._entries.append(Entry(**own, since_ns=since_ns, event=one))
        if len(self._entries) > self._most:
            self._look()
            self._most = len(self._entries) + SLACK

    def _look(self) -> None:
        """Take out what is over by now."""
        over = _over(self._entries, self._reached_ns)
        if not over:
            return
        for one in self._entries:
            if one.number in over and is_payment(one.event):
                self._paid = max(self._paid, one.sequence + 1)
        self._entries = [one for one in self._entries if one.number not in over]
        self._over = merged(self._over, over)


def is_payment(event: Reference) -> bool:
    """Whether it is paid on what is held, once."""
    is_dividend = isinstance(event, CorporateAction) and not is_split(event)
    return is_dividend or isinstance(event, Funding)


def _over(entries: Sequence[Entry], now_ns: int) -> set[int]:
    """Numbers of the entries that nobody needs any more."""
    began = [one for one in entries if one.since_ns <= now_ns]
    paid = [one.number for one in began if is_payment(one.event)][:-PAYMENTS]
    past = [one.number for one in entries if _is_past(one.event, now_ns)]
    return {*paid, *past, *_replaced(entries, now_ns)}


def _is_past(event: Reference, now_ns: int) -> bool:
    return isinstance(event, News) and event.until_ns <= now_ns


def _replaced(entries: Sequence[Entry], now_ns: int) -> Iterable[int]:
    """Terms and marks that a later word on the same instrument replaces.

    A mark stays for what was paid at it, and terms for all that was meant in them.
    """
    marks: dict[int, Entry] = {}
    before: dict[int, Entry] = {}
    for one in entries:
        if isinstance(one.event, News):
            continue
        (slot,) = slots(one.event)
        if isinstance(one.event, Mark):
            if _is_later(one, marks.get(slot), now_ns):
                yield marks[slot].number
            marks[slot] = one
        elif is_payment(one.event):
            marks.pop(slot, None)
        elif isinstance(one.event, InstrumentChange):
            last = before.get(slot)
            is_same = last is not None and isinstance(last.event, InstrumentChange)
            if last is not None and is_same and _is_later(one, last, now_ns):
                yield last.number
        before[slot] = one


def _is_later(one: Entry, before: Entry | None, now_ns: int) -> bool:
    """It acts, and so did the one before."""
    return before is not None and before.since_ns <= one.since_ns <= now_ns


def merged(ranges: Ranges, numbers: Iterable[int]) -> list[tuple[int, int]]:
    """The ranges with some more numbers in them."""
    found: list[tuple[int, int]] = []
    for first, last in sorted([*ranges, *((n, n) for n in numbers)]):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], last)
        else:
            found.append((first, last))
    return found


def is_complete(ledger: Ledger) -> bool:
    """Whether each event from the first to the last is in it once, or over."""
    ranges = [(one.number, one.number) for one in ledger.entries]
    if ranges != sorted(ranges):
        return False
    following = 1
    for first, last in sorted([*ranges, *ledger.over]):
        if first != following or last < first:
            return False
        following = last + 1
    return following == ledger.events + 1 and ledger.frames <= ledger.events


def attached(snapshot: Frame, ledger: Ledger) -> Frame:
    """The snapshot with a ledger before its records."""
    records = np.concatenate([boxed(pack(ledger)), snapshot.records])
    return snapshot._replace(records=records, flags=snapshot.flags | LEDGER)


def detached(snapshot: Frame) -> tuple[Frame, Ledger | None]:
    """The snapshot of ticks alone, and the ledger; None where there is none to read."""
    if not snapshot.flags & LEDGER:
        return snapshot, None
    body, records = unboxed(snapshot.records)
    alone = snapshot._replace(records=records, flags=snapshot.flags & ~LEDGER)
    try:
        return alone, unpack_ledger(body)
    except MessageError:
        return alone, None
