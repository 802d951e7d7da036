"""A dead-man's switch: what rests is taken back when no word has come in time.

The engine says how long its silence may last and says it again long before that; the
venue measures, on its own clock, the time since the last word of whatever kind.
"""

import math
import time
from collections.abc import Callable

from bot4jax.runtime.venue_messages import Alive, FromEngine, Goodbye, Inquiry

BEATS = 3
"""Words that an engine gets in before its silence counts."""


class DeadMan:
    """The venue's end; unarmed until an engine asks for it."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self.within_s = math.inf
        """silence that is allowed; as the engine last asked"""
        self._due_s = math.inf

    def hear(self, message: FromEngine) -> None:
        """A word of the engine; a goodbye ends the watch, a question begins its own."""
        if isinstance(message, Goodbye):
            self.within_s = math.inf
        elif isinstance(message, Alive | Inquiry):
            self.within_s = message.within_ns / 1e9 or math.inf
        self._due_s = self._clock_s() + self.within_s

    @property
    def left_s(self) -> float:
        """Until it is due; infinite where nobody is watched."""
        return max(self._due_s - self._clock_s(), 0.0)

    def fires(self) -> bool:
        """Whether it is due; once, until the next word."""
        if self._clock_s() < self._due_s:
            return False
        self._due_s = math.inf
        return True


class Pulse:
    """The engine's end: when the next word is due."""

    def __init__(
        self, within_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        """`within_s`: silence after which what rests is to be taken back; 0: never."""
        self._clock_s = clock_s
        self.within_ns = round(within_s * 1e9)
        self._every_s = within_s / BEATS if within_s else math.inf
        self._next_s = self._clock_s() if within_s else math.inf

    @property
    def left_s(self) -> float:
        """Until the next word is due."""
        return max(self._next_s - self._clock_s(), 0.0)

    def is_due(self) -> bool:
        """Whether to say it now; counts as said."""
        if self._clock_s() < self._next_s:
            return False
        self._next_s = self._clock_s() + self._every_s
        return True
