"""Orders, what else can be asked of a venue, and its answers.

Sizes are whole lots, prices whole increments, times ns of event time.
"""

import hashlib
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from bot4jax.types import BUY, SELL

SMALLEST_NS, LARGEST_NS = -(2**62), 2**62
LARGEST = 2**53
"""Of prices in increments and sizes in lots: exact in every language's doubles."""

OrderId = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}\Z")]
Slot = Annotated[int, Meta(ge=0, lt=2**31)]
Side = Literal[1, 2]
"""`BUY` or `SELL` of `bot4jax.types`."""
Kind = Literal["market", "limit", "ioc", "fok", "stop", "stop_limit", "take_profit"]
MARKET_KINDS = frozenset({"market", "stop", "take_profit"})
"""Trade at any price, so they have no limit."""
TRIGGERED_KINDS = frozenset({"stop", "stop_limit", "take_profit"})
"""Sleep at the venue until the quote that they would trade with reaches a price."""
Lots = Annotated[int, Meta(gt=0, le=LARGEST)]
SomeId = Annotated[str, Meta(pattern=r"^([0-9a-f]{16})?\Z")]
"""Sixteen hexadecimal digits like an order's, or nothing."""
Signed = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Price = Annotated[int, Meta(ge=0, le=LARGEST)]
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Nanoseconds = Annotated[int, Meta(ge=SMALLEST_NS, le=LARGEST_NS)]
Text = Annotated[str, Meta(max_length=200)]
Money = Annotated[float, Meta(ge=-1e18, le=1e18)]


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Numbers and names alone: garbage is not looked for among them."""


class Order(Plain, frozen=True, tag="order"):
    """What is sent to a venue; sizes in lots, prices in increments."""

    id: OrderId
    symbol: Slot
    side: Side
    lots: Lots
    kind: Kind
    limit: Price = 0
    """worst price; 0 where any price will do: market, stop, take-profit"""
    reduce_only: bool = False
    """may make a position smaller, never larger or turn it round"""
    post_only: bool = False
    """refused if it would take liquidity on arrival"""
    step: Count = 0
    """decision step it comes from"""
    sent_ns: Nanoseconds = 0
    """event time of the boundary it was decided at"""
    trigger: Price = 0
    """wakes a stop when the quote is this bad for it, a take-profit when this good; 0
    for all others"""
    expires_ns: Nanoseconds = 0
    """event time at which it ends by itself; 0: it stands until it is taken back"""
    group: SomeId = ""
    """one cancels the others: the first to wake or trade ends the rest of its group"""
    parent: SomeId = ""
    """id of the schedule that it is a slice of"""


class Cancel(Plain, frozen=True, tag="cancel"):
    """Ask the venue to take an order back."""

    order: OrderId
    sent_ns: Nanoseconds = 0


class Replace(Plain, frozen=True, tag="replace"):
    """Ask the venue to give an order other terms; its id and its fills stay."""

    order: OrderId
    lots: Lots
    """in all, what has traded included"""
    limit: Price = 0
    trigger: Price = 0
    sent_ns: Nanoseconds = 0


class Query(Plain, frozen=True, tag="query"):
    """Ask the venue what has become of an order.

    It says again all that it has said. One that it does not know it rejects, now and
    should it still come.
    """

    order: OrderId
    sent_ns: Nanoseconds = 0


Change = Cancel | Replace | Query
"""What can be asked about an order that was sent."""

Request = Order | Change


def opposite(side: int) -> Side:
    """Of buying selling, of selling buying."""
    return SELL if side == BUY else BUY


def named(request: Request) -> OrderId:
    """The id of the order that a request sends, or is about."""
    return request.id if isinstance(request, Order) else request.order


class Ack(Plain, frozen=True, tag="ack"):
    """The venue has the order."""

    order: OrderId
    event_ns: Nanoseconds


class Fill(Plain, frozen=True, tag="fill"):
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


class Reject(Plain, frozen=True, tag="reject"):
    """The venue refuses the order, wholly."""

    order: OrderId
    reason: Text
    event_ns: Nanoseconds = 0


class Cancelled(Plain, frozen=True, tag="cancelled"):
    """The order was taken back with `lots_left` not traded."""

    order: OrderId
    lots_left: Lots
    event_ns: Nanoseconds


class Expired(Plain, frozen=True, tag="expired"):
    """The order's own terms ended it with `lots_left` not traded."""

    order: OrderId
    lots_left: Lots
    event_ns: Nanoseconds


class Replaced(Plain, frozen=True, tag="replaced"):
    """The terms that hold from now on: those asked for, or the old ones again."""

    order: OrderId
    lots: Lots
    limit: Price
    trigger: Price
    event_ns: Nanoseconds
    number: Count = 0
    """how many came before of this order"""


class Foreign(Plain, frozen=True, tag="foreign"):
    """Traded on this account, but by no order of ours: by hand, or a liquidation."""

    symbol: Slot
    side: Side
    lots: Lots
    price: Price
    """increments"""
    fee: Money
    event_ns: Nanoseconds
    reason: Text
    number: Count = 0
    """how many came before on this account"""

    @property
    def order(self) -> str:
        """What it is known by where an order's id would stand."""
        return f"foreign {self.number}"


OrderAnswer = Ack | Fill | Reject | Cancelled | Expired | Replaced
Answer = OrderAnswer | Foreign

LEGS = range(4)
"""Of one slot in one step: the two of its wish, a stop and a take-profit."""
REDUCING_LEG, OPENING_LEG = 0, 1

NAMES = 1_024
"""That are remembered: the journal looks again at those which a step has given."""


@lru_cache(NAMES)
def order_id(run: str, step: int, symbol: int, leg: int) -> str:
    """Name of an order: the same run, step, slot and leg always give the same one."""
    text = f"{step}|{symbol}|{leg}|{run}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_named(order: Order, run: str) -> bool:
    """Whether its id is that of its step and slot, whichever leg it is."""
    step, symbol = order.step, order.symbol
    likely = REDUCING_LEG if order.reduce_only else OPENING_LEG
    if order.id == order_id(run, step, symbol, likely):
        return True
    return any(order.id == order_id(run, step, symbol, leg) for leg in LEGS)


def has_terms(order: Order) -> bool:
    """It has a limit and a trigger if, and only if, its kind needs them."""
    has_limit = order.limit == 0 if order.kind in MARKET_KINDS else order.limit > 0
    is_asleep = order.kind in TRIGGERED_KINDS
    return has_limit and (order.trigger > 0) == is_asleep


def under_terms(order: Order, terms: Replace | Replaced) -> Order:
    """The order under terms that are asked for, or that hold now."""
    return msgspec.structs.replace(
        order, lots=terms.lots, limit=terms.limit, trigger=terms.trigger
    )
