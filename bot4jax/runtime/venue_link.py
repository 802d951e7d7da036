"""The engine's end of the line to a venue: in this process, or behind a socket.

Both keep the same order of events: a step's orders go out, and before the next
decision comes everything that happened up to its boundary.
"""

import time
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import zmq

from bot4jax.errors import Halted
from bot4jax.runtime.messages import Goodbye, Report, Step, Withdraw, pack, unpack
from bot4jax.runtime.orders import Answer, Cancel
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

    def withdraw(self, cancels: Sequence[Cancel]) -> None:
        """Cancels between two steps; the next report has their answers."""
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

    def withdraw(self, cancels: Sequence[Cancel]) -> None:
        self.venue.submit(cancels, self.venue.clock_ns)

    def settle(self, through_ns: int) -> Sequence[Answer]:
        records = np.concatenate(self._heard or [np.empty(0, TICK)])
        clock = np.maximum.accumulate(records["event_ns"])
        cut = int(np.searchsorted(clock, through_ns))
        self._heard = [records[cut:]]
        return self.venue.advance(records[:cut], through_ns)

    def close(self) -> None:
        self._heard.clear()


class SocketVenue:
    """A venue in another process; every step is answered by one report."""

    def __init__(self, socket: zmq.Socket, timeout_s: float) -> None:
        self._socket, self._timeout_s = socket, timeout_s
        self._awaited: int | None = None
        self._last = Goodbye(run="-", step=0)

    def hear(self, records: np.ndarray) -> None:
        """It has a feed of its own."""

    def send(self, step: Step) -> None:
        self._socket.send(pack(step))
        self._awaited = step.step
        self._last = Goodbye(run=step.run, step=step.step)

    def withdraw(self, cancels: Sequence[Cancel]) -> None:
        self._socket.send(pack(Withdraw(run=self._last.run, cancels=list(cancels))))

    def settle(self, through_ns: int) -> Sequence[Answer]:
        if self._awaited is None:
            return ()
        give_up_s = time.monotonic() + self._timeout_s
        while (left_s := give_up_s - time.monotonic()) > 0:
            if not self._socket.poll(round(left_s * 1e3)):
                break
            report = unpack(self._socket.recv(), Report)
            if report.step == self._awaited:
                self._awaited = None
                return report.answers
        raise Halted(
            f"The venue has not answered step {self._awaited} within "
            f"{self._timeout_s:g} s: nothing more is sent. Is mode=venue running with "
            "the same runtime.endpoints? Raise runtime.venue_timeout_s if it is slow."
        )

    def close(self) -> None:
        self._socket.send(pack(self._last))
