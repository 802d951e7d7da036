"""The trading loop at work, its decisions timed as a user would feel them.

`decision` lasts from taking up the message that closes a bar to the orders being on
their way, everything between included. Ticks that came earlier have been absorbed by
then, as in a stream that is not faster than the engine. The paper venue has done its
work beforehand; orders are encoded as they would leave, but no socket is in the way.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import jax
import numpy as np

from benchmarks.stage import Stage
from benchmarks.timing import Laps, page_faults
from bot4jax.modes.making import make_trader, paper_venue
from bot4jax.modes.tapes import heard, taken_up, tick_tape
from bot4jax.modes.trading import opened_journal
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.garbage import settled
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import Reference, pack
from bot4jax.runtime.orders import Answer, Cancel
from bot4jax.runtime.progress import Report
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.recovery import Plan
from bot4jax.runtime.venue_messages import Inquiry, Statement, Step
from bot4jax.state import State
from bot4jax.types import Frame

STAGES = {
    "venue_wait": "answers",
    "portfolio": "portfolio",
    "decide": "await",
    "gate": "gate",
    "journal": "journal",
    "send": "send",
}
"""The loop's own names, and ours: `answers` are booked, `await` is what is left of the
device's work, `gate` turns targets into checked orders."""


class PreparedVenue:
    """A paper venue that works between the steps, when nobody looks at the clock."""

    def __init__(self, venue: LocalVenue) -> None:
        self._venue = venue
        self._sent: list[Step] = []
        self._answers: Sequence[Answer] = ()

    def work(self, through_ns: int) -> None:
        """Take the orders up and find out what becomes of them."""
        for step in self._sent:
            self._venue.send(step)
        self._sent.clear()
        self._answers = self._venue.settle(through_ns)

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        self._venue.hear(records, events)

    def send(self, step: Step) -> None:
        """Encoded, as for a socket."""
        pack(step)
        self._sent.append(step)

    def ask(self, inquiry: Inquiry) -> Statement:
        return self._venue.ask(inquiry)

    def resume(self, last: Step, plan: Plan) -> None:
        self._venue.resume(last, plan)

    def take_back(self, cancels: Sequence[Cancel]) -> Sequence[Answer]:
        return self._venue.take_back(cancels)

    @property
    def positions(self) -> None:
        """Prepared answers come to no position that could be compared."""

    def beat(self) -> None:
        self._venue.beat()

    def settle(self, through_ns: int) -> Sequence[Answer]:
        return self._answers

    def close(self) -> None:
        self._venue.close()


def together(
    stage: Stage, state: State, warmup: int, folder: Path, report: Report
) -> Laps:
    """The test span through the trading loop."""
    setting, span = stage.setting, stage.span
    venue = PreparedVenue(LocalVenue(paper_venue(setting)))
    tape = tick_tape(setting, state.bars, span.start)
    laps, kept = Laps(), stage.kept._replace(state=state)
    with (
        closing(opened_journal(folder, folder.name, resumes=False)) as journal,
        settled(),
    ):
        trader = make_trader(setting, kept, venue, journal, lambda stepped: None)
        trader.start()
        closed = tape.closed(arrivals(stage, tape, venue))
        for done, bar in zip(range(1, len(span) + 1), closed, strict=False):
            faults = page_faults()
            stepped = trader.step(bar)
            laps.add("decision", page_faults() - faults, "faults")
            laps.add("decision", len(stepped.orders), "orders")
            report("stages together", done, len(span))
    ms = {name: ring.since().tolist() for name, ring in trader.stages.ms.items()}
    laps.values |= {(ours, "ms"): ms[own] for own, ours in STAGES.items()}
    # The loop leaves the venue's answers out of a decision; here they cost no waiting.
    whole = np.add(ms["decision"], ms["venue_wait"]).tolist()
    laps.values["decision", "ms"] = whole
    return laps.since(warmup)


def arrivals(stage: Stage, tape: Tape, venue: PreparedVenue) -> Iterator[Arrival]:
    """Frames one by one, stamped when all that is owed to earlier ones is done."""
    setting, span = stage.setting, stage.span
    frames = taken_up(setting.source, span.start, span.stop)
    for one in heard(setting, frames, venue.hear):
        boundary_ns = tape.feed.boundary_ns
        if one.frame is not None and closes(one.frame, boundary_ns):
            venue.work(boundary_ns)
            jax.block_until_ready(tape.open_bars)
        yield one._replace(timer_s=time.perf_counter())


def closes(frame: Frame, boundary_ns: int) -> bool:
    """Whether the frame tells that the time before the boundary is over."""
    if not len(frame.records):
        return frame.sent_ns >= boundary_ns
    return int(frame.records["event_ns"].max()) >= boundary_ns
