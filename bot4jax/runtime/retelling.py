"""What a snapshot's ledger tells of reference events that were missed.

A publisher's frames count the frames of events before them, so who has heard of fewer
knows that some were missed, and between which of its records. The ledger of a snapshot
that was taken behind all of that tells what they were, where it can be proven: it is
complete in itself, and it counts as many frames as this hearer has by its own count of
that place. What cannot be proven counts as unheard.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.ledger import is_complete, is_payment
from bot4jax.runtime.messages import Entry, Ledger, pack
from bot4jax.runtime.publishers import Counters, Gap, Publisher
from bot4jax.runtime.reference import Pending, acts_ns, slots
from bot4jax.runtime.terms import changes_terms
from bot4jax.types import BOOK, EVENTS, NEVER, QUOTE, Frame


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


def once(found: Retold, boundary: Callable[[Entry], int]) -> list[Entry]:
    """Missed entries but those that were told twice to act at one boundary, and
    heard."""
    seen = {(boundary(one), pack(one.event)) for one in found.heard}
    left = []
    for one in found.entries:
        key = boundary(one), pack(one.event)
        left += [] if key in seen else [one]
        seen.add(key)
    return left


class TakenUp(NamedTuple):
    """Retold events, by when they act."""

    past: Sequence[Entry]
    """that should have acted by now, in the order in which they would have"""
    later: Sequence[Entry]
    doubted: set[int]
    """slots in which the past ones have changed what is owned, if anything is"""
    renews: bool
    """some of the past ones are new terms"""
    too_late: int
    """new terms that are left out: of slots whose bars were believed meanwhile, or
    which another publisher may have told of before"""


def taken_up(
    entries: Sequence[Entry],
    stale: Bool[np.ndarray, " S"],
    open_ns: int,
    bar_ns: int,
    is_alone: bool,
) -> TakenUp:
    """What becomes of retold events; `open_ns` opens the open bar, `is_alone`: no other
    publisher has told of events, which may have been the same ones.

    Payments of the past are left out: what was held at their time, and at which price,
    is not known here.
    """
    later = [one for one in entries if one.since_ns > open_ns]
    past = [one for one in entries if one.since_ns <= open_ns]
    past.sort(key=lambda one: (boundary_ns(one, open_ns, bar_ns), one.number))
    paid = [one for one in past if is_payment(one.event)]
    terms = [one for one in past if changes_terms(one.event)]
    lost = [
        one for one in terms if not is_alone or not stale[list(slots(one.event))].all()
    ]
    left_out = {one.number for one in (*paid, *lost)}
    return TakenUp(
        [one for one in past if one.number not in left_out],
        later,
        {slot for one in (*paid, *terms) for slot in slots(one.event)},
        len(lost) < len(terms),
        len(lost),
    )


def boundary_ns(entry: Entry, open_ns: int, bar_ns: int) -> int:
    """The boundary at which it acts, or should have."""
    return open_ns - (open_ns - entry.since_ns) // bar_ns * bar_ns


def woven(
    pending: Sequence[Pending], taken: TakenUp, publisher: int
) -> tuple[Pending, ...]:
    """All that waits, in the order in which it acts: of one publisher as it told it."""
    past, later = (
        [Pending(publisher, one.sequence, one.event, is_late) for one in part]
        for part, is_late in ((taken.past, True), (taken.later, False))
    )
    others = [one for one in pending if one.publisher != publisher]
    own = [one for one in pending if one.publisher == publisher]
    in_order = sorted([*own, *later], key=lambda one: one.sequence)
    return *past, *others, *in_order


def in_force(
    records: np.ndarray,
    ledger: Ledger | None,
    since_ns: Int[np.ndarray, " S"],
    open_ns: int,
    bar_ns: int,
) -> np.ndarray:
    """A snapshot's records without the quotes and levels that are in terms of before
    the open bar: what stood when others came is no price any more.

    `since_ns`: the boundary at which each slot's terms have changed last, by what was
    heard. The ledger tells of what was not.
    """
    since_ns = np.append(since_ns, NEVER)  # of a slot that there is not
    for one in ledger.entries if ledger is not None else ():
        if changes_terms(one.event) and one.since_ns <= open_ns:
            slot = one.event.symbol
            since_ns[slot] = max(since_ns[slot], boundary_ns(one, open_ns, bar_ns))
    is_priced = np.isin(records["kind"], (QUOTE, BOOK))
    of_slot = since_ns[np.minimum(records["symbol"], len(since_ns) - 1)]
    return records[~(is_priced & (records["event_ns"] < of_slot))]
