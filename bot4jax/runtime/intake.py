"""What a venue believes of a stream: numbered and screened by the engine's own rules.

It asks for no snapshots: where something was missed, quotes are no prices until they
are told anew. Where an engine has asked for one and both hear the same record, what it
tells of missed events is taken up as the engine does.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.ledger import detached, is_payment
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.publishers import (
    Counters,
    Publisher,
    hear,
    known,
    numbered,
    screened,
    unrepeated,
    unrepeated_events,
)
from bot4jax.runtime.reference import understood
from bot4jax.runtime.retelling import boundary_ns, is_due, once, retold
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.standing import unstated
from bot4jax.runtime.venue_messages import Place
from bot4jax.runtime.wire import WireError, decode
from bot4jax.types import REFERENCE, SNAPSHOT, TICK, Frame

NOTHING = np.empty(0, TICK)


class Heard(NamedTuple):
    """What one frame says to a venue."""

    records: np.ndarray
    heartbeat_ns: int | None
    """event time of a frame without records"""
    events: Sequence[Reference] = ()
    place: Place | None = None
    """where its publisher's stream is heard on from"""


class Intake:
    """Ticks that may be believed, each once: numbered and screened as the engine's."""

    def __init__(
        self,
        universe_hash: int,
        anchors: Int[np.ndarray, " S"],
        skew_limit_ns: int,
        grid: tuple[int, int] = (0, 1),
    ) -> None:
        """`grid`: of the bars of an engine whose record is heard, the opening of any
        and the length of all."""
        self.frames = self.ticks = 0
        self.refused: Counter[str] = Counter()
        """frames and messages dropped, by reason"""
        self.counters = Counters()
        """records dropped, by reason, and missed"""
        self._universe_hash, self._anchors = universe_hash, anchors
        self._skew_limit_ns = skew_limit_ns
        self._grid = grid
        self._publishers: dict[int, Publisher] = {}
        self._spoken: dict[int, Bool[np.ndarray, " S"]] = {}
        """slots that each publisher has told of since it missed something"""
        self._ended: set[int] = set()
        self._waiting: dict[int, Frame] = {}
        """the latest snapshot of each publisher, until its place in the stream comes"""

    @property
    def dropped(self) -> dict[str, int]:
        """Everything that was not believed, by reason."""
        ticks = {reason.name.lower(): n for reason, n in self.counters.dropped.items()}
        return dict(self.refused) | ticks | {"duplicate": self.counters.duplicates}

    @property
    def is_over(self) -> bool:
        """Every publisher heard of has sent its last frame."""
        return bool(self._publishers) and self._ended == set(self._publishers)

    def read(self, buffer: bytes) -> Heard | None:
        """What a message says; None if it is not a frame of this universe."""
        try:
            frame = decode(buffer, self._universe_hash)
        except WireError as error:
            self.refused[str(error.reason)] += 1
            return None
        if frame.is_end:
            self._ended.add(frame.publisher)
        return self.take(frame)

    def take(self, frame: Frame) -> Heard:
        """What a frame says; a snapshot restates what was shown and is no news, but for
        events that were missed before it."""
        if frame.kind == SNAPSHOT:
            self._waiting[frame.publisher] = frame
            return Heard(NOTHING, None, self._retold(frame.publisher))
        retold = self._retold(frame.publisher)
        publisher = known(self._publishers, frame, self.counters)
        if publisher is None:
            self.counters.dropped.update([Drop.EPOCH] * len(frame.records))
            return Heard(NOTHING, None, retold)
        fresh = numbered(publisher, frame, self.counters)
        if frame.kind == REFERENCE:
            heard = self._events(publisher, frame, fresh)
        else:
            heard = self._ticks(publisher, frame, fresh)
        place = Place(frame.publisher, publisher.epoch, publisher.next_sequence)
        return heard._replace(events=(*retold, *heard.events), place=place)

    def _events(self, publisher: Publisher, frame: Frame, fresh: np.ndarray) -> Heard:
        """What is no tick, and was not told before."""
        is_new = len(fresh) == len(frame.records)
        events = self._told(publisher, fresh) if is_new else ()
        return Heard(self._lost(frame.publisher, publisher), None, events)

    def _ticks(self, publisher: Publisher, frame: Frame, fresh: np.ndarray) -> Heard:
        """Of a frame's new ticks those that are believed, or a heartbeat."""
        fresh = self._believed(publisher, fresh, frame.sent_ns)
        lost = self._lost(frame.publisher, publisher)
        self._spoken[frame.publisher][fresh["symbol"]] = True
        self.frames, self.ticks = self.frames + 1, self.ticks + len(fresh)
        heartbeat_ns = None if len(frame.records) else frame.sent_ns
        if len(fresh):
            hear(publisher, int(fresh["event_ns"].max()), frame.sent_ns)
        elif heartbeat_ns is not None:
            hear(publisher, heartbeat_ns, frame.sent_ns)
        if len(lost):
            fresh = np.concatenate((lost, fresh))
        return Heard(fresh, heartbeat_ns)

    def _lost(self, name: int, publisher: Publisher) -> np.ndarray:
        """What stands no longer, since something of this publisher was missed.

        Nothing trades in its instruments until their quotes are told anew.
        """
        none = np.zeros(len(self._anchors), bool)
        spoken = self._spoken.setdefault(name, none)
        if publisher.missed_until is None:
            return NOTHING
        publisher.missed_until = None
        self._spoken[name] = none
        return unstated(np.flatnonzero(spoken), publisher.event_ns or 0)

    def _told(self, publisher: Publisher, records: np.ndarray) -> Sequence[Reference]:
        """The events of a frame that was not seen before, of this universe alone."""
        found = understood(records, len(self._anchors))
        if not found.is_whole:
            self.refused["reference"] += 1
        return unrepeated_events(publisher, found.events, self.counters)

    def _retold(self, name: int) -> Sequence[Reference]:
        """What a snapshot tells of missed events, once its place has come.

        What was paid meanwhile is nothing to a venue.
        """
        snapshot, publisher = self._waiting.get(name), self._publishers.get(name)
        if snapshot is None or publisher is None:
            return ()
        place = publisher.epoch, publisher.next_sequence
        if (snapshot.epoch, snapshot.sequence) > place:
            return ()
        del self._waiting[name]
        is_old = snapshot.epoch != publisher.epoch or publisher.is_catching_up
        if is_old or not is_due(publisher, snapshot):
            return ()
        snapshot, ledger = detached(snapshot)
        symbols = len(self._anchors)
        found = retold(publisher, snapshot, ledger, symbols, self.counters)
        missed = once(found, *self._grid)
        missed.sort(key=lambda one: (boundary_ns(one, *self._grid), one.number))
        events = tuple(one.event for one in missed if not is_payment(one.event))
        return unrepeated_events(publisher, events, self.counters)

    def _believed(
        self, publisher: Publisher, records: np.ndarray, sent_ns: int
    ) -> np.ndarray:
        """The ticks that are news and fit to be believed."""
        counters, limit_ns = self.counters, self._skew_limit_ns
        records = unrepeated(publisher, records, counters)
        return screened(publisher, records, sent_ns, self._anchors, limit_ns, counters)
