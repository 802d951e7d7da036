"""Large orders in slices: one a step, each of its own id, all of one journaled parent.

A schedule is a pace, not a promise: each slice is what is still wanted, at most its
share, and passes the gate by itself. It ends with its last slice, or when the target
turns or the instrument's terms change. Where slices would be too small for the venue
there are fewer of them.
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from jaxtyping import Int

from bot4jax.runtime.orders import Lots, OrderId, Side, Slot, order_id
from bot4jax.types import BUY, SELL

PARENT_LEG = 4
"""Sets the ids of schedules apart from those of orders of the same step."""

Leasts = Callable[[], Int[np.ndarray, " S"]]
"""The fewest lots that the venue takes, by slot."""


class Schedule(msgspec.Struct, frozen=True):
    """So many lots in equal slices (TWAP), whole lots each."""

    id: OrderId
    symbol: Slot
    side: Side
    lots: Lots
    slices: int
    step: int
    """of the first slice"""

    def due(self, step: int) -> int:
        """Lots of this step's slice; together they are all."""
        k = step - self.step
        if not 0 <= k < self.slices:
            return 0
        return self.lots * (k + 1) // self.slices - self.lots * k // self.slices


class Schedules:
    """The schedules at work, by slot."""

    def __init__(self, slices: int, run: str) -> None:
        self._slices, self._run = slices, run
        self._working: dict[int, Schedule] = {}
        self._paced: dict[int, Schedule] = {}
        """the same as the step that is being decided would have it"""
        self.begun: list[Schedule] = []
        self.ended: list[OrderId] = []
        """both in that step"""
        self._dropped: set[int] = set()

    def drop(self, slots: Iterable[int]) -> None:
        """Their lots mean something else now: the next step ends what is at work."""
        self._dropped |= set(slots)

    def remember(self, begun: Sequence[Schedule], ended: Sequence[OrderId]) -> None:
        """What a step has ended and begun, once that is journaled."""
        self._dropped.clear()
        working = self._working.values()
        self._working = {one.symbol: one for one in working if one.id not in ended}
        self._working |= {one.symbol: one for one in begun}

    def paced(
        self, opening: Int[np.ndarray, " S"], step: int, leasts: Leasts
    ) -> Int[np.ndarray, " S"]:
        """What of the wanted signed lots may leave in this step."""
        self.begun, self.ended, self._paced = [], [], dict(self._working)
        if self._slices == 1:
            return opening
        for symbol, one in self._working.items():
            turned = int(opening[symbol]) * (1 if one.side == BUY else -1) <= 0
            is_over = turned or step - one.step >= one.slices
            if is_over or symbol in self._dropped:
                self.ended.append(self._paced.pop(symbol).id)
        wanted, least = abs(opening), leasts()
        is_small = wanted < least
        due = np.where(is_small, wanted, 0)  # too little altogether: for who denies it
        for symbol in np.flatnonzero(wanted * ~is_small).tolist():
            slices = fitting(self._slices, int(wanted[symbol]), int(least[symbol]))
            one = self._at_work(symbol, int(opening[symbol]), slices, step)
            due[symbol] = one.due(step)
        return np.sign(opening) * np.minimum(wanted, due)

    def parent(self, symbol: int) -> str:
        """The schedule that a slot's opening order is a slice of, or nothing."""
        found = self._paced.get(symbol)
        return "" if found is None else found.id

    def _at_work(self, symbol: int, signed: int, slices: int, step: int) -> Schedule:
        if symbol not in self._paced:
            name = order_id(self._run, step, symbol, PARENT_LEG)
            side = BUY if signed > 0 else SELL
            begun = Schedule(name, symbol, side, abs(signed), slices, step)
            self._paced[symbol] = begun
            self.begun.append(begun)
        return self._paced[symbol]


def fitting(slices: int, lots: Lots, least: Lots) -> int:
    """At most so many slices of `lots`, which are `least` or more, as those are."""
    return min(slices, lots // least) if least > 1 else slices
