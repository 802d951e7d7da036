"""How a sender's clock stands to ours, and which of its times are believed."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from jaxtyping import Bool, Int

MINUTE_NS = 60_000_000_000
MINUTES = 5
"""For which a delay is remembered: clocks are set, and a tick may lie of its time."""


@dataclass
class Clock:
    """What its frames have shown of one sender's clock."""

    delays: tuple[tuple[int, int], ...] = ()
    """of the last minutes: the minute, and its least receive − event"""
    usual_ns: int = 0
    """least receive − event since it began to be measured: what comes later is old"""
    is_usual: bool = False
    """that is of this life, and of no time before a person's reset"""
    offset_ns: int | None = None
    """least receive − sent of this life, since our clock was set back last: how far our
    clock is ahead"""
    is_distrusted: bool = False
    """it has sent something too far ahead of our clock in this life"""
    shift_ns: int = 0
    """least sent − event, where that is negative, down to the skew limit"""

    @property
    def delay_ns(self) -> int:
        """Least receive − event of the last minutes."""
        return min(least for _, least in self.delays)

    def anew(self) -> Self:
        """The clock of the sender's next life: what is usual is still to be seen."""
        return replace(self, is_usual=False, offset_ns=None, is_distrusted=False)

    def measure(self, delay_ns: int, receive_ns: int) -> None:
        """Learn from a receive − event.

        Minutes are those of the receive time, which goes on when a market's stands
        still.
        """
        if delay_ns < self.usual_ns or not self.is_usual:
            self.usual_ns, self.is_usual = delay_ns, True
        known, minute = self.delays, receive_ns // MINUTE_NS
        if known and known[-1][0] == minute and known[-1][1] <= delay_ns:
            return
        least_ns = min([delay_ns, *(one for at, one in known if at == minute)])
        kept = (one for one in known if 0 < abs(minute - one[0]) < MINUTES)
        self.delays = *kept, (minute, least_ns)

    def is_ahead(self, sent_ns: int, receive_ns: int, limit_ns: int) -> bool:
        """Whether it is further ahead of ours than it ever was, by more than the limit;
        else what is known of it is learned."""
        learned = least_offset(self.offset_ns, receive_ns - sent_ns, limit_ns)
        if learned is None:
            self.is_distrusted = True
            return True
        self.offset_ns = learned
        return False

    def wake(self) -> None:
        """Ours was set back: new frames tell how far it is from this one, unless one
        was refused."""
        if not self.is_distrusted:
            self.offset_ns = None

    def timely(
        self, latency_ns: Int[np.ndarray, " N"], limit_ns: int
    ) -> Bool[np.ndarray, " N"] | None:
        """Which ticks are not from the future, by sent − event; None if none is.

        A publisher's clock may stand ahead by the limit, which is learned from its own
        ticks; beyond that shift, a tick may be ahead by the limit again.
        """
        shift, least = self.shift_ns, int(latency_ns.min(initial=0))
        if least >= shift - limit_ns:
            self.shift_ns = max(min(shift, least), -limit_ns)
            return None
        is_timely = np.zeros(len(latency_ns), bool)
        for row, latency in enumerate(latency_ns.tolist()):
            if latency >= shift - limit_ns:
                is_timely[row] = True
                shift = max(min(shift, latency), -limit_ns)
        self.shift_ns = shift
        return is_timely


def least_offset(known_ns: int | None, offset_ns: int, limit_ns: int) -> int | None:
    """The least receive − sent there was, this one with it; None where a clock has
    stepped by more than the limit, which nothing is learned from."""
    if known_ns is None:
        return offset_ns
    return None if offset_ns < known_ns - limit_ns else min(known_ns, offset_ns)
