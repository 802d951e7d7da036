"""What is held at a venue, in the terms and at the fees that apply now."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe, notional
from bot4jax.runtime.orders import Order
from bot4jax.runtime.terms import ChangedTerms, converted, ratio, universe_after
from bot4jax.types import BUY

Fees = Sequence[tuple[float, float]]
"""(taker, maker) share of notional by slot."""


class Holdings:
    """Positions by slot; an order that only reduces looks at them."""

    def __init__(self, universe: Universe, fees: Fees) -> None:
        self.universe, self.fees = universe, fees
        slots = len(universe.instruments)
        self.position: Int[np.ndarray, " S"] = np.zeros(slots, np.int64)
        """lots, negative: owed"""

    def room(self, order: Order) -> int:
        """Lots a reduce-only order may trade now."""
        held = int(self.position[order.symbol])
        return max(-held if order.side == BUY else held, 0)

    def is_idle(self, order: Order) -> bool:
        """It only reduces, and has nothing left to reduce."""
        return order.reduce_only and not self.room(order)

    def trade(self, order: Order, lots: int) -> None:
        """So much of the order has traded."""
        self.position[order.symbol] += lots if order.side == BUY else -lots

    def fee(self, symbol: int, lots: int, price: int, is_maker: bool) -> float:
        """Settlement currency, of a trade at a price in increments."""
        instrument = self.universe.instruments[symbol]
        worth = notional(instrument, lots, price * instrument.increment)
        return worth * self.fees[symbol][is_maker]

    def change(self, event: ChangedTerms, fees: Callable[[Universe], Fees]) -> None:
        """New terms: what is held is counted anew."""
        slot = event.symbol
        lots = ratio(self.universe.instruments[slot], event).lots
        self.position[slot], _ = converted(int(self.position[slot]), lots)
        self.universe = universe_after(self.universe, [event])
        self.fees = fees(self.universe)
