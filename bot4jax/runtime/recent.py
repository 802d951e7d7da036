"""What limits look back on: where mids were lately, and how much was said lately.

Both are told step by step, in a restart as well, so they forget nothing with a process.
"""

from collections import deque
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bot4jax.runtime.orders import LARGEST

SECOND_NS = 1_000_000_000
PARTS = 8
"""That a period is counted in: what is looked back on is at most an eighth longer."""


class MidRange(NamedTuple):
    """The lowest and the highest of some mids, by slot; twice the mid, increments."""

    lowest: Int[np.ndarray, " S"]
    highest: Int[np.ndarray, " S"]


class RecentMids:
    """Where the mids of the last period lay, by parts of it."""

    def __init__(self, slots: int, period_ns: int) -> None:
        self._part_ns = max(period_ns // PARTS, 1)
        self._slots = slots
        self._parts: deque[tuple[int, MidRange]] = deque()

    def note(
        self, bid: Int[np.ndarray, " S"], ask: Int[np.ndarray, " S"], now_ns: int
    ) -> None:
        """The quotes that stand at a boundary; without a valid one there is no mid."""
        part = now_ns // self._part_ns
        while self._parts and self._parts[0][0] < part - PARTS:
            self._parts.popleft()
        if not self._parts or self._parts[-1][0] != part:
            self._parts.append((part, _nothing(self._slots)))
        is_quoted = (bid > 0) & (bid <= ask)
        lowest, highest = self._parts[-1][1]
        np.minimum(lowest, bid + ask, out=lowest, where=is_quoted)
        np.maximum(highest, bid + ask, out=highest, where=is_quoted)

    def forget(self, slots: Collection[int]) -> None:
        """Their prices mean something else now."""
        nothing = _nothing(len(slots))
        for _, one in self._parts:
            one.lowest[list(slots)], one.highest[list(slots)] = nothing

    @property
    def period(self) -> MidRange:
        """A slot without a mid has a lowest above its highest: nothing is near both."""
        parts = [one for _, one in self._parts] or [_nothing(self._slots)]
        lowest, highest = (np.stack(column) for column in zip(*parts, strict=True))
        return MidRange(lowest.min(axis=0), highest.max(axis=0))


def _nothing(slots: int) -> MidRange:
    return MidRange(np.full(slots, 2 * LARGEST), np.zeros(slots, np.int64))


class Said:
    """How many messages went to the venue within the last second of event time."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, int]] = deque()
        self._total = 0

    def note(self, now_ns: int, count: int) -> None:
        self._counts.append((now_ns, count))
        self._total += count

    def within_second(self, now_ns: int) -> int:
        while self._counts and now_ns - self._counts[0][0] >= SECOND_NS:
            self._total -= self._counts.popleft()[1]
        return self._total
