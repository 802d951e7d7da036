"""A paper venue that hears a record for itself, as far as each step lets it.

So does the venue's own process in lock-step: its answers depend on the stream and on
the steps, and not on how early or late the engine's bars closed. But where the engine's
clock closed one that the stream had not passed (`messages.Passed`), a tick of it that
came after was met at a later time there than it is here.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from bot4jax.runtime.intake import Heard
from bot4jax.runtime.messages import Reference, Step
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import LocalVenue


class LockstepVenue(LocalVenue):
    """A venue in this very process with a stream of its own."""

    def __init__(self, venue: PaperVenue, stream: Iterator[Heard]) -> None:
        super().__init__(venue)
        self._stream = stream

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        """It has its own ears."""

    def send(self, step: Step) -> None:
        self._listen(step.boundary_ns)
        super().send(step)

    def settle(self, through_ns: int) -> Sequence[Answer]:
        self._listen(through_ns)
        return super().settle(through_ns)

    def _listen(self, through_ns: int) -> None:
        """Hear on until the stream has reached the event time, or its end."""
        while self.reached_ns < through_ns:
            heard = next(self._stream, None)
            if heard is None:
                return
            super().hear(heard.records, heard.events)
            self.reached_ns = max(self.reached_ns, heard.heartbeat_ns or 0)
