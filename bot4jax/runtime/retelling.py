"""What a snapshot's ledger tells of reference events that were missed.

A publisher's frames count the frames of events before them, so who has heard of fewer
knows that some were missed, and between which of its records. The ledger of a snapshot
that was taken behind all of that tells what they were, where it can be proven: it is
complete in itself, and it counts as many frames as this hearer has by its own count of
that place. What cannot be proven counts as unheard.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bot4jax.runtime.ledger import is_complete
from bot4jax.runtime.messages import Entry, InstrumentChange, Ledger, Mark, pack
from bot4jax.runtime.publishers import Counters, Gap, Publisher
from bot4jax.runtime.reference import acts_ns, slots
from bot4jax.types import EVENTS, NEVER, Frame

REPLACING = InstrumentChange, Mark
"""Kinds of which only the last word on an instrument counts."""


def is_due(publisher: Publisher, snapshot: Frame) -> bool:
    """Whether the snapshot was taken behind all events that its publisher's hearer has
    missed, at a place whose count is known."""
    return (
        bool(publisher.missed)
        and snapshot.sequence >= publisher.missed[-1].stop
        and publisher.counted(snapshot.sequence) is not None
    )


class Retold(NamedTuple):
    """What a ledger tells of missed events."""

    entries: Sequence[Entry] = ()
    """that still count, by their numbers"""
    heard: Sequence[Entry] = ()
    """that still count and were not missed"""
    lacks_payments: bool = False
    """funding or dividends may be among the missed that it leaves out"""


def retold(
    publisher: Publisher,
    snapshot: Frame,
    ledger: Ledger | None,
    symbols: int,
    counters: Counters,
) -> Retold:
    """What was missed, from a snapshot that is due; where nothing is proven nothing,
    and all counts as unheard. Nothing of the publisher is awaited any more."""
    gaps, awaited = publisher.missed, publisher.awaited
    proven = ledger is not None and is_proven(publisher, snapshot, ledger, symbols)
    publisher.missed, publisher.awaited, publisher.counts = (), 0, ()
    if ledger is None or not proven:
        counters.unheard += awaited
        return Retold()
    entries = [one for one in ledger.entries if _is_within(gaps, one.sequence)]
    heard = [one for one in ledger.entries if not _is_within(gaps, one.sequence)]
    return Retold(entries, heard, any(one.first < ledger.paid for one in gaps))


def _is_within(gaps: Sequence[Gap], sequence: int) -> bool:
    return any(one.first <= sequence < one.stop for one in gaps)


def is_proven(
    publisher: Publisher, snapshot: Frame, ledger: Ledger, symbols: int
) -> bool:
    """Whether the ledger leaves out nothing that its publisher has told by then."""
    counts = ledger.frames % EVENTS, snapshot.events
    sequences = [one.sequence for one in ledger.entries]
    return (
        counts == (publisher.counted(snapshot.sequence),) * 2
        and is_complete(ledger)
        and sequences == sorted(sequences)
        and max(sequences, default=-1) < snapshot.sequence
        and all(n < symbols for one in ledger.entries for n in slots(one.event))
        and all(_is_dated(one, publisher, snapshot) for one in ledger.entries)
        and all(_room(ledger, gap) >= gap.frames for gap in publisher.missed)
    )


def _is_dated(entry: Entry, publisher: Publisher, snapshot: Frame) -> bool:
    """Whether it acts when its event says, or where its publisher was when it told."""
    newest_ns = snapshot.records["event_ns"].max(initial=snapshot.sent_ns)
    reached_ns = max(publisher.event_ns or 0, int(newest_ns))
    own_ns = acts_ns(entry.event)
    return own_ns <= entry.since_ns <= max(own_ns, reached_ns + 1)


def _room(ledger: Ledger, gap: Gap) -> int:
    """How many events it may count in the gap."""
    before = [one.number for one in ledger.entries if one.sequence < gap.first]
    behind = [one.number for one in ledger.entries if one.sequence >= gap.stop]
    following = behind[0] if behind else ledger.events + 1
    return following - (before[-1] if before else 0) - 1


def once(found: Retold, open_ns: int, bar_ns: int) -> list[Entry]:
    """Missed entries but those that were told twice to act at one boundary, and
    heard."""
    left: dict[tuple[int, bytes], Entry] = {}
    for one in (*found.heard, *found.entries):
        left.setdefault((boundary_ns(one, open_ns, bar_ns), pack(one.event)), one)
    heard = {one.number for one in found.heard}
    return [one for one in left.values() if one.number not in heard]


def in_order(late: Iterable[Entry], open_ns: int, bar_ns: int) -> list[Entry]:
    """Entries as they should have acted: by boundary, and at one as they were told."""
    return sorted(late, key=lambda one: _turn(one, open_ns, bar_ns))


def unreplaced(
    late: Iterable[Entry], heard: Iterable[Entry], open_ns: int, bar_ns: int
) -> list[Entry]:
    """Late entries but the terms and marks of an instrument of which newer ones, that
    were heard, have acted since: those hold."""
    newest: dict[tuple[type, int], tuple[int, int]] = {}
    for one in heard:
        if isinstance(one.event, REPLACING) and one.since_ns <= open_ns:
            turn, what = _turn(one, open_ns, bar_ns), _what(one.event)
            newest[what] = max(turn, newest.get(what, turn))
    return [
        one
        for one in late
        if not isinstance(one.event, REPLACING)
        or _turn(one, open_ns, bar_ns) >= newest.get(_what(one.event), (NEVER, 0))
    ]


def _turn(entry: Entry, open_ns: int, bar_ns: int) -> tuple[int, int]:
    return boundary_ns(entry, open_ns, bar_ns), entry.number


def _what(event: InstrumentChange | Mark) -> tuple[type, int]:
    return type(event), event.symbol


def boundary_ns(entry: Entry, open_ns: int, bar_ns: int) -> int:
    """The boundary at which it acts, or should have."""
    return open_ns - (open_ns - entry.since_ns) // bar_ns * bar_ns
