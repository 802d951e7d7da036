"""The last check before an order leaves: exact and on the host.

Everything is accepted only if `value <= limit`, in whole lots, increments and units of
money; what is no number has become a limit that nothing is within. What the limits are,
and what is left of them, `Context` says.
"""

from collections.abc import Sequence
from functools import lru_cache
from operator import sub
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.context import EXCUSED, Context, Exposure
from bot4jax.runtime.limits import WIDER_COLLAR, Reason, TradingState
from bot4jax.runtime.money import part, parts, products, written
from bot4jax.runtime.orders import LARGEST, Order
from bot4jax.types import BUY

GROSS, NET, MARGIN = int(Reason.GROSS), int(Reason.NET), int(Reason.MARGIN)
ORDER_BUDGET = int(Reason.ORDER_BUDGET)
BASIS_POINTS = 10_000


class Proposals(NamedTuple):
    """Orders that a step would like to send, by column; sizes are signed."""

    symbols: Int[np.ndarray, " n"]
    lots: Int[np.ndarray, " n"]
    """buys positive"""
    limits: Int[np.ndarray, " n"]
    """increments; 0 for a market order"""
    is_reducing: Bool[np.ndarray, " n"]
    benefits: Int[np.ndarray, " n"]
    """expected net benefit, as `runtime.benefit` counts it"""


class Denied(NamedTuple):
    """Everything that one reason stopped in one step."""

    reason: Reason
    symbols: Int[np.ndarray, " n"]
    lots: Int[np.ndarray, " n"]
    """signed, buys positive; what was denied"""


def denied_orders(reason: Reason, orders: Sequence[Order]) -> list[Denied]:
    """What one reason stops of orders that had been made already."""
    if not orders:
        return []
    signed = [one.lots if one.side == BUY else -one.lots for one in orders]
    symbols = np.array([one.symbol for one in orders])
    return [Denied(reason, symbols, np.array(signed))]


class Verdict(NamedTuple):
    """What becomes of each row, and what the account looks like if it does."""

    reasons: Int[np.ndarray, " n"]
    """0: accepted"""
    accepted: list[int]
    """rows, in the order of sending"""
    exposure: Exposure


def admit(proposals: Proposals, context: Context) -> tuple[list[int], list[Denied]]:
    """Rows that may become orders, in the order of sending, and what was denied.

    Accepted rows count as filled on their own side for whatever is asked next. A slot
    may have one reducing and one opening row.
    """
    if not len(proposals.symbols):
        return [], []
    rows = proposals.symbols * 2 + proposals.is_reducing
    if len(np.unique(rows)) != len(rows):
        raise ValueError("Two proposals for one symbol have the same leg; merge them.")
    verdict = judge(proposals, context)
    taken = verdict.accepted
    slots, lots = proposals.symbols[taken], proposals.lots[taken]
    np.add.at(context.high, slots, np.maximum(lots, 0))
    np.add.at(context.low, slots, np.minimum(lots, 0))
    context.exposure = verdict.exposure
    context.budget, context.orders = (
        one - len(taken) for one in (context.budget, context.orders)
    )
    denied = []
    for reason in np.unique(verdict.reasons[verdict.reasons > 0]).tolist():
        at = np.flatnonzero(verdict.reasons == reason)
        denied.append(Denied(Reason(reason), proposals.symbols[at], proposals.lots[at]))
    return taken, denied


def judge(proposals: Proposals, context: Context) -> Verdict:
    """Decide on every row: what it is by itself, then the exposure it adds to.

    Reductions come first and use up the budget, which never refuses them; then comes
    the largest expected net benefit: where limits or the budget end, the least valuable
    orders are those denied.
    """
    reducing, added, own = weigh(proposals, context)
    urgency = np.lexsort((-proposals.benefits, ~reducing))
    rows = urgency[own[urgency] == 0]
    adds = _additions(proposals, context, added, rows)
    ahead = _passing(reducing[rows], adds, context)
    before = zip(context.exposure, adds[:, :ahead].sum(axis=1).tolist(), strict=True)
    against, exposure = _one_by_one(
        adds[:, ahead:],
        Exposure(*map(sum, before)),
        context.most,
        _room(context) - ahead,
    )
    reasons = own.copy()
    reasons[rows[ahead:]] = against
    return Verdict(reasons, rows[reasons[rows] == 0].tolist(), exposure)


def _one_by_one(
    adds: Int[np.ndarray, "4 m"], before: Exposure, most: Exposure, budget: int
) -> tuple[list[int], Exposure]:
    """What speaks against each opening row, 0: nothing, and what they come to."""
    against = list[int]()
    gross, bound, long, short = before
    # plain numbers: an object a row would cost as much as the rest of the gate
    for more, binds, buys, sells in zip(*adds.tolist(), strict=True):
        after = gross + more, bound + binds, long + buys, short + sells
        reason = _beyond(*after, buys > 0, most) or (0 if budget > 0 else ORDER_BUDGET)
        against.append(reason)
        if not reason:
            gross, bound, long, short = after
            budget -= 1
    return against, Exposure(gross, bound, long, short)


def _passing(
    reduces: Bool[np.ndarray, " m"], adds: Int[np.ndarray, "4 m"], context: Context
) -> int:
    """How many rows pass before the first that a limit or the budget stops, and with
    them all that reduce.

    Mostly that is every row, and whole columns are told sooner than row after row.
    """
    gross, bound, long, short = np.cumsum(adds, axis=1)
    left = Exposure(*map(sub, context.most, context.exposure))
    is_within = np.where(adds[2] > 0, long <= left.long, short <= left.short)
    is_within &= (gross <= left.gross) & (bound <= left.bound)
    is_within &= np.arange(len(reduces)) < _room(context)
    stopped = np.flatnonzero(~(reduces | is_within))
    return int(stopped[0]) if len(stopped) else len(reduces)


def _room(context: Context) -> int:
    """How many orders may still leave, of which each is a message."""
    return min(context.budget, context.orders)


def _additions(
    proposals: Proposals,
    context: Context,
    added: Int[np.ndarray, " n"],
    rows: Int[np.ndarray, " m"],
) -> Int[np.ndarray, "4 m"]:
    """What these rows add to the exposure at worst, by its fields."""
    slot, more, lots = proposals.symbols[rows], added[rows], proposals.lots[rows]
    value, bound = context.value.high[slot], context.bound.high[slot]
    worth = products(lots, value)
    sides = np.maximum(worth, 0), np.maximum(-worth, 0)
    return np.stack([products(more, value), products(more, bound), *sides])


def _beyond(
    gross: int, bound: int, long: int, short: int, buys: bool, most: Exposure
) -> int:
    """Which limit an opening row would break, 0: none; net counts on its own side."""
    if not gross <= most.gross:
        return GROSS
    if not (long if buys else short) <= most.long:
        return NET
    return 0 if bound <= most.bound else MARGIN


def weigh(
    proposals: Proposals, context: Context
) -> tuple[Bool[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """By row: does it reduce, lots that it adds to the larger side, what speaks against
    it alone.

    A row reduces only if it says so and can bring the position nothing but nearer to
    zero after all open orders of its side. An opening row comes behind the reducing
    row of its slot.
    """
    slot, lots = proposals.symbols, proposals.lots
    high, low = context.high[slot], context.low[slot]
    after = np.where(lots > 0, high, low) + lots
    reducing = proposals.is_reducing & (np.where(lots > 0, -after, after) >= 0)
    closing = np.zeros(context.slots, np.int64)
    closing[slot[reducing]] = lots[reducing]
    is_behind = ~reducing & (closing[slot] * np.sign(lots) > 0)
    reached = abs(after + np.where(is_behind, closing[slot], 0))
    added = np.maximum(reached - np.maximum(abs(high), abs(low)), 0)
    return reducing, added, _own_reasons(proposals, context, reducing, reached)


def _own_reasons(
    proposals: Proposals,
    context: Context,
    reducing: Bool[np.ndarray, " n"],
    reached: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """What speaks against each row, whatever the others are; 0: nothing."""
    slot, size = proposals.symbols, abs(proposals.lots)
    if context.state == TradingState.HALTED:
        return np.full(len(slot), int(Reason.HALTED))
    refused = context.refused[slot]
    is_excused = reducing & EXCUSED[refused]
    stop = 0 if context.opening is None else int(context.opening)
    accepted = {
        Reason.PRICE_COLLAR: within_collar(proposals, context, reducing),
        Reason.PERIOD_COLLAR: reducing | within_period(proposals, context),
        stop: reducing | (stop == 0),
        Reason.ORDER_LOTS: reducing | (size <= context.limits.max_order_lots),
        Reason.ORDER_NOTIONAL: reducing | (size <= context.order_lots[slot]),
        Reason.POSITION: reducing | (reached <= context.position_lots[slot]),
        Reason.VOLUME: reducing | (reached <= context.volume_lots[slot]),
    }
    against = np.zeros(len(slot), np.int64)
    for reason, is_within in reversed(accepted.items()):
        against = np.where(is_within, against, int(reason))
    return np.where((refused > 0) & ~is_excused, refused, against)


def within_collar(
    proposals: Proposals, context: Context, reducing: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """The worst price is near the mid; a market order's is the opposite best."""
    slot = proposals.symbols
    mid2 = context.market.bid[slot] + context.market.ask[slot]
    collar = _collar(context.limits.price_collar_bps, reducing)
    return _is_near(_worst_price(proposals, context), mid2, collar)


def within_period(proposals: Proposals, context: Context) -> Bool[np.ndarray, " n"]:
    """The worst price is near every mid of the period, so near its two ends."""
    slot, period = proposals.symbols, context.period
    price = _worst_price(proposals, context)
    collar = _parts(context.limits.period_collar_bps)
    is_near_lowest = _is_near(price, period.lowest[slot], collar)
    return is_near_lowest & _is_near(price, period.highest[slot], collar)


def furthest(
    context: Context,
    symbols: Int[np.ndarray, " n"],
    lots: Int[np.ndarray, " n"],
    is_reducing: Bool[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """The worst prices that both collars let pass; where even the opposite best is
    beyond, that one."""
    market, period, limits = context.market, context.period, context.limits
    is_buy = lots > 0
    sign, bid, ask = np.where(is_buy, 1, -1), market.bid[symbols], market.ask[symbols]
    lately = np.where(is_buy, period.lowest[symbols], period.highest[symbols])
    price_collar = _collar(limits.price_collar_bps, is_reducing)
    period_collar = _parts(limits.period_collar_bps)
    by_mid = _furthest(sign, bid + ask, price_collar)
    by_period = _furthest(sign, lately, period_collar)
    worst = sign * np.where(is_reducing, by_mid, np.minimum(by_mid, by_period))
    worst = np.where(is_buy, np.maximum(worst, ask), np.minimum(worst, bid))
    return np.clip(worst, 1, LARGEST)


def _furthest(
    sign: Int[np.ndarray, " n"],
    mid2: Int[np.ndarray, " n"],
    collar: Int[np.ndarray, " n"] | int,
) -> Int[np.ndarray, " n"]:
    """The last price near such a mid, buying with the sign 1 and selling with −1, times
    the sign; `mid2` as in `_is_near`."""
    mid2 = np.clip(mid2, 0, 2 * LARGEST)
    return (sign * mid2 + part(mid2, collar)) // 2


def _worst_price(proposals: Proposals, context: Context) -> Int[np.ndarray, " n"]:
    """Increments: the limit, or the opposite best where there is none."""
    slot, limit = proposals.symbols, proposals.limits
    bid, ask = context.market.bid[slot], context.market.ask[slot]
    return np.where(limit > 0, limit, np.where(proposals.lots > 0, ask, bid))


def _collar(bps: float, is_wider: Bool[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
    """Parts of a mid, wider where one only reduces."""
    return np.where(is_wider, _parts(bps, WIDER_COLLAR), _parts(bps))


@lru_cache
def _parts(bps: float, times: int = 1) -> int:
    return parts(times * written(bps) / BASIS_POINTS)


def _is_near(
    price: Int[np.ndarray, " n"],
    mid2: Int[np.ndarray, " n"],
    collar: Int[np.ndarray, " n"] | int,
) -> Bool[np.ndarray, " n"]:
    """`mid2` is twice a mid, so that it is whole; nothing is near one that no quote can
    have. `collar`: parts of the mid."""
    is_known = (mid2 > 0) & (mid2 <= 2 * LARGEST)
    reach = part(np.where(is_known, mid2, 0), collar)
    return is_known & (abs(2 * price - mid2) <= reach)
