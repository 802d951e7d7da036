"""How far mids move against what rested, once it has traded: adverse selection.

A resting order earns half a spread and keeps of it what the mid does not take back:
who traded with it may have known more (Glosten & Milgrom 1985). The effective half
spread is the realised one and this, together (Huang & Stoll 1996). Nobody knows it
before some bars have passed, and it is booked then, of the mids that stood.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.data.universe import Universe, notional, profit


class Rested(NamedTuple):
    """A fill of an order that rested."""

    slot: int
    lots: int
    """signed"""
    mid: float
    """before the trade, quote currency"""
    price: float


class Adverse:
    """Sums over the fills whose bars are over, by slot, settlement currency."""

    def __init__(self, slots: int, bars: int) -> None:
        """`bars`: whole ones between a fill's own bar and the look at the mid."""
        self.turnover = np.zeros(slots)
        self.earned = np.zeros(slots)
        """from the prices to the mids before the trades"""
        self.lost = np.zeros(slots)
        """from those mids to the later ones; negative: they moved in our favour"""
        self._open: list[Rested] = []
        self._waiting: deque[list[Rested]] = deque([[] for _ in range(bars)])

    def add(self, fill: Rested) -> None:
        """A fill of the bar that closes next; unknown mids tell nothing."""
        if math.isfinite(fill.mid):
            self._open.append(fill)

    def look(self, universe: Universe, mids: Float[np.ndarray, " S"]) -> None:
        """A bar has closed; the last known mids stand, in quote currency."""
        self._waiting.append(self._open)
        self._open = []
        for one in self._waiting.popleft():
            if math.isfinite(now := float(mids[one.slot])):
                self._book(universe, one, now)

    def forget(self, slot: int) -> None:
        """Its prices are of other terms from now on."""
        self._open = _without(slot, self._open)
        self._waiting = deque(_without(slot, one) for one in self._waiting)

    def _book(self, universe: Universe, one: Rested, now: float) -> None:
        instrument = universe.instruments[one.slot]
        self.turnover[one.slot] += abs(notional(instrument, one.lots, one.price))
        self.earned[one.slot] += profit(instrument, one.lots, one.price, one.mid)
        self.lost[one.slot] -= profit(instrument, one.lots, one.mid, now)


def _without(slot: int, fills: list[Rested]) -> list[Rested]:
    return [one for one in fills if one.slot != slot]
