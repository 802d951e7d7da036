"""Orders that repeat themselves: a loop gone wild, or fills that nobody books.

Alike are orders of one symbol, side, size and price. What was sent is known from the
journal, so a restart does not forget it.
"""

from collections import deque
from collections.abc import Sequence

from bot4jax.runtime.gate import Denied, denied_orders
from bot4jax.runtime.limits import Limits, Reason
from bot4jax.runtime.orders import Order

Likeness = tuple[int, int, int, int, int]
"""symbol, side, lots, limit, trigger"""


class Throttle:
    """What was sent within the last `repeat_seconds` of event time."""

    def __init__(self, limits: Limits) -> None:
        self._most, self._span_ns = limits.repeats, limits.repeat_seconds * 1e9
        self._sent: deque[tuple[int, Likeness]] = deque()
        self._count: dict[Likeness, int] = {}

    def note(self, order: Order) -> None:
        """An order leaves, or had left before a restart."""
        alike = likeness(order)
        self._sent.append((order.sent_ns, alike))
        self._count[alike] = self._count.get(alike, 0) + 1

    def admitted(
        self, orders: Sequence[Order], now_ns: int
    ) -> tuple[list[Order], list[Denied]]:
        """Those that may leave, and those that would be one too many of a kind."""
        self._forget(now_ns)
        kept, over = list[Order](), list[Order]()
        leaving = dict[Likeness, int]()
        for one in orders:
            alike = likeness(one)
            if self._count.get(alike, 0) + leaving.get(alike, 0) >= self._most:
                over.append(one)
                continue
            kept.append(one)
            leaving[alike] = leaving.get(alike, 0) + 1
        return kept, denied_orders(Reason.REPEATED, over)

    def _forget(self, now_ns: int) -> None:
        while self._sent and now_ns - self._sent[0][0] > self._span_ns:
            _, alike = self._sent.popleft()
            if left := self._count.pop(alike) - 1:
                self._count[alike] = left


def likeness(order: Order) -> Likeness:
    """What makes two orders the same but for their time."""
    return order.symbol, order.side, order.lots, order.limit, order.trigger
