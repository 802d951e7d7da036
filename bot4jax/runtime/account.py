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
from bot4jax.runtime import gate
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.gate import Context, Denied
from bot4jax.runtime.limits import Limits, TradingState
from bot4jax.runtime.orders import Cancel, Kind, Order
from bot4jax.runtime.portfolio import EquityRow, Portfolio
from bot4jax.runtime.states import Cause, States
from bot4jax.runtime.targets import orders_from_targets
from bot4jax.runtime.throttle import Throttle


@dataclass
class Account:
    """What is owned and open, and within which limits it may change."""

    universe: Universe
    portfolio: Portfolio
    limits: Limits
    run: str
    states: States
    kind: Kind = "ioc"

    def value(self, closed: Closed, step: int) -> EquityRow:
        """The account marked to the mids that stand at the boundary."""
        bid, ask = closed.market.bid, closed.market.ask
        is_quoted = (bid > 0) & (ask >= bid)
        mids = np.where(is_quoted, self._mids(closed), np.nan)
        return self.portfolio.value(step, closed.boundary_ns, mids)

    def gated(
        self,
        closed: Closed,
        intent: Float[np.ndarray, " S"],
        held: Float[np.ndarray, " S"],
        equity: EquityRow,
        step: int,
        state: TradingState,
    ) -> tuple[list[Order], list[Denied]]:
        """What the gate lets pass of the wished shares, and what it does not."""
        context = Context(
            self.portfolio.units,
            self.limits,
            closed.market,
            gate.account(self.portfolio, equity),
            closed.boundary_ns,
            state,
            stale=closed.stale,
        )
        orders, denied = orders_from_targets(
            intent,
            held,
            context,
            run=self.run,
            step=step,
            boundary_ns=closed.boundary_ns,
            kind=self.kind,
        )
        kept, repeated = self.throttle.parted(orders, closed.boundary_ns)
        if repeated:
            self.states.hold(Cause.REPEATING, self._said(repeated[0]))
        return kept, [*denied, *repeated]

    def cancels(self, closed: Closed, state: TradingState) -> list[Cancel]:
        """Whatever rests is taken back as long as the engine is halted."""
        if state != TradingState.HALTED:
            return []
        waiting = self.portfolio.open_orders()
        return [Cancel(order, closed.boundary_ns) for order in waiting]

    def expect(self, closed: Closed, requests: Sequence[Order | Cancel]) -> None:
        """Orders are about to leave, decided at the mids of the boundary."""
        mids = self._mids(closed)
        for one in requests:
            if isinstance(one, Order):
                self.throttle.note(one)
                self.portfolio.expect(one, float(mids[one.symbol]))

    def _mids(self, closed: Closed) -> Float[np.ndarray, " S"]:
        return (closed.market.bid + closed.market.ask) * self._increment / 2

    def _said(self, repeated: Denied) -> str:
        name = self.universe.symbols[int(repeated.symbols[0])]
        return (
            f"{self.limits.repeats} orders alike within {self.limits.repeat_seconds:g} "
            f"s, {int(repeated.lots[0]):+d} lots of {name} would be one more"
        )

    @cached_property
    def throttle(self) -> Throttle:
        """What was sent lately."""
        return Throttle(self.limits)

    @cached_property
    def _increment(self) -> Float[np.ndarray, " S"]:
        return self.universe.column("increment").astype(np.float64)
