"""Orders that repeat themselves: a loop gone wild, or fills that nobody books.

Alike are orders of one symbol, side, size and price. Slices of one schedule, which are
as many as it says, count as one, and an order that met nobody for as long as it was to
stand counts no longer: to ask again is patience, and the gate's budget bounds it. One
too many stops the engine: what would open something is denied, what only reduces leaves
first. What was sent and answered is known from the journal, so a restart does not
forget it.
"""

from collections import deque
from collections.abc import Sequence

from bot4jax.runtime.limits import Limits
from bot4jax.runtime.orders import Answer, Cancelled, Expired, Kind, Order
from bot4jax.runtime.tracking import Tracked

Likeness = tuple[int, int, int, int, int]
"""symbol, side, lots, limit, trigger"""

BRIEF_KINDS: frozenset[Kind] = frozenset({"market", "ioc", "fok"})
"""Trade on arrival or not at all: their end is their own."""


class Throttle:
    """What was sent within the last `repeat_seconds` of event time."""

    def __init__(self, limits: Limits) -> None:
        self._most, self._span_ns = limits.repeats, limits.repeat_seconds * 1e9
        self._sent: deque[tuple[int, str]] = deque()
        """times and ids"""
        self._counted: dict[str, tuple[Likeness, str]] = {}
        """what each of them was, as it left, and what it comes from"""
        self._intents: dict[Likeness, dict[str, int]] = {}
        """how many orders alike come from what"""

    def note(self, order: Order) -> None:
        """An order leaves, or had left before a restart."""
        alike, own = likeness(order), intent(order)
        self._sent.append((order.sent_ns, order.id))
        self._counted[order.id] = alike, own
        intents = self._intents.setdefault(alike, {})
        intents[own] = intents.get(own, 0) + 1

    def excuse(self, order: str) -> None:
        """The order of this id counts no longer."""
        if (found := self._counted.pop(order, None)) is None:
            return
        alike, own = found
        intents = self._intents[alike]
        intents[own] -= 1
        if not intents[own]:
            del intents[own]
        if not intents:
            del self._intents[alike]

    def admitted(
        self, orders: Sequence[Order], now_ns: int
    ) -> tuple[list[Order], list[Order]]:
        """Those that are few enough of a kind, and those that are one too many."""
        self._forget(now_ns)
        kept, over = list[Order](), list[Order]()
        leaving = dict[Likeness, set[str]]()
        for one in orders:
            alike = likeness(one)
            known = leaving.setdefault(alike, set(self._intents.get(alike, ())))
            if intent(one) not in known and len(known) >= self._most:
                over.append(one)
                continue
            kept.append(one)
            known.add(intent(one))
        return kept, over

    def _forget(self, now_ns: int) -> None:
        while self._sent and now_ns - self._sent[0][0] > self._span_ns:
            self.excuse(self._sent.popleft()[1])


def is_in_vain(tracked: Tracked, answer: Answer) -> bool:
    """Whether this answer ends an order as we had it, with nothing traded.

    A venue that ends orders that were to stand longer refuses them, by another name;
    what protects a position is not taken back over and over.
    """
    order = tracked.order
    if tracked.filled or order.group:
        return False
    if isinstance(answer, Cancelled):
        return tracked.taken_back.times > 0
    if isinstance(answer, Expired):
        return order.kind in BRIEF_KINDS or 0 < order.expires_ns <= answer.event_ns
    return False


def intent(order: Order) -> str:
    """What it comes from: the schedule that it is a slice of, or itself."""
    return order.parent or order.id


def likeness(order: Order) -> Likeness:
    """What makes two orders the same but for their time."""
    return order.symbol, order.side, order.lots, order.limit, order.trigger
