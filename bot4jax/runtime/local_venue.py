"""The venue that ends with the engine, and what a paper venue states of its record."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from bot4jax.runtime.messages import Reference
from bot4jax.runtime.orders import Answer, Cancel, named
from bot4jax.runtime.recovery import Plan
from bot4jax.runtime.reference import acts_ns
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_messages import Inquiry, Statement, Step
from bot4jax.runtime.wire import LATEST_NS, VERSION
from bot4jax.types import NEVER, TICK


class LocalVenue:
    """A paper venue in this very process, which hears the market itself."""

    def __init__(self, venue: PaperVenue) -> None:
        self.venue = venue
        self._records: list[np.ndarray] = []
        """to come"""
        self._clocks: list[Int[np.ndarray, " N"]] = []
        """event time that the market had reached with each of them"""
        self._events: list[tuple[int, Reference]] = []
        """to come, and the first event time at which a boundary lets each act"""
        self.reached_ns = NEVER
        """event time that the market has reached"""
        self._asked = 0
        self._step: Step | None = None
        self._answers: list[Answer] | None = None
        """to the last step; None until they have been given"""
        self._kept: list[Answer] = []
        """given already, and to be given again with the step's"""

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        """A boundary that the market has passed is over for whatever comes later."""
        over_ns = self.reached_ns + 1
        waiting = [one for _, one in self._events]
        new = [one for one in events if one not in waiting]
        self._events += [(max(acts_ns(one), over_ns), one) for one in new]
        if len(records):
            clock = np.maximum(records["event_ns"], self.reached_ns)
            self._records.append(records)
            self._clocks.append(np.maximum.accumulate(clock))
            self.reached_ns = int(self._clocks[-1][-1])

    def act(self, boundary_ns: int) -> None:
        """What acts at a boundary, before any order of it, as in the feed."""
        due = [one for at_ns, one in self._events if at_ns <= boundary_ns]
        self._events = [one for one in self._events if one[0] > boundary_ns]
        for one in due:
            self.venue.hear(one)

    @property
    def acts_ns(self) -> int:
        """Event time from which on a boundary lets the next event act."""
        return min((at_ns for at_ns, _ in self._events), default=LATEST_NS)

    def ask(self, inquiry: Inquiry) -> Statement:
        self._asked += 1
        self.act(inquiry.boundary_ns)
        is_reported, told = self._answers is not None, self._answers or ()
        return statement(self.venue, self._asked, self._step, told, is_reported)

    def resume(self, last: Step, plan: Plan) -> None:
        if plan == Plan.SEND:
            self.send(last)

    def send(self, step: Step) -> None:
        self._step, self._answers = step, None
        self.act(step.boundary_ns)
        self.venue.submit(step.orders, step.boundary_ns, step=step.step)

    def withdraw(self, cancels: Sequence[Cancel]) -> None:
        self.venue.submit(cancels, self.venue.clock_ns, is_decided=False)

    def take_back(self, cancels: Sequence[Cancel]) -> Sequence[Answer]:
        self._kept += self.emptied(cancels, self.reached_ns)
        return self._kept

    def emptied(self, cancels: Sequence[Cancel], through_ns: int) -> list[Answer]:
        """What happened up to this event time, and what then came of all orders."""
        return [*self._advanced(through_ns), *self.venue.empty(cancels)]

    def beat(self) -> None:
        """Venue and engine end together: nothing can be left behind."""

    def settle(self, through_ns: int) -> Sequence[Answer]:
        kept, self._kept = self._kept, []
        self._answers = [*kept, *self._advanced(through_ns)]
        return self._answers

    def _advanced(self, through_ns: int) -> list[Answer]:
        records = np.concatenate(self._records or [np.empty(0, TICK)])
        clock = np.concatenate(self._clocks or [np.empty(0, np.int64)])
        cut = int(np.searchsorted(clock, through_ns))
        self._records, self._clocks = [records[cut:]], [clock[cut:]]
        return self.venue.advance(records[:cut], through_ns)

    @property
    def positions(self) -> Int[np.ndarray, " S"]:
        return self.venue.position

    def close(self) -> None:
        self._records.clear()
        self._clocks.clear()


def statement(
    venue: PaperVenue,
    epoch: int,
    step: Step | None,
    answers: Sequence[Answer],
    is_reported: bool,
) -> Statement:
    """The end of a paper venue's record: its last step, whether that is answered, and
    what has happened since the one before was."""
    return Statement(
        version=VERSION,
        run="" if step is None else step.run,
        step=0 if step is None else step.step,
        is_reported=is_reported,
        dedupes=venue.dedupes,
        prevents_self_trades=venue.prevents_self_trades,
        is_paper=True,
        epoch=epoch,
        positions=venue.position.tolist(),
        orders=[named(one) for one in (step.orders if step else ())],
        answers=list(answers),
        history="" if step is None else step.history,
    )
