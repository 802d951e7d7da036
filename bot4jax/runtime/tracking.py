"""The states an order passes through, and what each answer of the venue makes of it.

    SENT ──ack──▶ ACKNOWLEDGED ──fill──▶ PARTIALLY_FILLED ──fill──▶ FILLED
    │ │                │                        │
    │ └─no answer─▶ UNKNOWN, and from there like SENT
    │                  │                        │
    ├──reject──▶ REJECTED                       │
    └──────────────────┴──────cancelled─────────┴──▶ CANCELLED
                       └──────expired───────────┴──▶ EXPIRED

Answers may come twice or overtake each other: a repeated one changes nothing, and a
fill may arrive before its acknowledgement. What cannot be true is refused aloud. While
a replacement is under way, the larger of both sizes counts.
"""

import enum

import msgspec
from msgspec import structs

from bot4jax.errors import Halted
from bot4jax.runtime.orders import (
    Ack,
    Answer,
    Cancelled,
    Expired,
    Fill,
    Foreign,
    Order,
    Reject,
    Replace,
    Replaced,
)


class OrderState(enum.IntEnum):
    """Where an order is; everything from `FILLED` on is final."""

    SENT = 0
    UNKNOWN = 1
    """no answer has come when one was due; it may still trade"""
    ACKNOWLEDGED = 2
    PARTIALLY_FILLED = 3
    FILLED = 4
    CANCELLED = 5
    EXPIRED = 6
    REJECTED = 7


class OrderError(Halted):
    """The venue said something that cannot be true of the order."""


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """An order and what is known about it."""

    order: Order
    state: OrderState = OrderState.SENT
    filled: int = 0
    """lots"""
    fills: int = 0
    """how many; the number of the next fill"""
    replaced: int = 0
    """how often; the number of the next replacement"""
    asked_lots: int = 0
    """size that a replacement under way asks for; 0: there is none"""

    @property
    def is_open(self) -> bool:
        return self.state < OrderState.FILLED

    @property
    def left(self) -> int:
        """Lots that may still trade, at worst."""
        if not self.is_open:
            return 0
        return max(self.order.lots, self.asked_lots) - self.filled

    @property
    def agreed_left(self) -> int:
        """Lots that may still trade by the terms that hold."""
        return self.order.lots - self.filled if self.is_open else 0


def check_fill(fill: Fill | Foreign, slots: int) -> None:
    """Refuse a fill of no instrument, or at no price."""
    if not 0 <= fill.symbol < slots:
        raise OrderError(
            f"{fill.order}: a fill in slot {fill.symbol}, but there are {slots}."
        )
    if fill.price <= 0:
        raise OrderError(f"{fill.order}: a fill at the price {fill.price}.")


def doubted(tracked: Tracked) -> Tracked:
    """The order when no answer to it has come in time; all it may do still counts."""
    is_due = tracked.state == OrderState.SENT
    return structs.replace(tracked, state=OrderState.UNKNOWN) if is_due else tracked


def asked(tracked: Tracked, replace: Replace) -> Tracked:
    """The order while it is being replaced."""
    return structs.replace(tracked, asked_lots=replace.lots)


def follow(tracked: Tracked, answer: Answer) -> Tracked:
    """The order after the venue's answer; a repeated answer changes nothing."""
    if isinstance(answer, Foreign) or answer.order != tracked.order.id:
        raise OrderError(
            f"An answer to order {answer.order} reached order {tracked.order.id}."
        )
    match answer:
        case Ack():
            if tracked.state >= OrderState.ACKNOWLEDGED:
                return tracked
            return structs.replace(tracked, state=OrderState.ACKNOWLEDGED)
        case Fill():
            return _filled(tracked, answer)
        case Reject():
            return _rejected(tracked)
        case Cancelled():
            return _ended(tracked, OrderState.CANCELLED, answer.lots_left)
        case Expired():
            return _ended(tracked, OrderState.EXPIRED, answer.lots_left)
        case Replaced():
            return _replaced(tracked, answer)


def _filled(tracked: Tracked, fill: Fill) -> Tracked:
    if fill.number < tracked.fills:
        return tracked
    order = tracked.order
    if (fill.symbol, fill.side) != (order.symbol, order.side):
        raise OrderError(f"Fill {fill.key} has another symbol or side than its order.")
    if fill.number > tracked.fills:
        raise OrderError(
            f"Order {order.id}: fill {fill.number} came before fill {tracked.fills}."
        )
    if fill.lots > (left := tracked.agreed_left):
        raise OrderError(
            f"Order {order.id}: a fill of {fill.lots} lots, but {left} of "
            f"{order.lots} are open in state {tracked.state.name}."
        )
    filled = tracked.filled + fill.lots
    is_whole = filled == order.lots
    state = OrderState.FILLED if is_whole else OrderState.PARTIALLY_FILLED
    return structs.replace(tracked, state=state, filled=filled, fills=tracked.fills + 1)


def _rejected(tracked: Tracked) -> Tracked:
    if tracked.state == OrderState.REJECTED:
        return tracked
    if tracked.state > OrderState.UNKNOWN:
        raise OrderError(
            f"Order {tracked.order.id} is rejected in state {tracked.state.name}."
        )
    return structs.replace(tracked, state=OrderState.REJECTED)


def _ended(tracked: Tracked, state: OrderState, lots_left: int) -> Tracked:
    if tracked.state == state:
        return tracked
    left = tracked.agreed_left
    if not tracked.is_open or lots_left != left:
        raise OrderError(
            f"Order {tracked.order.id} ends {state.name} with {lots_left} lots left, "
            f"but {left} are open in state {tracked.state.name}."
        )
    return structs.replace(tracked, state=state)


def _replaced(tracked: Tracked, answer: Replaced) -> Tracked:
    if answer.number < tracked.replaced:
        return tracked
    order = tracked.order
    if not tracked.is_open or answer.number > tracked.replaced:
        raise OrderError(
            f"Order {order.id}: replacement {answer.number} came after "
            f"{tracked.replaced} of them, in state {tracked.state.name}."
        )
    if answer.lots <= tracked.filled:
        raise OrderError(
            f"Order {order.id} is replaced by {answer.lots} lots, but "
            f"{tracked.filled} have traded."
        )
    terms = {"lots": answer.lots, "limit": answer.limit, "trigger": answer.trigger}
    order = structs.replace(order, **terms)
    return structs.replace(
        tracked, order=order, replaced=answer.number + 1, asked_lots=0
    )
