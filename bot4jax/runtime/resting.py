"""Orders that rest in a venue's book or sleep beside it, and who comes first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bot4jax.runtime.orders import TRIGGERED_KINDS, Order
from bot4jax.runtime.queues import Queue
from bot4jax.types import BUY, QUOTE


@dataclass(eq=False)
class Live:
    """An order in the book, or on its way into it."""

    order: Order
    left: int
    fills: int = 0
    replaced: int = 0
    queue: Queue = field(default_factory=Queue)
    """at its price"""

    @property
    def done(self) -> int:
        """Lots that have traded."""
        return self.order.lots - self.left


@dataclass
class Resting:
    """Live orders by slot, first come first; those that sleep are kept apart."""

    by_symbol: dict[int, list[Live]] = field(default_factory=dict)
    asleep: dict[int, list[Live]] = field(default_factory=dict)
    by_id: dict[str, Live] = field(default_factory=dict)
    """of an id that was taken twice, at a venue that does not dedupe, one of both"""

    def add(self, live: Live, *, is_asleep: bool = False) -> None:
        self.by_id[live.order.id] = live
        shelf = self.asleep if is_asleep else self.by_symbol
        shelf.setdefault(live.order.symbol, []).append(live)

    def remove(self, live: Live) -> None:
        del self.by_id[live.order.id]
        symbol = live.order.symbol
        for shelf in (self.by_symbol, self.asleep):
            # by identity: two orders of the same terms are not the same
            others = [one for one in shelf.get(symbol, ()) if one is not live]
            shelf[symbol] = others
            if not others:
                del shelf[symbol]
            twins = [one for one in others if one.order.id == live.order.id]
            self.by_id.update({one.order.id: one for one in twins})

    def holds(self, live: Live) -> bool:
        """Whether this very order rests or sleeps, and not only another of its id."""
        named = self.by_id.get(live.order.id)
        return named is live or (named is not None and live in self._twins())

    def all(self) -> list[Live]:
        """Every one, whatever it is called."""
        return [*self.by_id.values(), *self._twins()]

    def rivals(self, order: Order) -> list[Live]:
        """The others of an order's group."""
        if not order.group:
            return []
        same = (one for one in self.all() if one.order.group == order.group)
        return [one for one in same if one.order.id != order.id]

    def _twins(self) -> list[Live]:
        """Those whose id another bears too, and is found by."""
        shelves = [*self.by_symbol.values(), *self.asleep.values()]
        if sum(map(len, shelves)) == len(self.by_id):
            return []
        found = (one for shelf in shelves for one in shelf)
        return [one for one in found if self.by_id[one.order.id] is not one]

    def until_woken(self, records: np.ndarray) -> int:
        """How many records pass until a quote wakes one, itself included."""
        if not self.asleep:
            return len(records)
        symbols = np.fromiter(self.asleep, np.int64)
        is_quote = records["kind"] == QUOTE
        for row in np.flatnonzero(is_quote & np.isin(records["symbol"], symbols)):
            symbol, bid, ask = (
                int(records[row][name]) for name in ("symbol", "a", "b")
            )
            if self.woken(symbol, bid, ask):
                return int(row) + 1
        return len(records)

    def woken(self, symbol: int, bid: int, ask: int) -> list[Live]:
        """Those that this quote wakes."""
        sleeping = self.asleep.get(symbol, ())
        return [one for one in sleeping if is_woken(one.order, bid, ask)]


def by_priority(resting: Sequence[Live]) -> list[Live]:
    """The better price first, then the earlier; a copy, as orders may leave."""

    def rank(live: Live) -> int:
        return -live.order.limit if live.order.side == BUY else live.order.limit

    return sorted(resting, key=rank)


def is_beyond(price: int, order: Order) -> bool:
    """The price is worse for the order than its limit."""
    return price > order.limit if order.side == BUY else price < order.limit


def is_woken(order: Order, bid: int, ask: int) -> bool:
    """Whether a sleeping order wakes at this quote; always, if it does not sleep.

    What counts is the quote that it would trade with: there is always one, and trades
    may be old.
    """
    if order.kind not in TRIGGERED_KINDS:
        return True
    price = ask if order.side == BUY else bid
    waits_for_rise = (order.side == BUY) != (order.kind == "take_profit")
    is_there = price >= order.trigger if waits_for_rise else price <= order.trigger
    return price > 0 and is_there
