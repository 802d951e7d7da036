"""The last check before an order leaves: exact and on the host.

Everything is accepted only if `value <= limit`, so a NaN is refused wherever it
stands. Limits in money become limits in whole lots once a step (`Context`); after that
only integers and the running sums of exposure are compared. Exposure is the worst
case per side: the position plus all open buys, and the position less all open sells,
never netted.
"""

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.runtime.limits import WIDER_COLLAR, Limits, Reason, TradingState
from bot4jax.runtime.orders import LARGEST, Order
from bot4jax.runtime.portfolio import Contracts, EquityRow, Portfolio
from bot4jax.types import BUY, TRADING

PRICE_COLLAR, ORDER_NOTIONAL = int(Reason.PRICE_COLLAR), int(Reason.ORDER_NOTIONAL)
POSITION, GROSS, NET = int(Reason.POSITION), int(Reason.GROSS), int(Reason.NET)
ORDER_BUDGET = int(Reason.ORDER_BUDGET)

EXCUSED = (int(Reason.STALE_REFERENCE), int(Reason.MISSED_TICKS))
"""What is wrong with a reference that reductions may still rest on."""


class Market(NamedTuple):
    """The market as the step sees it, by slot."""

    bid: Int[np.ndarray, " S"]
    """increments; 0 is unknown"""
    ask: Int[np.ndarray, " S"]
    quote_ns: Int[np.ndarray, " S"]
    """event time of the last quote"""
    status: Int[np.ndarray, " S"]
    bid_size: Int[np.ndarray, " S"] | None = None
    """lots at the best quote; None: the source knows no sizes, no limit applies"""
    ask_size: Int[np.ndarray, " S"] | None = None


class Account(NamedTuple):
    """The account as the step sees it, by slot."""

    lots: Int[np.ndarray, " S"]
    open_buys: Int[np.ndarray, " S"]
    open_sells: Int[np.ndarray, " S"]
    marks: Float[np.ndarray, " S"]
    """last known prices: they value a position whose quote is missing"""
    rates: Float[np.ndarray, " S"]
    nav: float
    daily_loss: float
    drawdown: float


def account(portfolio: Portfolio, row: EquityRow) -> Account:
    """What the gate needs of a portfolio that was valued at this boundary."""
    return Account(
        lots=portfolio.lots,
        open_buys=portfolio.open_buys,
        open_sells=portfolio.open_sells,
        marks=portfolio.marks,
        rates=portfolio.rates,
        nav=row.nav,
        daily_loss=row.daily_loss,
        drawdown=row.drawdown,
    )


class Proposals(NamedTuple):
    """Orders that a step would like to send, by column; sizes are signed."""

    symbols: Int[np.ndarray, " n"]
    lots: Int[np.ndarray, " n"]
    """buys positive"""
    limits: Int[np.ndarray, " n"]
    """increments; 0 for a market order"""
    is_reducing: Bool[np.ndarray, " n"]
    benefits: Float[np.ndarray, " n"]
    """expected net benefit, base currency"""


class Denied(NamedTuple):
    """Everything that one reason stopped in one step."""

    reason: Reason
    symbols: Int[np.ndarray, " n"]
    lots: Int[np.ndarray, " n"]
    """signed, buys positive; what was denied"""


class Context:
    """One step's limits in whole lots, and what is left of them."""

    def __init__(
        self,
        units: Contracts,
        limits: Limits,
        market: Market,
        owned: Account,
        now_ns: int,
        state: TradingState = TradingState.ACTIVE,
        known: Collection[str] = (),
        stale: Bool[np.ndarray, " S"] | None = None,
    ) -> None:
        """`known`: ids of orders that were sent before; `stale`: symbols of which
        the feed missed something that no snapshot has healed yet."""
        self.contracts, self.limits, self.state = units, limits, state
        self.market, self.owned, self.slots = market, owned, len(units.size)
        self.known, self.budget = known, limits.orders_per_step
        is_stale = np.zeros(self.slots, bool) if stale is None else stale
        self.refused = _refusals(limits, market, is_stale, now_ns)
        self.opening = _opening_stop(limits, owned, state)
        self.is_priced = (self.refused == 0) | np.isin(self.refused, EXCUSED)
        self.unit = _unit_values(units, market, owned)
        self.order_lots = _whole_lots(limits.max_order_notional, self.unit)
        share = limits.max_position_share * owned.nav
        self.position_lots = _whole_lots(share, self.unit)
        self.high = owned.lots + owned.open_buys
        self.low = owned.lots - owned.open_sells
        worst = np.maximum(abs(self.high), abs(self.low))
        self.gross = _exposure(worst, self.unit)
        self.net_high = _exposure(self.high, self.unit)
        self.net_low = _exposure(self.low, self.unit)
        self.max_gross = limits.max_gross * owned.nav
        self.max_net = limits.max_net * owned.nav


class Verdict(NamedTuple):
    """What becomes of each row, and what the account looks like if it does."""

    reasons: Int[np.ndarray, " n"]
    """0: accepted"""
    accepted: list[int]
    """rows, in the order of sending"""
    gross: float
    net_high: float
    net_low: float


def check(order: Order, context: Context) -> Reason | None:
    """Why this one order may not leave, or None; nothing is counted as sent."""
    if context.state == TradingState.HALTED:
        return Reason.HALTED
    if not 0 <= order.symbol < context.slots:
        return Reason.UNKNOWN_SYMBOL
    if not 0 < order.lots <= LARGEST:
        return Reason.INVALID_SIZE
    if order.id in context.known:
        return Reason.DUPLICATE
    signed = order.lots if order.side == BUY else -order.lots
    limit = min(max(order.limit, 0), LARGEST)
    columns = (np.array([one]) for one in (order.symbol, signed, limit, True, 0.0))
    reason = int(judge(Proposals(*columns), context).reasons[0])
    return Reason(reason) if reason else None


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
    context.gross, context.budget = verdict.gross, context.budget - len(taken)
    context.net_high, context.net_low = verdict.net_high, verdict.net_low
    denied = []
    for reason in np.unique(verdict.reasons[verdict.reasons > 0]).tolist():
        at = np.flatnonzero(verdict.reasons == reason)
        denied.append(Denied(Reason(reason), proposals.symbols[at], proposals.lots[at]))
    return taken, denied


def judge(proposals: Proposals, context: Context) -> Verdict:
    """Decide on every row: what it is by itself, then the exposure it adds to.

    Reductions come first, then the largest expected net benefit: where limits or the
    step's budget end, the least valuable orders are those denied.
    """
    reducing, added, own = weigh(proposals, context)
    value = proposals.lots * context.unit[proposals.symbols]
    gross, high, low = context.gross, context.net_high, context.net_low
    budget, accepted = context.budget, []
    values, additions, reduces = value.tolist(), added.tolist(), reducing.tolist()
    urgency, reasons = np.lexsort((-proposals.benefits, ~reducing)), own.tolist()
    for row in urgency[own[urgency] == 0].tolist():
        worth, addition = values[row], additions[row]
        if not reduces[row]:
            if not gross + addition <= context.max_gross:
                reasons[row] = GROSS
                continue
            if not (high + worth if worth > 0 else -low - worth) <= context.max_net:
                reasons[row] = NET
                continue
        if budget <= 0:
            reasons[row] = ORDER_BUDGET
            continue
        budget, gross = budget - 1, gross + addition
        high, low = high + max(worth, 0.0), low + min(worth, 0.0)
        accepted.append(row)
    found = np.array(reasons, np.int64)
    return Verdict(found, accepted, gross, high, low)


def weigh(
    proposals: Proposals, context: Context
) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """By row: does it reduce, what it adds to gross, what speaks against it alone.

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
    more = np.maximum(reached - np.maximum(abs(high), abs(low)), 0)
    added = np.where(more > 0, more * context.unit[slot], 0.0)
    return reducing, added, _own_reasons(proposals, context, reducing, reached)


def _own_reasons(
    proposals: Proposals,
    context: Context,
    reducing: Bool[np.ndarray, " n"],
    reached: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """What speaks against each row, whatever the others are; 0: nothing."""
    slot, opening = proposals.symbols, ~reducing
    refused = context.refused[slot]
    is_excused = reducing & np.isin(refused, EXCUSED)
    stop = 0 if context.opening is None else int(context.opening)
    reason = np.where(opening & ~(reached <= context.position_lots[slot]), POSITION, 0)
    is_small = abs(proposals.lots) <= context.order_lots[slot]
    reason = np.where(opening & ~is_small, ORDER_NOTIONAL, reason)
    reason = np.where(opening & (stop > 0), stop, reason)
    is_near = within_collar(proposals, context, reducing)
    reason = np.where(is_near, reason, PRICE_COLLAR)
    if context.state == TradingState.HALTED:
        return np.full(len(slot), int(Reason.HALTED))
    return np.where((refused > 0) & ~is_excused, refused, reason)


def within_collar(
    proposals: Proposals, context: Context, reducing: Bool[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """The worst price is near the mid; a market order's is the opposite best."""
    slot, limit = proposals.symbols, proposals.limits
    bid, ask = context.market.bid[slot], context.market.ask[slot]
    price = np.where(limit > 0, limit, np.where(proposals.lots > 0, ask, bid))
    collar = np.where(reducing, WIDER_COLLAR, 1) * context.limits.price_collar_bps
    return abs(2 * price - bid - ask) * 10_000.0 <= collar * (bid + ask)


def _opening_stop(limits: Limits, owned: Account, state: TradingState) -> Reason | None:
    """Why nothing that takes on risk may leave in this step."""
    if not 0 < owned.nav < float("inf"):
        return Reason.NO_CAPITAL
    if not owned.daily_loss <= limits.daily_loss_share:
        return Reason.DAILY_LOSS
    if not owned.drawdown <= limits.drawdown_share:
        return Reason.DRAWDOWN
    return None if state == TradingState.ACTIVE else Reason.REDUCING


def _refusals(
    limits: Limits, market: Market, is_stale: Bool[np.ndarray, " S"], now_ns: int
) -> np.ndarray:
    """By slot: what is wrong with the instrument or its reference, or 0."""
    has_quote = (market.bid > 0) & (market.bid <= market.ask) & (market.ask <= LARGEST)
    age_ns = now_ns - market.quote_ns
    is_fresh = age_ns <= limits.stale_seconds * 1e9
    reason = np.where(is_stale, Reason.MISSED_TICKS, 0)
    reason = np.where(is_fresh, reason, Reason.STALE_REFERENCE)
    reason = np.where(has_quote, reason, Reason.MISSING_REFERENCE)
    return np.where(market.status == TRADING, reason, Reason.INSTRUMENT_HALTED)


def _unit_values(
    units: Contracts, market: Market, owned: Account
) -> Float[np.ndarray, " S"]:
    """Value of one lot at the mid, base currency; NaN where no price is known."""
    has_quote = (market.bid > 0) & (market.bid <= market.ask)
    mid = (market.bid + market.ask) * (units.increment / 2)
    price = np.where(has_quote, mid, owned.marks)
    with np.errstate(invalid="ignore", divide="ignore"):
        worth = np.where(units.is_inverse, 1.0 / price, price) * units.size
    return worth * owned.rates


def _whole_lots(money: float, unit: Float[np.ndarray, " S"]) -> np.ndarray:
    """How many lots the money buys at most; −1 where that is unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):
        lots = np.floor(money / unit)
    is_known = (unit > 0) & (lots >= 0)
    return np.where(is_known, np.minimum(lots, LARGEST), -1).astype(np.int64)


def _exposure(lots: np.ndarray, unit: Float[np.ndarray, " S"]) -> float:
    return float(np.where(lots == 0, 0.0, lots * unit).sum())
