"""From frames to batches for the device and closings of bars.

No clock and no socket here: what comes out depends only on what was pushed, and not on
how the stream was cut into frames.

Closing. A bar closes when the event time of every live publisher has passed its
boundary. `advance`, called when nothing is waiting to be read, also closes it when the
receive time has passed the boundary by `allowed_lateness_ns`; each publisher's least
receive − event of five minutes is taken off first, so that clocks need not agree. While
frames wait to be read the clock closes nothing: a consumer that was slow has not
received them late.

Order. Ticks are absorbed as they arrive. Where a symbol's did not come in order of
event time, its bar is begun anew before it closes, and absorbs them in that order.

A frame that its reader has flagged `BEHIND` is conflated (`backlog.py`), after it was
numbered and screened as any other.

Gaps. When records are missed, the symbols that their publisher speaks of are stale
until a snapshot states them again, and their bars until then are masked.
"""

import zlib
from collections.abc import Iterator
from dataclasses import astuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.data.universe import Universe
from bot4jax.runtime.backlog import conflated
from bot4jax.runtime.batches import Batch, Close, FeedState, Reopen
from bot4jax.runtime.coverage import Coverage
from bot4jax.runtime.event_queue import EventQueue
from bot4jax.runtime.ledger import detached
from bot4jax.runtime.open_bar import OpenBar
from bot4jax.runtime.publishers import (
    Counters,
    Publisher,
    hear,
    known,
    newest,
    numbered,
    reached,
    screened,
    unrepeated,
)
from bot4jax.runtime.screen import Drop
from bot4jax.types import AWAKE, BEHIND, REFERENCE, SNAPSHOT, Frame


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
        reorder_ticks: int = 1 << 16,
    ) -> None:
        """`start_ns` opens bar 0. Without a lateness only event time closes bars:
        right for streams that are faster or slower than real time."""
        self.counters = Counters()
        self.publishers: dict[int, Publisher] = {}
        self.allowed_lateness_ns = allowed_lateness_ns
        self.skew_limit_ns = skew_limit_ns
        open_ns = start_ns + first_bar * bar_ns
        opening = bar_ns, open_ns, first_bar, capacity
        self._open = OpenBar(universe, anchors, *opening, reorder_ticks, self.counters)
        symbols = len(universe.instruments)
        self.coverage = Coverage(symbols)
        self.events = EventQueue(symbols, bar_ns, self.counters)

    @property
    def bar(self) -> int:
        """The number of the open bar."""
        return self._open.bar

    @property
    def boundary_ns(self) -> int:
        """Event time at which the open bar ends."""
        return self._open.boundary_ns

    @property
    def universe(self) -> Universe:
        """With its terms from the open bar on."""
        return self._open.universe

    @property
    def blank(self) -> Int[np.ndarray, "N K"]:
        """A batch without a tick, as the device sees it."""
        return self._open.blank

    @property
    def _awaits(self) -> bool:
        """Some publisher's missed events may be told by a snapshot."""
        return any(one.missed for one in self.publishers.values())

    @property
    def is_stale(self) -> bool:
        """Something is missing that a snapshot could heal or tell of."""
        return self.coverage.is_behind or self._awaits

    @property
    def stale(self) -> Bool[np.ndarray, " S"]:
        """Symbols of which something is missing."""
        return self.coverage.stale

    @property
    def held(self) -> int:
        """Ticks that wait for their bar to open."""
        return self._open.early.count

    @property
    def state(self) -> FeedState:
        """A hashable summary; a frame that is refused must not change it."""
        counted = self.counters
        return FeedState(
            self.bar,
            tuple((name, *astuple(one)) for name, one in self.publishers.items()),
            zlib.crc32(self._open.pending.tobytes()),
            self._open.ordering,
            self._open.early.checksum,
            self.events.pending,
            self.coverage.checksum,
            tuple(one[:4] for one in self.coverage.waiting.values()),
            tuple(one for one in vars(counted).values() if isinstance(one, int)),
            tuple(sorted(counted.dropped.items())),
            tuple(sorted(self.events.renewed)),
            tuple(sorted(self.events.doubted)),
        )

    def push(
        self, frame: Frame, receive_ns: int | None = None
    ) -> Iterator[Batch | Reopen | Close]:
        """Take a frame in; full batches and closings that follow, to be used up.

        Ticks of a batch not yet full stay until it is, the bar closes, or `flush`.
        Without a receive time the frame counts as received when it was sent.
        """
        received_ns = frame.sent_ns if receive_ns is None else receive_ns
        if frame.kind == AWAKE:
            self._awake(received_ns < frame.sent_ns)
        elif frame.kind == SNAPSHOT:
            self.coverage.waiting[frame.publisher] = frame
        elif frame.kind == REFERENCE:
            self._hear(frame)
        else:
            yield from self._take(frame, received_ns)
        yield from self._restate(frame.publisher, received_ns)
        if frame.is_end:
            self.finish(frame.publisher)
            yield from self._close_passed(received_ns)

    def _take(self, frame: Frame, received_ns: int) -> Iterator[Batch | Reopen | Close]:
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
        self.counters.received += len(frame.records) - len(fresh)  # repeated
        if len(fresh) == len(frame.records):
            self.events.hear(publisher, frame, self._open.open_ns)

    def advance(self, receive_ns: int) -> Iterator[Batch | Reopen | Close]:
        """Close what the clock says is over; call it when no frame is waiting."""
        late_ns = self.allowed_lateness_ns
        clock_ns = None if late_ns is None else receive_ns - late_ns
        yield from self._close_passed(receive_ns, clock_ns)

    def flush(self) -> Iterator[Batch]:
        """The ticks of the open bar that no batch holds yet; call it when idle."""
        return self._open.flush()

    def finish(self, publisher: int) -> None:
        """Wait no longer for a publisher that has said it is done."""
        if publisher in self.publishers:
            self.publishers[publisher].is_live = False

    def rebase(self) -> None:
        """A person says that nothing is late: what is usual is measured anew.

        It closes no bar, so that a restart, which hears of no reset, closes the same.
        """
        for one in self.publishers.values():
            one.clock.is_usual = False

    def _awake(self, is_set_back: bool) -> None:
        """A new process has another clock if that reads less than was read before."""
        if is_set_back:
            for one in self.publishers.values():
                one.clock.wake()

    def _is_ahead(self, publisher: Publisher, frame: Frame, receive_ns: int) -> bool:
        """At its pace, our clock believes no frame sent too far ahead of it."""
        if self.allowed_lateness_ns is None:
            return False
        limit_ns = self.skew_limit_ns
        refused = publisher.clock.is_ahead(frame.sent_ns, receive_ns, limit_ns)
        self.counters.ahead += refused
        return refused

    def _lose(self, name: int, publisher: Publisher) -> None:
        """Note what was missed; every gap is told once."""
        if publisher.missed_until is not None:
            self.coverage.lose(name, publisher.missed_until)
            publisher.missed_until = None

    def _restate(self, name: int, receive_ns: int) -> Iterator[Batch | Reopen | Close]:
        """Heal what a snapshot heals, once its place in the stream has come."""
        if (publisher := self.publishers.get(name)) is None:
            return
        snapshot = self.coverage.due(name, publisher)
        if snapshot is None or not (publisher.missed or self.coverage.covers(snapshot)):
            return
        if self._is_ahead(publisher, snapshot, receive_ns):
            return
        snapshot, ledger = detached(snapshot)
        is_alone = not any(one.told for one in self._others(publisher))
        unknown = self.coverage.stale & is_alone
        open_ns = self._open.open_ns
        self.events.retell(publisher, snapshot, ledger, unknown, open_ns)
        is_awaiting = publisher.missed or name in self.events.renewed
        if is_awaiting or not self.coverage.covers(snapshot):
            return
        records = self.events.in_force(snapshot.records, ledger, open_ns)
        whole = self._screened(publisher, snapshot.sent_ns, records)
        news = self.coverage.news(snapshot, whole)
        self.counters.snapshots += 1
        self.counters.restated += len(news)
        yield from self._distribute(publisher, news, receive_ns)
        self.coverage.heal(snapshot, whole)

    def _screened(
        self, publisher: Publisher, sent_ns: int, records: np.ndarray
    ) -> np.ndarray:
        """The records that are fit for the engine; the others are counted."""
        anchors, limit_ns = self._open.anchors, self.skew_limit_ns
        return screened(publisher, records, sent_ns, anchors, limit_ns, self.counters)

    def _conflated(self, records: np.ndarray) -> np.ndarray:
        """What stands for the records where there is no time for all of them."""
        fewer = conflated(records, self._open.open_ns, self._open.bar_ns)
        self.counters.conflated += len(records) - len(fewer)
        return fewer

    def _distribute(
        self, publisher: Publisher, records: np.ndarray, receive_ns: int
    ) -> Iterator[Batch | Reopen | Close]:
        """Ticks into their bars, one stretch between two closings after the other."""
        while len(records):
            events = records["event_ns"]
            cut = self._crossing(publisher, events)
            if cut:
                hear(publisher, int(events[:cut].max()), receive_ns)
                yield from self._open.enter(records[:cut])
            records = records[cut:]
            if len(records):
                hear(publisher, int(events[cut]), receive_ns)
                yield from self._close_passed(receive_ns)

    def _crossing(self, publisher: Publisher, events: Int[np.ndarray, " N"]) -> int:
        """Ticks of this publisher before the one that lets the open bar close."""
        came = reached(self._others(publisher))
        if min(came, default=self.boundary_ns) < self.boundary_ns:
            return len(events)
        passed = (events >= self.boundary_ns).nonzero()[0]
        return int(passed[0]) if len(passed) else len(events)

    def _others(self, publisher: Publisher) -> Iterator[Publisher]:
        return (one for one in self.publishers.values() if one is not publisher)

    def _close_passed(
        self, receive_ns: int, clock_ns: int | None = None
    ) -> Iterator[Batch | Reopen | Close]:
        """Close every bar that the watermark has passed."""
        came = reached(self.publishers.values(), clock_ns)
        watermark = min(came, default=self._open.open_ns)
        while watermark >= self.boundary_ns:
            yield from self._open.flush()
            yield from self._open.put_in_order()
            yield self._closed(watermark, receive_ns)
            yield from self._open.release()

    def _closed(self, watermark_ns: int, receive_ns: int) -> Close:
        """The open bar's closing; the next one is open."""
        everybody, acting = self.publishers.values(), self.events.act(self.boundary_ns)
        by_event = min(reached(everybody), default=watermark_ns)
        closed = self._open.close(
            watermark_ns,
            receive_ns,
            newest(everybody, receive_ns),
            masked=self.coverage.blind.nonzero()[0].tolist(),
            acting=acting.events,
            is_by_clock=by_event < self.boundary_ns,
        )
        self.coverage.next_bar()
        for name in acting.renewed:
            self.coverage.lose(name, self.publishers[name].next_sequence)
        return closed._replace(is_told=not self._awaits, doubted=acting.doubted)
