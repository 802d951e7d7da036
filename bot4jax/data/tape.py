"""The ticks of one bar, drawn between the two boundaries of the hidden path.

Events lie in one flat array, symbol after symbol, in order of time. Event 0 of a symbol
stands for its quote at the opening, which the previous bar has already shown; the last
event is the quote at the closing. So any bar can be drawn alone.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.quotes import TILT, Edge, bid_at, queue_sizes, spread_drawn
from bot4jax.types import BOOK, BUY, LEVELS, QUOTE, SELL, STATUS, TICK, TRADE

QUOTE_SHARE = 0.56
"""Of the events before the closing quote; with it about 60 % are quotes."""
TRADE_SHARE = 0.3
"""At normal activity; what is left are book levels."""
PRESSURE = 0.5
"""As `TILT`, per unit of the bar's flow, for the queues between its boundaries."""
DEPLETED = 0.3
"""What is left of a queue just before its price gives way."""
FLICKER = 0.5
"""Deviation of the quoted price between the boundaries, increments."""
TRADE_SIZE, TRADE_DEVIATION = 0.08, 0.9
"""Median trade as a share of the median queue; deviation of its logarithm."""
AGGRESSION, HERDING = 0.65, 0.6
"""Loadings of a trade's sign on the bar's flow and on the bar's own mood."""
EXTRA_TICKS = 8
"""Most ticks of a bar and symbol beyond the least."""
DEPTH_SLOPE = 0.35
"""Growth of queue size a level, as a share of the best."""


class Span(NamedTuple):
    """What happens between two boundaries, to the symbols that trade."""

    symbol: Int[np.ndarray, " S"]
    count: Int[np.ndarray, " S"]
    """events after the opening"""
    deviation: Float[np.ndarray, " S"]
    """of the diffusive price change, increments"""
    jump: Float[np.ndarray, " S"]
    """increments"""
    flow: Float[np.ndarray, " S"]
    activity: Float[np.ndarray, " S"]
    wide: Float[np.ndarray, " S"]
    """chance that a quote is wider than one increment"""
    depth: Float[np.ndarray, " S"]
    """median size of a best queue, lots"""
    reopens: Bool[np.ndarray, " S"]
    """the first event must be a quote: the last one shown is from before the halt"""


class Events(NamedTuple):
    """When and what, symbol after symbol; `E` events, `Q` of them quotes."""

    row: Int[np.ndarray, " E"]
    """row of the symbol in its `Span`"""
    first: Int[np.ndarray, " S"]
    """position of each row's event 0"""
    share: Float[np.ndarray, " E"]
    """of the bar's price change that is behind it, 0 … 1"""
    time: Float[np.ndarray, " E"]
    """of the bar, 0 ≤ time < 1"""
    quotes: Int[np.ndarray, " Q"]
    trades: Int[np.ndarray, " N"]
    levels: Int[np.ndarray, " L"]
    """positions, by kind"""
    standing: Int[np.ndarray, " E"]
    """number of the latest quote, the event itself included"""


class Shown(NamedTuple):
    """Where the quotes belong."""

    row: Int[np.ndarray, " Q"]
    share: Float[np.ndarray, " Q"]
    first: Int[np.ndarray, " S"]
    """number of each row's opening quote"""
    last: Int[np.ndarray, " S"]
    """number of each row's closing quote"""


class Best(NamedTuple):
    """The best quotes; `Q` of them, increments and lots."""

    bid: Int[np.ndarray, " Q"]
    ask: Int[np.ndarray, " Q"]
    bid_size: Int[np.ndarray, " Q"]
    ask_size: Int[np.ndarray, " Q"]


def tick_counts(
    least: int,
    mean: float,
    activity: Float[np.ndarray, "T S"],
    rng: np.random.Generator,
) -> Int[np.ndarray, "T S"]:
    """Events of every bar and symbol: `least`, and more when it is active."""
    excess = rng.poisson((mean - least) * np.exp(activity))
    return (least + np.minimum(excess, EXTRA_TICKS)).astype(np.uint8)


def bar_ticks(
    rng: np.random.Generator,
    opening: Edge,
    closing: Edge,
    span: Span,
    open_ns: int,
    bar_ns: int,
) -> tuple[np.ndarray, Int[np.ndarray, " S"]]:
    """Records of one bar, symbol after symbol, and the positions of their openings."""
    events = draw_events(rng, span)
    price = efficient_price(rng, events, opening, closing, span)
    best = draw_quotes(rng, events, price.take(events.quotes), opening, closing, span)
    records = np.zeros(len(price), TICK)
    records["symbol"] = span.symbol.take(events.row)
    records["event_ns"] = (events.time * bar_ns).astype(np.int64) + open_ns
    records["kind"][events.quotes] = QUOTE
    for name, column in zip("abcd", best, strict=True):
        records[name][events.quotes] = column
    write_trades(rng, records, events, best, span)
    write_levels(rng, records, events, best, span)
    return records, events.first


def draw_events(rng: np.random.Generator, span: Span) -> Events:
    """Times, one in each of `count` equal parts of the bar, and kinds."""
    last = np.cumsum(span.count + 1) - 1
    first = last - span.count
    row = np.repeat(np.arange(len(last)), span.count + 1)
    ordinal = np.arange(len(row)) - first.take(row)
    part = (1 / span.count).take(row)
    time = (ordinal - 1 + rng.random(len(row), np.float32)) * part
    time[first] = 0.0
    draw = rng.random(len(row), np.float32)
    draw[first] = draw[last] = draw[first[span.reopens] + 1] = 0.0
    chance = QUOTE_SHARE + np.clip(TRADE_SHARE * np.exp(span.activity), 0.1, 0.4)
    is_quote, is_level = draw < QUOTE_SHARE, draw >= chance.take(row)
    return Events(
        row,
        first,
        ordinal * part,
        time,
        quotes=np.flatnonzero(is_quote),
        trades=np.flatnonzero(~(is_quote | is_level)),
        levels=np.flatnonzero(is_level),
        standing=np.cumsum(is_quote) - 1,
    )


def efficient_price(
    rng: np.random.Generator, events: Events, opening: Edge, closing: Edge, span: Span
) -> Float[np.ndarray, " E"]:
    """A Brownian bridge between the boundaries, and a jump at a random event.

    A drifting Brownian motion seen given both its ends is the same bridge whatever the
    drift: the expected return of the hidden path is spread evenly over the bar.
    """
    row, share = events.row, events.share
    walk = np.cumsum(rng.standard_normal(len(row), np.float32), dtype=np.float64)
    start, end = walk[events.first], walk[events.first + span.count]
    step = span.deviation / np.sqrt(span.count)
    level = opening.price - step * start
    slope = closing.price - opening.price - span.jump - step * (end - start)
    price = level.take(row) + slope.take(row) * share + step.take(row) * walk
    struck = np.flatnonzero((span.jump != 0).take(row))
    moment = rng.random(len(span.jump))[row[struck]]
    price[struck] += np.where(share[struck] >= moment, span.jump[row[struck]], 0.0)
    return price


def draw_quotes(
    rng: np.random.Generator,
    events: Events,
    price: Float[np.ndarray, " Q"],
    opening: Edge,
    closing: Edge,
    span: Span,
) -> Best:
    """The best quotes near the efficient price; at the ends, those of the edges."""
    first = events.standing[events.first]
    last = events.standing[events.first + span.count]
    share = events.share.take(events.quotes).astype(np.float32)
    shown = Shown(events.row.take(events.quotes), share, first, last)
    spread = spread_drawn(span.wide.take(shown.row), rng.random(len(price), np.float32))
    spread[first], spread[last] = opening.spread, closing.spread
    price = price + FLICKER * rng.standard_normal(len(price), np.float32)
    price[first], price[last] = opening.price, closing.price
    bid = bid_at(price, spread)
    ask = bid + spread
    return Best(bid, ask, *draw_queues(rng, shown, bid, ask, opening, closing, span))


def draw_queues(
    rng: np.random.Generator,
    shown: Shown,
    bid: Int[np.ndarray, " Q"],
    ask: Int[np.ndarray, " Q"],
    opening: Edge,
    closing: Edge,
    span: Span,
) -> tuple[np.ndarray, np.ndarray]:
    """Sizes at the best: tilted by the flow, thin before the price gives way.

    Both together let the order-flow imbalance of the events (Cont, Kukanov & Stoikov,
    2014, The Price Impact of Order Book Events) carry the flow: what counts of a rising
    price is the new bid queue, which the flow has filled.
    """
    start, change = opening.imbalance, closing.imbalance - opening.imbalance
    tilt = (TILT * change).take(shown.row) * shown.share
    tilt += (TILT * start + PRESSURE * span.flow).take(shown.row)
    depth = span.depth.take(shown.row)
    bid_size = queue_sizes(rng, depth, tilt)
    ask_size = queue_sizes(rng, depth, -tilt)
    falls, rises = (
        np.flatnonzero(bid[1:] < bid[:-1]),
        np.flatnonzero(ask[1:] > ask[:-1]),
    )
    bid_size[falls] = np.maximum(bid_size[falls] * DEPLETED, 1)
    ask_size[rises] = np.maximum(ask_size[rises] * DEPLETED, 1)
    bid_size[shown.first], bid_size[shown.last] = opening.bid_size, closing.bid_size
    ask_size[shown.first], ask_size[shown.last] = opening.ask_size, closing.ask_size
    return bid_size, ask_size


def write_trades(
    rng: np.random.Generator,
    records: np.ndarray,
    events: Events,
    best: Best,
    span: Span,
) -> None:
    """Market orders against the standing quote, never larger than its queue.

    Their signs cluster: within the bar by its mood, over many bars by the flow.
    """
    at = events.trades
    row, quote = events.row.take(at), events.standing.take(at)
    mood = rng.standard_normal(len(span.flow), np.float32)
    noise = rng.standard_normal((2, len(at)), np.float32)
    rest = np.float32((1 - AGGRESSION**2 - HERDING**2) ** 0.5)
    buys = (AGGRESSION * span.flow + HERDING * mood).take(row) + rest * noise[0] > 0
    size = (TRADE_SIZE * span.depth).take(row) * np.exp(TRADE_DEVIATION * noise[1])
    queue = np.where(buys, best.ask_size.take(quote), best.bid_size.take(quote))
    records["kind"][at] = TRADE
    records["side"][at] = np.where(buys, BUY, SELL)
    records["a"][at] = np.where(buys, best.ask.take(quote), best.bid.take(quote))
    records["b"][at] = np.clip(size, 1, queue)


def write_levels(
    rng: np.random.Generator,
    records: np.ndarray,
    events: Events,
    best: Best,
    span: Span,
) -> None:
    """Deeper levels of the book, one increment apart, larger with the distance."""
    at = events.levels
    quote = events.standing[at]
    level = rng.integers(1, LEVELS, len(at))
    is_bid = rng.random(len(at), np.float32) < 0.5
    depth = span.depth[events.row[at]] * (1 + DEPTH_SLOPE * level)
    records["kind"][at] = BOOK
    records["side"][at] = np.where(is_bid, BUY, SELL)
    records["a"][at] = np.where(
        is_bid, best.bid[quote] - level, best.ask[quote] + level
    )
    records["b"][at] = queue_sizes(rng, depth, np.zeros_like(depth))
    records["c"][at] = level


def status_records(
    symbols: Int[np.ndarray, " S"], status: int, event_ns: int
) -> np.ndarray:
    """One record a symbol that stops or resumes trading at `event_ns`."""
    records = np.zeros(len(symbols), TICK)
    records["kind"] = STATUS
    records["symbol"] = symbols
    records["event_ns"] = event_ns
    records["a"] = status
    return records


def in_time(records: np.ndarray, open_ns: int, first_id: int) -> np.ndarray:
    """The records in order of event time, trades numbered from `first_id`."""
    records = records.take(order_of(records["event_ns"] - open_ns))
    trades = np.flatnonzero(records["kind"] == TRADE)
    records["c"][trades] = first_id + trades
    return records


def order_of(times: Int[np.ndarray, " E"]) -> Int[np.ndarray, " E"]:
    """The stable order of times from 0 on.

    Sorting time and position packed into one integer takes a quarter of the time of a
    stable argsort; where both do not fit into 63 bits, that one is used.
    """
    bits = len(times).bit_length()
    if int(times.max(initial=0)) >> (63 - bits):
        return np.argsort(times, kind="stable")
    return np.sort((times << bits) | np.arange(len(times))) & ((1 << bits) - 1)
