"""From wished shares of the capital to orders in whole lots.

A target that turns a position round becomes two orders: leg 0 closes, leg 1 opens. So
every order either only reduces risk or only takes it on, and the gate can let the
first pass while it denies the second. Sizes are columns until the gate has decided:
only what leaves becomes an `Order`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.runtime.benefit import benefits
from bot4jax.runtime.context import Context
from bot4jax.runtime.gate import Denied, Proposals, admit, furthest
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.money import part, parts
from bot4jax.runtime.orders import (
    LARGEST,
    OPENING_LEG,
    REDUCING_LEG,
    Kind,
    Order,
    order_id,
)
from bot4jax.runtime.schedule import Schedules
from bot4jax.types import BUY, SELL

LEAST_CHANGE = 1.0 - 1e-3
"""Lots. Just under one: a float32 share may miss a whole lot by its rounding."""


class Tactic(NamedTuple):
    """How what is wanted is asked for."""

    kind: Kind = "ioc"
    is_passive: bool = False
    """rests at its own side's best and refuses to take; else at the opposite best"""
    is_pressing: bool = False
    """takes whatever the collars let pass, not the opposite best alone"""
    rest_ns: int = 0
    """event time after which it expires; 0: by its kind alone"""


IOC = Tactic()

Pace = Callable[[Int[np.ndarray, " S"]], Int[np.ndarray, " S"]]
"""How much of the opening lots may leave now."""


class Legs(NamedTuple):
    """Signed lots per slot: towards zero, and away from it."""

    reducing: Int[np.ndarray, " S"]
    opening: Int[np.ndarray, " S"]


def orders_from_targets(
    targets: Float[np.ndarray, " S"],
    held: Float[np.ndarray, " S"],
    context: Context,
    *,
    run: str,
    step: int,
    boundary_ns: int,
    tactic: Tactic = IOC,
    schedules: Schedules | None = None,
) -> tuple[list[Order], list[Denied]]:
    """Orders that bring the positions to `targets`, signed shares of the asset value.

    `held` is the very array that the device was given: a target equal to it, to the
    bit, asks for nothing. Orders in flight count as filled on their own side: nothing
    is sent against them. Reductions of size (`PARTICIPATION`) are told beside the
    denials.
    """
    schedules = schedules or Schedules(1, run)
    proposals, legs, unasked = proposals_from_targets(
        targets,
        held,
        context,
        tactic=tactic,
        pace=lambda opening: schedules.paced(opening, step, lambda: leasts(context)),
    )
    accepted, denied = admit(proposals, context)
    symbols, lots, limits = (column.tolist() for column in proposals[:3])
    orders = [
        Order(
            id=order_id(run, step, symbols[row], legs[row]),
            symbol=symbols[row],
            side=BUY if lots[row] > 0 else SELL,
            lots=abs(lots[row]),
            kind=tactic.kind,
            limit=limits[row],
            reduce_only=legs[row] == REDUCING_LEG,
            post_only=tactic.is_passive,
            step=step,
            sent_ns=boundary_ns,
            expires_ns=tactic.rest_ns and boundary_ns + tactic.rest_ns - 1,
            parent=schedules.parent(symbols[row]) if legs[row] == OPENING_LEG else "",
        )
        for row in accepted
    ]
    return orders, [*unasked, *denied]


def proposals_from_targets(
    targets: Float[np.ndarray, " S"],
    held: Float[np.ndarray, " S"],
    context: Context,
    *,
    tactic: Tactic = IOC,
    pace: Pace = lambda opening: opening,
) -> tuple[Proposals, list[int], list[Denied]]:
    """What the targets ask for, the leg of each row, and what became no proposal."""
    lots, unknown = wanted_lots(targets, held, context)
    wished = split_legs(lots, context)
    paced = wished._replace(opening=pace(wished.opening))
    legs, shrunk = shrink(paced, context)
    legs, small = drop_small(legs, context)
    leg, symbols = np.nonzero(np.stack(legs))
    signed = np.stack(legs)[leg, symbols]
    ways = np.stack(wished._replace(reducing=lots))[leg, symbols]
    is_reducing = leg == REDUCING_LEG
    proposals = Proposals(
        symbols=symbols,
        lots=signed,
        limits=worst_prices(tactic, context, symbols, signed, is_reducing),
        is_reducing=is_reducing,
        benefits=benefits(context, symbols, signed, ways),
    )
    return proposals, leg.tolist(), [*unknown, *shrunk, *small]


def worst_prices(
    tactic: Tactic,
    context: Context,
    symbols: Int[np.ndarray, " n"],
    signed: Int[np.ndarray, " n"],
    is_reducing: Bool[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """What orders name as their limits, increments; 0 where any price will do."""
    if tactic.kind == "market":
        return np.zeros_like(symbols)
    if tactic.is_pressing:
        return furthest(context, symbols, signed, is_reducing)
    market = context.market
    is_at_ask = (signed > 0) != tactic.is_passive
    return np.where(is_at_ask, market.ask[symbols], market.bid[symbols])


def wished_lots(
    targets: Float[np.ndarray, " S"], held: Float[np.ndarray, " S"], context: Context
) -> Float[np.ndarray, " S"]:
    """How far the targets are from what is owned, signed lots.

    0 where what is owned is to be kept; not finite where the target is not, or where it
    cannot be counted in lots.
    """
    owned = context.owned
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = targets.astype(np.float64) - held
        change = share * owned.nav / context.unit
        change = np.where(targets == held, 0.0, change)
        change = np.where(targets == 0, -owned.lots, change)
    return change


def wanted_lots(
    targets: Float[np.ndarray, " S"], held: Float[np.ndarray, " S"], context: Context
) -> tuple[Int[np.ndarray, " S"], list[Denied]]:
    """Signed whole lots to trade per slot, and where that could not be known.

    What is in flight that way already is not asked for again. Changes under one lot are
    not rounded up to one: a forecast that trembles in its last digits must not trade.
    """
    owned, wish = context.owned, wished_lots(targets, held, context)
    is_finite = np.isfinite(targets)
    in_flight = np.where(wish > 0, owned.open_buys, owned.open_sells)
    change = np.sign(wish) * np.maximum(abs(wish) - in_flight, 0.0)
    is_asked = is_finite & (change != 0)
    is_known = context.is_priced & ~np.isnan(change)
    is_large = abs(change) >= LEAST_CHANGE
    lots = np.where(is_asked & is_known & is_large, change, 0.0)
    denied = [
        *_denials(Reason.NON_FINITE_TARGET, ~is_finite),
        *_unpriced(is_asked & ~is_known, context),
        *_denials(Reason.BELOW_MINIMUM, is_asked & is_known & ~is_large),
    ]
    return np.rint(np.clip(lots, -LARGEST, LARGEST)).astype(np.int64), denied


def split_legs(lots: Int[np.ndarray, " S"], context: Context) -> Legs:
    """The part that brings each position nearer to zero, and the rest."""
    owned = context.owned
    closable_by_sell = np.maximum(owned.lots - owned.open_sells, 0)
    closable_by_buy = np.maximum(-(owned.lots + owned.open_buys), 0)
    room = np.where(lots > 0, closable_by_buy, closable_by_sell)
    reducing = np.sign(lots) * np.minimum(abs(lots), room)
    return Legs(reducing, lots - reducing)


def shrink(legs: Legs, context: Context) -> tuple[Legs, list[Denied]]:
    """Opening legs of at most `max_participation` times the opposite best size.

    What is already in flight on that side takes its part of it.
    """
    market, owned = context.market, context.owned
    if market.bid_size is None or market.ask_size is None:
        return legs, []
    is_buy = legs.opening > 0
    size = np.where(is_buy, market.ask_size, market.bid_size)
    in_flight = np.where(is_buy, owned.open_buys, owned.open_sells)
    share = part(size, parts(context.limits.max_participation)) - in_flight
    most = np.clip(share, 0, LARGEST)
    kept = np.sign(legs.opening) * np.minimum(abs(legs.opening), most)
    is_cut = kept != legs.opening
    denied = _denials(Reason.PARTICIPATION, is_cut, legs.opening - kept)
    return legs._replace(opening=kept), denied


def drop_small(legs: Legs, context: Context) -> tuple[Legs, list[Denied]]:
    """No opening leg under the venue's least notional; reductions may be small."""
    is_small = (legs.opening != 0) & ~(abs(legs.opening) >= leasts(context))
    denied = _denials(Reason.BELOW_MINIMUM, is_small, legs.opening)
    return legs._replace(opening=np.where(is_small, 0, legs.opening)), denied


def leasts(context: Context) -> Int[np.ndarray, " S"]:
    """The fewest lots that come to the venue's least notional, by slot: whole numbers
    alone. One more than any order has where none do."""
    units, market = context.contracts, context.market
    price = np.where(units.is_inverse, 1, market.bid + market.ask)
    lots = -(-units.least // np.maximum(price, 1))
    is_counted = (price > 0) | (units.least == 0)
    most = LARGEST + 1
    return np.where(is_counted, np.minimum(lots, most), most).astype(np.int64)


def _unpriced(
    is_unpriced: Bool[np.ndarray, " S"], context: Context
) -> Sequence[Denied]:
    """Denials of slots whose change cannot be counted in lots, by what is missing."""
    if not is_unpriced.any():
        return []
    capital_unknown = not np.isfinite(context.owned.nav)
    other = Reason.NO_CAPITAL if capital_unknown else Reason.MISSING_REFERENCE
    reason = np.where(context.is_priced, other, context.refused)
    return [
        one
        for code in np.unique(reason[is_unpriced])
        for one in _denials(Reason(int(code)), is_unpriced & (reason == code))
    ]


def _denials(
    reason: Reason,
    where: Bool[np.ndarray, " S"],
    lots: Int[np.ndarray, " S"] | None = None,
) -> list[Denied]:
    """One `Denied` if there is anything to deny; 0 lots where they are not known."""
    symbols = np.flatnonzero(where)
    if not len(symbols):
        return []
    signed = np.zeros(len(symbols), np.int64) if lots is None else lots[symbols]
    return [Denied(reason, symbols, signed)]
