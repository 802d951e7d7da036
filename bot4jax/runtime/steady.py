"""What time it is for this process, from its first look at the wall on.

The one reading of a wall clock: whoever sets that meanwhile ends no pause, makes no
tick older or younger and closes no bar. `lasting.py` lets the next process of a run
count on from the same look, as long as the machine is up.
"""

import time
from functools import cache

SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The system's clock that nobody can set and that every process reads alike; on Linux
it goes on while the machine sleeps."""


class Steady:
    """A wall clock that never jumps, ns."""

    def __init__(self) -> None:
        self.offset_ns = time.time_ns() - since_boot_ns()
        """what the wall clock was ahead of the machine's own"""

    def __call__(self) -> int:
        return since_boot_ns() + self.offset_ns


@cache
def steady_clock() -> Steady:
    """The wall clock of the first call, and the time that has passed from then on.

    It is one for the whole process: two that were set apart would make what one has
    stamped older or younger for the other.
    """
    return Steady()


def since_boot_ns() -> int:
    """How long the machine has been up."""
    return time.clock_gettime_ns(SINCE_BOOT)
