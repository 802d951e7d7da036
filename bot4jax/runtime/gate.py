"""The last check before an order leaves: exact, on the host, one order at a time.

Everything is accepted only if `value <= limit`, so a NaN is refused wherever it
stands. Limits in money become limits in whole lots once a step (`context`); after that
only integers and two running sums are compared. Exposure is the worst case per side:
the position plus all open buys, and the position less all open sells, never netted.
"""

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np
from jaxtyping import Float, Int

from bot4jax.data.universe import Universe
from bot4jax.runtime.orders import LARGEST, Order
from bot4jax.runtime.portfolio import Contracts, EquityRow, Portfolio, contracts
from bot4jax.types import BUY, TRADING

WIDER_COLLAR = 2
"""Reductions may trade this many times further from the reference."""


class TradingState(enum.IntEnum):
    """What may be sent; of several states the largest counts. Cancels always pass."""

    ACTIVE = 0
    REDUCING = 1
    HALTED = 2


class Reason(enum.IntEnum):
    """Why an order was denied or made smaller, in the order of looking at it."""

    sentence: str

    def __new__(cls, value: int, sentence: str) -> Self:
        reason = int.__new__(cls, value)
        reason._value_ = value
        reason.sentence = sentence
        return reason

    HALTED = 1, "The engine is halted: nothing but cancels leaves."
    UNKNOWN_SYMBOL = 2, "The slot holds no instrument."
    INVALID_SIZE = 3, "The size is not a positive whole number of lots."
    DUPLICATE = 4, "An order of this id was sent before."
    INSTRUMENT_HALTED = 5, "The instrument is not trading."
    MISSING_REFERENCE = 6, "There is no valid bid and ask to compare the price with."
    STALE_REFERENCE = 7, "The quote is too old: only reductions pass."
    NON_FINITE_TARGET = 8, "The wanted position is not a number."
    BELOW_MINIMUM = 9, "The change is under one lot or under the least notional."
    PARTICIPATION = 10, "Made smaller: too much of the size at the best quote."
    PRICE_COLLAR = 11, "The price is too far from the mid."
    REDUCING = 12, "Only reductions pass: the engine is in the state REDUCING."
    NO_CAPITAL = 13, "The net asset value is unknown or not positive."
    DAILY_LOSS = 14, "Only reductions pass: the day's loss is over its limit."
    DRAWDOWN = 15, "Only reductions pass: the drawdown is over its limit."
    ORDER_NOTIONAL = 16, "The order is worth more than one order may be."
    POSITION = 17, "The position would be a larger share of the capital than allowed."
    GROSS = 18, "The gross exposure would be larger than allowed."
    NET = 19, "The net exposure would be larger than allowed."
    ORDER_BUDGET = 20, "The step has used all its orders on more urgent ones."


def codes_table() -> str:
    """`docs/codes.md`: every reason with its number and sentence."""
    rows = [f"| {one.value} | `{one.name}` | {one.sentence} |" for one in Reason]
    return "\n".join(
        [
            "# Reason codes of the risk gate",
            "",
            "Looked at in this order; the first that applies is counted.",
            "",
            "| code | name | meaning |",
            "|---|---|---|",
            *rows,
            "",
        ]
    )


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What no order may exceed; shares are of the net asset value."""

    max_order_notional: float
    """base currency"""
    max_position_share: float
    max_gross: float
    max_net: float
    price_collar_bps: float
    """basis points of the mid; `WIDER_COLLAR` times as much for reductions"""
    orders_per_step: int
    max_participation: float
    """opening orders: times the size at the opposite best quote"""
    stale_seconds: float
    """oldest quote that an opening order may rest on"""
    daily_loss_share: float
    drawdown_share: float

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ValueError(
                    f"risk.{name} is {value}: expected a finite number, 0 or larger."
                )

    @classmethod
    def from_config(cls, risk: Any) -> "Limits":
        """The limits of `config.risk`; its other fields are not for the gate."""
        missing = [name for name in cls.__struct_fields__ if not hasattr(risk, name)]
        if missing:
            raise ValueError(f"risk lacks {', '.join(missing)}.")
        return cls(**{name: getattr(risk, name) for name in cls.__struct_fields__})


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


class Denied(NamedTuple):
    """Everything that one reason stopped in one step."""

    reason: Reason
    symbols: Int[np.ndarray, " n"]
    lots: Int[np.ndarray, " n"]
    """signed, buys positive; what was denied"""


class Context:
    """One step's limits in whole lots, and what is left of them order by order.

    Columns that a single order looks into are Python lists: reading one element of a
    list costs a third of reading one of an array.
    """

    def __init__(
        self,
        universe: Universe,
        limits: Limits,
        market: Market,
        owned: Account,
        now_ns: int,
        state: TradingState = TradingState.ACTIVE,
        known: Sequence[str] | set[str] = (),
    ) -> None:
        """`known`: ids of orders that were sent in earlier steps."""
        units = contracts(universe)
        self.universe, self.limits, self.state = universe, limits, state
        self.contracts = units
        self.market, self.owned, self.slots = market, owned, len(universe.instruments)
        self.refused = _refusals(limits, market, now_ns)
        self.unit = _unit_values(units, market, owned)
        self.opening = _opening_stop(limits, owned, state)
        self.bid, self.ask = market.bid.tolist(), market.ask.tolist()
        self.refusals, self.units = self.refused.tolist(), self.unit.tolist()
        nav = owned.nav
        self.order_lots = _whole_lots(limits.max_order_notional, self.unit).tolist()
        self.position_lots = _whole_lots(
            limits.max_position_share * nav, self.unit
        ).tolist()
        self.high = (owned.lots + owned.open_buys).tolist()
        self.low = (owned.lots - owned.open_sells).tolist()
        worst = np.maximum(
            abs(owned.lots + owned.open_buys), abs(owned.lots - owned.open_sells)
        )
        self.gross = _exposure(worst, self.unit)
        self.net_high = _exposure(owned.lots + owned.open_buys, self.unit)
        self.net_low = _exposure(owned.lots - owned.open_sells, self.unit)
        self.max_gross, self.max_net = limits.max_gross * nav, limits.max_net * nav
        self.budget = limits.orders_per_step
        self.known: set[str] = set(known)

    def reduces(self, order: Order) -> bool:
        """True if the order can only bring the position nearer to zero.

        Counted on the far side: all open orders of the same side come first.
        """
        if order.side == BUY:
            return self.high[order.symbol] + order.lots <= 0
        return self.low[order.symbol] - order.lots >= 0

    def worst(self, slot: int) -> int:
        """The largest position, in lots, that the open orders can lead to."""
        return max(abs(self.high[slot]), abs(self.low[slot]))

    def take(self, order: Order) -> None:
        """Count an accepted order as filled on its own side."""
        slot, unit = order.symbol, self.units[order.symbol]
        before = self.worst(slot)
        if order.side == BUY:
            self.high[slot] += order.lots
            self.net_high += order.lots * unit
        else:
            self.low[slot] -= order.lots
            self.net_low -= order.lots * unit
        self.gross += (self.worst(slot) - before) * unit
        self.budget -= 1
        self.known.add(order.id)


def check(order: Order, context: Context) -> Reason | None:
    """Why the order may not leave, or None; the order of `Reason` is kept."""
    if context.state == TradingState.HALTED:
        return Reason.HALTED
    if not 0 <= order.symbol < context.slots:
        return Reason.UNKNOWN_SYMBOL
    if not 0 < order.lots <= LARGEST:
        return Reason.INVALID_SIZE
    if order.id in context.known:
        return Reason.DUPLICATE
    reduces = context.reduces(order)
    refusal = context.refusals[order.symbol]
    if refusal and not (reduces and refusal == Reason.STALE_REFERENCE):
        return Reason(refusal)
    if not within_collar(order, context, WIDER_COLLAR if reduces else 1):
        return Reason.PRICE_COLLAR
    if not reduces and (reason := _opening_reason(order, context)) is not None:
        return reason
    return None if context.budget > 0 else Reason.ORDER_BUDGET


def within_collar(order: Order, context: Context, times: int) -> bool:
    """The worst price is near the mid; a market order's is the opposite best."""
    bid, ask = context.bid[order.symbol], context.ask[order.symbol]
    price = order.limit or (ask if order.side == BUY else bid)
    distance = abs(2 * price - bid - ask) * 10_000
    return distance <= times * context.limits.price_collar_bps * (bid + ask)


def admit(
    orders: Sequence[Order], context: Context, benefits: Sequence[float] = ()
) -> tuple[list[Order], list[Denied]]:
    """The orders that may leave, and what was denied for which reason.

    Reductions come first, then the largest expected net benefit: where limits or the
    step's budget end, the least valuable orders are those denied.
    """
    worth = benefits or [0.0] * len(orders)
    urgency = [
        (not one.reduce_only, -value) for one, value in zip(orders, worth, strict=True)
    ]
    accepted: list[Order] = []
    denied: dict[Reason, list[Order]] = {}
    for at in sorted(range(len(orders)), key=urgency.__getitem__):
        order = orders[at]
        reason = check(order, context)
        if reason is None:
            context.take(order)
            accepted.append(order)
        else:
            denied.setdefault(reason, []).append(order)
    return accepted, [_denied(reason, denied[reason]) for reason in sorted(denied)]


def _opening_reason(order: Order, context: Context) -> Reason | None:
    """Why an order that takes on risk may not leave."""
    if context.opening is not None:
        return context.opening
    slot, lots = order.symbol, order.lots
    if not lots <= context.order_lots[slot]:
        return Reason.ORDER_NOTIONAL
    is_buy, value = order.side == BUY, lots * context.units[slot]
    reached = context.high[slot] + lots if is_buy else lots - context.low[slot]
    if not reached <= context.position_lots[slot]:
        return Reason.POSITION
    added = max(reached - context.worst(slot), 0) * context.units[slot]
    if not context.gross + added <= context.max_gross:
        return Reason.GROSS
    net = context.net_high + value if is_buy else value - context.net_low
    return None if net <= context.max_net else Reason.NET


def _opening_stop(limits: Limits, owned: Account, state: TradingState) -> Reason | None:
    """Why nothing that takes on risk may leave in this step."""
    if state != TradingState.ACTIVE:
        return Reason.REDUCING
    if not 0 < owned.nav < float("inf"):
        return Reason.NO_CAPITAL
    if not owned.daily_loss <= limits.daily_loss_share:
        return Reason.DAILY_LOSS
    if not owned.drawdown <= limits.drawdown_share:
        return Reason.DRAWDOWN
    return None


def _refusals(limits: Limits, market: Market, now_ns: int) -> np.ndarray:
    """By slot: what is wrong with the instrument or its reference, or 0."""
    has_quote = (market.bid > 0) & (market.bid <= market.ask) & (market.ask <= LARGEST)
    age_ns = now_ns - market.quote_ns
    is_fresh = age_ns <= limits.stale_seconds * 1e9
    reason = np.where(is_fresh, 0, Reason.STALE_REFERENCE)
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


def _denied(reason: Reason, orders: Sequence[Order]) -> Denied:
    signed = [one.lots if one.side == BUY else -one.lots for one in orders]
    symbols = np.array([one.symbol for one in orders], np.int64)
    return Denied(reason, symbols, np.array(signed, np.int64))
