"""What a paper venue does between its two sockets; it knows neither.

It orders what it hears: an engine's step is answered once the ticks have come so far,
a repeated one as before, and one of a former engine not at all.
"""

from collections.abc import Sequence

import numpy as np

from bot4jax.runtime.local_venue import LocalVenue, statement
from bot4jax.runtime.messages import Reference, Refused
from bot4jax.runtime.orders import Answer, Cancel
from bot4jax.runtime.recovery import differ
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_messages import (
    Alive,
    Fenced,
    FromEngine,
    Goodbye,
    Inquiry,
    Passed,
    Report,
    Statement,
    Step,
    Withdraw,
)
from bot4jax.runtime.wire import VERSION

Answered = Statement | Report | Fenced | Refused
"""What a message is answered at once."""


class Desk:
    """One venue, the engine that it serves, and what it has answered."""

    def __init__(
        self,
        venue: PaperVenue,
        universe_hash: int,
        lockstep: bool = True,
        bar_ns: int | None = None,
        agreed_hash: int = 0,
    ) -> None:
        """`bar_ns`: what an engine's bars must last; None: anything. `agreed_hash`:
        what it must have read, if both say so."""
        self.is_over = False
        self.steps = self.orders = 0
        self._link, self._lockstep = LocalVenue(venue), lockstep
        self._universe_hash, self._bar_ns = universe_hash, bar_ns
        self._agreed_hash = agreed_hash
        self._step: Step | None = None
        """being waited for"""
        self._last: tuple[Step, Report] | None = None
        self._is_ended = False
        self._answers: list[Answer] = []
        """not reported yet"""
        self.epoch = 0
        """grows when an engine takes over"""
        self._run = ""
        """that is served"""

    def hear(
        self,
        records: np.ndarray,
        heartbeat_ns: int | None = None,
        events: Sequence[Reference] = (),
    ) -> None:
        """Take in accepted ticks, the event time of a heartbeat, or what is no tick."""
        self._link.hear(records, events)
        self._reach(self._link.reached_ns if heartbeat_ns is None else heartbeat_ns)

    def _reach(self, event_ns: int) -> None:
        """The market has come so far; out of lock-step the venue goes along, but not
        beyond what is to act before: for that it waits for the engine's step."""
        self._link.reached_ns = max(self._link.reached_ns, event_ns)
        if not self._lockstep:
            self._answers += self._link.settle(self._free_until())

    def _free_until(self) -> int:
        """Event time before which all is in the terms that the engine decided in; which
        boundaries there are its steps tell."""
        step = self._step or (self._last and self._last[0])
        acts_ns = self._link.acts_ns
        until_ns = acts_ns if step is None else _boundary(step, acts_ns)
        return min(self._link.reached_ns, until_ns)

    def end(self) -> None:
        """No tick follows: what was to be reached counts as reached."""
        self._is_ended = True

    def take(self, message: FromEngine) -> Answered | None:
        """Hear the engine; what it is answered at once, where it is.

        A step that came before is answered again and not traded, if the venue dedupes.
        """
        if isinstance(message, Goodbye):
            if message.run == self._run:
                self.is_over = True
                self.take_back()
        elif isinstance(message, Withdraw) and message.is_last:
            return self._emptied(message.cancels)
        elif isinstance(message, Withdraw):
            self._link.withdraw(message.cancels)
        elif isinstance(message, Passed):
            self._pass(message.boundary_ns)
        elif isinstance(message, Alive):
            return None
        elif reason := self._misfit(message):
            return Refused(reason=reason)
        elif isinstance(message, Inquiry):
            return self._stated(message)
        elif message.epoch != self.epoch:
            return Fenced(epoch=self.epoch)
        else:
            self._serve(message)
        return None

    def _misfit(self, message: Inquiry | Step) -> str:
        """Why the two would misunderstand each other; empty if they would not."""
        if isinstance(message, Inquiry) and message.version != VERSION:
            return (
                f"it speaks version {message.version} of the protocol, this venue "
                f"version {VERSION}. Start both with the same release."
            )
        if message.universe_hash != self._universe_hash:
            return (
                f"its universe is {message.universe_hash:08x}, this venue's "
                f"{self._universe_hash:08x}. Start both with the same data."
            )
        asked_ns = message.bar_ns if isinstance(message, Inquiry) else self._bar_ns
        if self._bar_ns not in (None, asked_ns):
            return (
                f"its bars last {asked_ns} ns, this venue's {self._bar_ns} ns. Start "
                "both with the same data."
            )
        if isinstance(message, Inquiry) and self._is_read_otherwise(message):
            return (
                f"of data, venue and runtime.skew_limit_ms it has read "
                f"{message.agreed_hash:08x}, this venue {self._agreed_hash:08x}. Start "
                "both with the same words."
            )
        return ""

    def _is_read_otherwise(self, message: Inquiry) -> bool:
        """Both tell what they have read, and it is not the same."""
        told = message.agreed_hash, self._agreed_hash
        return all(told) and told[0] != told[1]

    def take_back(self) -> int:
        """The engine has left or hangs: nothing of it may rest any longer. How many."""
        return self._link.venue.take_back()

    def _emptied(self, cancels: Sequence[Cancel]) -> Report | None:
        """What comes of taking everything back, told at once.

        It is told again with the next report, and to whoever asks before it: who has
        booked it may die before that is written.
        """
        step = self._step or (self._last and self._last[0])
        if step is None:
            return None
        through_ns = min(self._link.reached_ns, step.through_ns)
        self._answers += self._link.emptied(cancels, through_ns)
        return Report(
            step=step.step,
            through_ns=step.through_ns,
            answers=list(self._answers),
            positions=self._link.venue.position.tolist(),
            is_early=True,
        )

    def _pass(self, boundary_ns: int) -> None:
        """The engine's clock closed the bar in a pause; no further than was asked."""
        if self._step is not None:
            self._reach(min(boundary_ns, self._step.through_ns))

    def _serve(self, step: Step) -> None:
        self._step, self._run = step, step.run
        if not self._is_repeated(step):
            self.steps, self.orders = self.steps + 1, self.orders + len(step.orders)
            self._link.act(step.boundary_ns)
            self._link.send(step)

    def _stated(self, inquiry: Inquiry) -> Statement:
        """The record's end; whose own record fits it takes the served run's place.

        It is told of all that has happened by now, what the dead-man's switch took back
        included: or it would believe in stops that are gone for another step. Nothing
        is over by being told: who has asked may die before it is written, or may have
        asked long ago. Who will refuse itself must not harm the one at work: it fences
        nobody, lets nothing act, and is stated no epoch that a step of it would be
        taken in.
        """
        last, report = self._last or (None, None)
        step = self._step or last
        fits = step is None or _fits(inquiry, step)
        if fits:
            if self._step is None and last is not None:
                through_ns = min(self._link.reached_ns, last.through_ns)
                self._answers += self._link.settle(through_ns)
            self._link.act(inquiry.boundary_ns)
            self.epoch, self._run = self.epoch + 1, inquiry.run
        reported = None if self._step is not None else report
        told = [*(() if reported is None else reported.answers), *self._answers]
        epoch = self.epoch if fits else 0
        return statement(self._link.venue, epoch, step, told, reported is not None)

    def report(self) -> Report | None:
        """The answer to the step taken, once the ticks have reached its end."""
        step = self._step
        if step is None:
            return None
        if self._last is not None and self._is_repeated(step):
            self._step = None
            return self._last[1]
        if self._link.reached_ns < step.through_ns and not self._is_ended:
            return None
        answers = [*self._answers, *self._link.settle(step.through_ns)]
        report = Report(
            step=step.step,
            through_ns=step.through_ns,
            answers=answers,
            positions=self._link.venue.position.tolist(),
        )
        self._step, self._last, self._answers = None, (step, report), []
        return report

    def _is_repeated(self, step: Step) -> bool:
        last = self._last if self._link.venue.dedupes else None
        return last is not None and (step.run, step.step) == (last[0].run, last[0].step)


def _boundary(step: Step, event_ns: int) -> int:
    """The first boundary after a step that this time does not lie behind."""
    bar_ns = max(step.through_ns - step.boundary_ns, 1)
    bars = max(-((step.boundary_ns - event_ns) // bar_ns), 1)
    return step.boundary_ns + bars * bar_ns


def _fits(inquiry: Inquiry, step: Step) -> bool:
    """Whether an engine goes on from this last step of a record, as `recovery.plan`
    has it: it knows the step, or has decided the next one, and all that came before
    is the same."""
    if inquiry.run != step.run or not 0 <= inquiry.step - step.step <= 1:
        return False
    return not differ(inquiry.history_of(step.step), step.history)
