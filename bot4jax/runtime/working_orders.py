"""Orders that were sent and what has become of them, by the venue's answers alone.

Those that are over are remembered for a while, to know a repeated answer.
"""

from collections import deque
from collections.abc import Iterable

import numpy as np

from bot4jax.runtime.orders import (
    Cancel,
    Fill,
    Kind,
    Order,
    OrderAnswer,
    OrderId,
    Query,
    Replace,
)
from bot4jax.runtime.patience import NEVER_ASKED, REFUSED_NS, Asked
from bot4jax.runtime.tracking import (
    OrderError,
    OrderState,
    Tracked,
    asked,
    doubted,
    follow,
    taken_back,
)
from bot4jax.types import BUY


class WorkingOrders:
    """Of one account."""

    def __init__(self, slots: int, kept: int) -> None:
        """`kept`: how many are remembered."""
        self.by_id: dict[str, Tracked] = {}
        self.buys = np.zeros(slots, np.int64)
        """lots that may still be bought, by slot"""
        self.sells = np.zeros(slots, np.int64)
        self._eldest = deque[str]()
        """their names, oldest first: a dict finds its first key by walking over all
        that were taken out before it"""
        self._unfinished: dict[str, None] = {}
        """names of the open ones, in the order they were sent"""
        self._groups: dict[str, list[str]] = {}
        """names of those of each group"""
        self._refused: dict[tuple[int, int, Kind], Asked] = {}
        """orders of groups that the venue rejected one after the other, by slot and
        side"""
        self._references: dict[str, float] = {}
        self._kept = kept

    def ids(self) -> list[str]:
        """Of those that may still trade."""
        return list(self._unfinished)

    def still_open(self) -> list[Tracked]:
        """Those that may still trade, in the order they were sent."""
        return [self.by_id[name] for name in self._unfinished]

    def expect(self, order: Order, reference: float = np.nan) -> None:
        """An order is about to leave; `reference` is the mid it was decided at."""
        if order.id in self.by_id:
            raise OrderError(f"Order {order.id} was sent before.")
        first = NEVER_ASKED.again(order.sent_ns)
        self.by_id[order.id] = Tracked(order, asked=first)
        self._eldest.append(order.id)
        self._unfinished[order.id] = None
        if order.group:
            self._groups.setdefault(order.group, []).append(order.id)
        self._references[order.id] = reference
        self._open(order, order.lots)
        self._forget()

    def of_group(self, group: str) -> list[Tracked]:
        """All that are remembered of a group, those that are over included."""
        return [self.by_id[name] for name in self._groups.get(group, ())]

    def ask(self, replace: Replace) -> None:
        """Other terms are about to be asked for; the larger size counts meanwhile."""
        before = self.by_id[replace.order]
        self._follow(before, asked(before, replace))

    def doubt(self, query: Query) -> None:
        """An order's first answer is overdue: it is UNKNOWN, and counts as before."""
        before = self.by_id[query.order]
        self._follow(before, doubted(before, query))

    def take_back(self, cancel: Cancel) -> None:
        """An order is about to be cancelled; until it has ended it counts as before.

        Of an order that is not known, in a journal that another made, nothing changes.
        """
        if before := self.by_id.get(cancel.order):
            self._follow(before, taken_back(before, cancel))

    def unanswered(self, step: int, now_ns: int) -> list[Tracked]:
        """Orders of which nothing was heard, that are to be asked for by now."""
        return [
            one
            for name in self._unfinished
            if (one := self.by_id[name]).state <= OrderState.UNKNOWN
            and (one.asked.is_due(now_ns) or one.asked.is_old(step - one.order.step))
        ]

    def cancels(self, names: Iterable[OrderId], now_ns: int) -> list[Cancel]:
        """Of these open orders, but those whose cancel may still be on its way."""
        return [
            Cancel(name, now_ns)
            for name in names
            if self.by_id[name].taken_back.is_due(now_ns)
        ]

    def may_protect(self, slot: int, side: int, kind: Kind, now_ns: int) -> bool:
        """Whether a group's order may be sent: none was refused lately."""
        asked = self._refused.get((slot, side, kind), NEVER_ASKED)
        return asked.is_due(now_ns, REFUSED_NS)

    def begin_position(self, slot: int) -> None:
        """What was refused protected another one, which may have been gone by then."""
        for place in [one for one in self._refused if one[0] == slot]:
            del self._refused[place]

    def hear(self, answer: OrderAnswer) -> bool:
        """Take in the venue's answer; False if it was known already."""
        before = self.by_id.get(answer.order)
        if before is None:
            raise OrderError(f"The venue answers order {answer.order}, never sent.")
        after = follow(before, answer)
        if after is before:
            return False
        self._follow(before, after)
        if before.order.group:
            self._note_refusal(after)
        return True

    def is_known(self, fill: Fill) -> bool:
        """Whether it was heard."""
        known = self.by_id.get(fill.order)
        return known is not None and fill.number < known.fills

    def reference(self, fill: Fill) -> float:
        """The mid that its order was decided at; NaN if none was known."""
        return self._references[fill.order]

    def _follow(self, before: Tracked, after: Tracked) -> None:
        name = before.order.id
        self.by_id[name] = after
        if not after.is_open:
            self._unfinished.pop(name, None)
        elif not before.is_open:
            self._reopen()
        if change := after.left - before.left:
            self._open(before.order, change)

    def _reopen(self) -> None:
        """One that its former size had filled has a larger one: in its old place."""
        still_open = (name for name, one in self.by_id.items() if one.is_open)
        self._unfinished = dict.fromkeys(still_open)

    def _note_refusal(self, one: Tracked) -> None:
        """Counted until the venue takes one."""
        order = one.order
        place: tuple[int, int, Kind] = order.symbol, order.side, order.kind
        if one.state == OrderState.REJECTED:
            before = self._refused.get(place, NEVER_ASKED)
            self._refused[place] = before.again(order.sent_ns)
        else:
            self._refused.pop(place, None)

    def _open(self, order: Order, change: int) -> None:
        """Lots in flight. Those of a group only reduce, and end with one another: they
        never make the worst case worse, and must not bar other reductions."""
        if order.group:
            return
        side = self.buys if order.side == BUY else self.sells
        side[order.symbol] += change

    def _forget(self) -> None:
        """Drop the oldest finished order once more than `kept` are remembered."""
        while len(self.by_id) > self._kept:
            oldest = self._eldest.popleft()
            if self.by_id[oldest].is_open:
                self._eldest.append(oldest)
                return
            self._leave_group(self.by_id[oldest].order)
            del self.by_id[oldest], self._references[oldest]

    def _leave_group(self, order: Order) -> None:
        if not order.group:
            return
        names = self._groups[order.group]
        names.remove(order.id)
        if not names:
            del self._groups[order.group]
