"""The queue that a resting order stands in, and how it is believed to shrink."""

from collections.abc import Callable
from dataclasses import dataclass

Believed = Callable[["Queue", int], float]
"""How many lots stand ahead once the quote at an order's price shows so many."""


@dataclass
class Queue:
    """What is known of the queue at an order's price."""

    ahead: float | None = None
    """lots displayed before it; None: unknown, wait for a trade beyond"""
    shown: int = 0
    """lots displayed at its price when that was last looked at"""
    traded: int = 0
    """lots of others that have traded at its price since"""

    def join(self, lots: int | None) -> None:
        """Stand behind all that is displayed; None: it is not known how much."""
        self.ahead, self.shown, self.traded = lots, lots or 0, 0

    def shrink(self, size: int) -> float | None:
        """How many stood before it when a trade of this size came; None: unknown."""
        ahead = self.ahead
        if ahead is not None:
            self.ahead, self.traded = max(ahead - size, 0), self.traded + size
        return ahead

    def look(self, shown: int, believed: Believed) -> None:
        """So much is displayed at its price now, which tells how many stand before."""
        self.ahead, self.shown, self.traded = max(believed(self, shown), 0), shown, 0


def conservative(queue: Queue, shown: int) -> float:
    """What leaves the queue stood behind the order, unless so little is left.

    Who joins later stands behind.
    """
    return shown if queue.ahead is None else min(queue.ahead, shown)


def probabilistic(power: float) -> Believed:
    """What leaves the queue without a trade stood ahead or behind by their sizes.

    The share that stood behind is behind^power / (ahead^power + behind^power): who
    waits in front cancels more rarely (the queue models of hftbacktest, 2023).
    """

    def ahead(queue: Queue, shown: int) -> float:
        if queue.ahead is None:
            return shown
        left = queue.shown - shown - queue.traded
        if left <= 0:
            return min(queue.ahead, shown)
        behind = max(queue.shown - queue.ahead, 0.0)
        weights = queue.ahead**power + behind**power
        share = behind**power / weights if weights > 0 else 1.0
        short = min(behind - share * left, 0.0)
        return max(min(queue.ahead - (1.0 - share) * left + short, shown), 0.0)

    return ahead
