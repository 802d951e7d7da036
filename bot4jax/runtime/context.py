"""What a step may still do: limits in whole lots, and what is left of them.

Limits in money become limits in whole lots once a step; after that only integers and
the running sums of exposure are compared. Exposure is the worst case per side: the
position plus all open buys, and the position less all open sells, never netted. The
margin that it binds is its share by instrument, and nothing frees it by offsetting.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.runtime.contracts import Contracts
from bot4jax.runtime.equity import DAY_NS, EquityRow
from bot4jax.runtime.limits import Limits, Reason, TradingState
from bot4jax.runtime.orders import LARGEST
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.recent import MidRange
from bot4jax.types import TRADING

EXCUSED = tuple(map(int, (Reason.STALE_REFERENCE, Reason.MISSED_TICKS, Reason.NEWS)))
"""What is wrong with an instrument that reductions may still rest on."""


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
    daily_loss: float
    drawdown: float
    losses: int
    """in a row"""


def account(portfolio: Portfolio, row: EquityRow) -> Account:
    """What the gate needs of a portfolio that was valued at this boundary."""
    return Account(
        lots=portfolio.lots,
        open_buys=portfolio.working.buys,
        open_sells=portfolio.working.sells,
        marks=portfolio.marks,
        rates=portfolio.rates,
        nav=row.nav,
        daily_loss=row.daily_loss,
        drawdown=row.drawdown,
        losses=row.losses,
    )


class Exposure(NamedTuple):
    """What all positions come to at worst, or may come to; base currency."""

    gross: float
    bound: float
    """margin"""
    long: float
    short: float
    """net, if all sells and no buys are filled; both sides count upwards"""


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
        stale: Bool[np.ndarray, " S"] | None = None,
        budget: int | None = None,
        period: MidRange | None = None,
        concerned: Bool[np.ndarray, " S"] | None = None,
    ) -> None:
        """`stale`: symbols of which the feed missed something that no snapshot has
        healed yet; `concerned`: those of which news last; `budget`: messages that may
        leave, without it a whole step's; `period`: where mids were lately, without it
        only where they are."""
        self.contracts, self.limits, self.state = units, limits, state
        self.market, self.owned, self.slots = market, owned, len(units.size)
        self.budget = limits.orders_per_step if budget is None else budget
        here = market.bid + market.ask
        self.period = MidRange(here, here) if period is None else period
        none = np.zeros(self.slots, bool)
        is_stale = none if stale is None else stale
        has_news = none if concerned is None else concerned
        self.refused = _refusals(limits, market, is_stale, has_news, now_ns)
        self.is_priced = (self.refused == 0) | np.isin(self.refused, EXCUSED)
        self.unit = _unit_values(units, market, owned)
        self.order_lots = _whole_lots(limits.max_order_notional, self.unit)
        share = limits.max_position_share * owned.nav
        self.position_lots = _whole_lots(share, self.unit)
        self.volume_lots = _volume_lots(limits, market, now_ns)
        self.high = owned.lots + owned.open_buys
        self.low = owned.lots - owned.open_sells
        worst = np.maximum(abs(self.high), abs(self.low))
        self.exposure = Exposure(
            gross=_exposure(worst, self.unit),
            bound=_exposure(worst, self.unit * units.margin),
            long=_exposure(self.high, self.unit),
            short=-_exposure(self.low, self.unit),
        )
        shares = limits.max_gross, limits.max_margin, limits.max_net, limits.max_net
        self.most = Exposure(*(one * owned.nav for one in shares))

    @property
    def opening(self) -> Reason | None:
        """Why nothing that takes on risk may leave in this step."""
        return _opening_stop(self.limits, self.owned, self.state)


def _opening_stop(limits: Limits, owned: Account, state: TradingState) -> Reason | None:
    if not 0 < owned.nav < float("inf"):
        return Reason.NO_CAPITAL
    if not owned.daily_loss <= limits.daily_loss_share:
        return Reason.DAILY_LOSS
    if not owned.drawdown <= limits.drawdown_share:
        return Reason.DRAWDOWN
    if not owned.losses <= limits.losses_in_a_row:
        return Reason.LOSING
    return None if state == TradingState.ACTIVE else Reason.REDUCING


def _refusals(
    limits: Limits,
    market: Market,
    is_stale: Bool[np.ndarray, " S"],
    has_news: Bool[np.ndarray, " S"],
    now_ns: int,
) -> np.ndarray:
    """By slot: what is wrong with the instrument or its reference, or 0."""
    has_quote = (market.bid > 0) & (market.bid <= market.ask) & (market.ask <= LARGEST)
    age_ns = now_ns - market.quote_ns
    is_fresh = age_ns <= limits.stale_seconds * 1e9
    reason = np.where(has_news, Reason.NEWS, 0)
    reason = np.where(is_stale, Reason.MISSED_TICKS, reason)
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


def _volume_lots(limits: Limits, market: Market, now_ns: int) -> Int[np.ndarray, " S"]:
    """What a position may come to: a share of a day's volume at the pace so far."""
    if market.volume is None:
        return np.full(len(market.bid), LARGEST)
    days = max(now_ns - market.since_ns, 1) / DAY_NS
    lots = np.floor(limits.max_volume_share * market.volume / days)
    return np.minimum(lots, LARGEST).astype(np.int64)
