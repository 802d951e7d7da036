"""What a traded span leaves behind, taken down as it comes.

Totals are of every step. What is looked at bar by bar, forecasts and features, is kept
of the newest bars alone where the run has no end: then its memory stays as it is.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from bot4jax.kernels.sizing import Clamp
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.orders import (
    Answer,
    Cancelled,
    Expired,
    Fill,
    Order,
    OrderId,
    Reject,
    Replaced,
)
from bot4jax.runtime.stepped import Stepped


class Totals:
    """Counts of what was decided, sent, denied and answered."""

    def __init__(self) -> None:
        self.decisions = self.orders = 0
        self.fills: Counter[int] = Counter()
        """by side"""
        self._denials: Counter[str] = Counter()
        self._parted = 0
        self._open: dict[OrderId, tuple[int, int]] = {}
        """lots, and how many of them have traded"""

    def decide(
        self,
        flags: Int[np.ndarray, " S"],
        orders: Sequence[Order],
        denied: Iterable[Denied],
    ) -> None:
        """One step; a symbol that is not live is not decided upon."""
        self.decisions += int((flags & Clamp.NOT_LIVE == 0).sum())
        self.orders += len(orders)
        self._open |= {one.id: (one.lots, 0) for one in orders}
        for one in denied:
            self._denials[one.reason.name] += len(one.symbols)

    def hear(self, answers: Iterable[Answer]) -> None:
        """What the venue has said of orders before."""
        for one in answers:
            if isinstance(one, Fill):
                self._fill(one)
            elif isinstance(one, Replaced):
                self._replace(one)
            elif isinstance(one, Cancelled | Expired | Reject):
                _, done = self._open.pop(one.order, (0, 0))
                self._parted += done > 0

    @property
    def partial_fills(self) -> int:
        """Orders of which something, but not everything, was traded."""
        return self._parted + sum(done > 0 for _, done in self._open.values())

    @property
    def denials(self) -> dict[str, int]:
        """How often each reason stopped an order or made it smaller, by its name."""
        return dict(sorted(self._denials.items()))

    def _fill(self, fill: Fill) -> None:
        self.fills[fill.side] += 1
        if fill.order not in self._open:
            return
        lots, done = self._open[fill.order]
        self._keep(fill.order, lots, done + fill.lots)

    def _replace(self, one: Replaced) -> None:
        """What is whole goes by the size that holds by then."""
        if one.order in self._open:
            _, done = self._open[one.order]
            self._keep(one.order, one.lots, done)

    def _keep(self, order: OrderId, lots: int, done: int) -> None:
        if done < lots:
            self._open[order] = lots, done
        else:
            del self._open[order]


class Leavings:
    """The totals, and the newest steps whole."""

    def __init__(self, members: int, newest: int | None = None) -> None:
        """`members` of the ensemble; `newest`: how many steps are kept, None: all."""
        self._members = members
        self.totals = Totals()
        self.steps: deque[Stepped] = deque(maxlen=newest)

    def add(self, stepped: Stepped) -> None:
        """A step that was decided, or remembered whole."""
        self.totals.hear(stepped.answers)
        self.totals.decide(stepped.decided.flags, stepped.orders, stepped.denied)
        self.steps.append(stepped)

    def pass_over(self, record: StepRecord) -> None:
        """A journaled step that the device was not asked about again."""
        self.totals.hear(record.answers)
        flags = unpacked(record, self._members).flags
        self.totals.decide(flags, record.orders, record.denied)
