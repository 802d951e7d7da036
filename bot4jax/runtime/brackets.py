"""A stop and a take-profit around every position; one cancels the other.

They follow the fill-weighted entry: as a position grows, shrinks or turns, its two legs
are replaced, sent anew or taken back; one that was refused is sent again beside the
other, after pauses that grow, one that the other has ended in a group of its own. What
is being taken back, as at a split, protects no more: other legs leave beside its
cancel. Both only reduce, so no limit of risk keeps them from leaving; the state HALTED
does, and what denies orders that repeat themselves. Where an instrument does not trade
nothing but cancels is sent: no venue would take them.
"""

import math
from collections.abc import Collection, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from bot4jax.runtime.orders import Kind, Order, OrderId, Replace, Request, order_id
from bot4jax.runtime.patience import NEVER_ASKED
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.tracking import OrderState, Tracked
from bot4jax.types import BUY, SELL

STOP_LEG, PROFIT_LEG, GROUP_LEG = 2, 3, 5
"""Set their ids apart from those of a step's other orders."""


class Distances(NamedTuple):
    """Basis points of the entry; 0: no such leg."""

    stop_bps: float = 0.0
    profit_bps: float = 0.0
    limit_bps: float = 0.0
    """of its trigger, beyond which a stop trades no more; 0: at any price"""

    @property
    def are_any(self) -> bool:
        return self.stop_bps > 0 or self.profit_bps > 0


NO_LEGS = Distances()


def follow_entries(
    portfolio: Portfolio,
    distances: Distances,
    is_trading: Bool[np.ndarray, " S"],
    run: str,
    step: int,
    now_ns: int,
    leaving: Collection[OrderId] = (),
) -> list[Request]:
    """What brings the legs of every slot to its position.

    `leaving`: orders that this step takes back anyway.
    """
    legs = _legs(portfolio, leaving)
    slots = sorted({*legs, *np.flatnonzero(portfolio.lots).tolist()})
    return [
        one
        for slot in slots
        for one in _followed(
            portfolio,
            slot,
            legs.get(slot, []),
            distances if is_trading[slot] else NO_LEGS,
            (run, step),
            now_ns,
        )
    ]


def _followed(
    portfolio: Portfolio,
    slot: int,
    legs: list[Tracked],
    distances: Distances,
    named: tuple[str, int],
    now_ns: int,
) -> Iterable[Request]:
    """One slot: nothing held, nothing protected; another side begins anew, at once.

    Legs of the side before only reduce what is not there any more, and those that are
    being taken back are as good as gone: the new ones, in a group of their own, leave
    behind the cancels and need not wait for their answers.
    """
    held = int(portfolio.lots[slot])
    side = SELL if held > 0 else BUY
    kept = [one for one in legs if held and _protects(one, side)]
    stale = [one.order.id for one in legs if one not in kept]
    yield from portfolio.working.cancels(stale, now_ns)
    if not held or not distances.are_any:
        return
    legs = kept
    increment = portfolio.universe.instruments[slot].increment
    entry = float(portfolio.entry[slot]) / increment
    wanted = triggers(entry, held, distances)
    yield from _replacements(legs, abs(held), wanted, now_ns)
    waiting = {one.order.kind for one in legs}
    missing = {
        leg: one
        for leg, one in wanted.items()
        if one.kind not in waiting
        and portfolio.working.may_protect(slot, side, one.kind, now_ns)
    }
    if not missing:
        return
    run, step = named
    group = _joined(portfolio, legs) or order_id(run, step, slot, GROUP_LEG)
    for leg, (kind, trigger, limit) in missing.items():
        yield Order(
            id=order_id(run, step, slot, leg),
            symbol=slot,
            side=side,
            lots=abs(held),
            kind=kind,
            limit=limit,
            reduce_only=True,
            step=step,
            sent_ns=now_ns,
            trigger=trigger,
            group=group,
        )


def _protects(leg: Tracked, side: int) -> bool:
    """Whether it closes on this side, and nobody has asked to take it back."""
    return leg.order.side == side and leg.taken_back == NEVER_ASKED


def _joined(portfolio: Portfolio, legs: list[Tracked]) -> str:
    """The group of these legs; "" where there is none, or the venue has ended it: one
    of them has traded or woken up, and whatever else joins it is cancelled."""
    if not legs:
        return ""
    group = legs[0].order.group
    ends = {one.state for one in portfolio.working.of_group(group)}
    return "" if OrderState.CANCELLED in ends else group


class Leg(NamedTuple):
    """What protects a position on one side; prices in increments."""

    kind: Kind
    trigger: int
    """wakes it"""
    limit: int = 0
    """worst price; 0: any"""


def triggers(entry: float, held: int, distances: Distances) -> dict[int, Leg]:
    """The legs of a position; prices rounded away from the entry."""
    sign, found = (1 if held > 0 else -1), {}
    if distances.stop_bps > 0:
        trigger = _away(entry, -sign, distances.stop_bps)
        found[STOP_LEG] = Leg("stop", trigger)
        if distances.limit_bps > 0:
            limit = _away(trigger, -sign, distances.limit_bps)
            found[STOP_LEG] = Leg("stop_limit", trigger, limit)
    if distances.profit_bps > 0:
        trigger = _away(entry, sign, distances.profit_bps)
        found[PROFIT_LEG] = Leg("take_profit", trigger)
    return found


def _away(price: float, way: int, bps: float) -> int:
    """So far above (1) or below (-1) a price, at least one increment from nothing."""
    there = price * (1 + way * bps / 10_000)
    return max(math.ceil(there) if way > 0 else math.floor(there), 1)


def _replacements(
    legs: list[Tracked], lots: int, wanted: dict[int, Leg], now_ns: int
) -> Iterable[Request]:
    """Other terms for legs that are not what is wanted.

    The venue must have the leg: what is asked about an order may overtake it. Terms
    that nothing was heard of are asked for again: who had them long ago says so.
    """
    by_kind = {one.kind: one for one in wanted.values()}
    for one in legs:
        order, (_, trigger, limit) = one.order, by_kind[one.order.kind]
        size = one.filled + lots
        is_same = (order.lots, order.trigger, order.limit) == (size, trigger, limit)
        if not is_same and one.may_replace(now_ns):
            yield Replace(order.id, size, limit, trigger, now_ns)


def _legs(
    portfolio: Portfolio, leaving: Collection[OrderId]
) -> dict[int, list[Tracked]]:
    """The open orders of groups, by slot, without those that are leaving."""
    found: dict[int, list[Tracked]] = {}
    for one in portfolio.working.still_open():
        if one.order.group and one.order.id not in leaving:
            found.setdefault(one.order.symbol, []).append(one)
    return found
