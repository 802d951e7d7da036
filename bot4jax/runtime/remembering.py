"""What has happened to a trader, booked once more: steps that its journal knows.

They are neither checked nor sent again. Then the venue is asked what has reached it,
and only once both agree may anything new leave.
"""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from bot4jax.errors import Halted
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import voice_of
from bot4jax.runtime.decider import Decider, packed_bytes
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import Answer, Cancel, Foreign, Request
from bot4jax.runtime.recovery import (
    Plan,
    continued,
    follows,
    held_back,
    kept_apart,
    on_paper,
    permitted,
    plan,
    reconcile,
)
from bot4jax.runtime.states import Cause
from bot4jax.runtime.stepped import Stepped, stepped
from bot4jax.runtime.venue_link import VenueLink
from bot4jax.runtime.venue_messages import Inquiry, Statement, Step
from bot4jax.runtime.wire import VERSION


class Remembering:
    """Carries the positions and the step number; its decider, the device's memory.

    It begins HALTED; `start` makes it ACTIVE.
    """

    def __init__(
        self,
        decider: Decider,
        account: Account,
        venue: VenueLink,
        bar_ns: int,
        adopts: bool,
    ) -> None:
        """`adopts`: what others trade on the account is booked, else it halts."""
        self.decider, self.account = decider, account
        self._venue, self._bar_ns, self._adopts = venue, bar_ns, adopts
        self.step_number = 0
        self.judge: Callable[[Closed], None] = lambda closed: None
        """says what speaks against opening upon this very bar"""
        self._last: Step | None = None
        self._before = ""
        """the history of the step before that one"""
        self._closed: Closed | None = None
        """the bar of the last journaled step"""
        self._unwritten: list[Answer] = []
        """booked, and in no record yet: the next one, step or end, holds it"""
        self.admit: Callable[[Statement], None] = on_paper
        """raises `Halted` for a venue that must not be traded at"""
        self.is_asleep = False
        """journaled steps are passed over: the device's memory comes from elsewhere"""
        self.recovered = ""
        """from where, if from anywhere"""
        account.states.hold(Cause.STARTING, "the process has begun")

    def start(self) -> None:
        """Agree with the venue on all that happened; only then let orders pass."""
        own, last = self.account, self._last
        asked = Inquiry(
            run=own.run,
            step=self.step_number,
            version=VERSION,
            universe_hash=own.universe.hash,
            bar_ns=self._bar_ns,
            boundary_ns=0 if last is None else last.boundary_ns,
            history="" if last is None else last.history,
            history_before=self._before,
        )
        try:
            found = self._venue.ask(asked)
            self.admit(found)
            portfolio = own.portfolio
            left = plan(found, own.run, last, portfolio.lots, portfolio.is_booked)
            follows(found, asked)
            own.dedupes = found.dedupes
            kept_apart(found, own.prevents_self_trades)
            self._book(found.answers)
        except Halted as error:
            own.states.hold(Cause.VENUE, str(error))
            raise
        text = f"step {self.step_number} is recovered{self.recovered}; {left.value}"
        if last is not None:
            sent = self._timely(last) if left == Plan.SEND else last
            text += held_back(last, sent)
            self._venue.resume(sent, left)
        own.states.lift(Cause.STARTING, text)
        if own.states.state == TradingState.HALTED:
            self.take_back()

    def repeat(self, closed: Closed, record: StepRecord) -> Stepped:
        """A journaled step once more: all is remembered, nothing is checked or sent."""
        seen = self.decider.observe(closed)
        equity = self._recall(closed, record)
        held = self.account.portfolio.held()
        known = self.decider.unpacked(np.frombuffer(record.decisions, "<f4"), held)
        raw = self.decider.repeat(closed, seen, held, voice_of(known.flags))
        if packed_bytes(raw) != record.decisions:
            raise Halted(
                f"Step {record.step} comes out otherwise than its journal says: other "
                "versions, another machine or another checkpoint than then. Go on "
                "where it was begun, or begin anew with run.fresh=true."
            )
        self.decider.follow_up(closed)
        decided = self.decider.unpacked(raw, held)
        self._remember(closed, record)
        return stepped(closed, decided, record, equity, self.decider.shown(seen))

    def pass_over(self, closed: Closed, record: StepRecord) -> None:
        """A journaled step that the device need not hear: the host remembers it."""
        found, known = (closed.bar, closed.ticks), (record.bar, record.closing.ticks)
        if found != known:
            raise Halted(
                f"Step {record.step} was decided on bar {known[0]} with {known[1]} "
                f"ticks, but what came in makes bar {found[0]} with {found[1]}. Go on "
                "where it was begun, or begin anew with run.fresh=true."
            )
        self._recall(closed, record)
        self._remember(closed, record)

    def end(self, record: StepRecord) -> Sequence[Answer]:
        """A finished run's last answers once more; no venue is asked."""
        self.account.states.lift(Cause.STARTING, "a finished run is told again")
        self.account.end(record.step, record.boundary_ns, record.answers)
        return record.answers

    def take_back(self) -> None:
        """Nothing of ours may rest any longer; the venue's word for it, booked.

        The next record holds it, or the next process asks the venue again.
        """
        if waiting := self.account.portfolio.working.ids():
            self._book(self._venue.take_back([Cancel(order) for order in waiting]))

    def _timely(self, last: Step) -> Step:
        """What may still leave of a step that has not: people may have stopped the
        engine since, and its prices may be old."""
        if self._closed is not None:
            self.judge(self._closed)
        state = self.account.states.besides(Cause.STARTING)
        return msgspec.structs.replace(last, orders=permitted(last.orders, state))

    def _recall(self, closed: Closed, record: StepRecord) -> EquityRow:
        """What the account makes of a journaled step."""
        self._begin()
        self._closed = closed
        self.account.states.recall(closed.boundary_ns)
        return self.account.recall(closed, record)

    def _begin(self) -> None:
        self.step_number += 1
        self.account.states.begin(self.step_number)

    def _remember(self, closed: Closed, record: StepRecord) -> None:
        """A journaled step was sent, or is about to be."""
        self._message(closed, record.leaving)
        self.account.leave(closed, record)

    def _message(self, closed: Closed, requests: Sequence[Request]) -> Step:
        """What leaves in this step, in one."""
        own = self.account
        self._before = "" if self._last is None else self._last.history
        self._last = Step(
            run=own.run,
            step=self.step_number,
            universe_hash=own.universe.hash,
            boundary_ns=closed.boundary_ns,
            through_ns=closed.boundary_ns + self._bar_ns,
            orders=list(requests),
            history=continued(self._before, closed.boundary_ns, requests),
        )
        return self._last

    def _book(self, answers: Sequence[Answer]) -> None:
        """What the venue said, and whether it comes to what the venue owns for us.

        What is booked is to be written: there is no other way to either. A venue may
        say things again; that is no news.
        """
        for answer in answers:
            if isinstance(answer, Foreign) and not self._adopts:
                raise Halted(
                    f"{answer.lots} lots of slot {answer.symbol} were traded on this "
                    f"account by no order of ours ({answer.reason}). Look at the "
                    "account, then go on with runtime.foreign=adopt: it books them."
                )
            if self.account.book(answer):
                self._unwritten.append(answer)
        reconcile(self.account.portfolio.lots, self._venue.positions)
