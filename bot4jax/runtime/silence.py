"""A feed that pauses or comes late shrinks what may leave; a silent one stops it."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from bot4jax.errors import Halted
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.states import Cause, States
from bot4jax.types import SNAPSHOT


def watched(
    arrivals: Iterable[Arrival],
    trader: Trader,
    quiet_s: float,
    in_session: Callable[[int], bool] = lambda now_ns: True,
) -> Iterator[Arrival]:
    """The same arrivals. What counts is the time that was spent waiting for a frame:
    one that lay in the queue while the engine was busy has not been missing, and a
    market outside its sessions owes none. A snapshot is no sign of a living stream."""
    coming, waited_s, has_begun = iter(arrivals), 0.0, False
    while True:
        began_s = time.monotonic()
        try:
            one = next(coming, None)
        except Halted as error:
            with suppress(Halted):  # a venue that is silent too
                trader.halt(Cause.FEED_SILENT, str(error))
            raise
        if one is None:
            return
        if in_session(one.receive_ns):
            waited_s += time.monotonic() - began_s
        if has_begun and waited_s > quiet_s:
            found = f"{waited_s:.1f} s without a frame, {quiet_s:g} s are usual"
            trader.account.states.hold(Cause.FEED_QUIET, found)
        if one.frame is not None and one.frame.kind != SNAPSHOT:
            has_begun, waited_s = True, 0.0
        yield one


def judged_by_age(
    states: States, limit_s: float, now_ns: Callable[[], int], skew_s: float
) -> Callable[[Closed], None]:
    """Before each decision: whether the newest tick is young enough to open upon.

    Its age is how long it waited here, and how much later than usual it came. One from
    further in the future than `skew_s` has an unknown age: a clock has stepped back.
    """

    def judge(closed: Closed) -> None:
        age_s = (now_ns() - closed.newest_ns) / 1e9
        if -skew_s <= age_s <= limit_s:
            states.lift(Cause.TOO_LATE, "the newest tick is young enough")
        else:
            found = f"the newest tick is {age_s:.2f} s old, {limit_s:g} s are allowed"
            states.hold(Cause.TOO_LATE, found)

    return judge
