"""What a venue believes of a stream: numbered and screened by the engine's own rules.

It asks for no snapshots: where something was missed, quotes are no prices until they
are told anew.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.ends import Ends
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
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.standing import unstated
from bot4jax.runtime.wire import WireError, decode
from bot4jax.types import REFERENCE, SNAPSHOT, TICK, Frame

NOTHING = np.empty(0, TICK)


class Heard(NamedTuple):
    """What one frame says to a venue."""

    records: np.ndarray
    heartbeat_ns: int | None
    """event time of a frame without records"""
    events: Sequence[Reference] = ()


class Intake:
    """Ticks that may be believed, each once: numbered and screened as the engine's."""

    def __init__(
        self,
        universe_hash: int,
        anchors: Int[np.ndarray, " S"],
        skew_limit_ns: int,
        clock: Callable[[], int] | None = None,
    ) -> None:
        """`clock`: ours, ns, where the market goes at its pace: then nothing sent too
        far ahead of it is believed."""
        self.frames = self.ticks = 0
        self.refused: Counter[str] = Counter()
        """frames and messages dropped, by reason"""
        self.counters = Counters()
        """records dropped, by reason, and missed"""
        self._universe_hash, self._anchors = universe_hash, anchors
        self._skew_limit_ns, self._clock = skew_limit_ns, clock
        self._publishers: dict[int, Publisher] = {}
        self._spoken: dict[int, Bool[np.ndarray, " S"]] = {}
        """slots that each publisher has told of since it missed something"""
        self._ends = Ends()

    @property
    def dropped(self) -> dict[str, int]:
        """Everything that was not believed, by reason."""
        ticks = {reason.name.lower(): n for reason, n in self.counters.dropped.items()}
        return dict(self.refused) | ticks | {"duplicate": self.counters.duplicates}

    @property
    def is_over(self) -> bool:
        """Every publisher heard of has sent its last frame."""
        return self._ends.are_all

    def read(self, buffer: bytes) -> Heard | None:
        """What a message says; None if it is not a frame of this universe."""
        try:
            frame = decode(buffer, self._universe_hash)
        except WireError as error:
            self.refused[str(error.reason)] += 1
            return None
        return self.take(frame)

    def take(self, frame: Frame) -> Heard:
        """What a frame says; a snapshot restates what was shown and is no news."""
        if frame.kind == SNAPSHOT:
            return Heard(NOTHING, None)
        self._ends.hear(frame)
        publisher = known(self._publishers, frame, self.counters)
        if publisher is None:
            self.counters.dropped.update([Drop.EPOCH] * len(frame.records))
            return Heard(NOTHING, None)
        fresh = numbered(publisher, frame, self.counters)
        if frame.kind == REFERENCE:
            return self._events(publisher, frame, fresh)
        return self._ticks(publisher, frame, fresh)

    def _events(self, publisher: Publisher, frame: Frame, fresh: np.ndarray) -> Heard:
        """What is no tick, and was not told before."""
        is_new = len(fresh) == len(frame.records)
        events = self._told(publisher, fresh) if is_new else ()
        return Heard(self._lost(frame.publisher, publisher), None, events)

    def _ticks(self, publisher: Publisher, frame: Frame, fresh: np.ndarray) -> Heard:
        """Of a frame's new ticks those that are believed, or a heartbeat."""
        fresh = unrepeated(publisher, fresh, self.counters)
        if self._is_ahead(publisher, frame.sent_ns):
            self.counters.dropped.update([Drop.AHEAD] * len(fresh))
            publisher.missed_until = publisher.next_sequence
            return Heard(self._lost(frame.publisher, publisher), None)
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

    def _believed(
        self, publisher: Publisher, records: np.ndarray, sent_ns: int
    ) -> np.ndarray:
        """The ticks that are fit to be believed."""
        counters, limit_ns = self.counters, self._skew_limit_ns
        return screened(publisher, records, sent_ns, self._anchors, limit_ns, counters)

    def _is_ahead(self, publisher: Publisher, sent_ns: int) -> bool:
        """As the engine has it: else an hour that is not over yet would count as
        reached here, and what comes in it as the future."""
        if self._clock is None:
            return False
        limit_ns = self._skew_limit_ns
        refused = publisher.clock.is_ahead(sent_ns, self._clock(), limit_ns)
        if refused:
            self.counters.ahead += 1
            self.refused["frame ahead"] += 1
        return refused
