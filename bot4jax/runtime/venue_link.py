"""The engine's end of the line to a venue: in this process, or behind a socket.

Both keep the same order of events: a step's orders go out, and before the next
decision comes everything that happened up to its boundary.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from bot4jax.runtime.messages import Step
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import TICK


class VenueLink(Protocol):
    """What the trading loop needs of a venue."""

    def hear(self, records: np.ndarray) -> None:
        """What the market shows, as it arrives."""
        ...

    def send(self, step: Step) -> None:
        """Orders of one step."""
        ...

    def settle(self, through_ns: int) -> Sequence[Answer]:
        """Everything the venue has to say up to this event time."""
        ...

    def close(self) -> None:
        """Nothing more will be sent."""
        ...


class LocalVenue:
    """A paper venue in this very process, which hears the market itself."""

    def __init__(self, venue: PaperVenue) -> None:
        self.venue = venue
        self._heard: list[np.ndarray] = []

    def hear(self, records: np.ndarray) -> None:
        self._heard.append(records)

    def send(self, step: Step) -> None:
        self.venue.submit(step.orders, step.boundary_ns)

    def settle(self, through_ns: int) -> Sequence[Answer]:
        records = np.concatenate(self._heard or [np.empty(0, TICK)])
        clock = np.maximum.accumulate(records["event_ns"])
        cut = int(np.searchsorted(clock, through_ns))
        self._heard = [records[cut:]]
        return self.venue.advance(records[:cut], through_ns)

    def close(self) -> None:
        self._heard.clear()
