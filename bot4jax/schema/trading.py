"""What is traded: targets, orders, limits, and what the venue takes for it."""

from typing import Annotated, Literal

from msgspec import Meta

from bot4jax.schema.bounds import (
    LARGEST,
    Count,
    CountOrNone,
    Latency,
    Lots,
    NonNegative,
    Positive,
    PositiveShare,
    Seconds,
    Section,
    Seed,
    Share,
    Text,
)


class Strategy(Section, frozen=True):
    """From forecast to target position."""

    kelly: Annotated[float, Meta(gt=0, le=0.25)]
    """λ, share of the growth-optimal position; above ¼ estimation error ruins"""
    capital: Positive
    """settlement currency"""
    confidence_floor: Share
    """confidence below which no position is opened"""
    volatility_cap: Positive
    """standard deviation of the whole book's return over one horizon"""


class Execution(Section, frozen=True):
    """How what is wanted becomes orders; what has only bars trades at market."""

    kind: Literal["ioc", "fok", "market", "limit", "post_only"]
    """ioc, fok and limit name the opposite best as their worst price, market the worst
    that the collars of risk let pass; fok trades whole or not at all, a limit's rest
    stays; post_only waits at the own best"""
    rest_bars: Count
    """bars after which a resting limit or post_only order expires"""
    slices: Count
    """steps over which an opening order is spread (TWAP), fewer where the slices would
    be under the venue's least notional; 1: at once"""
    stop_bps: Annotated[float, Meta(ge=0, lt=10_000)]
    """bps from the fill-weighted entry at which a stop closes a position; 0: none"""
    profit_bps: Annotated[float, Meta(ge=0, lt=10_000)]
    """the same for a take-profit; one cancels the other"""
    stop_limit_bps: Annotated[float, Meta(ge=0, lt=10_000)]
    """bps beyond its trigger at which a woken stop trades no more, and waits; 0: it
    trades at any price"""


class Risk(Section, frozen=True):
    """Limits of the gate. A model cannot change them; `conf/risk` gives the reasons."""

    max_order_lots: Lots
    """lots an order, whatever a lot is worth"""
    max_order_notional: Positive
    """settlement currency an order"""
    max_position_share: Positive
    """of the capital, one symbol, long or short"""
    max_volume_share: Positive
    """of what is traded in a day, one symbol, long or short; at the pace seen so far"""
    max_gross: Positive
    """× capital, sum of absolute positions"""
    max_net: Positive
    """× capital, absolute sum of positions"""
    max_margin: Positive
    """of the capital, bound as margin by positions and open orders: each instrument's
    own share of its notional"""
    price_collar_bps: Positive
    """bps an order's price may lie from the mid"""
    period_collar_bps: Positive
    """bps an opening order's price may lie from every mid of `period_seconds`"""
    period_seconds: Seconds
    """s of event time that prices are looked back on"""
    orders_per_step: Count
    """messages one decision may send: orders, cancels, replacements; openings beyond
    are deferred and counted, all others pass"""
    orders_per_second: Count
    """orders alone within a second of event time; openings beyond are deferred and
    counted, reductions pass"""
    messages_per_second: Count
    """messages, as of a step, within a second of event time"""
    max_participation: Positive
    """× the size at the best quote that an order would take"""
    stale_seconds: Seconds
    """s without a quote, which prices are judged by, after which a symbol takes no new
    risk"""
    repeats: Count
    """orders of one symbol, side, size and price within `repeat_seconds`, those left
    out that met nobody until their end; one more stops the engine until a person resets
    it"""
    repeat_seconds: Seconds
    """s of event time that an order counts among the repeated ones"""
    daily_loss_share: PositiveShare
    """of the capital lost in a market's day, fees included; then only reductions"""
    drawdown_share: PositiveShare
    """of the highest net worth lost; then only reductions"""
    losses_in_a_row: Count
    """boundaries at which the round trips that ended came to a loss, one after the
    other within a day; then only reductions"""


class Borrow(Section, frozen=True):
    """What lenders ask: bps a year of a short position's worth, paid for every day that
    it is held over; derivatives are not borrowed."""

    equity_bps: NonNegative
    """large US shares, of which there are many to borrow, cost 25 to 50; small ones
    hundreds"""
    spot_bps: NonNegative
    """coins and currencies, where the account is on margin"""


class Venue(Section, frozen=True):
    """The paper venue: what trading costs and how long it takes."""

    tier: Text
    """name of the fee tier, printed with every result"""
    taker_fee_bps: NonNegative
    """bps of notional, of every instrument, whatever its own terms state"""
    maker_fee_bps: Annotated[float, Meta(ge=-10, le=LARGEST)]
    """bps of notional; negative is a rebate"""
    borrow: Borrow
    latency_ms: Latency
    """ms from the order's sending to its arrival in the book"""
    latency_spread: Annotated[float, Meta(ge=0, le=3)]
    """σ of the logarithm of each request's latency about `latency_ms`; 0: all alike"""
    latency_file: Text | None
    """measured ones, ms, one a line; each as likely, instead of the two above"""
    feed_ms: Latency
    """ms from the market to the engine: what is decided at a boundary is late by it"""
    feed_spread: Annotated[float, Meta(ge=0, le=3)]
    """as `latency_spread`, of each boundary"""
    feed_file: Text | None
    """as `latency_file`"""
    compute_ms: Latency
    """ms that a decision takes in the venue's reckoning; it is never measured there"""
    compute_spread: Annotated[float, Meta(ge=0, le=3)]
    """as `latency_spread`, of each boundary"""
    compute_file: Text | None
    """as `latency_file`"""
    queue_power: Annotated[float, Meta(ge=0, le=10)]
    """how a queue before us shrinks without trades: who stands behind takes behind^p /
    (ahead^p + behind^p) of it; 0: all of it, which is the careful side"""
    orders_per_second: CountOrNone
    """of event time; what comes beyond is rejected; 0: any number"""
    lockstep: bool
    """true: decisions and fills alternate, so that a run repeats exactly"""
    seed: Seed
    """of queue positions and rejects"""
    half_spread_bps: NonNegative
    """bps from the mid to either quote, where the source shows none"""
    participation: PositiveShare
    """of the last bar's volume that stands on each side, where no sizes are shown; a
    scan takes as much of the bar that meets its target"""
    dedupes: bool
    """an order id that comes twice is traded once; false: as venues that do not"""
    prevents_self_trades: bool
    """of two orders of ours that would trade with each other one ends; false: the
    engine alone keeps them apart"""
    reject_share: Annotated[float, Meta(ge=0, lt=1)]
    """share of orders the venue refuses at random, to exercise the paths"""
