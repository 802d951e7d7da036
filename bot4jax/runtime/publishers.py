"""What is known of each sender: its numbering, its clock, how far it has come.

Engine and venue take in records by the same rules, so that both hear one market.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bot4jax.runtime.clocks import Clock
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.reference import acts_ns
from bot4jax.runtime.screen import Drop, screen
from bot4jax.types import EVENTS, REFERENCE, Frame


@dataclass
class Counters:
    """What became of the ticks."""

    received: int = 0
    """in frames, before any check"""
    absorbed: int = 0
    """in batches; the late ones are among them"""
    late: int = 0
    duplicates: int = 0
    gaps: int = 0
    missing: int = 0
    """in gaps"""
    unheard: int = 0
    """frames of reference events that were sent and are not known, or not understood"""
    awaited: int = 0
    """frames of reference events that were missed, and a snapshot may tell of"""
    restarts: int = 0
    heartbeats: int = 0
    snapshots: int = 0
    """that healed something"""
    restated: int = 0
    """records taken from them; they are among the absorbed"""
    ahead: int = 0
    """frames, heartbeats and snapshots, that were sent too far ahead of our clock"""
    conflated: int = 0
    """quotes and levels that a later one stands for; neither absorbed nor dropped"""
    reordered: int = 0
    """absorbed once more, since their symbol's did not come in order of event time"""
    unordered: int = 0
    """symbols of bars with too many ticks for that: the order of arrival stood"""
    dropped: Counter[Drop] = field(default_factory=Counter)

    @property
    def sent(self) -> int:
        """Different ticks that the publishers numbered."""
        return self.received - self.duplicates + self.missing


MOST_GAPS, MOST_COUNTS = 64, 1_024
"""Of missed events, and places in the stream whose count is remembered meanwhile."""


class Gap(NamedTuple):
    """Where frames of reference events were missed."""

    first: int
    """number of the first record that was missed; 0: all that was before it joined"""
    stop: int
    """number of the first record after it"""
    frames: int
    """of events, that lie in it"""


@dataclass
class Publisher:
    """What is known of one sender."""

    epoch: int
    next_sequence: int
    event_ns: int | None = None
    """latest event time; None before the first tick or heartbeat"""
    clock: Clock = field(default_factory=Clock)
    missed_until: int | None = None
    """number of the first record after what was missed last; None: nothing was"""
    since_ns: int | None = None
    """event time that a former life had reached, whose numbers mean nothing now"""
    told: int = 0
    """frames of reference events in this epoch, modulo `EVENTS`"""
    joined: int | None = None
    """number of the record that is heard first, in the middle of its life"""
    missed: tuple[Gap, ...] = ()
    """reference events that a snapshot may still tell of"""
    awaited: int = 0
    """frames of them"""
    counts: tuple[tuple[int, int], ...] = ()
    """since the last of those gaps: numbers of records, and what was `told` there"""
    is_live: bool = True

    @property
    def is_catching_up(self) -> bool:
        """It has told of nothing yet that its former life may not have told of."""
        if self.since_ns is None or self.event_ns is None:
            return False
        return self.event_ns <= self.since_ns

    def counted(self, sequence: int) -> int | None:
        """What was told before the record of this number, modulo `EVENTS`; None if that
        is not remembered."""
        found = [told for number, told in self.counts if number <= sequence]
        return found[-1] if found else None


def known(
    publishers: dict[int, Publisher], frame: Frame, counters: Counters
) -> Publisher | None:
    """The frame's publisher, begun anew with a new epoch; None for a former one.

    Who begins in the middle has missed something: a late joiner, whose first frame is
    not its publisher's, and a new epoch that does not resume at the next record.
    """
    former = publishers.get(frame.publisher)
    if former is not None and frame.epoch <= former.epoch:
        return former if frame.epoch == former.epoch else None
    if former is None:
        begun, is_whole = Publisher(frame.epoch, frame.sequence), frame.is_begin
    else:
        begun, is_whole = _resumed(former, frame)
        counters.restarts += 1
        counters.unheard += not is_whole and former.told > 0
        counters.unheard += former.awaited  # its next life does not tell of them
    if not is_whole:
        begun.missed_until = begun.joined = frame.sequence
    publishers[frame.publisher] = begun
    return begun


def _resumed(former: Publisher, frame: Frame) -> tuple[Publisher, bool]:
    """A publisher's next life, and whether it goes on where the one before ended.

    If it does not, it may send again what was heard, under any number: only what is
    newer than all that was heard is surely news.
    """
    is_whole = frame.sequence == former.next_sequence
    return replace(
        former,
        epoch=frame.epoch,
        next_sequence=frame.sequence,
        since_ns=former.since_ns if is_whole else former.event_ns,
        told=0,
        joined=None,
        missed=(),
        awaited=0,
        counts=(),
        clock=former.clock.anew(),
        is_live=True,
    ), is_whole


def numbered(publisher: Publisher, frame: Frame, counters: Counters) -> np.ndarray:
    """The frame's records not seen before; a gap before them is counted."""
    _count_events(publisher, frame, counters)
    ahead = frame.sequence - publisher.next_sequence
    if ahead > 0:
        counters.gaps += 1
        counters.missing += ahead
        publisher.missed_until = frame.sequence
    repeated = min(max(-ahead, 0), len(frame.records))
    counters.duplicates += repeated
    following = frame.sequence + len(frame.records)
    publisher.next_sequence = max(publisher.next_sequence, following)
    return np.ascontiguousarray(frame.records[repeated:])


def _count_events(publisher: Publisher, frame: Frame, counters: Counters) -> None:
    """By its own count a frame tells of those that were missed before it.

    A frame of events that counts none is of a publisher that does not count at all.
    """
    following, known = frame.sequence + len(frame.records), publisher.next_sequence
    if following < known or (len(frame.records) and following == known):
        return  # a repetition
    is_event = frame.kind == REFERENCE
    before = (frame.events - is_event) % EVENTS
    missed = (before - publisher.told) % EVENTS
    if missed and (frame.events or not is_event):
        is_first = frame.sequence == publisher.joined
        first = 0 if is_first else publisher.next_sequence
        gap = Gap(first, frame.sequence, missed)
        _await(publisher, gap, before, counters)
    publisher.told, publisher.joined = frame.events, None
    if publisher.missed and is_event:
        counts = *publisher.counts, (following, frame.events)
        publisher.counts = counts[-MOST_COUNTS:]


def _await(publisher: Publisher, gap: Gap, before: int, counters: Counters) -> None:
    """Events were missed: a snapshot may tell of them, if a gap has room for them."""
    if gap.first >= gap.stop or len(publisher.missed) >= MOST_GAPS:
        counters.unheard += gap.frames
        return
    counters.awaited += gap.frames
    publisher.missed, publisher.counts = (*publisher.missed, gap), ((gap.stop, before),)
    publisher.awaited += gap.frames


def unrepeated(
    publisher: Publisher, records: np.ndarray, counters: Counters
) -> np.ndarray:
    """Of a new life's ticks those that its former one cannot have sent.

    The others may be repetitions, or what was never heard: they count as missed.
    """
    if publisher.since_ns is None:
        return records
    is_news = records["event_ns"] > publisher.since_ns
    if not is_news.all():
        counters.duplicates += len(records) - int(is_news.sum())
        publisher.missed_until = publisher.next_sequence
    return records[is_news]


def unrepeated_events(
    publisher: Publisher,
    events: tuple[Reference, ...],
    counters: Counters,
    past_ns: int = 0,
) -> tuple[Reference, ...]:
    """Of a new life's events those that its former one cannot have told of.

    The others may have acted, or never been heard, and count as that; so does what
    would have acted by `past_ns`.
    """
    if publisher.since_ns is None:
        return events
    past_ns = max(publisher.since_ns, past_ns)
    new = tuple(one for one in events if acts_ns(one) > past_ns)
    counters.unheard += len(new) < len(events)
    return new


def screened(
    publisher: Publisher,
    records: np.ndarray,
    sent_ns: int,
    anchors: Int[np.ndarray, " S"],
    limit_ns: int,
    counters: Counters,
) -> np.ndarray:
    """The records that are fit to be believed; the others are counted."""
    reasons = screen(records, anchors)
    if reasons is not None:
        counters.dropped.update(map(Drop, reasons[reasons > 0].tolist()))
        records = records[reasons == 0]
    is_timely = publisher.clock.timely(sent_ns - records["event_ns"], limit_ns)
    if is_timely is not None:
        early = len(records) - int(is_timely.sum())
        counters.dropped.update([Drop.FUTURE] * early)
        records = records[is_timely]
    return records


def hear(publisher: Publisher, event_ns: int, receive_ns: int) -> None:
    """Note that a publisher has reached an event time.

    One that is only repeated, as by heartbeats in a pause, measures nothing.
    """
    publisher.is_live = True
    if event_ns == publisher.event_ns:
        return
    if publisher.event_ns is None or event_ns > publisher.event_ns:
        publisher.event_ns = event_ns
    publisher.clock.measure(receive_ns - event_ns, receive_ns)


def reached(
    publishers: Iterable[Publisher], clock_ns: int | None = None
) -> Iterator[int]:
    """Event times before which no more is awaited, of all that bars wait for; by our
    clock, less what a tick may be late, if that is given."""
    for one in publishers:
        if one.is_live and one.event_ns is not None:
            if clock_ns is None:
                yield one.event_ns
            else:
                yield max(one.event_ns, clock_ns - one.clock.delay_ns)


def newest(publishers: Iterable[Publisher], receive_ns: int) -> int:
    """When the newest tick would have come, had it not been late: by each sender's
    least delay, so that a feed that stays late does not become a usual one."""
    heard = [(one.event_ns, one.clock) for one in publishers]
    came = [at_ns + clock.usual_ns for at_ns, clock in heard if at_ns is not None]
    return max(came, default=receive_ns)
