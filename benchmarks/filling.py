"""A venue that fills every order whole at its limit, so that no time is spent there.

It is in the engine's own process, where sending is no more than packing; `filler.py`
puts it behind sockets.
"""

from collections.abc import Sequence

import numpy as np

from bot4jax.runtime.messages import Reference, pack
from bot4jax.runtime.orders import Answer, Cancel, Fill, Order
from bot4jax.runtime.recovery import Plan
from bot4jax.runtime.venue_messages import Inquiry, Statement, Step


class FillingVenue:
    """Orders are encoded as they would leave; their fills come before the next step."""

    def __init__(self, symbols: int) -> None:
        self._symbols = symbols
        self._answers: list[Answer] = []

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        """It needs no market."""

    def ask(self, inquiry: Inquiry) -> Statement:
        return Statement(
            version=inquiry.version,
            run="",
            step=0,
            is_reported=True,
            dedupes=True,
            prevents_self_trades=True,
            is_paper=True,
            epoch=1,
            positions=[0] * self._symbols,
        )

    def resume(self, last: Step, plan: Plan) -> None:
        raise AssertionError("nobody goes on with a benchmark")

    def send(self, step: Step) -> None:
        pack(step)
        self._answers = filled(step)

    def take_back(self, cancels: Sequence[Cancel]) -> Sequence[Answer]:
        """Nothing ever rests."""
        return ()

    def settle(self, through_ns: int) -> Sequence[Answer]:
        answers, self._answers = self._answers, []
        return answers

    @property
    def positions(self) -> None:
        """It keeps no account."""
        return None

    def beat(self) -> None:
        """It waits for nobody."""

    def close(self) -> None:
        """Nothing is open."""


def filled(step: Step) -> list[Answer]:
    """Every order of a step, at its boundary."""
    return [
        Fill(
            one.id,
            one.symbol,
            one.side,
            one.lots,
            one.limit,
            fee=0.0,
            is_maker=False,
            event_ns=step.boundary_ns,
        )
        for one in step.orders
        if isinstance(one, Order)
    ]
