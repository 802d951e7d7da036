"""The quotes that stand, on the host: what the gate compares prices with.

Beside them, how much has traded since the first tick.
"""

import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe
from bot4jax.runtime.context import Market
from bot4jax.runtime.displayed import Displayed
from bot4jax.runtime.mids import Mids, MidsHeard
from bot4jax.runtime.orders import LARGEST
from bot4jax.runtime.terms import ChangedTerms, converted, ratio, universe_after
from bot4jax.types import NEVER, QUOTE, TRADE


class Quotes:
    """Last quote, its time and the trading status of every slot."""

    def __init__(self, universe: Universe, shows_trades: bool = False) -> None:
        """`shows_trades`: before the first one, nothing has traded; else that is not
        known until one comes."""
        slots = len(universe.instruments)
        self._universe = universe
        self._displayed = Displayed(slots)
        self._quote_ns = np.full(slots, NEVER, np.int64)
        self._mids = MidsHeard(slots)
        self._volume = np.zeros(slots, np.int64)
        self._since_ns: int | None = None
        """event time of the first tick to arrive"""
        self._has_trades = shows_trades

    def absorb(self, records: np.ndarray) -> None:
        """Take in accepted `TICK` records in their order."""
        self.restate(records)
        if len(records):
            trades = records[records["kind"] == TRADE]
            self.count(trades["symbol"], trades["b"], int(records["event_ns"][0]))

    def restate(self, records: np.ndarray) -> None:
        """Take in what they state, but not once more what they have traded."""
        self._displayed.absorb(records)
        quotes = records[records["kind"] == QUOTE]
        self._quote_ns[quotes["symbol"]] = quotes["event_ns"]
        self._mids.hear(quotes)

    def count(
        self, slots: Int[np.ndarray, " n"], lots: Int[np.ndarray, " n"], from_ns: int
    ) -> None:
        """Lots that have traded at `from_ns` or later."""
        if self._since_ns is None:
            self._since_ns = from_ns
        if len(slots):
            np.add.at(self._volume, slots, lots)
            self._has_trades = True

    def hear(self, event: ChangedTerms) -> None:
        """What was quoted is no price any more, and what was traded is in old lots."""
        self._displayed.forget([event.symbol])
        self._mids.forget(event.symbol)
        lots = ratio(self._universe.instruments[event.symbol], event).lots
        traded = int(self._volume[event.symbol])
        is_counted = traded * lots <= LARGEST
        whole = converted(traded, lots)[0] if is_counted else LARGEST
        self._volume[event.symbol] = whole
        self._universe = universe_after(self._universe, [event])

    def recount(self, slot: int) -> None:
        """What was traded there is in nobody knows which lots: it counts as nothing."""
        self._volume[slot] = 0

    def mids(self) -> Mids:
        """As they have stood since this was asked last."""
        return self._mids.taken(self._displayed.quotes)

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
            volume=self._volume.copy() if self._has_trades else None,
            since_ns=self._since_ns or 0,
        )
