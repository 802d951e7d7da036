"""No order may trade with another of ours: it would pay fees for nothing.

An order that would is denied, and what it would have met is taken back, so that it can
leave once that is gone.

Nobody here knows when a stop or a take-profit wakes, nor what is in the book by then.
A venue that prevents self-trades sees to that. Where none does, what opens yields to
what protects for as long as that sleeps (`yielding`).
"""

from collections.abc import Iterable, Sequence

from bot4jax.runtime.context import Market
from bot4jax.runtime.gate import Denied, denied_orders
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.orders import TRIGGERED_KINDS, Order, OrderId, opposite
from bot4jax.runtime.resting import is_woken
from bot4jax.runtime.self_trades import meets


def apart(
    orders: Sequence[Order],
    still_open: Sequence[Order],
    market: Market,
    legs: Sequence[Order] = (),
) -> tuple[list[Order], list[Denied], set[OrderId]]:
    """Orders that meet none of ours, those denied, and ids of what is in their way.

    `still_open`: whatever may trade yet. A limit order stands in a book, and so does a
    stop-limit that these quotes wake, which goes first: it is not in the way. `legs`:
    what protects, where the venue lets it trade with what opens: that is taken back.
    """
    standing: dict[int, list[Order]] = {}
    for one in still_open:
        if stands(one, market):
            standing.setdefault(one.symbol, []).append(one)
    if not standing and not legs:
        return list(orders), [], set()
    met = {
        order.id: [own for own in standing.get(order.symbol, ()) if meets(order, own)]
        for order in orders
    }
    yields = {one.id for one in yielding(orders, legs)}
    denied = [one for one in orders if met[one.id] or one.id in yields]
    kept = [one for one in orders if not met[one.id] and one.id not in yields]
    names = {own.id for one in denied for own in met[one.id] if not own.group}
    names |= {one.id for one in yielding(still_open, legs)}
    return kept, denied_orders(Reason.SELF_TRADE, denied), names


def yielding(orders: Sequence[Order], legs: Sequence[Order]) -> list[Order]:
    """Of these, what opens and might trade with one of the legs once that has woken.

    Whatever rests on the other side: a stop or a take-profit trades at any price, and
    the limit of a stop-limit follows the position. That may have woken already and
    stand in the book: then nothing may come its way at all.
    """
    across = {(one.symbol, opposite(one.side)) for one in legs}
    limits = [one for one in legs if one.kind == "stop_limit"]
    before = {(one.symbol, opposite(one.side)) for one in limits}
    return [
        one
        for one in orders
        if not one.reduce_only
        and (one.symbol, one.side) in (across if one.kind == "limit" else before)
    ]


def sleepers(orders: Iterable[Order]) -> list[Order]:
    """Those that wake at a price, if they have not yet."""
    return [one for one in orders if one.kind in TRIGGERED_KINDS]


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
