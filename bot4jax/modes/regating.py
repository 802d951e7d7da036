"""Journaled decisions through the gate once more: the orders must be the same.

Decisions, answers and the state judged by come from the journal, quotes from the
recorded ticks, as they stand at each boundary. No net and no venue takes part, so what
comes out does not depend on the machine that it comes out of.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bot4jax.modes.setting import Setting
from bot4jax.modes.trading import make_account
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.gate import Denied
from bot4jax.runtime.journal_rows import StepRecord, packed
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.states import States


class Regated(NamedTuple):
    """How far the gate came to the journal's orders."""

    steps: int
    """of the journal, whose decisions were gated again"""
    orders: int
    differ: int
    """steps whose orders, denials or cancels are not the same, or that never came"""


class Regating:
    """Stands beside a replay and hears of its closed bars."""

    def __init__(self, setting: Setting, run: str, steps: Sequence[StepRecord]) -> None:
        unheard = States(lambda transition: None)
        self._account = make_account(setting, run, unheard)
        self._members, self._steps = len(setting.settings.members), steps
        self._gated = self._differ = self._orders = 0

    def watched(self, bars: Iterable[Closed]) -> Iterator[Closed]:
        """The same bars; each one's journaled decisions are gated in passing."""
        for closed in bars:
            if self._gated < len(self._steps):
                self._take(closed, self._steps[self._gated])
            yield closed

    @property
    def found(self) -> Regated:
        """What came of the steps so far; those still missing differ."""
        missing = len(self._steps) - self._gated
        return Regated(len(self._steps), self._orders, self._differ + missing)

    def _take(self, closed: Closed, record: StepRecord) -> None:
        self._gated += 1
        self._differ += not is_regated(self._account, closed, record, self._members)
        self._orders += len(record.orders)


def is_regated(
    account: Account, closed: Closed, record: StepRecord, members: int
) -> bool:
    """Whether the gate makes of a step's decisions what its journal says.

    The account goes on with the journal's orders, so that a difference stays one.
    """
    for answer in record.answers:
        account.portfolio.apply(answer)
    equity = account.value(closed, record.step)
    account.hear(closed)
    held, limits = account.portfolio.held(), account.within(closed, equity)
    intent = np.ascontiguousarray(unpacked(record, members).intent)
    orders, denied, changes = account.gated(
        closed, intent, held, limits, record.step, record.state
    )
    begun, ended = account.schedules.begun, account.schedules.ended
    account.expect(closed, [*record.requests, *record.orders])
    return (
        closed.boundary_ns == record.boundary_ns
        and orders == list(record.orders)
        and changes == list(record.requests)
        and begun == list(record.schedules)
        and ended == list(record.ended)
        and list(map(_plain, denied)) == list(map(_plain, record.denied))
    )


def _plain(denied: Denied) -> tuple:
    return (denied.reason, *packed(denied))
