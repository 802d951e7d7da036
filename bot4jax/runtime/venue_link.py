"""The engine's end of the line to a venue, and that of one behind a socket.

Every venue keeps the same order of events: a step's orders go out, and before the next
decision comes everything that happened up to its boundary. One in this very process is
in `local_venue.py`.
"""

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
import numpy as np
import zmq
from jaxtyping import Int

from bot4jax.errors import Halted
from bot4jax.runtime.dead_man import Pulse
from bot4jax.runtime.messages import MessageError, Reference, Refused, pack
from bot4jax.runtime.orders import Answer, Cancel
from bot4jax.runtime.recovery import Plan
from bot4jax.runtime.sockets import bound_endpoint
from bot4jax.runtime.venue_messages import (
    Alive,
    Fenced,
    FromEngine,
    FromVenue,
    Goodbye,
    Inquiry,
    Passed,
    Report,
    Statement,
    Step,
    Withdraw,
    unpack_from_venue,
)
from bot4jax.types import NEVER

ATTENTION_S = 0.02
"""How often whoever waits for a report turns away, to hear people."""

T = TypeVar("T", Statement, Report)


class VenueLink(Protocol):
    """What the trading loop needs of a venue."""

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        """What the market shows and tells, as it arrives."""
        ...

    def ask(self, inquiry: Inquiry) -> Statement:
        """The end of the venue's record, before anything is sent."""
        ...

    def resume(self, last: Step, plan: Plan) -> None:
        """Go on behind a step that another process has decided; what the venue has
        stated of it is booked."""
        ...

    def send(self, step: Step) -> None:
        """Orders of one step."""
        ...

    def take_back(self, cancels: Sequence[Cancel]) -> Sequence[Answer]:
        """Nothing may rest any longer; all that the venue has to say by then.

        `settle` may say it again with what comes after.
        """
        ...

    def beat(self) -> None:
        """Between two steps, as often as may be: this engine is alive."""
        ...

    def settle(self, through_ns: int) -> Sequence[Answer]:
        """Everything the venue has to say up to this event time."""
        ...

    @property
    def positions(self) -> Int[np.ndarray, " S"] | None:
        """What is owned after the last answers, by the venue's account of it."""
        ...

    def close(self) -> None:
        """Nothing more will be sent."""
        ...


class SocketVenue:
    """A venue in another process; every step is answered by one report."""

    def __init__(
        self,
        socket: zmq.Socket,
        timeout_s: float,
        dead_man_s: float = 0.0,
        agreed_hash: int = 0,
    ) -> None:
        """`dead_man_s`: silence after which the venue is to take back what rests;
        `agreed_hash`: of what it must have read as this engine has; 0: not told."""
        self._socket, self._timeout_s = socket, timeout_s
        self._pulse, self._agreed_hash = Pulse(dead_man_s), agreed_hash
        self.positions: Int[np.ndarray, " S"] | None = None
        self._awaited: int | None = None
        self._epoch = 0
        self._is_lost = False
        """silent, or another engine's: nothing more is sent, the next start asks it"""
        self._last = Goodbye(run="-", step=0)
        self.attend: Callable[[], None] = lambda: None
        """hears people while a report is waited for; may take back what rests"""
        self.passed_ns = NEVER
        """boundary that our clock has closed: no tick beyond it need have come"""

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        """It has a feed of its own."""

    def ask(self, inquiry: Inquiry) -> Statement:
        own = {"within_ns": self._pulse.within_ns, "agreed_hash": self._agreed_hash}
        self._say(msgspec.structs.replace(inquiry, **own))
        self._last = Goodbye(run=inquiry.run, step=inquiry.step)
        found = self._heard(Statement, "the question for its record")
        if found.version != inquiry.version:
            raise Halted(
                f"The venue at {bound_endpoint(self._socket)} speaks version "
                f"{found.version} of the protocol, this engine version "
                f"{inquiry.version}. Start both with the same release."
            )
        self._epoch = found.epoch
        return found

    def resume(self, last: Step, plan: Plan) -> None:
        if plan == Plan.SEND:
            self.send(last)
        elif plan == Plan.AWAIT:
            self._awaited = last.step

    def send(self, step: Step) -> None:
        self.beat()  # before the first orders: nothing rests that nobody watches
        self._say(msgspec.structs.replace(step, epoch=self._epoch))
        self._awaited = step.step
        self._last = Goodbye(run=step.run, step=step.step)

    def take_back(self, cancels: Sequence[Cancel]) -> Sequence[Answer]:
        """A report that has not been read yet may lie before the answer, and is said
        with it. One still to come has what is said here in itself."""
        if self._is_lost or not self._epoch:
            return ()
        self._say(Withdraw(run=self._last.run, cancels=list(cancels), is_last=True))
        said: list[Answer] = []
        while not (report := self._heard(Report, "the cancels")).is_early:
            said += self._awaited_of(report)
        return [*said, *self._reported(report)]

    def beat(self) -> None:
        if self._epoch and not self._is_lost and self._pulse.is_due():
            within_ns = self._pulse.within_ns
            self._say(Alive(run=self._last.run, within_ns=within_ns))

    def settle(self, through_ns: int) -> Sequence[Answer]:
        self.positions = None
        if self._awaited is not None and through_ns <= self.passed_ns:
            self._say(Passed(run=self._last.run, boundary_ns=through_ns))
        give_up_s = time.monotonic() + self._timeout_s
        said: Sequence[Answer] = ()
        while self._awaited is not None:
            now_s = time.monotonic()
            if self._waited(min(now_s + ATTENTION_S, give_up_s)) or now_s >= give_up_s:
                said = self._awaited_of(
                    self._heard(Report, f"step {self._awaited}", give_up_s)
                )
            else:
                self.attend()  # may take back, and be told what is waited for
        return said

    def _awaited_of(self, report: Report) -> Sequence[Answer]:
        """What is waited for; reports of former steps have been booked."""
        if report.step != self._awaited:
            return ()
        self._awaited = None
        return self._reported(report)

    def _reported(self, report: Report) -> Sequence[Answer]:
        self.positions = np.array(report.positions) if report.positions else None
        return report.answers

    def _heard(self, expected: type[T], what: str, give_up_s: float | None = None) -> T:
        """The next message of a kind; reports of former steps may lie before it."""
        if give_up_s is None:
            give_up_s = time.monotonic() + self._timeout_s
        while self._waited(give_up_s):
            found = self._read()
            if isinstance(found, Fenced):
                self._is_lost = True
                raise Halted(self._fenced(found.epoch))
            if isinstance(found, Refused):
                endpoint = bound_endpoint(self._socket)
                raise Halted(
                    f"The venue at {endpoint} refuses this engine: {found.reason}"
                )
            if isinstance(found, expected):
                return found
        self._is_lost = True
        raise Halted(
            f"The venue has not answered {what} within {self._timeout_s:g} s: nothing "
            "more is sent. Is mode=venue running with the same runtime.endpoints? "
            "Raise runtime.venue_timeout_s if it is slow."
        )

    def _fenced(self, epoch: int) -> str:
        """Why the venue hears this engine no more."""
        if epoch < self._epoch:
            return (
                f"The venue was started anew (its epoch is {epoch}, this engine's "
                f"{self._epoch}) and knows nothing of this run: nothing more is sent "
                "from here. Look at what is owned, then use another run.name."
            )
        return (
            f"Another engine trades this account since epoch {epoch} (this one's is "
            f"{self._epoch}): nothing more is sent from here."
        )

    def _waited(self, give_up_s: float) -> bool:
        """Whether a message lies there before it is time to give up; one that has come
        while this process stood still counts, however late it is."""
        while True:
            self.beat()
            left_s = max(give_up_s - time.monotonic(), 0.0)
            wait_s = min(left_s, self._pulse.left_s)
            if self._socket.poll(math.ceil(wait_s * 1e3)):
                return True
            if wait_s == left_s:
                return False

    def _say(self, message: FromEngine) -> None:
        try:
            self._socket.send(pack(message))
        except zmq.Again as error:
            raise Halted(
                f"The venue at {bound_endpoint(self._socket)} takes no message: it has "
                "read none for long, or is not there. Is mode=venue running with the "
                "same runtime.endpoints?"
            ) from error

    def _read(self) -> FromVenue:
        try:
            return unpack_from_venue(self._socket.recv())
        except MessageError as error:
            raise Halted(
                f"The venue at {bound_endpoint(self._socket)} says what this engine "
                f"does not understand: {error}. Start both with the same release."
            ) from error

    def close(self) -> None:
        self._say(self._last)
