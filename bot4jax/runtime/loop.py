"""The trading loop: one closed bar in, checked orders and signals out.

The order of a step is the promise: what the venue said is booked, the device decides,
the gate checks, the journal commits, and only then anything leaves.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

import jax
import numpy as np
from jaxtyping import Float

from bot4jax.engine import (
    Decided,
    Deciding,
    Engine,
    Observing,
    Params,
    Seen,
    unpack_decisions,
)
from bot4jax.errors import Halted
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import is_in_time
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.journal import Closing, StepRecord, Unwritten
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.messages import Inquiry, Step
from bot4jax.runtime.orders import (
    Answer,
    Cancel,
    Change,
    Foreign,
    Order,
    Query,
    Request,
)
from bot4jax.runtime.recovery import plan, reconcile
from bot4jax.runtime.stages import Ages, Stages
from bot4jax.runtime.states import Cause, Transition
from bot4jax.runtime.venue_link import VenueLink


class StepLog(Protocol):
    """Where a step is written before its orders leave: `journal.Journal`."""

    def commit(self, record: StepRecord) -> bytes: ...

    def note(self, transition: Transition) -> None: ...


class Stepped(NamedTuple):
    """What one step did."""

    closed: Closed
    decided: Decided
    orders: Sequence[Order]
    denied: Sequence[Denied]
    answers: Sequence[Answer]
    equity: EquityRow
    values: jax.Array
    """feature scores `[S, F]`, still on the device"""
    volatility: jax.Array
    """of one bar's log return `[S]`, still on the device"""


class Trader:
    """Carries the device's state, the positions and the step number.

    It begins HALTED; `start` makes it ACTIVE.
    """

    def __init__(
        self,
        engine: Engine,
        params: Params,
        observing: Observing,
        deciding: Deciding,
        members: int,
        account: Account,
        venue: VenueLink,
        journal: StepLog,
        publish: Callable[[Stepped], None],
        bar_ns: int,
        on_point: Callable[[str], None] = lambda name: None,
        adopts: bool = False,
    ) -> None:
        """`on_point` is told where in a step it is: tests end the process there.
        `adopts`: what others trade on the account is booked, else it halts."""
        self._engine, self._params = engine, params
        self.observing, self.deciding = observing, deciding
        self._members, self.account = members, account
        self._venue, self._journal, self._publish = venue, journal, publish
        self._bar_ns, self._adopts = bar_ns, adopts
        self.step_number = 0
        self.stages = Stages()
        self.ages = Ages()
        self.mark: Callable[[], Future[bytes]] = _nothing
        """begins to make durable what came in, where a restart shall hear it again"""
        self.deadline_s: float | None = None
        """that a decision may take, then the fallback's counts; None: it is awaited"""
        self.judge: Callable[[Closed], None] = lambda closed: None
        """says what speaks against opening upon this very bar"""
        self.attend: Callable[[], None] = lambda: None
        """hears people, where there is somebody who listens to them"""
        self.judged: Callable[[int, TradingState], TradingState] = _as_it_is
        """the state that a step is judged by: its own, or a former run's"""
        self._on_point = on_point
        self._last: Step | None = None
        self._dedupes = True
        """as the venue stated it"""
        account.states.hold(Cause.STARTING, "the process has begun")

    def start(self) -> None:
        """Agree with the venue on all that happened; only then let orders pass."""
        own, last = self.account, self._last
        asked = Inquiry(
            run=own.run,
            step=self.step_number,
            universe_hash=own.universe.hash,
            boundary_ns=0 if last is None else last.boundary_ns,
        )
        try:
            found = self._venue.ask(asked)
            left = plan(found, own.run, last, own.portfolio.lots)
            self._dedupes = found.dedupes
        except Halted as error:
            own.states.hold(Cause.VENUE, str(error))
            raise
        if last is not None:
            self._venue.resume(last, found, left)
        text = f"step {self.step_number} is recovered; {left.value}"
        own.states.lift(Cause.STARTING, text)

    def repeat(self, closed: Closed, record: StepRecord) -> Stepped:
        """A journaled step once more: all is remembered, nothing is checked or sent."""
        self._begin()
        own = self.account
        seen = self._observe(closed)
        for answer in record.answers:
            own.portfolio.apply(answer)
        equity = own.value(closed, self.step_number)
        own.hear(closed)
        own.states.recall(closed.boundary_ns)
        held = own.portfolio.held()
        raw = np.asarray(self._conclude(closed, seen, held))
        if packed_bytes(raw) != record.decisions:
            raw = np.asarray(self._spare(closed, seen, held))  # it was too slow then
        if packed_bytes(raw) != record.decisions:
            raise Halted(
                f"Step {record.step} comes out otherwise than its journal says: other "
                "versions, another machine or another checkpoint than then. Go on "
                "where it was begun, or begin anew with run.fresh=true."
            )
        self._rebase(closed)
        decided = unpack_decisions(raw, self._members, len(held))
        own.schedules.remember(record.schedules)
        self._remember(closed, [*record.requests, *record.orders])
        return _stepped(closed, decided, record, equity, seen)

    def step(self, closed: Closed) -> Stepped:
        """Decide at one boundary, and send what passes the gate."""
        with self._halting():
            return self._step(closed)

    def _step(self, closed: Closed) -> Stepped:
        self._begin()
        own = self.account
        clock = _Clock(self.stages)
        seen, marked = self._observe(closed), self.mark()
        answers = self._settle(closed, clock)
        self._on_point("after_ack")
        equity = own.value(closed, self.step_number)
        own.states.weigh(equity, own.limits)
        own.hear(closed)
        own.headlines.judge(own.states)
        self.judge(closed)
        held = own.portfolio.held()
        clock.lap("portfolio")
        raw = self._decided(closed, seen, held)
        self._rebase(closed)
        decided = unpack_decisions(raw, self._members, len(held))
        clock.lap("decide")
        # once: a person may change it meanwhile
        state = self.judged(self.step_number, own.states.state)
        orders, denied, changes = own.gated(
            closed, decided.intent, held, equity, self.step_number, state
        )
        self._trust(changes)
        clock.lap("gate")
        self._on_point("after_decide")
        inputs = marked.result()
        clock.lap("inputs")
        record = self._record(
            closed, raw, state, orders, denied, answers, changes, inputs
        )
        self._journal.commit(record)
        clock.lap("journal")
        self._on_point("after_journal")
        self._venue.send(self._remember(closed, [*changes, *orders]))
        clock.lap("send")
        self._on_point("after_send")
        waited = self.stages.ms["venue_wait"][-1] / 1e3
        self.stages.add("decision", clock.now - closed.timer_s - waited)
        self.ages.add(clock.now, closed.arrivals)
        done = _stepped(closed, decided, record, equity, seen)
        self._publish(done)
        return done

    def finish(self, through_ns: int) -> Sequence[Answer]:
        """Book what the venue still says up to `through_ns`."""
        with self._halting():
            answers = self._venue.settle(through_ns)
            self._book(answers)
        return self._told_last(through_ns, answers)

    def end(self, record: StepRecord) -> Sequence[Answer]:
        """A finished run's last answers once more; no venue is asked."""
        self.account.states.lift(Cause.STARTING, "a finished run is told again")
        for answer in record.answers:
            self.account.portfolio.apply(answer)
        return self._told_last(record.boundary_ns, record.answers)

    def _told_last(
        self, through_ns: int, answers: Sequence[Answer]
    ) -> Sequence[Answer]:
        portfolio = self.account.portfolio
        unknown = np.full(len(portfolio.lots), np.nan)
        portfolio.value(self.step_number + 1, through_ns, unknown)
        return answers

    def beat(self) -> None:
        """Tell the venue that the loop still turns."""
        self._venue.beat()

    def leave(self) -> None:
        """Nothing more is asked of the venue; only what is durable needs it no more."""
        self._venue.close()

    def _begin(self) -> None:
        self.step_number += 1
        self.account.states.begin(self.step_number)

    def _observe(self, closed: Closed) -> Seen:
        units = self._params.units
        self.observing, seen = self._engine.observe(
            units, self.observing, closed.ints, closed.floats
        )
        return seen

    def _conclude(
        self, closed: Closed, seen: Seen, held: Float[np.ndarray, " S"]
    ) -> jax.Array:
        """All members' decisions, packed; the device may still be at work."""
        self.deciding, packed = self._engine.conclude(
            self._params,
            self.deciding,
            seen,
            closed.ints,
            closed.floats,
            jax.device_put(held),
        )
        return packed

    def _rebase(self, closed: Closed) -> None:
        """Remember the past in the terms of a split, once its last bar is decided."""
        if closed.terms is None:
            return
        units, self.observing, self.deciding = self._engine.rebase(
            self._params.units, self.observing, self.deciding, closed.terms
        )
        self._params = self._params._replace(units=units)

    def _spare(
        self, closed: Closed, seen: Seen, held: Float[np.ndarray, " S"]
    ) -> jax.Array:
        """The fallback's decisions, packed."""
        return self._engine.spare(
            self._params, seen, closed.ints, closed.floats, jax.device_put(held)
        )

    def _decided(
        self, closed: Closed, seen: Seen, held: Float[np.ndarray, " S"]
    ) -> np.ndarray:
        """The decisions that count: all members', the fallback's where they are late.

        The fallback begins first. What comes late is never read; the members' memory
        goes on from it all the same.
        """
        if self.deadline_s is None:
            return np.asarray(self._conclude(closed, seen, held))
        until_s = time.perf_counter() + self.deadline_s
        spare = self._spare(closed, seen, held)
        packed = self._conclude(closed, seen, held)
        return np.asarray(packed if is_in_time(packed, until_s) else spare)

    def _settle(self, closed: Closed, clock: "_Clock") -> Sequence[Answer]:
        """What the venue said since the last step; the device works meanwhile."""
        answers = self._venue.settle(closed.boundary_ns) if self.step_number > 1 else ()
        self._book(answers)
        clock.lap("venue_wait")
        return answers

    def _book(self, answers: Sequence[Answer]) -> None:
        """What the venue said, and whether it comes to what the venue owns for us."""
        for answer in answers:
            if isinstance(answer, Foreign) and not self._adopts:
                raise Halted(
                    f"{answer.lots} lots of slot {answer.symbol} were traded on this "
                    f"account by no order of ours ({answer.reason}). Look at the "
                    "account, then go on with runtime.foreign=adopt: it books them."
                )
            self.account.portfolio.apply(answer)
        reconcile(self.account.portfolio.lots, self._venue.positions)

    def _trust(self, changes: Sequence[Change]) -> None:
        """Only a venue that knows ids again can be asked for an order, or sent one."""
        unknown = [one.order for one in changes if isinstance(one, Query)]
        if unknown and not self._dedupes:
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
            is_unwritten = isinstance(error, Unwritten)
            with suppress(Halted):
                cause = Cause.JOURNAL if is_unwritten else Cause.VENUE
                self.halt(cause, str(error))
            raise

    def halt(self, cause: Cause, text: str) -> None:
        """Stop between two steps: what rests at the venue is taken back at once.

        Cancels leave even if the cause cannot be journaled: they only reduce.
        """
        own = self.account
        try:
            own.states.hold(cause, text)
        finally:
            waiting = own.portfolio.open_orders()
            if waiting:
                self._venue.withdraw([Cancel(order) for order in waiting])

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
            schedules=self.account.schedules.begun,
            inputs=inputs,
        )

    def _remember(self, closed: Closed, requests: Sequence[Request]) -> Step:
        """Expect what is about to leave; the message that it leaves with."""
        own = self.account
        own.expect(closed, requests)
        self._last = Step(
            run=own.run,
            step=self.step_number,
            universe_hash=own.universe.hash,
            boundary_ns=closed.boundary_ns,
            through_ns=closed.boundary_ns + self._bar_ns,
            orders=list(requests),
        )
        return self._last


def _as_it_is(step: int, state: TradingState) -> TradingState:
    return state


def packed_bytes(raw: Float[np.ndarray, " P"]) -> bytes:
    """Decisions as the journal keeps them."""
    return raw.astype("<f4").tobytes()


def _stepped(
    closed: Closed,
    decided: Decided,
    record: StepRecord,
    equity: EquityRow,
    seen: Seen,
) -> Stepped:
    return Stepped(
        closed,
        decided,
        record.orders,
        record.denied,
        record.answers,
        equity,
        seen.values,
        seen.risk.volatility,
    )


def _nothing() -> Future[bytes]:
    """No mark: a run that will not be gone on with."""
    done: Future[bytes] = Future()
    done.set_result(b"")
    return done


class _Clock:
    """Laps of one step."""

    def __init__(self, stages: Stages) -> None:
        self._stages, self.now = stages, time.perf_counter()

    def lap(self, stage: str) -> None:
        before, self.now = self.now, time.perf_counter()
        self._stages.add(stage, self.now - before)
