"""How long an answer is waited for until its question is put again.

In event time, from the boundary at which the question left: so a restart and a replay
wait as long. Each pause is twice the one before, so that a venue that is slow is not
asked faster than it answers, however short the bars are.
"""

from typing import NamedTuple

PATIENCE_NS = 3_000_000_000
"""For the first answer."""

PATIENCE_STEPS = 16
"""After which an order is asked for even if less time has passed: a venue may forget
what was over 64 steps ago (`venue_memory`)."""

DESPAIR_NS = 60_000_000_000
"""Without any answer, of a venue that cannot be asked."""

REFUSED_NS = 1_000_000_000
"""Until what a venue has refused is asked for once more."""

DOUBLINGS = 5
"""Of a pause, at most."""


class Asked(NamedTuple):
    """What was asked last, and how often without getting it."""

    at_ns: int = 0
    times: int = 0

    def again(self, now_ns: int) -> "Asked":
        return Asked(now_ns, self.times + 1)

    def is_due(self, now_ns: int, first_ns: int = PATIENCE_NS) -> bool:
        """Whether it may be asked now; `first_ns` is the first pause."""
        return now_ns - self.at_ns >= first_ns << self._doublings or not self.times

    def is_old(self, steps: int) -> bool:
        """Whether so many steps since it was asked first are too many."""
        return steps >= PATIENCE_STEPS << self._doublings

    @property
    def _doublings(self) -> int:
        return min(max(self.times - 1, 0), DOUBLINGS)


NEVER_ASKED = Asked()
