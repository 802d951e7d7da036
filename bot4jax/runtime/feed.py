"""From frames to batches for the device and closings of bars.

No clock and no socket here: what comes out depends only on what was pushed, and not on
how the stream was cut into frames.

Order. Ticks of a bar keep the order of their arrival, whatever their event times.
A tick of a bar already closed goes into the open one, flagged `LATE`. A tick of a bar
not yet open waits until the bars before it have closed.

Closing. A bar closes when the event time of every live publisher has passed its
boundary. `advance`, called when nothing is waiting to be read, also closes it when the
receive time has passed the boundary by `allowed_lateness_ns`; each publisher's least
receive − event of five minutes is taken off first, so that clocks need not agree. While
frames wait to be read the clock closes nothing: a consumer that was slow has not
received them late.

A frame that its reader has flagged `BEHIND` is conflated (`backlog.py`), after it was
numbered and screened as any other.

Gaps. When records are missed, the symbols that their publisher speaks of are stale
until a snapshot states them again, and their bars until then are masked.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.data.universe import Universe
from bot4jax.kernels.rebase import Terms
from bot4jax.runtime.backlog import conflated
from bot4jax.runtime.batches import ROTATION, Batch, Close, FeedState
from bot4jax.runtime.coverage import Coverage
from bot4jax.runtime.earlier import EarlierMids
from bot4jax.runtime.early import Early
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.pack import instrument_terms, pack
from bot4jax.runtime.publishers import (
    Counters,
    Publisher,
    hear,
    is_ahead,
    known,
    numbered,
    screened,
    unrepeated,
    untold,
)
from bot4jax.runtime.reference import due, understood
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.terms import terms_after, universe_after
from bot4jax.types import (
    AWAKE,
    BEHIND,
    CONFLATED,
    LATE,
    PACKED,
    REFERENCE,
    SNAPSHOT,
    TICK,
    Frame,
)


class _Buffer(NamedTuple):
    records: np.ndarray
    packed: Int[np.ndarray, "N K"]


class Feed:
    """Numbers, screens, orders and packs the ticks of all publishers."""

    def __init__(
        self,
        universe: Universe,
        anchors: Int[np.ndarray, " S"],
        bar_ns: int,
        start_ns: int,
        capacity: int,
        first_bar: int = 0,
        allowed_lateness_ns: int | None = None,
        skew_limit_ns: int = 1_000_000_000,
    ) -> None:
        """`start_ns` opens bar 0. Without a lateness only event time closes bars:
        right for streams that are faster or slower than real time."""
        self.counters = Counters()
        self.coverage = Coverage(len(universe.instruments))
        self.publishers: dict[int, Publisher] = {}
        self.bar = first_bar
        self.bar_ns = bar_ns
        self.open_ns = start_ns + first_bar * bar_ns
        self.allowed_lateness_ns = allowed_lateness_ns
        self.skew_limit_ns = skew_limit_ns
        self.capacity = capacity
        self.universe = universe
        """with its terms from the open bar on"""
        self._terms = instrument_terms(universe, anchors)
        self._earlier = EarlierMids(len(universe.instruments))
        self._early = Early()
        self._events: tuple[Reference, ...] = ()
        self._snapshots: dict[int, Frame] = {}
        """the latest of each publisher, until its place in the stream has come"""
        self._buffers = [_buffer(capacity) for _ in range(ROTATION)]
        self._turn = self._filled = 0
        self._before = (0, 0, 0)
        """ticks absorbed and late, and events missed, when the open bar began"""

    @property
    def boundary_ns(self) -> int:
        """Event time at which the open bar ends."""
        return self.open_ns + self.bar_ns

    @property
    def is_stale(self) -> bool:
        """Something is missing that a snapshot could heal."""
        return self.coverage.is_behind

    @property
    def stale(self) -> Bool[np.ndarray, " S"]:
        """Symbols of which something is missing."""
        return self.coverage.stale

    @property
    def held(self) -> int:
        """Ticks that wait for their bar to open."""
        return self._early.count

    @property
    def state(self) -> FeedState:
        """A hashable summary; a frame that is refused must not change it."""
        counted = self.counters
        return FeedState(
            self.bar,
            tuple((name, *vars(one).values()) for name, one in self.publishers.items()),
            zlib.crc32(self._pending.tobytes()),
            self._early.checksum,
            self._events,
            self.coverage.checksum,
            tuple(one[:4] for one in self._snapshots.values()),
            tuple(one for one in vars(counted).values() if isinstance(one, int)),
            tuple(sorted(counted.dropped.items())),
        )

    def push(
        self, frame: Frame, receive_ns: int | None = None
    ) -> Iterator[Batch | Close]:
        """Take a frame in; full batches and closings that follow, to be used up.

        Ticks of a batch not yet full stay until it is, the bar closes, or `flush`.
        Without a receive time the frame counts as received when it was sent.
        """
        received_ns = frame.sent_ns if receive_ns is None else receive_ns
        if frame.kind == AWAKE:
            self._awake(received_ns < frame.sent_ns)
        elif frame.kind == SNAPSHOT:
            self._snapshots[frame.publisher] = frame
        elif frame.kind == REFERENCE:
            self._hear(frame)
        else:
            yield from self._take(frame, received_ns)
        yield from self._restate(frame.publisher, received_ns)
        if frame.is_end:
            self.finish(frame.publisher)
            yield from self._close_passed(received_ns)

    def _take(self, frame: Frame, received_ns: int) -> Iterator[Batch | Close]:
        """A frame of ticks, or a heartbeat."""
        self.counters.received += len(frame.records)
        publisher = known(self.publishers, frame, self.counters)
        if publisher is None:
            self.counters.dropped.update([Drop.EPOCH] * len(frame.records))
            return
        yield from self._close_passed(received_ns)
        records = numbered(publisher, frame, self.counters)
        records = unrepeated(publisher, records, self.counters)
        if self._is_ahead(publisher, frame, received_ns):
            self.counters.dropped.update([Drop.AHEAD] * len(records))
            publisher.missed_until = publisher.next_sequence
            self._lose(frame.publisher, publisher)
            return
        self._lose(frame.publisher, publisher)
        records = self._screened(publisher, frame.sent_ns, records)
        if len(records):
            last = frame.sequence + len(frame.records) - 1
            self.coverage.hear(frame.publisher, last, records)
            if frame.flags & BEHIND:
                records = self._conflated(records)
            yield from self._distribute(publisher, records, received_ns)
        elif not len(frame.records):
            self.counters.heartbeats += 1
            hear(publisher, frame.sent_ns, received_ns)
            yield from self._close_passed(received_ns)

    def _hear(self, frame: Frame) -> None:
        """Events that are no ticks: each acts at a boundary, once."""
        publisher = known(self.publishers, frame, self.counters)
        if publisher is None:
            self.counters.received += len(frame.records)
            return
        fresh = numbered(publisher, frame, self.counters)
        self._lose(frame.publisher, publisher)
        if len(fresh) < len(frame.records):  # repeated
            self.counters.received += len(frame.records) - len(fresh)
            return
        found = understood(frame.records, len(self._terms.anchor))
        if not found.is_whole:
            self.counters.dropped[Drop.REFERENCE] += 1
            self.counters.unheard += 1
        events = tuple(one for one in found.events if one not in self._events)
        self._events += untold(publisher, events, self.counters, self.open_ns)

    def advance(self, receive_ns: int) -> Iterator[Batch | Close]:
        """Close what the clock says is over; call it when no frame is waiting."""
        yield from self._close_passed(receive_ns, by_clock=True)

    def flush(self) -> Iterator[Batch]:
        """The ticks of the open bar that no batch holds yet; call it when idle."""
        if self._filled:
            yield self._packed()

    def finish(self, publisher: int) -> None:
        """Wait no longer for a publisher that has said it is done."""
        if publisher in self.publishers:
            self.publishers[publisher].is_live = False

    def rebase(self) -> None:
        """A person says that nothing is late: what is usual is measured anew.

        It closes no bar, so that a restart, which hears of no reset, closes the same.
        """
        for one in self.publishers.values():
            one.is_usual = False

    def _awake(self, is_set_back: bool) -> None:
        """A new process has another clock if that reads less than was read before: new
        frames tell how far it is from a sender's, but none of one that was refused."""
        for one in self.publishers.values():
            if is_set_back and not one.is_distrusted:
                one.offset_ns = None

    def _is_ahead(self, publisher: Publisher, frame: Frame, receive_ns: int) -> bool:
        """At its pace, our clock believes no frame sent too far ahead of it."""
        if self.allowed_lateness_ns is None:
            return False
        limit_ns = self.skew_limit_ns
        refused = is_ahead(publisher, frame.sent_ns, receive_ns, limit_ns)
        self.counters.ahead += refused
        return refused

    @property
    def _pending(self) -> np.ndarray:
        return self._buffers[self._turn].records[: self._filled]

    def _lose(self, name: int, publisher: Publisher) -> None:
        """Note what was missed; every gap is told once."""
        if publisher.missed_until is not None:
            self.coverage.lose(name, publisher.missed_until)
            publisher.missed_until = None

    def _restate(self, name: int, receive_ns: int) -> Iterator[Batch | Close]:
        """Heal what a snapshot heals, once its place in the stream has come.

        In order of event time, so that what it states enters the bars it belongs to.
        """
        snapshot, publisher = self._snapshots.get(name), self.publishers.get(name)
        if snapshot is None or publisher is None or _is_ahead(snapshot, publisher):
            return
        del self._snapshots[name]
        is_old = snapshot.epoch != publisher.epoch or publisher.is_catching_up
        if is_old or not self.coverage.covers(snapshot):
            return
        if self._is_ahead(publisher, snapshot, receive_ns):
            return
        whole = self._screened(publisher, snapshot.sent_ns, snapshot.records)
        news = self.coverage.news(snapshot, whole)
        news = news[news["event_ns"].argsort(kind="stable")]
        self.counters.snapshots += 1
        self.counters.restated += len(news)
        yield from self._distribute(publisher, news, receive_ns)
        self.coverage.heal(snapshot, whole)

    def _screened(
        self, publisher: Publisher, sent_ns: int, records: np.ndarray
    ) -> np.ndarray:
        """The records that are fit for the engine; the others are counted."""
        anchors, limit_ns = self._terms.anchor, self.skew_limit_ns
        return screened(publisher, records, sent_ns, anchors, limit_ns, self.counters)

    def _conflated(self, records: np.ndarray) -> np.ndarray:
        """What stands for the records where there is no time for all of them."""
        fewer = conflated(records, self.open_ns, self.bar_ns)
        self.counters.conflated += len(records) - len(fewer)
        return fewer

    def _distribute(
        self, publisher: Publisher, records: np.ndarray, receive_ns: int
    ) -> Iterator[Batch | Close]:
        """Ticks into their bars, one stretch between two closings after the other."""
        while len(records):
            events = records["event_ns"]
            cut = self._crossing(publisher, events)
            if cut:
                hear(publisher, int(events[:cut].max()), receive_ns)
                yield from self._enter(records[:cut])
            records = records[cut:]
            if len(records):
                hear(publisher, int(events[cut]), receive_ns)
                yield from self._close_passed(receive_ns)

    def _crossing(self, publisher: Publisher, events: Int[np.ndarray, " N"]) -> int:
        """Ticks of this publisher before the one that lets the open bar close."""
        others = self._reached(without=publisher)
        if min(others, default=self.boundary_ns) < self.boundary_ns:
            return len(events)
        passed = (events >= self.boundary_ns).nonzero()[0]
        return int(passed[0]) if len(passed) else len(events)

    def _reached(
        self, clock_ns: int | None = None, without: Publisher | None = None
    ) -> Iterator[int]:
        """Event times before which no more is awaited, of all that bars wait for."""
        for one in self.publishers.values():
            if one is without or not one.is_live or one.event_ns is None:
                continue
            if clock_ns is None or self.allowed_lateness_ns is None:
                yield one.event_ns
            else:
                by_clock = clock_ns - one.delay_ns - self.allowed_lateness_ns
                yield max(one.event_ns, by_clock)

    def _enter(self, records: np.ndarray) -> Iterator[Batch]:
        """Ticks into the open bar; those of later bars are held back."""
        is_later = records["event_ns"] >= self.boundary_ns
        if is_later.any():
            later = records[is_later]
            bars_on = (later["event_ns"] - self.open_ns) // self.bar_ns
            self._early.hold(later, self.bar + bars_on)
            records = records[~is_later]
        while len(records):
            stop = min(self._filled + len(records), self.capacity)
            taken = stop - self._filled
            self._buffers[self._turn].records[self._filled : stop] = records[:taken]
            records, self._filled = records[taken:], stop
            if stop == self.capacity:
                yield self._packed()

    def _packed(self) -> Batch:
        """The pending ticks as a batch, and the next buffer in turn."""
        buffer, count = self._buffers[self._turn], self._filled
        records = self._pending
        records["flags"] &= CONFLATED
        is_late = records["event_ns"] < self.open_ns
        records["flags"][is_late] |= LATE
        buffer.packed[count:, PACKED.index("slot")] = len(self._terms.anchor)
        bar = self.open_ns, self.bar_ns
        pack(records, self._terms, self._earlier, *bar, buffer.packed)
        self.counters.absorbed += count
        self.counters.late += int(is_late.sum())
        self._turn, self._filled = (self._turn + 1) % ROTATION, 0
        return Batch(buffer.packed, count, records)

    def _close_passed(
        self, receive_ns: int, by_clock: bool = False
    ) -> Iterator[Batch | Close]:
        """Close every bar that the watermark has passed."""
        clock_ns = receive_ns if by_clock else None
        watermark = min(self._reached(clock_ns), default=self.open_ns)
        while watermark >= self.boundary_ns:
            yield from self.flush()
            yield self._closed(watermark, receive_ns)
            yield from self._enter(self._early.release(self.bar))

    def _newest(self, receive_ns: int) -> int:
        """By each sender's least delay: what is later than usual is old already, and a
        feed that stays late does not become a usual one."""
        came = [
            one.event_ns + one.usual_ns
            for one in self.publishers.values()
            if one.event_ns is not None
        ]
        return max(came, default=receive_ns)

    def _closed(self, watermark_ns: int, receive_ns: int) -> Close:
        """The open bar's closing; the next one is open."""
        counted, before = self.counters, self._before
        acting, self._events = due(self._events, self.boundary_ns)
        terms = self._changed(acting) if acting else None
        ticks, late = counted.absorbed - before[0], counted.late - before[1]
        closed = Close(
            self.bar,
            self.boundary_ns,
            watermark_ns,
            receive_ns,
            self._newest(receive_ns),
            ticks,
            late,
            tuple(self.coverage.blind.nonzero()[0].tolist()),
            acting,
            terms,
            counted.unheard - before[2],
            min(self._reached(), default=watermark_ns) < self.boundary_ns,
        )
        self.coverage.next_bar()
        self._before = counted.absorbed, counted.late, counted.unheard
        self.bar, self.open_ns = self.bar + 1, self.boundary_ns
        return closed

    def _changed(self, acting: Sequence[Reference]) -> Terms | None:
        """What the events make of prices and sizes; later ticks are in new terms."""
        universe, anchors = self.universe, self._terms.anchor
        terms, moved = terms_after(acting, anchors, universe)
        self.universe = universe_after(universe, acting)
        self._terms = instrument_terms(self.universe, moved)
        if terms is not None:
            self._earlier.forget(np.asarray(terms.changes))
        return terms


def _is_ahead(snapshot: Frame, publisher: Publisher) -> bool:
    """Whether the stream has yet to reach the record that a snapshot was taken at."""
    place = publisher.epoch, publisher.next_sequence
    return (snapshot.epoch, snapshot.sequence) > place


def _buffer(capacity: int) -> _Buffer:
    packed = np.zeros((capacity, len(PACKED)), np.int32)
    return _Buffer(np.empty(capacity, TICK), packed)
