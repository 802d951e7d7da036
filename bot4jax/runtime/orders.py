"""Orders, the venue's answers to them, and the states an order passes through.

    SENT ──ack──▶ ACKNOWLEDGED ──fill──▶ PARTIALLY_FILLED ──fill──▶ FILLED
      │                │                        │
      ├──reject──▶ REJECTED                     │
      └────────────────┴──────cancelled─────────┴──▶ CANCELLED
                       └──────expired───────────┴──▶ EXPIRED

Answers may come twice or overtake each other: a repeated one changes nothing, and a
fill may arrive before its acknowledgement. What cannot be true is refused aloud.
"""

import enum
import hashlib
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from bot4jax.errors import Halted

SMALLEST_NS, LARGEST_NS = -(2**62), 2**62
LARGEST = 2**53
"""Of prices in increments and sizes in lots: exact in every language's doubles."""

OrderId = Annotated[str, Meta(pattern="^[0-9a-f]{16}$")]
Slot = Annotated[int, Meta(ge=0, lt=2**31)]
Side = Literal[1, 2]
"""`BUY` or `SELL` of `bot4jax.types`."""
Kind = Literal["market", "limit", "ioc"]
Lots = Annotated[int, Meta(gt=0, le=LARGEST)]
Signed = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Price = Annotated[int, Meta(ge=0, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Nanoseconds = Annotated[int, Meta(ge=SMALLEST_NS, le=LARGEST_NS)]
Text = Annotated[str, Meta(max_length=200)]
Money = Annotated[float, Meta(ge=-1e18, le=1e18)]


class Order(msgspec.Struct, frozen=True, tag="order", forbid_unknown_fields=True):
    """What is sent to a venue; sizes in lots, prices in increments."""

    id: OrderId
    symbol: Slot
    side: Side
    lots: Lots
    kind: Kind
    limit: Price = 0
    """worst price; 0 for a market order"""
    reduce_only: bool = False
    """may make a position smaller, never larger or turn it round"""
    post_only: bool = False
    """refused if it would take liquidity on arrival"""
    step: Count = 0
    """decision step it comes from"""
    sent_ns: Nanoseconds = 0
    """event time of the boundary it was decided at"""


class Cancel(msgspec.Struct, frozen=True, tag="cancel", forbid_unknown_fields=True):
    """Ask the venue to take an order back."""

    order: OrderId
    sent_ns: Nanoseconds = 0


class Ack(msgspec.Struct, frozen=True, tag="ack", forbid_unknown_fields=True):
    """The venue has the order."""

    order: OrderId
    event_ns: Nanoseconds


class Fill(msgspec.Struct, frozen=True, tag="fill", forbid_unknown_fields=True):
    """Part of an order, traded at one price; (`order`, `number`) is its identity."""

    order: OrderId
    symbol: Slot
    side: Side
    lots: Lots
    price: Price
    """increments"""
    fee: Money
    """settlement currency; negative is a rebate"""
    is_maker: bool
    event_ns: Nanoseconds
    number: Count = 0
    """how many fills of this order came before"""

    @property
    def key(self) -> tuple[str, int]:
        return self.order, self.number


class Reject(msgspec.Struct, frozen=True, tag="reject", forbid_unknown_fields=True):
    """The venue refuses the order, wholly."""

    order: OrderId
    reason: Text
    event_ns: Nanoseconds = 0


class Cancelled(
    msgspec.Struct, frozen=True, tag="cancelled", forbid_unknown_fields=True
):
    """The order was taken back with `lots_left` not traded."""

    order: OrderId
    lots_left: Lots
    event_ns: Nanoseconds


class Expired(msgspec.Struct, frozen=True, tag="expired", forbid_unknown_fields=True):
    """The order's own terms ended it with `lots_left` not traded."""

    order: OrderId
    lots_left: Lots
    event_ns: Nanoseconds


Answer = Ack | Fill | Reject | Cancelled | Expired


def order_id(run: str, step: int, symbol: int, leg: int) -> str:
    """Name of an order: the same run, step, slot and leg always give the same one."""
    text = f"{step}|{symbol}|{leg}|{run}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class OrderState(enum.IntEnum):
    """Where an order is; everything from `FILLED` on is final."""

    SENT = 0
    ACKNOWLEDGED = 1
    PARTIALLY_FILLED = 2
    FILLED = 3
    CANCELLED = 4
    EXPIRED = 5
    REJECTED = 6


class OrderError(Halted):
    """The venue said something that cannot be true of the order."""


class Tracked(NamedTuple):
    """An order and what is known about it."""

    order: Order
    state: OrderState = OrderState.SENT
    filled: int = 0
    """lots"""
    fills: int = 0
    """how many; the number of the next fill"""

    @property
    def is_open(self) -> bool:
        return self.state < OrderState.FILLED

    @property
    def left(self) -> int:
        """Lots that may still trade."""
        return self.order.lots - self.filled if self.is_open else 0


def follow(tracked: Tracked, answer: Answer) -> Tracked:
    """The order after the venue's answer; a repeated answer changes nothing."""
    if answer.order != tracked.order.id:
        raise OrderError(
            f"An answer to order {answer.order} reached order {tracked.order.id}."
        )
    match answer:
        case Ack():
            is_new = tracked.state == OrderState.SENT
            return (
                tracked._replace(state=OrderState.ACKNOWLEDGED) if is_new else tracked
            )
        case Fill():
            return _filled(tracked, answer)
        case Reject():
            return _rejected(tracked)
        case Cancelled():
            return _ended(tracked, OrderState.CANCELLED, answer.lots_left)
        case Expired():
            return _ended(tracked, OrderState.EXPIRED, answer.lots_left)


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
    if fill.lots > tracked.left:
        raise OrderError(
            f"Order {order.id}: a fill of {fill.lots} lots, but {tracked.left} of "
            f"{order.lots} are open in state {tracked.state.name}."
        )
    filled = tracked.filled + fill.lots
    is_whole = filled == order.lots
    state = OrderState.FILLED if is_whole else OrderState.PARTIALLY_FILLED
    return tracked._replace(state=state, filled=filled, fills=tracked.fills + 1)


def _rejected(tracked: Tracked) -> Tracked:
    if tracked.state == OrderState.REJECTED:
        return tracked
    if tracked.state != OrderState.SENT:
        raise OrderError(
            f"Order {tracked.order.id} is rejected in state {tracked.state.name}."
        )
    return tracked._replace(state=OrderState.REJECTED)


def _ended(tracked: Tracked, state: OrderState, lots_left: int) -> Tracked:
    if tracked.state == state:
        return tracked
    if not tracked.is_open or lots_left != tracked.left:
        raise OrderError(
            f"Order {tracked.order.id} ends {state.name} with {lots_left} lots left, "
            f"but {tracked.left} are open in state {tracked.state.name}."
        )
    return tracked._replace(state=state)
