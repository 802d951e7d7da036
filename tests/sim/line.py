"""The line between an engine and its venue, in one thread and under one seed.

It stands in for the ZeroMQ socket of `SocketVenue` and for `venue_process.serve`: what
is sent may get lost, come twice, or come late, when another engine has taken over; the
answer may get lost or come twice; and the venue may say nothing for a while. Waiting
takes no time here: silence is an empty poll.
"""

from collections import Counter, deque
from collections.abc import Collection

import numpy as np

from bot4jax.runtime.desk import Desk
from bot4jax.runtime.messages import pack
from bot4jax.runtime.venue_messages import Fenced, unpack_from_engine

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


class Line:
    """One engine's end; `postponed` outlives it, as a process's last message may."""

    def __init__(self, desk: Desk, faults: Faults, postponed: deque[bytes]) -> None:
        self._desk, self._faults, self._postponed = desk, faults, postponed
        self._inbox: deque[bytes] = deque()

    def send(self, message: bytes) -> None:
        """From the engine: lost, kept back, or delivered once or twice."""
        if self._faults.befalls("request lost"):
            return
        if self._faults.befalls("request late"):
            self._postponed.append(message)
            return
        self._deliver(message)
        if self._faults.befalls("request twice"):
            self._deliver(message)

    def poll(self, timeout_ms: int) -> bool:
        """Whether an answer is there; a venue that is silent has said its last."""
        if self._inbox and self._faults.befalls("venue silent"):
            self._inbox.clear()
        return bool(self._inbox)

    def recv(self) -> bytes:
        return self._inbox.popleft()

    def deliver_late(self) -> None:
        """What a former engine had sent may come now; it must be refused."""
        while self._postponed and self._faults.befalls("late arrival"):
            found = self._desk.take(unpack_from_engine(self._postponed.popleft()))
            self._faults.befallen["fenced"] += isinstance(found, Fenced)

    def _deliver(self, message: bytes) -> None:
        stated = self._desk.take(unpack_from_engine(message))
        for answer in (stated, self._desk.report()):
            if answer is None or self._faults.befalls("answer lost"):
                continue
            self._inbox.append(pack(answer))
            if self._faults.befalls("answer twice"):
                self._inbox.append(pack(answer))
