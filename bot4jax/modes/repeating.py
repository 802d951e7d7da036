"""A run gone through once more by its journal, as a restart does, and compared.

Bars come from what was recorded; the venue's answers, what left, who decided and the
state judged by from the journal. So no venue takes part, and what would leave otherwise
in one step makes no difference in the next; what the device remembers is its own. The
gate is asked about the journal's decisions too: without nets, what comes of those does
not depend on the machine.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.errors import DataError
from bot4jax.modes.keeping import Kept
from bot4jax.modes.making import make_account, make_decider
from bot4jax.modes.setting import Setting
from bot4jax.runtime.account import Account
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import voice_of
from bot4jax.runtime.decider import Decider, packed_bytes
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import Closing, StepRecord, packed
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.orders import Change, Order, OrderId
from bot4jax.runtime.schedule import Schedule
from bot4jax.runtime.states import States, Transition
from bot4jax.runtime.stepped import Stepped, stepped
from bot4jax.runtime.tracking import OrderError


class Comparison(NamedTuple):
    """A run and its repetition, step by step."""

    steps: int = 0
    decisions_differ: int = 0
    """steps whose decisions are not the same bits"""
    worst: float = 0.0
    """largest difference of any number in them"""
    orders: int = 0
    """of the journal"""
    orders_differ: int = 0
    """steps whose own decisions would let other orders or requests leave"""
    gated_again_differ: int = 0
    """steps of whose journaled decisions the gate makes other orders, denials,
    requests or schedules"""

    @property
    def is_equal(self) -> bool:
        return not (
            self.decisions_differ or self.orders_differ or self.gated_again_differ
        )


class Gated(NamedTuple):
    """What the gate has made of wishes."""

    orders: Sequence[Order]
    requests: Sequence[Change]
    begun: Sequence[Schedule]
    ended: Sequence[OrderId]
    denied: Sequence[tuple]
    """reason, slots and lots of each"""

    @property
    def leaving(self) -> tuple[Sequence[Order], Sequence[Change]]:
        return self.orders, self.requests


def journaled(record: StepRecord) -> Gated:
    """What the gate has made of a step's wishes then."""
    return Gated(
        list(record.orders),
        list(record.requests),
        list(record.schedules),
        list(record.ended),
        [(one.reason, *packed(one)) for one in record.denied],
    )


def gated(
    account: Account,
    closed: Closed,
    equity: EquityRow,
    record: StepRecord,
    intent: Float[np.ndarray, " S"],
) -> Gated:
    """What the gate makes of wishes now, where the account has recalled the step."""
    held, limits = account.portfolio.held(), account.within(closed, equity)
    wished = np.ascontiguousarray(intent)
    orders, denied, requests = account.gated(
        closed, wished, held, limits, record.step, record.state
    )
    own, plain = account.schedules, [(one.reason, *packed(one)) for one in denied]
    return Gated(orders, requests, own.begun, own.ended, plain)


class Repeating:
    """A run's device and account, from its checkpoint on."""

    def __init__(self, decider: Decider, account: Account, members: int) -> None:
        """`members` of the ensemble."""
        self.decider, self.account = decider, account
        self._members = members
        self.found = Comparison()
        """of the steps so far"""

    def through(
        self, bars: Iterable[Closed], steps: Iterable[StepRecord]
    ) -> Iterator[Stepped]:
        """Every journaled step on its bar."""
        coming = iter(bars)
        for record in steps:
            if (closed := next(coming, None)) is None:
                raise DataError(
                    f"Step {record.step} was decided on bar {record.bar}, but what is "
                    "recorded of the run ends before that bar."
                )
            check_fit(closed, record)
            yield self.repeat(closed, record)

    def repeat(self, closed: Closed, record: StepRecord) -> Stepped:
        """A step decided and gated again, compared, and gone on from as it was."""
        own, looked = self.account, self.decider.observe(closed)
        own.states.begin(record.step)
        try:
            equity = own.recall(closed, record)
        except OrderError as error:
            raise DataError(f"Step {record.step} of the journal: {error}") from error
        held = own.portfolio.held()
        known = unpacked(record, self._members)
        raw = self.decider.repeat(closed, looked, held, voice_of(known.flags))
        self.decider.follow_up(closed)
        decided, then = self.decider.unpacked(raw, held), journaled(record)
        now = gated(own, closed, equity, record, known.intent)
        ours, gap = now, None
        if packed_bytes(raw) != record.decisions:
            ours = gated(own, closed, equity, record, decided.intent)
            gap = largest_gap(raw, record.decisions)
        self._count(then, now, ours, gap)
        own.leave(closed, record)
        return stepped(closed, decided, record, equity, self.decider.shown(looked))

    def _count(self, then: Gated, now: Gated, ours: Gated, gap: float | None) -> None:
        """`now`: of the journal's decisions, `ours`: of our own; `gap` between both."""
        found = self.found
        self.found = Comparison(
            steps=found.steps + 1,
            decisions_differ=found.decisions_differ + (gap is not None),
            worst=max(found.worst, gap or 0.0),
            orders=found.orders + len(then.orders),
            orders_differ=found.orders_differ + (ours.leaving != then.leaving),
            gated_again_differ=found.gated_again_differ + (now != then),
        )


def repeating_of(setting: Setting, kept: Kept, journal: Journal) -> Repeating:
    """The checkpoint's device and the configured account, told of the journal's resets;
    its run names the orders."""
    account = make_account(setting, journal.run, only_resets(journal.transitions()))
    return Repeating(
        make_decider(setting, kept), account, len(setting.settings.members)
    )


def only_resets(past: Iterable[Transition]) -> States:
    """Of what was noted then, what a step's own state does not say."""
    return States(lambda transition: None, (one for one in past if one.is_reset))


def check_fit(closed: Closed, record: StepRecord) -> None:
    """Refuse a bar that is not the one on which the step was decided."""
    closing = Closing(closed.watermark_ns, closed.ticks, closed.late)
    found = closed.bar, closed.boundary_ns, closing
    if found != (record.bar, record.boundary_ns, record.closing):
        then = record.closing
        raise DataError(
            f"Step {record.step} was decided on bar {record.bar} with {then.ticks} "
            f"ticks ({then.late} late), but what is recorded of the run makes bar "
            f"{closed.bar} with {closed.ticks} ({closed.late} late): journal and "
            "record are not of one run."
        )


def largest_gap(raw: Float[np.ndarray, " P"], known: bytes) -> float:
    """Between any two numbers of the same decisions; those that are none left out."""
    ours, theirs = raw.astype(np.float64), np.frombuffer(known, "<f4")
    with np.errstate(invalid="ignore"):  # two infinities
        return float(np.nanmax(np.abs(ours - theirs), initial=0.0))
