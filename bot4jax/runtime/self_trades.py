"""No order trades with another of ours, as exchanges see to it (self-trade prevention).

Before one takes at a price at which another rests, or at a worse one, one of the two
ends. Of one that only reduces the resting one does (cancel resting); any other ends
itself (cancel newest), so that what opens never ends what protects.
"""

from typing import NamedTuple

import msgspec

from bot4jax.runtime.orders import Order
from bot4jax.runtime.resting import Live, Resting
from bot4jax.types import BUY


class SelfTrades(NamedTuple):
    """What an order meets of ours that rest, and which of them end."""

    resting: Resting
    prevents: bool = True
    """else an order trades with the market alone, through whatever of ours rests"""

    def met(self, order: Order, price: int) -> list[Live]:
        """Those in the book that it must not trade with by the time it has come to this
        price, 0: to any."""
        if not self.prevents or not (own := self.resting.by_symbol.get(order.symbol)):
            return []
        reaching = msgspec.structs.replace(order, limit=price)
        return [one for one in own if meets(reaching, one.order)]

    def is_ended(self, order: Order, price: int) -> bool:
        """Whether it ends itself before it takes at this price, 0: at any."""
        return not order.reduce_only and bool(self.met(order, price))

    def yielding(self, order: Order, price: int) -> list[Live]:
        """Those that end before it takes at this price, 0: at any."""
        return self.met(order, price) if order.reduce_only else []


def meets(order: Order, own: Order) -> bool:
    """Whether both could trade with each other, at whatever price there is."""
    if order.side == own.side:
        return False
    buy, sell = (order, own) if order.side == BUY else (own, order)
    return not buy.limit or not sell.limit or buy.limit >= sell.limit
