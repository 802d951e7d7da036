"""A paper venue that hears a record for itself, as far as each step lets it.

So does the venue's own process in lock-step: its answers depend on the stream and on
the steps, and not on how early or late the engine's bars closed. But where the engine's
clock closed one that the stream had not passed (`venue_messages.Passed`), they depend
on what the venue had heard by then, which its report says and the journal keeps.
"""

import logging
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from bot4jax.runtime.intake import Intake
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_messages import Place, Step
from bot4jax.types import NEVER, REFERENCE, SNAPSHOT, TICKS, Frame

END_OF_TIME = -NEVER

HEARD = (TICKS, REFERENCE, SNAPSHOT)
"""Kinds of frame that say something to a venue."""

NOWHERE = (-1, -1)
"""Before every epoch and record."""

LOG = logging.getLogger(__name__)
UNRECORDED = (
    "the venue had heard publisher %d as far as record %d of epoch %d, and the "
    "recorded ticks end before: it heard what the engine did not; answers may differ"
)


class LockstepVenue(LocalVenue):
    """A venue in this very process with a stream of its own."""

    def __init__(
        self,
        venue: PaperVenue,
        intake: Intake,
        frames: Iterable[Frame],
        heard: Mapping[int, Sequence[Place]],
    ) -> None:
        """`heard`: how far, at the boundaries that a clock has closed."""
        super().__init__(venue)
        self._intake, self._stream, self._places = intake, Stream(frames), heard

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        """It has its own ears."""

    def send(self, step: Step) -> None:
        self._listen(step.boundary_ns, self._places.get(step.through_ns))
        super().send(step)

    def settle(self, through_ns: int) -> Sequence[Answer]:
        self.heard = self._places.get(through_ns)
        self._listen(through_ns if self.heard is None else END_OF_TIME, self.heard)
        self.reached_ns = max(self.reached_ns, through_ns)
        return super().settle(through_ns)

    def _listen(self, event_ns: int, places: Sequence[Place] | None) -> None:
        """Hear on until the stream has reached the event time, these places where there
        are any, or its end."""
        while self.reached_ns < event_ns:
            if (frame := self._stream.next(places)) is None:
                return
            found = self._intake.take(frame)
            super().hear(found.records, found.events)
            self.reached_ns = max(self.reached_ns, found.heartbeat_ns or NEVER)


class Stream:
    """Frames in their order, some publishers' no further than they were heard."""

    def __init__(self, frames: Iterable[Frame]) -> None:
        self._frames = enumerate(frame for frame in frames if frame.kind in HEARD)
        self._aside = defaultdict[int, deque[tuple[int, Frame]]](deque)
        """of each publisher what has come and was not heard yet, with its turn"""
        self._come: dict[int, tuple[int, int]] = {}
        """furthest epoch and next record of each publisher, of all that has come"""
        self._has_warned = False

    def next(self, places: Sequence[Place] | None) -> Frame | None:
        """What is heard next; None where all has been, up to these places if given."""
        limits = None if places is None else {one.publisher: one for one in places}
        while (frame := self._first(limits)) is None:
            missing = () if places is None else tuple(self._missing(places))
            if places is not None and not missing:
                return None
            if not self._read():
                self._warn(missing)
                return None
        return frame

    def _first(self, limits: Mapping[int, Place] | None) -> Frame | None:
        """Of what has come, the first that is heard; a publisher's own in turn."""
        for own in sorted(filter(None, self._aside.values()), key=_turn):
            turn, frame = own[0]
            within, beyond = parted(frame, limits)
            if within is not None:
                own.popleft()
                own.extendleft([] if beyond is None else [(turn, beyond)])
                return within
        return None

    def _missing(self, places: Sequence[Place]) -> Iterator[Place]:
        """Those that no frame has reached yet."""
        for one in places:
            if self._come.get(one.publisher, NOWHERE) < (one.epoch, one.sequence):
                yield one

    def _read(self) -> bool:
        """Whether another frame has come."""
        if (came := next(self._frames, None)) is None:
            return False
        _, frame = came
        name, following = frame.publisher, frame.sequence + len(frame.records)
        reached = self._come.get(name, NOWHERE)
        if frame.kind != SNAPSHOT:
            self._come[name] = max(reached, (frame.epoch, following))
        self._aside[name].append(came)
        return True

    def _warn(self, missing: Sequence[Place]) -> None:
        """Say once that the record holds less than was heard."""
        if missing and not self._has_warned:
            self._has_warned = True
            one = missing[0]
            LOG.warning(UNRECORDED, one.publisher, one.sequence, one.epoch)


def _turn(own: Sequence[tuple[int, Frame]]) -> int:
    return own[0][0]


def parted(
    frame: Frame, limits: Mapping[int, Place] | None
) -> tuple[Frame | None, Frame | None]:
    """What of a frame was heard by then, and what was not; all, where nothing limits.

    A heartbeat at the very place came after: one that reaches the boundary would have
    closed the bar, any other changes nothing.
    """
    if limits is None:
        return frame, None
    limit = limits.get(frame.publisher)
    if limit is None or frame.epoch > limit.epoch:
        return None, frame
    heard = limit.sequence - frame.sequence
    if frame.kind == SNAPSHOT:  # of what came before its sequence
        is_behind = (frame.epoch, frame.sequence) > (limit.epoch, limit.sequence)
        return (None, frame) if is_behind else (frame, None)
    if frame.epoch < limit.epoch or heard >= max(len(frame.records), 1):
        return frame, None
    if heard <= 0:
        return None, frame
    rest = frame.records[heard:]
    following = frame._replace(sequence=limit.sequence, records=rest)
    return frame._replace(records=frame.records[:heard]), following
