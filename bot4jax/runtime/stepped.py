"""What one step of the loop did, for whoever tells of it."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple

import jax

from bot4jax.decisions import Decided
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.decider import Shown
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.orders import Answer, Order


class Stepped(NamedTuple):
    """What one step did."""

    step: int
    """number of the decision, from 1 on"""
    closed: Closed
    decided: Decided
    orders: Sequence[Order]
    denied: Sequence[Denied]
    answers: Sequence[Answer]
    equity: EquityRow
    shown: Future[Shown]
    """what the bar looked like, once the device has seen it"""

    @property
    def values(self) -> jax.Array:
        """Feature scores `[S, F]`, still on the device."""
        return self.shown.result().values

    @property
    def volatility(self) -> jax.Array:
        """Of one bar's log return `[S]`, still on the device."""
        return self.shown.result().volatility


def stepped(
    closed: Closed,
    decided: Decided,
    record: StepRecord,
    equity: EquityRow,
    shown: Future[Shown],
) -> Stepped:
    """The step that a record tells of; its fills are booked, and the bar's mids let
    go."""
    return Stepped(
        record.step,
        closed._replace(mids=None),
        decided,
        record.orders,
        record.denied,
        record.answers,
        equity,
        shown,
    )
