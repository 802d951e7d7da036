"""The quotes that stand, on the host: what the gate compares prices with."""

from collections.abc import Sequence

import numpy as np

from bot4jax.data.universe import Universe
from bot4jax.runtime.displayed import Displayed
from bot4jax.runtime.gate import Market
from bot4jax.types import QUOTE

NEVER = -(2**62)
"""Event time of a quote that has not been seen."""


class Quotes:
    """Last quote, its time and the trading status of every slot."""

    def __init__(self, universe: Universe) -> None:
        slots = len(universe.instruments)
        self._displayed = Displayed(slots)
        self._quote_ns = np.full(slots, NEVER, np.int64)

    def absorb(self, records: np.ndarray) -> None:
        """Take in accepted `TICK` records in their order."""
        self._displayed.absorb(records)
        quotes = records[records["kind"] == QUOTE]
        self._quote_ns[quotes["symbol"]] = quotes["event_ns"]

    def forget(self, slots: Sequence[int]) -> None:
        """Their terms have changed: what was quoted is no price any more."""
        self._displayed.quotes[list(slots)] = 0

    def market(self) -> Market:
        """A copy that later records do not change."""
        bid, ask, bid_size, ask_size = self._displayed.quotes.T.copy()
        return Market(
            bid=bid,
            ask=ask,
            quote_ns=self._quote_ns.copy(),
            status=self._displayed.status.copy(),
            bid_size=bid_size,
            ask_size=ask_size,
        )
