"""What time it is for this process, from its first look at the wall on.

The one reading of a wall clock: whoever sets that meanwhile ends no pause, makes no
tick older or younger and closes no bar.
"""

import time
from collections.abc import Callable
from functools import cache


@cache
def steady_clock() -> Callable[[], int]:
    """The wall clock of the first call, and the monotonic time from then on, ns.

    It never jumps, and is one for the whole process: two that were set apart would make
    what one has stamped older or younger for the other.
    """
    offset_ns = time.time_ns() - time.monotonic_ns()
    return lambda: time.monotonic_ns() + offset_ns
