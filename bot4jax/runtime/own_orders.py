"""No order may trade with another of ours: it would pay fees for nothing.

An order that would is denied, and what it would have met is taken back, so that it can
leave once that is gone.
"""

from collections.abc import Iterable, Sequence

from bot4jax.runtime.context import Market
from bot4jax.runtime.gate import Denied, denied_orders
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.orders import Order, OrderId
from bot4jax.runtime.resting import is_woken
from bot4jax.types import BUY


def apart(
    orders: Sequence[Order], still_open: Iterable[Order], market: Market
) -> tuple[list[Order], list[Denied], set[OrderId]]:
    """Orders that meet none of ours, those denied, and ids of what is in their way.

    `still_open`: whatever may trade yet. A limit order stands in a book, and so does a
    stop-limit that these quotes wake, which goes first: it is not in the way. What
    sleeps there only reduces, and by the time that it wakes all else may be gone.
    """
    standing: dict[int, list[Order]] = {}
    for one in still_open:
        if stands(one, market):
            standing.setdefault(one.symbol, []).append(one)
    if not standing:
        return list(orders), [], set()
    met = {
        order.id: [own for own in standing.get(order.symbol, ()) if meets(order, own)]
        for order in orders
    }
    denied = [one for one in orders if met[one.id]]
    if not denied:
        return list(orders), [], set()
    told = denied_orders(Reason.SELF_TRADE, denied)
    kept = [one for one in orders if not met[one.id]]
    names = {own.id for one in denied for own in met[one.id] if not own.group}
    return kept, told, names


def stands(order: Order, market: Market) -> bool:
    """Whether it waits in the book at a limit of its own, as far as quotes tell."""
    if order.kind not in ("limit", "stop_limit"):
        return False
    slot = order.symbol
    return is_woken(order, int(market.bid[slot]), int(market.ask[slot]))


def afforded(orders: list[Order], beyond: int) -> tuple[list[Order], list[Denied]]:
    """Orders without so many of the last openings: cancels have taken their messages.

    `orders` stand in the order of sending, the least valuable last.
    """
    openings = [one for one in orders if not one.reduce_only]
    late = openings[max(len(openings) - beyond, 0) :] if beyond > 0 else []
    names = {one.id for one in late}
    kept = [one for one in orders if one.id not in names]
    return kept, denied_orders(Reason.ORDER_BUDGET, late)


def meets(order: Order, own: Order) -> bool:
    """Whether both could trade with each other, at whatever price there is."""
    if order.side == own.side:
        return False
    buy, sell = (order, own) if order.side == BUY else (own, order)
    return not buy.limit or not sell.limit or buy.limit >= sell.limit
