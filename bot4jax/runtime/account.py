"""What the loop trades for: positions, limits and state, and what they make of a wish.

Everything here is host arithmetic in a fixed order, so that the same decisions, answers
and quotes give the same orders on any machine, without a device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from bot4jax.data.universe import Universe
from bot4jax.runtime import context
from bot4jax.runtime.brackets import NO_LEGS, Distances, follow_entries
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.context import Context
from bot4jax.runtime.entitlement import Entitlement
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.gate import Denied, denied_orders
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import Limits, Reason, TradingState
from bot4jax.runtime.orders import (
    Answer,
    Cancel,
    Change,
    Order,
    OrderId,
    Query,
    Replace,
    Request,
)
from bot4jax.runtime.own_orders import afforded, apart, sleepers
from bot4jax.runtime.patience import DESPAIR_NS
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.recent import RecentMids, Said
from bot4jax.runtime.reference import Headlines, slots
from bot4jax.runtime.schedule import Schedules
from bot4jax.runtime.states import Cause, States
from bot4jax.runtime.targets import IOC, Tactic, orders_from_targets
from bot4jax.runtime.terms import changes_terms
from bot4jax.runtime.throttle import Throttle, is_in_vain
from bot4jax.runtime.withdrawing import withdrawn
from bot4jax.types import BUY, TRADING


@dataclass
class Account:
    """What is owned and open, and within which limits it may change."""

    universe: Universe
    portfolio: Portfolio
    limits: Limits
    run: str
    states: States
    tactic: Tactic = IOC
    slices: int = 1
    """steps that an opening order is spread over"""
    distances: Distances = NO_LEGS
    """of the orders that protect every position"""
    doubted: Sequence[int] = ()
    """slots in which something was owned when it changed unheard, as a snapshot tells
    at this boundary"""
    dedupes: bool = True
    """the venue knows ids again, so that it can be asked for an order"""
    prevents_self_trades: bool = True
    """the venue does; else what opens yields to stops and take-profits that sleep"""

    def hear(self, closed: Closed) -> None:
        """What acts from the boundary on, once the bar before it is valued."""
        self.doubted = self.entitlement.hear(closed, self.portfolio)
        self.headlines.hear(closed.events, closed.boundary_ns)
        for event in closed.events:
            self.portfolio.hear(event)
            if changes_terms(event):
                self.mids.forget(slots(event))
                self.schedules.drop(slots(event))

    def book(self, answer: Answer) -> bool:
        """Take in the venue's answer; whether it was news."""
        is_news = self.portfolio.apply(answer)
        tracked = self.portfolio.working.by_id.get(answer.order)
        if is_news and tracked is not None and is_in_vain(tracked, answer):
            self.throttle.excuse(answer.order)
        return is_news

    def recall(self, closed: Closed, record: StepRecord) -> EquityRow:
        """What was said before a journaled step, what is owned by then, and what acts
        from its boundary on."""
        for answer in record.answers:
            self.book(answer)
        self.portfolio.fall_short(closed.mids)
        equity = self.value(closed, record.step)
        self.hear(closed)
        return equity

    def end(
        self, step: int, through_ns: int, answers: Sequence[Answer] = ()
    ) -> EquityRow:
        """What was said after the last step, and what is owned then."""
        for answer in answers:
            self.book(answer)
        unknown = np.full(len(self.portfolio.lots), np.nan)
        return self.portfolio.value(step, through_ns, unknown)

    def value(self, closed: Closed, step: int) -> EquityRow:
        """The account marked to the mids that stand at the boundary."""
        bid, ask = closed.market.bid, closed.market.ask
        self.mids.note(bid, ask, closed.boundary_ns)
        is_quoted = (bid > 0) & (ask >= bid)
        mids = np.where(is_quoted, self._mids(closed), np.nan)
        return self.portfolio.value(step, closed.boundary_ns, mids)

    def gated(
        self,
        closed: Closed,
        intent: Float[np.ndarray, " S"],
        held: Float[np.ndarray, " S"],
        limits: Context,
        step: int,
        state: TradingState,
    ) -> tuple[list[Order], list[Denied], list[Change]]:
        """What the gate lets pass of the wished shares, and what it does not; then
        the orders that protect what is held, and what is asked about earlier ones.
        Orders that repeat themselves stop the engine, and what only reduces leaves
        before it stops; those that protect are denied alone, since to stop would take
        the protection of all others with them.

        `limits`: those of `within`, of this very boundary. What comes of it counts
        once it leaves: until then the same may be gated again.
        """
        limits.state = state
        changes = self._changes(closed, state, step)
        leaving = {one.order for one in changes if isinstance(one, Cancel)}
        protecting = self._protection(closed, state, step, leaving)
        legs = [one for one in protecting if isinstance(one, Order)]
        limits.budget -= len(changes) + len(protecting)
        limits.orders -= len(legs)
        orders, denied = orders_from_targets(
            intent,
            held,
            limits,
            run=self.run,
            step=step,
            boundary_ns=closed.boundary_ns,
            tactic=self.tactic,
            schedules=self.schedules,
        )
        waiting = self.portfolio.working.still_open()
        standing = [one.order for one in waiting]
        asleep = () if self.prevents_self_trades else sleepers([*standing, *legs])
        kept, meeting, met = apart(orders, standing, closed.market, asleep)
        gone = withdrawn(waiting, intent, held, limits) | met
        gone -= {one.order for one in changes}
        names = (one.id for one in standing if one.id in gone)
        cancels = self.portfolio.working.cancels(names, closed.boundary_ns)
        beyond = len(cancels) - (len(orders) - len(kept)) - limits.budget
        kept, late = afforded(kept, beyond)
        kept, repeated = self._unrepeated(kept, closed.boundary_ns)
        legs, over = self.throttle.admitted(legs, closed.boundary_ns)
        repeated += denied_orders(Reason.REPEATED, over)
        changes += cancels
        changes += (one for one in protecting if not isinstance(one, Order))
        return [*kept, *legs], [*denied, *meeting, *late, *repeated], changes

    def within(self, closed: Closed, equity: EquityRow) -> Context:
        """A step's limits in whole lots; nothing passes them until the state is known.

        They are known once the boundary is valued and heard, while the device decides.
        """
        limits, now_ns = self.limits, closed.boundary_ns
        left = limits.messages_per_second - self.said.within_second(now_ns)
        orders = limits.orders_per_second - self.ordered.within_second(now_ns)
        return Context(
            self.portfolio.units,
            limits,
            closed.market,
            context.account(self.portfolio, equity),
            now_ns,
            TradingState.HALTED,
            stale=closed.stale,
            concerned=self.headlines.concerned,
            budget=min(limits.orders_per_step, left),
            orders=orders,
            period=self.mids.period,
        )

    def _changes(self, closed: Closed, state: TradingState, step: int) -> list[Change]:
        """What is asked about earlier orders, whatever is wanted.

        Whatever rests is taken back as long as the engine is halted, and at once what
        rests of instruments whose terms change. An order that nothing was heard of for
        `PATIENCE_STEPS` is asked for.
        """
        now_ns, working = closed.boundary_ns, self.portfolio.working
        events = filter(changes_terms, closed.events)
        changed = {slot for one in events for slot in slots(one)}
        is_halted = state == TradingState.HALTED
        gone = (
            one.order.id
            for one in working.still_open()
            if is_halted or one.order.symbol in changed
        )
        overdue = [
            Query(one.order.id, now_ns)
            for one in working.unanswered(step, now_ns)
            if self.dedupes or now_ns - one.order.sent_ns >= DESPAIR_NS
        ]
        return [*working.cancels(gone, now_ns), *overdue]

    def _protection(
        self, closed: Closed, state: TradingState, step: int, leaving: set[OrderId]
    ) -> list[Request]:
        """What brings stops and take-profits to the positions, where there are any.

        `leaving`: orders that this step takes back.
        """
        if not self.distances.are_any or state == TradingState.HALTED:
            return []
        return follow_entries(
            self.portfolio,
            self.distances,
            closed.market.status == TRADING,
            self.run,
            step,
            closed.boundary_ns,
            leaving,
        )

    def leave(self, closed: Closed, record: StepRecord) -> None:
        """What a step asks for leaves, and what it has begun and ended counts."""
        self.schedules.remember(record.schedules, record.ended)
        self.expect(closed, record.leaving)

    def expect(self, closed: Closed, requests: Sequence[Request]) -> None:
        """Requests leave, decided at the mids of the boundary."""
        mids = self._mids(closed)
        orders = sum(isinstance(one, Order) for one in requests)
        self.said.note(closed.boundary_ns, len(requests))
        self.ordered.note(closed.boundary_ns, orders)
        for one in requests:
            match one:
                case Order():
                    self.throttle.note(one)
                    self.portfolio.working.expect(one, float(mids[one.symbol]))
                case Query():
                    self.portfolio.working.doubt(one)
                case Replace():
                    self.portfolio.working.ask(one)
                case Cancel():
                    self.portfolio.working.take_back(one)
        self.entitlement.leave(closed, self.portfolio)

    def _mids(self, closed: Closed) -> Float[np.ndarray, " S"]:
        increment = self.portfolio.units.increment
        return (closed.market.bid + closed.market.ask) * increment / 2

    def _unrepeated(
        self, orders: Sequence[Order], now_ns: int
    ) -> tuple[list[Order], list[Denied]]:
        """Orders without those that would open the same over and over.

        Whichever is one too many stops the engine, from the next step on.
        """
        _, over = self.throttle.admitted(orders, now_ns)
        if over:
            self.states.hold(Cause.REPEATING, self._said(over[0]))
        barred = [one for one in over if not one.reduce_only]
        names = {one.id for one in barred}
        kept = [one for one in orders if one.id not in names]
        return kept, denied_orders(Reason.REPEATED, barred)

    def _said(self, repeated: Order) -> str:
        name = self.universe.symbols[repeated.symbol]
        signed = repeated.lots if repeated.side == BUY else -repeated.lots
        return (
            f"{self.limits.repeats} orders alike within {self.limits.repeat_seconds:g} "
            f"s, and {signed:+d} lots of {name} once more"
        )

    @cached_property
    def schedules(self) -> Schedules:
        """The slices to come."""
        return Schedules(self.slices, self.run)

    @cached_property
    def throttle(self) -> Throttle:
        """What was sent lately."""
        return Throttle(self.limits)

    @cached_property
    def mids(self) -> RecentMids:
        """Where prices were lately."""
        period_ns = round(self.limits.period_seconds * 1e9)
        return RecentMids(len(self.universe.instruments), period_ns)

    @cached_property
    def said(self) -> Said:
        """How much was asked of the venue lately."""
        return Said()

    @cached_property
    def ordered(self) -> Said:
        """How many orders were among it."""
        return Said()

    @cached_property
    def entitlement(self) -> Entitlement:
        """What missed events may have changed."""
        return Entitlement(len(self.universe.instruments))

    @cached_property
    def headlines(self) -> Headlines:
        """News that lasts."""
        return Headlines(len(self.universe.instruments), self.states.resets)
