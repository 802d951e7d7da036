"""The line between an engine and its venue, in one thread and under one seed.

It stands in for the ZeroMQ sockets of `SocketVenue` and of the venue's process, whose
own `take` says whom it hears: what is sent may get lost, come twice, or come late, when
another engine has taken over; the answer may get lost or come twice; and the venue may
say nothing for a while. Waiting takes no time here: silence is an empty poll.
"""

from collections import Counter, deque
from collections.abc import Collection, Sequence

import numpy as np

from bot4jax.runtime.dead_man import DeadMan
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.messages import pack
from bot4jax.runtime.venue_messages import Fenced, unpack_from_venue
from bot4jax.runtime.venue_process import take
from tests.runtime.scene import SYMBOLS, UNIVERSE

SHARE = 0.04
"""of each fault among the messages it can befall"""


class Faults:
    """What befalls whom, drawn from the seed; counts what has befallen."""

    def __init__(
        self, seed: int, share: float = SHARE, never: Collection[str] = ()
    ) -> None:
        """`never`: faults that do not happen, such as a line that repeats."""
        self._draw, self._share = np.random.default_rng(seed), share
        self._never = never
        self.befallen: Counter[str] = Counter()

    def befalls(self, name: str, of_share: float = 1.0) -> bool:
        """Whether it happens this time."""
        happens = bool(self._draw.random() < self._share * of_share)
        happens &= name not in self._never
        self.befallen[name] += happens
        return happens

    def pick(self, stop: int) -> int:
        """One of so many."""
        return int(self._draw.integers(stop))


class Exchange:
    """The venue's end: it hears and answers as the venue's process does.

    What is `postponed` outlives its line, as a process's last message may.
    """

    def __init__(self, desk: Desk, faults: Faults) -> None:
        self._desk, self._faults = desk, faults
        self.postponed: deque[tuple[bytes, bytes]] = deque()
        self.line: Line | None = None
        """of the engine that lives"""
        self._came: deque[tuple[bytes, bytes]] = deque()
        self._intake = Intake(UNIVERSE.hash, np.full(SYMBOLS, 200), skew_limit_ns=0)
        self._engine, self._switch = b"", DeadMan()

    def deliver(self, peer: bytes, message: bytes) -> None:
        """One message reaches the venue."""
        self._came.append((peer, message))
        heard = self._desk, self._intake, self, self._engine, self._switch
        self._engine = take(*heard)  # pyright: ignore[reportArgumentType]
        if (report := self._desk.report()) is not None:
            self.send_multipart([self._engine, pack(report)])

    def deliver_late(self) -> None:
        """What a former engine had sent may come now; it must be refused."""
        before = self._intake.refused["peer"]
        while self.postponed and self._faults.befalls("late arrival"):
            self.deliver(*self.postponed.popleft())
        self._faults.befallen["unheard"] += self._intake.refused["peer"] - before

    def recv_multipart(self) -> tuple[bytes, bytes]:
        return self._came.popleft()

    def send_multipart(self, parts: Sequence[bytes], flags: int = 0) -> None:
        """To an engine that may be gone; nothing here is waited for."""
        peer, message = parts
        if self.line is not None and self.line.peer == peer:
            self.line.hear(message)
        elif isinstance(unpack_from_venue(message), Fenced):
            self._faults.befallen["fenced"] += 1


class Line:
    """One engine's end."""

    def __init__(self, exchange: Exchange, faults: Faults, peer: bytes) -> None:
        self._exchange, self._faults, self.peer = exchange, faults, peer
        self._inbox: deque[bytes] = deque()
        exchange.line = self

    def send(self, message: bytes) -> None:
        """From the engine: lost, kept back, or delivered once or twice."""
        if self._faults.befalls("request lost"):
            return
        if self._faults.befalls("request late"):
            self._exchange.postponed.append((self.peer, message))
            return
        self._exchange.deliver(self.peer, message)
        if self._faults.befalls("request twice"):
            self._exchange.deliver(self.peer, message)

    def hear(self, message: bytes) -> None:
        """From the venue: lost, or there once or twice."""
        if self._faults.befalls("answer lost"):
            return
        self._inbox.append(message)
        if self._faults.befalls("answer twice"):
            self._inbox.append(message)

    def poll(self, timeout_ms: int) -> bool:
        """Whether an answer is there; a venue that is silent has said its last."""
        if self._inbox and self._faults.befalls("venue silent"):
            self._inbox.clear()
        return bool(self._inbox)

    def recv(self) -> bytes:
        return self._inbox.popleft()
