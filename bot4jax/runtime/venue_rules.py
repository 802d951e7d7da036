"""How a paper venue treats what it receives, and what it takes for it."""

import enum
from typing import NamedTuple, Self

from bot4jax.data.universe import Universe
from bot4jax.runtime.latency import Latency
from bot4jax.runtime.latency import configured as latency
from bot4jax.schema.trading import Venue


class Refusal(enum.StrEnum):
    """Why the venue rejects an order; sent as the reason."""

    UNKNOWN_SYMBOL = "unknown symbol"
    INVALID_SIZE = "size is not a positive number of lots"
    INVALID_PRICE = "limit or trigger is missing, or is not for this kind of order"
    NOT_TRADING = "the instrument is not trading"
    TOO_MANY = "more orders in a second than the venue takes"
    WOULD_OPEN = "reduce-only, but there is nothing to reduce"
    WOULD_TAKE = "post-only, but it would trade at once"
    UNKNOWN_ORDER = "no order of this id, or it was over long ago"
    FORGOTTEN = "of so old a step that it may have come before"
    OUTDATED = "the terms of its instrument have changed since it was sent"
    AT_RANDOM = "refused at random, as the configuration asks"


class Rules(NamedTuple):
    """How a paper venue treats what it receives."""

    latency_ns: int = 0
    """from sending to the book"""
    latency_spread: float = 0.0
    """σ of the logarithm of each request's latency; 0: always the same"""
    latencies: tuple[int, ...] = ()
    """measured ones, instead"""
    feed: Latency = Latency()
    """from the market to the engine"""
    compute: Latency = Latency()
    """from what the engine has heard to its sending"""
    taker_fee: float | None = None
    """basis points of notional; None: as each instrument states"""
    maker_fee: float | None = None
    seed: int = 0
    reject_share: float = 0.0
    dedupes: bool = True
    """an id that comes twice is traded once"""
    prevents_self_trades: bool = True
    """no order trades with another of ours: one of the two ends"""
    queue_power: float = 0.0
    """how queues are believed to shrink, see `queues.probabilistic`; 0: in our
    disfavour"""
    orders_per_second: int = 0
    """more are refused; 0: any number"""

    @classmethod
    def from_config(cls, own: Venue) -> Self:
        order = latency(own.latency_ms, own.latency_spread, own.latency_file)
        return cls(
            latency_ns=order.median_ns,
            latency_spread=order.spread,
            latencies=order.measured,
            feed=latency(own.feed_ms, own.feed_spread, own.feed_file),
            compute=latency(own.compute_ms, own.compute_spread, own.compute_file),
            taker_fee=own.taker_fee_bps,
            maker_fee=own.maker_fee_bps,
            seed=own.seed,
            reject_share=own.reject_share,
            dedupes=own.dedupes,
            prevents_self_trades=own.prevents_self_trades,
            queue_power=own.queue_power,
            orders_per_second=own.orders_per_second,
        )


def fee_shares(universe: Universe, rules: Rules) -> list[tuple[float, float]]:
    """(taker, maker) share of notional by slot."""
    taker, maker = rules.taker_fee, rules.maker_fee
    return [
        (
            one.taker_fee if taker is None else taker / 10_000,
            one.maker_fee if maker is None else maker / 10_000,
        )
        for one in universe.instruments
    ]
