"""What a step may still do: limits in whole lots and units, and what is left of them.

What a lot is worth at the quote becomes whole units once a step, exactly and then
rounded up, and limits whole lots or units, rounded down (`runtime.money`); after that
only whole numbers are added and compared. Exposure is the worst case per side: the
position plus all open buys, and the position less all open sells, never netted. The
margin that it binds is its share by instrument, and nothing frees it by offsetting.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.runtime.contracts import Contracts
from bot4jax.runtime.equity import DAY_NS, EquityRow, Lost
from bot4jax.runtime.limits import Limits, Reason, TradingState
from bot4jax.runtime.money import (
    MOST,
    UNITS,
    Bracket,
    Ratio,
    bracketed,
    capital,
    part,
    parts,
    products,
    rounded,
    share,
    times,
    written,
)
from bot4jax.runtime.orders import LARGEST
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.recent import SECOND_NS, MidRange
from bot4jax.types import TRADING

EXCUSED = np.isin(
    range(max(Reason) + 1),
    (Reason.EXPIRED, Reason.STALE_REFERENCE, Reason.MISSED_TICKS, Reason.NEWS),
)
"""By reason: reductions may still rest on an instrument that this is wrong with."""


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
    volume: Int[np.ndarray, " S"] | None = None
    """lots traded since `since_ns`; None: none is ever shown, no limit applies"""
    since_ns: int = 0


class Account(NamedTuple):
    """The account as the step sees it, by slot."""

    lots: Int[np.ndarray, " S"]
    open_buys: Int[np.ndarray, " S"]
    open_sells: Int[np.ndarray, " S"]
    marks: Float[np.ndarray, " S"]
    """last known prices: they value a position whose quote is missing"""
    rates: Float[np.ndarray, " S"]
    nav: float
    lost: Lost


def account(portfolio: Portfolio, row: EquityRow) -> Account:
    """What the gate needs of a portfolio that was valued at this boundary."""
    return Account(
        lots=portfolio.lots,
        open_buys=portfolio.working.buys,
        open_sells=portfolio.working.sells,
        marks=portfolio.marks,
        rates=portfolio.rates,
        nav=row.nav,
        lost=portfolio.lost,
    )


class Exposure(NamedTuple):
    """What all positions come to at worst, or may come to; units of `runtime.money`."""

    gross: int
    bound: int
    """margin"""
    long: int
    short: int
    """net, if all sells and no buys are filled; both sides count upwards"""


NO_ROOM = Exposure(-1, -1, -1, -1)
"""Less than any exposure is: nothing may open."""


class Context:
    """One step's limits in whole lots and units, and what is left of them."""

    def __init__(
        self,
        units: Contracts,
        limits: Limits,
        market: Market,
        owned: Account,
        now_ns: int,
        state: TradingState = TradingState.ACTIVE,
        stale: Bool[np.ndarray, " S"] | None = None,
        budget: int | None = None,
        orders: int | None = None,
        period: MidRange | None = None,
        concerned: Bool[np.ndarray, " S"] | None = None,
    ) -> None:
        """`stale`: symbols of which the feed missed something that no snapshot has
        healed yet; `concerned`: those of which news last; `budget`: messages that may
        leave, without it a whole step's; `orders`: orders among them, without it as
        many; `period`: where mids were lately, without it only where they are."""
        self.contracts, self.limits, self.state = units, limits, state
        self.market, self.owned, self.slots = market, owned, len(units.size)
        self.budget = limits.orders_per_step if budget is None else budget
        self.orders = self.budget if orders is None else orders
        here = market.bid + market.ask
        self.period = MidRange(here, here) if period is None else period
        none = np.zeros(self.slots, bool)
        is_stale = none if stale is None else stale
        has_news = none if concerned is None else concerned
        is_over = now_ns >= units.expiry_ns
        self.refused = _refusals(limits, market, is_over, is_stale, has_news, now_ns)
        self.is_priced = (self.refused == 0) | EXCUSED[self.refused]
        self.unit = _unit_values(units, market, owned)
        self.value, self.bound = _worths(units, market, owned, self.unit)
        nav = capital(owned.nav)
        most_an_order = share(limits.max_order_notional, UNITS)
        self.order_lots = _whole_lots(most_an_order, self.value.high)
        most_a_position = share(limits.max_position_share, nav)
        self.position_lots = _whole_lots(most_a_position, self.value.high)
        self.volume_lots = _volume_lots(limits, market, now_ns)
        self.high = owned.lots + owned.open_buys
        self.low = owned.lots - owned.open_sells
        worst = np.maximum(abs(self.high), abs(self.low))
        self.exposure = Exposure(
            gross=_exposure(worst, self.value),
            bound=_exposure(worst, self.bound),
            long=_exposure(self.high, self.value),
            short=_exposure(-self.low, self.value),
        )
        shares = limits.max_gross, limits.max_margin, limits.max_net, limits.max_net
        room = Exposure(*(share(one, nav) for one in shares))
        is_known = _is_counted(owned) & ((worst == 0) | (self.value.high > 0))
        self.most = room if is_known.all() else NO_ROOM

    @property
    def opening(self) -> Reason | None:
        """Why nothing that takes on risk may leave in this step."""
        return _opening_stop(self.limits, self.owned, self.state)


def _opening_stop(limits: Limits, owned: Account, state: TradingState) -> Reason | None:
    if not capital(owned.nav) > 0:
        return Reason.NO_CAPITAL
    if not owned.lost.of_day.within(limits.daily_loss_share):
        return Reason.DAILY_LOSS
    if not owned.lost.of_peak.within(limits.drawdown_share):
        return Reason.DRAWDOWN
    if not owned.lost.in_a_row <= limits.losses_in_a_row:
        return Reason.LOSING
    return None if state == TradingState.ACTIVE else Reason.REDUCING


def _refusals(
    limits: Limits,
    market: Market,
    is_over: Bool[np.ndarray, " S"],
    is_stale: Bool[np.ndarray, " S"],
    has_news: Bool[np.ndarray, " S"],
    now_ns: int,
) -> np.ndarray:
    """By slot: what is wrong with the instrument or its reference, or 0."""
    has_quote = (market.bid > 0) & (market.bid <= market.ask) & (market.ask <= LARGEST)
    age_ns = now_ns - market.quote_ns
    is_fresh = age_ns <= min(int(written(limits.stale_seconds) * SECOND_NS), MOST)
    reason = np.where(has_news, Reason.NEWS, 0)
    reason = np.where(is_stale, Reason.MISSED_TICKS, reason)
    reason = np.where(is_fresh, reason, Reason.STALE_REFERENCE)
    reason = np.where(is_over, Reason.EXPIRED, reason)
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


def _worths(
    units: Contracts,
    market: Market,
    owned: Account,
    unit: Float[np.ndarray, " S"],
) -> tuple[Bracket, Bracket]:
    """Units that one lot is worth, and that it binds; what binds more than is counted,
    or nobody knows how much, is worth nothing that is known."""
    has_quote = (market.bid > 0) & (market.bid <= market.ask) & (market.ask <= LARGEST)
    is_quoted = has_quote & (owned.rates == 1.0)
    price = np.where(is_quoted, market.bid + market.ask, 1)
    exact = _at(units.worth, price, units), _at(units.binds, price, units)
    with np.errstate(invalid="ignore", over="ignore"):
        rough = bracketed(unit), bracketed(unit * units.margin)
    value, bound = (
        Bracket(*(np.where(is_quoted, *pair) for pair in zip(*two, strict=True)))
        for two in zip(exact, rough, strict=True)
    )
    is_known = (bound.high > 0) | (units.margin == 0)
    return Bracket(*(np.where(is_known, one, 0) for one in value)), bound


def _at(worth: Ratio, price: Int[np.ndarray, " S"], units: Contracts) -> Bracket:
    """What a lot is worth at twice the mid."""
    return rounded(
        Ratio(
            times(worth.over, np.where(units.is_inverse, 1, price)),
            times(worth.under, np.where(units.is_inverse, price, 1)),
        )
    )


def _whole_lots(money: int, value: Int[np.ndarray, " S"]) -> Int[np.ndarray, " S"]:
    """How many lots so many units buy at most; −1 where that is unknown."""
    lots = min(max(money, -1), MOST) // np.maximum(value, 1)
    return np.where(value > 0, np.clip(lots, -1, LARGEST), -1)


def _exposure(lots: Int[np.ndarray, " S"], value: Bracket) -> int:
    """Units that all of it is worth at most; what lies on the other side, at least."""
    return int(products(lots, np.where(lots > 0, value.high, value.low)).sum())


def _is_counted(owned: Account) -> Bool[np.ndarray, " S"]:
    """Sizes that orders can have: sums of a few of them do not wrap."""
    sizes = abs(owned.lots), owned.open_buys, owned.open_sells
    return np.logical_and.reduce([(one >= 0) & (one <= LARGEST) for one in sizes])


def _volume_lots(limits: Limits, market: Market, now_ns: int) -> Int[np.ndarray, " S"]:
    """What a position may come to: a share of a day's volume at the pace so far."""
    if market.volume is None:
        return np.full(len(market.bid), LARGEST)
    days = Fraction(max(now_ns - market.since_ns, 1), DAY_NS)
    pace = parts(written(limits.max_volume_share) / days)
    return np.minimum(part(market.volume, pace), LARGEST)
