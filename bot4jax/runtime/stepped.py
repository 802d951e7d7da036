"""What one step of the loop did, for whoever tells of it."""

from collections.abc import Sequence
from typing import NamedTuple

import jax

from bot4jax.decisions import Decided
from bot4jax.engine import Seen
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.journal import StepRecord
from bot4jax.runtime.orders import Answer, Order


class Stepped(NamedTuple):
    """What one step did."""

    closed: Closed
    decided: Decided
    orders: Sequence[Order]
    denied: Sequence[Denied]
    answers: Sequence[Answer]
    equity: EquityRow
    values: jax.Array
    """feature scores `[S, F]`, still on the device"""
    volatility: jax.Array
    """of one bar's log return `[S]`, still on the device"""


def stepped(
    closed: Closed,
    decided: Decided,
    record: StepRecord,
    equity: EquityRow,
    seen: Seen,
) -> Stepped:
    """The step that a record tells of."""
    return Stepped(
        closed,
        decided,
        record.orders,
        record.denied,
        record.answers,
        equity,
        seen.values,
        seen.risk.volatility,
    )
