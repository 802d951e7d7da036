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
a replacement is under way, the larger of both sizes counts; what only the new size
makes true shows that it holds, though the answer that says so was lost or is late. So
an order that its former size has filled is open again once such news of it come.
"""

import enum

import msgspec
from msgspec import structs

from bot4jax.errors import Halted
from bot4jax.runtime.orders import (
    Ack,
    Answer,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Foreign,
    Order,
    Query,
    Reject,
    Replace,
    Replaced,
    under_terms,
)
from bot4jax.runtime.patience import NEVER_ASKED, REFUSED_NS, Asked


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


(
    SENT,
    UNKNOWN,
    ACKNOWLEDGED,
    PARTIALLY_FILLED,
    FILLED,
    CANCELLED,
    EXPIRED,
    REJECTED,
) = OrderState
# by name: Python 3.11 takes longer to find one in its class than to replace a struct


class OrderError(Halted):
    """The venue said something that cannot be true of the order."""


class Tracked(msgspec.Struct, frozen=True, gc=False):
    """An order and what is known about it."""

    order: Order
    state: OrderState = SENT
    filled: int = 0
    """lots"""
    fills: int = 0
    """how many; the number of the next fill"""
    replaced: int = 0
    """how often; the number of the next replacement"""
    asked_lots: int = 0
    """largest size that a replacement under way asks for; 0: there is none"""
    wish: Replace | None = None
    """the newest replacement that was asked for"""
    replaces: int = 0
    """how many were asked for"""
    asked: Asked = NEVER_ASKED
    """what becomes of it, until its first answer; then for its newest terms"""
    taken_back: Asked = NEVER_ASKED

    @property
    def is_open(self) -> bool:
        return self.state < FILLED

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

    @property
    def wished_left(self) -> int:
        """Lots that may still trade by the newest terms under way; 0: there are none.

        They may be those of an order that its former size has filled.
        """
        if self.state > FILLED or not self.asked_lots or self.wish is None:
            return 0
        return max(self.wish.lots - self.filled, 0)

    def may_replace(self, now_ns: int) -> bool:
        """Whether other terms may be asked for: the venue has it, and what was asked
        before is answered, or answered otherwise a while ago, or never."""
        if self.state < ACKNOWLEDGED:
            return False
        if self.asked_lots:
            return self.asked.is_due(now_ns)
        return self.asked.is_due(now_ns, REFUSED_NS)


def check_fill(fill: Fill | Foreign, slots: int) -> None:
    """Refuse a fill of no instrument, or at no price."""
    if not 0 <= fill.symbol < slots:
        raise OrderError(
            f"{fill.order}: a fill in slot {fill.symbol}, but there are {slots}."
        )
    if fill.price <= 0:
        raise OrderError(f"{fill.order}: a fill at the price {fill.price}.")


def doubted(tracked: Tracked, query: Query) -> Tracked:
    """The order when no answer to it has come in time; all it may do still counts."""
    if tracked.state > UNKNOWN:
        return tracked
    again = tracked.asked.again(query.sent_ns)
    return structs.replace(tracked, state=UNKNOWN, asked=again)


def asked(tracked: Tracked, replace: Replace) -> Tracked:
    """The order while it is being replaced, or is so once more."""
    return structs.replace(
        tracked,
        asked_lots=max(tracked.asked_lots, replace.lots),
        wish=replace,
        replaces=tracked.replaces + 1,
        asked=tracked.asked.again(replace.sent_ns),
    )


def taken_back(tracked: Tracked, cancel: Cancel) -> Tracked:
    """The order while it is being cancelled, or is so once more."""
    return structs.replace(tracked, taken_back=tracked.taken_back.again(cancel.sent_ns))


def follow(tracked: Tracked, answer: Answer) -> Tracked:
    """The order after the venue's answer; a repeated answer changes nothing."""
    if isinstance(answer, Foreign) or answer.order != tracked.order.id:
        raise OrderError(
            f"An answer to order {answer.order} reached order {tracked.order.id}."
        )
    match answer:
        case Ack():
            if tracked.state >= ACKNOWLEDGED:
                return tracked
            asked = _asked_yet(tracked)
            return structs.replace(tracked, state=ACKNOWLEDGED, asked=asked)
        case Fill():
            return _filled(tracked, answer)
        case Reject():
            return _rejected(tracked)
        case Cancelled():
            return _ended(tracked, CANCELLED, answer.lots_left)
        case Expired():
            return _ended(tracked, EXPIRED, answer.lots_left)
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
    if fill.lots > tracked.agreed_left and fill.lots <= tracked.wished_left:
        tracked = _granted(tracked)
        order = tracked.order
    if fill.lots > (left := tracked.agreed_left):
        raise OrderError(
            f"Order {order.id}: a fill of {fill.lots} lots, but {left} of "
            f"{order.lots} are open in state {tracked.state.name}."
        )
    filled = tracked.filled + fill.lots
    is_whole = filled == order.lots
    state = FILLED if is_whole else PARTIALLY_FILLED
    return structs.replace(
        tracked,
        state=state,
        filled=filled,
        fills=tracked.fills + 1,
        asked=_asked_yet(tracked),
    )


def _asked_yet(tracked: Tracked) -> Asked:
    """The venue has it: nothing more is asked about what has become of it."""
    return NEVER_ASKED if tracked.state <= UNKNOWN else tracked.asked


def _rejected(tracked: Tracked) -> Tracked:
    if tracked.state == REJECTED:
        return tracked
    if tracked.state > UNKNOWN:
        raise OrderError(
            f"Order {tracked.order.id} is rejected in state {tracked.state.name}."
        )
    return structs.replace(tracked, state=REJECTED)


def _ended(tracked: Tracked, state: OrderState, lots_left: int) -> Tracked:
    if tracked.state == state:
        return tracked
    if lots_left != tracked.agreed_left and lots_left == tracked.wished_left:
        tracked = _granted(tracked)
    left = tracked.agreed_left
    if not tracked.is_open or lots_left != left:
        raise OrderError(
            f"Order {tracked.order.id} ends {state.name} with {lots_left} lots left, "
            f"but {left} are open in state {tracked.state.name}."
        )
    return structs.replace(tracked, state=state)


def _granted(tracked: Tracked) -> Tracked:
    """The order under the terms that were asked for last."""
    if (wish := tracked.wish) is None:
        return tracked
    return structs.replace(
        tracked,
        order=under_terms(tracked.order, wish),
        state=_reopened(tracked),
        asked_lots=0,
        asked=NEVER_ASKED,
    )


def _reopened(tracked: Tracked) -> OrderState:
    """Under larger terms an order that its former size has filled is so in part."""
    is_whole = tracked.state == FILLED
    return PARTIALLY_FILLED if is_whole else tracked.state


def _replaced(tracked: Tracked, answer: Replaced) -> Tracked:
    """An answer that was lost leaves a gap in the numbers: the newest terms hold.

    Those that were asked for, or the answer to all that was asked, end the waiting;
    other terms are a refusal, and what was asked is asked for again after a pause.
    """
    if answer.number < tracked.replaced:
        return tracked
    order, terms = tracked.order, (answer.lots, answer.limit, answer.trigger)
    if answer.number > max(tracked.replaced, tracked.replaces - 1):
        raise OrderError(
            f"Order {order.id}: replacement {answer.number} came after "
            f"{tracked.replaced} of {tracked.replaces} that were asked for."
        )
    if terms == (order.lots, order.limit, order.trigger) and not tracked.is_open:
        is_last = answer.number + 1 >= tracked.replaces
        left = 0 if is_last else tracked.asked_lots
        return structs.replace(tracked, replaced=answer.number + 1, asked_lots=left)
    is_wished = answer.lots <= tracked.asked_lots and tracked.state == FILLED
    if answer.lots <= tracked.filled or not (tracked.is_open or is_wished):
        raise OrderError(
            f"Order {order.id} is replaced by {answer.lots} lots in state "
            f"{tracked.state.name}, but {tracked.filled} have traded."
        )
    wish = tracked.wish
    is_granted = wish is None or terms == (wish.lots, wish.limit, wish.trigger)
    is_last = is_granted or answer.number + 1 >= tracked.replaces
    return structs.replace(
        tracked,
        order=under_terms(order, answer),
        state=_reopened(tracked),
        replaced=answer.number + 1,
        asked_lots=0 if is_last else tracked.asked_lots,
        asked=NEVER_ASKED if is_granted else tracked.asked,
    )
