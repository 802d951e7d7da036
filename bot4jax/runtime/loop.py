"""The trading loop: one closed bar in, checked orders and signals out.

The order of a step is the promise: what the venue said is booked, the device decides,
the gate checks, the journal commits, and only then anything leaves.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np

from bot4jax.errors import Halted
from bot4jax.runtime import garbage
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.decider import Decider, Stalled, packed_bytes
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.journal import Unwritten
from bot4jax.runtime.journal_rows import Closing, StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import Answer, Change, Order, Query
from bot4jax.runtime.remembering import Remembering
from bot4jax.runtime.stages import Ages, Clock, Stages
from bot4jax.runtime.states import Cause, Transition
from bot4jax.runtime.stepped import Stepped, stepped
from bot4jax.runtime.venue_link import VenueLink


class StepLog(Protocol):
    """Where a step is written before its orders leave: `journal.Journal`."""

    def receive(self, step: int, answers: Sequence[Answer]) -> None: ...

    def commit(self, record: StepRecord) -> bytes: ...

    def note(self, transition: Transition) -> None: ...

    def fold(self) -> None: ...


class Trader(Remembering):
    """Goes on from what it remembers: decides, checks, journals and sends."""

    def __init__(
        self,
        decider: Decider,
        account: Account,
        venue: VenueLink,
        journal: StepLog,
        publish: Callable[[Stepped], None],
        bar_ns: int,
        on_point: Callable[[str], None] = lambda name: None,
        adopts: bool = False,
    ) -> None:
        """`on_point` is told where in a step it is: tests end the process there."""
        super().__init__(decider, account, venue, bar_ns, adopts)
        self._journal, self._publish, self.on_point = journal, publish, on_point
        self.stages = Stages()
        self.ages = Ages()
        self.mark: Callable[[], Future[bytes]] = _nothing
        """begins to make durable what came in, where a restart shall hear it again"""
        self.attend: Callable[[], None] = lambda: None
        """hears people, where there is somebody who listens to them"""
        self.is_asked_to_end = False
        """by a person"""

    def step(self, closed: Closed) -> Stepped:
        """Decide at one boundary, and send what passes the gate."""
        with self._halting():
            return self._step(closed)

    def _step(self, closed: Closed) -> Stepped:
        self._begin()
        own = self.account
        clock = Clock(self.stages)
        marked, seen = self.mark(), self.decider.observe(closed, self.step_number)
        shown = self.decider.shown(seen)
        answers = self._settle(closed)
        waited_s = clock.lap("venue_wait")
        self.on_point("after_ack")
        equity = own.value(closed, self.step_number)
        own.states.weigh(closed.boundary_ns, own.portfolio.lost, own.limits)
        own.hear(closed)
        own.headlines.judge(own.states)
        self._miss(closed)
        self.judge(closed)
        held, limits = own.portfolio.held(), own.within(closed, equity)
        self._journal.receive(self.step_number, answers)
        clock.lap("portfolio")
        raw = self.decider.decide(self.step_number, closed, seen, held)
        decided = self.decider.unpacked(raw, held)
        clock.lap("decide")
        state = own.states.state  # once: a person may change it meanwhile
        orders, denied, changes = own.gated(
            closed, decided.intent, held, limits, self.step_number, state
        )
        self._trust(changes)
        clock.lap("gate")
        self.on_point("after_decide")
        inputs = marked.result()
        clock.lap("inputs")
        record = self._record(
            closed, raw, state, orders, denied, answers, changes, inputs
        )
        self._journal.commit(record)
        del self._unwritten[: len(answers)]
        clock.lap("journal")
        self.on_point("after_journal")
        try:
            self._venue.send(self._message(closed, record.leaving))
            clock.lap("send")
        finally:
            own.leave(closed, record)
        self.on_point("after_send")
        self.stages.add("decision", clock.now - closed.timer_s - waited_s)
        self.ages.add(clock.now, closed.arrivals)
        self.decider.follow_up(closed)
        done = stepped(closed, decided, record, equity, shown)
        self._publish(done)
        self._tidy()
        return done

    @property
    def is_leaving(self) -> bool:
        """No step follows, since a person asked for the end; first all is recovered."""
        return self.is_asked_to_end and not self.account.states.is_held(Cause.STARTING)

    def finish(self, through_ns: int) -> Sequence[Answer]:
        """Book what the venue says up to `through_ns`; nothing rests any longer.

        Whoever leaves before the end does not wait for the market to come so far.
        All that no step has journaled is told: the end of the journal is to hold it.
        """
        with self._halting():
            if not self.is_leaving:
                self._book(self._venue.settle(through_ns))
            self.take_back()
            if left := self.account.portfolio.working.ids():
                raise Halted(
                    f"Orders {', '.join(left)} are open still, by all that the venue "
                    "has said: the run has not ended. Start it again: it asks what has "
                    "become of them."
                )
        self.account.end(self.step_number + 1, through_ns)
        return tuple(self._unwritten)

    def catch_up(self) -> None:
        """The device, once no bar follows; that it does not come back is journaled.

        Nothing rests any more, and no venue is there to be asked. Who cannot write that
        down is told of the device all the same.
        """
        try:
            self.decider.catch_up()
        except Stalled as error:
            with suppress(Unwritten):
                self.account.states.hold(Cause.DEVICE, str(error))
            raise

    def beat(self) -> None:
        """Tell the venue that the loop still turns."""
        self._venue.beat()

    def leave(self) -> None:
        """Nothing more is asked of the venue; only what is durable needs it no more."""
        self._venue.close()

    def _tidy(self) -> None:
        """What costs time and can wait until the orders have left."""
        self._journal.fold()
        garbage.collect(self.step_number)

    def _miss(self, closed: Closed) -> None:
        """Funding, a dividend, a split or news that nobody here knows of: before
        anything is opened again a snapshot must tell what it was, or a person look.

        What it tells of what was owned meanwhile is for a person too.
        """
        states, missed = self.account.states, "frames of reference events were missed"
        if closed.awaited and not closed.is_told:
            states.hold(Cause.UNTOLD, f"{closed.awaited} {missed}")
        if closed.unheard:
            states.hold(Cause.UNHEARD, f"{closed.unheard} {missed}")
        if self.account.doubted:
            name = self.account.universe.symbols[self.account.doubted[0]]
            text = f"{name} was owned when events changed it that were missed"
            states.hold(Cause.UNHEARD, text)
        if closed.is_told:
            states.lift(Cause.UNTOLD, "nothing is missed that a snapshot could tell of")

    def _settle(self, closed: Closed) -> Sequence[Answer]:
        """What the venue said since the last record; the device works meanwhile."""
        if self.step_number > 1:
            self._book(self._venue.settle(closed.boundary_ns))
        self.account.portfolio.fall_short(closed.mids)
        return tuple(self._unwritten)

    def _trust(self, changes: Sequence[Change]) -> None:
        """Only a venue that knows ids again can be asked for an order, or sent one."""
        unknown = [one.order for one in changes if isinstance(one, Query)]
        if unknown and not self.account.dedupes:
            raise Halted(
                f"Orders {', '.join(unknown)} are UNKNOWN: the venue has not answered "
                "them, and would trade them twice. They are not sent again. Look at "
                "its record."
            )

    @contextmanager
    def _halting(self) -> Iterator[None]:
        """Whatever forbids to go on takes back what rests, and then is told.

        To a silent venue nothing is said: the next start asks what has reached it.
        """
        try:
            yield
        except Halted as error:
            with suppress(Halted):
                self.halt(_at_fault(error), str(error))
            raise

    def halt(self, cause: Cause, text: str) -> None:
        """Stop between two steps: what rests at the venue is taken back at once.

        Cancels leave even if the cause cannot be journaled: they only reduce.
        """
        try:
            self.account.states.hold(cause, text)
        finally:
            self.take_back()

    def _record(
        self,
        closed: Closed,
        raw: np.ndarray,
        state: TradingState,
        orders: Sequence[Order],
        denied: Sequence[Denied],
        answers: Sequence[Answer],
        changes: Sequence[Change],
        inputs: bytes,
    ) -> StepRecord:
        closing = Closing(closed.watermark_ns, closed.ticks, closed.late)
        schedules = self.account.schedules
        return StepRecord(
            step=self.step_number,
            boundary_ns=closed.boundary_ns,
            bar=closed.bar,
            closing=closing,
            state=state,
            decisions=packed_bytes(raw),
            orders=orders,
            denied=denied,
            answers=answers,
            requests=changes,
            schedules=schedules.begun,
            ended=schedules.ended,
            inputs=inputs,
        )


def _at_fault(error: Halted) -> Cause:
    """The venue is, where neither the device nor the journal is."""
    if isinstance(error, Stalled):
        return Cause.DEVICE
    return Cause.JOURNAL if isinstance(error, Unwritten) else Cause.VENUE


def _nothing() -> Future[bytes]:
    """No mark: a run that will not be gone on with."""
    done: Future[bytes] = Future()
    done.set_result(b"")
    return done
