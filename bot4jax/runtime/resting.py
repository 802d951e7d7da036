"""Orders that rest in a venue's book, and who of them comes first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from bot4jax.runtime.orders import Order
from bot4jax.types import BUY


@dataclass
class Live:
    """An order in the book, or on its way into it."""

    order: Order
    left: int
    fills: int = 0
    ahead: int | None = None
    """lots displayed before it at its price; None: unknown, wait for a trade beyond"""


@dataclass
class Resting:
    """Live orders by slot, first come first."""

    by_symbol: dict[int, list[Live]] = field(default_factory=dict)
    by_id: dict[str, Live] = field(default_factory=dict)

    def add(self, live: Live) -> None:
        self.by_id[live.order.id] = live
        self.by_symbol.setdefault(live.order.symbol, []).append(live)

    def remove(self, live: Live) -> None:
        del self.by_id[live.order.id]
        others = self.by_symbol[live.order.symbol]
        others.remove(live)
        if not others:
            del self.by_symbol[live.order.symbol]


def by_priority(resting: Sequence[Live]) -> list[Live]:
    """The better price first, then the earlier; a copy, as orders may leave."""

    def rank(live: Live) -> int:
        return -live.order.limit if live.order.side == BUY else live.order.limit

    return sorted(resting, key=rank)


def is_beyond(price: int, order: Order) -> bool:
    """The price is worse for the order than its limit."""
    return price > order.limit if order.side == BUY else price < order.limit
