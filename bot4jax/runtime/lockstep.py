"""A paper venue that hears a record for itself, as far as each step lets it.

So does the venue's own process in lock-step: its answers depend on the stream and on
the steps, and not on how early or late the engine's bars closed. But where the engine's
clock closed one that the stream had not passed (`messages.Passed`), they depend on what
the venue had heard by then, which its report says and the journal keeps.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bot4jax.runtime.intake import Intake
from bot4jax.runtime.messages import Place, Reference, Step
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import NEVER, LocalVenue
from bot4jax.types import REFERENCE, TICKS, Frame

END_OF_TIME = -NEVER


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
        self._frames = (one for one in frames if one.kind in (TICKS, REFERENCE))
        self._aside: list[Frame] = []
        """come, and not heard yet"""
        self._come: dict[int, tuple[int, int]] = {}
        """epoch and next record of each publisher, of all that has come"""

    def next(self, places: Sequence[Place] | None) -> Frame | None:
        """What is heard next; None where all has been, up to these places if given."""
        limits = None if places is None else {one.publisher: one for one in places}
        for at, frame in enumerate(self._aside):
            within, beyond = parted(frame, limits)
            if within is not None:
                self._aside[at : at + 1] = [] if beyond is None else [beyond]
                return within
        while places is None or not all(map(self._has_come, places)):
            if (frame := next(self._frames, None)) is None:
                break
            following = frame.sequence + len(frame.records)
            self._come[frame.publisher] = frame.epoch, following
            within, beyond = parted(frame, limits)
            self._aside += [] if beyond is None else [beyond]
            if within is not None:
                return within
        return None

    def _has_come(self, place: Place) -> bool:
        come = self._come.get(place.publisher)
        return come is not None and come >= (place.epoch, place.sequence)


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
    if frame.epoch < limit.epoch or heard >= max(len(frame.records), 1):
        return frame, None
    if heard <= 0:
        return None, frame
    rest = frame.records[heard:]
    following = frame._replace(sequence=limit.sequence, records=rest)
    return frame._replace(records=frame.records[:heard]), following
