"""Ticks into the open bars: every event is absorbed once, when it arrives.

Each tick becomes one row of contributions; sums are scattered in the order of the
ticks, so a stream cut into batches anywhere gives the same bits. The host names each
tick's predecessor in its batch, so differences between events need no scan.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels.bars import (
    FLOAT_LASTS,
    FLOAT_SUMS,
    FLOATS,
    GRID,
    INT_LASTS,
    INT_REST,
    INT_SUMS,
    INTS,
    LEVEL_PRICES,
    LEVEL_SIZES,
    MIDS,
    RECENT_TRADES,
    TRADES,
    OpenBars,
)
from bot4jax.numerics import log_growth, safe_divide, safe_root
from bot4jax.types import (
    BOOK,
    BUY,
    CONFLATED,
    LATE,
    LEVELS,
    PACKED,
    QUOTE,
    SELL,
    STATUS,
    TRADE,
)

NOTHING = -(1 << 31) + 1
"""Below every offset and row: no tick of that kind."""


class _Batch(NamedTuple):
    """Columns of the packed ticks; see `types.PACKED`."""

    slot: Int[Array, " N"]
    kind: Int[Array, " N"]
    side: Int[Array, " N"]
    bid: Int[Array, " N"]
    ask: Int[Array, " N"]
    bid_size: Float[Array, " N"]
    ask_size: Float[Array, " N"]
    time: Int[Array, " N"]
    level: Int[Array, " N"]
    flags: Int[Array, " N"]
    previous: Int[Array, " N"]
    previous_trade: Int[Array, " N"]
    fifth_trade: Int[Array, " N"]
    trade_rank: Int[Array, " N"]
    is_last: Int[Array, " N"]


class _Quote(NamedTuple):
    """The quote that stood before each tick."""

    known: Bool[Array, " N"]
    bid: Int[Array, " N"]
    ask: Int[Array, " N"]
    bid_size: Float[Array, " N"]
    ask_size: Float[Array, " N"]
    time: Int[Array, " N"]


def absorb(
    bars: OpenBars, packed: Int[Array, "N K"], latency: Int[Array, ""]
) -> OpenBars:
    """The open bars after a batch of ticks; `latency` in FRACTION units."""
    batch = _unpack(packed)
    ints, floats = bars.ints, bars.floats
    own_ints = ints.at[batch.slot].get(mode="fill", fill_value=0)
    own_floats = floats.at[batch.slot].get(mode="fill", fill_value=0)
    quote = _standing_quote(batch, own_ints, own_floats)
    int_rows, float_rows = _contributions(batch, quote, own_ints, own_floats)
    before = ints
    ints = ints.at[batch.slot, : len(INT_SUMS)].add(int_rows, mode="drop")
    floats = floats.at[batch.slot, : len(FLOAT_SUMS)].add(float_rows, mode="drop")
    ints, floats = _record_levels(ints, floats, batch, own_ints)
    found = _found(batch, quote, latency, ints.shape[0])
    ints, floats = _record_found(ints, floats, before, batch, found)
    return bars._replace(ints=ints, floats=floats)


def _unpack(packed: Int[Array, "N K"]) -> _Batch:
    columns = [packed[:, i] for i in range(len(PACKED))]
    for name in ("bid_size", "ask_size"):
        i = PACKED.index(name)
        columns[i] = lax.bitcast_convert_type(columns[i], jnp.float32)
    return _Batch(*columns)


def _before(rows: Array, column: Array, carried: Array) -> Array:
    """A column at each tick's predecessor, in the batch or carried in the open bar."""
    return jnp.where(rows >= 0, column[jnp.maximum(rows, 0)], carried)


def _standing_quote(batch: _Batch, ints: Array, floats: Array) -> _Quote:
    rows = batch.previous
    return _Quote(
        known=(rows >= 0) | (ints[:, INTS["has_quote"]] > 0),
        bid=_before(rows, batch.bid, ints[:, INTS["bid"]]),
        ask=_before(rows, batch.ask, ints[:, INTS["ask"]]),
        bid_size=_before(rows, batch.bid_size, floats[:, FLOATS["bid_size"]]),
        ask_size=_before(rows, batch.ask_size, floats[:, FLOATS["ask_size"]]),
        time=_before(rows, batch.time, ints[:, INTS["quote_time"]]),
    )


def _queue_change(
    size: Array, price: Array, old_size: Array, old_price: Array, sign: int
) -> tuple[Array, Array]:
    """Size that joined and that left one side of a book level.

    A better price is a new queue; a worse one means that the old queue is gone.
    """
    better = (price - old_price) * sign > 0
    worse = (price - old_price) * sign < 0
    grown = jnp.maximum(size - old_size, 0.0)
    shrunk = jnp.maximum(old_size - size, 0.0)
    added = jnp.where(better, size, jnp.where(worse, 0.0, grown))
    removed = jnp.where(worse, old_size, jnp.where(better, 0.0, shrunk))
    return added, removed


def _contributions(
    batch: _Batch, quote: _Quote, ints: Array, floats: Array
) -> tuple[Int[Array, "N A"], Float[Array, "N B"]]:
    """What each tick adds to its symbol's `INT_SUMS` and `FLOAT_SUMS`."""
    counts = _quote_counts(batch, quote) | _trade_counts(batch) | _mark_counts(batch)
    amounts = (
        _quote_amounts(batch, quote)
        | _trade_amounts(batch, quote, ints, floats)
        | _book_amounts(batch, ints, floats)
    )
    return (
        jnp.stack([counts[name] for name in INT_SUMS], 1),
        jnp.stack([amounts[name] for name in FLOAT_SUMS], 1),
    )


def _mark_counts(batch: _Batch) -> dict[str, Array]:
    return {
        "late": batch.flags & LATE,
        "conflated": (batch.flags & CONFLATED) // CONFLATED,
        "received": jnp.ones_like(batch.slot),
    }


def _quote_counts(batch: _Batch, quote: _Quote) -> dict[str, Array]:
    is_quote = batch.kind == QUOTE
    counts = is_quote & quote.known
    bid_changed = (batch.bid != quote.bid).astype(jnp.int32)
    ask_changed = (batch.ask != quote.ask).astype(jnp.int32)
    at_minimum = counts & (quote.ask - quote.bid == 1)
    stood = jnp.maximum(batch.time - quote.time, 0)
    return {
        "quote_updates": is_quote.astype(jnp.int32),
        "best_changes": jnp.where(counts, bid_changed + ask_changed, 0),
        "minimum_spread_time": jnp.where(at_minimum, stood, 0),
    }


def _quote_amounts(batch: _Batch, quote: _Quote) -> dict[str, Array]:
    """Order-flow imbalance after Cont, Kukanov & Stoikov (2014), and the queues."""
    bid_added, bid_removed = _queue_change(
        batch.bid_size, batch.bid, quote.bid_size, quote.bid, 1
    )
    ask_added, ask_removed = _queue_change(
        batch.ask_size, batch.ask, quote.ask_size, quote.ask, -1
    )
    amounts = {
        "flow": (bid_added - bid_removed) - (ask_added - ask_removed),
        "bid_added": bid_added,
        "bid_removed": bid_removed,
        "ask_added": ask_added,
        "ask_removed": ask_removed,
    }
    counts = (batch.kind == QUOTE) & quote.known
    return {name: jnp.where(counts, x, 0.0) for name, x in amounts.items()}


def _trade_counts(batch: _Batch) -> dict[str, Array]:
    is_trade = batch.kind == TRADE
    return {
        "buy_count": (is_trade & (batch.side == BUY)).astype(jnp.int32),
        "sell_count": (is_trade & (batch.side == SELL)).astype(jnp.int32),
        "trade_count": is_trade.astype(jnp.int32),
        "trades_ever": is_trade.astype(jnp.int32),
    }


def _trade_amounts(
    batch: _Batch, quote: _Quote, ints: Array, floats: Array
) -> dict[str, Array]:
    """Volumes, squared returns, and what was paid over the mid."""
    is_buy = (batch.side == BUY).astype(jnp.float32)
    is_sell = (batch.side == SELL).astype(jnp.float32)
    sign, volume = is_buy - is_sell, batch.bid_size
    price = floats[:, FLOATS["anchor"]] + batch.bid.astype(jnp.float32)
    from_reference = (2 * batch.bid - ints[:, INTS["reference"]]).astype(jnp.float32)
    fast, slow = _squared_returns(batch, ints, floats)
    amounts = {
        "buy_volume": is_buy * volume,
        "sell_volume": is_sell * volume,
        "base_turnover": volume,
        "quote_turnover": price * volume,
        "vwap_offset": from_reference * volume / 2,
        "signed_root_notional": sign * safe_root(price * volume),
        "effective_spread": sign * _over_mid(batch, quote, floats),
        "signed_offset": sign * from_reference,
        "squared_return_fast": fast,
        "squared_return_slow": slow,
    }
    is_trade = batch.kind == TRADE
    return {name: jnp.where(is_trade, x, 0.0) for name, x in amounts.items()}


def _over_mid(batch: _Batch, quote: _Quote, floats: Array) -> Float[Array, " N"]:
    """Twice a trade's distance from the mid before it, over that mid."""
    is_given = batch.level > 0
    # Nothing was quoted since this feed began: the bars know what stood before.
    mid = jnp.where(is_given, batch.ask, quote.bid + quote.ask)
    distance = (2 * batch.bid - mid).astype(jnp.float32)
    price = floats[:, FLOATS["anchor"]] + mid.astype(jnp.float32) / 2
    return jnp.where(is_given | quote.known, safe_divide(distance, price), 0.0)


def _squared_returns(batch: _Batch, ints: Array, floats: Array) -> tuple[Array, Array]:
    """Squared log returns from the last trade and, over `GRID`, from the fifth last."""
    ever = ints[:, INTS["trades_ever"]] + batch.trade_rank
    recent = ints[:, RECENT_TRADES:]
    anchor = floats[:, FLOATS["anchor"]]

    def squared(rows: Array, back: int) -> Array:
        carried = jnp.take_along_axis(recent, jnp.mod(ever - back, GRID)[:, None], 1)
        earlier = _before(rows, batch.bid, carried[:, 0])
        base = anchor + earlier.astype(jnp.float32)
        moved = safe_divide((batch.bid - earlier).astype(jnp.float32), base)
        return jnp.where(ever >= back, log_growth(moved) ** 2, 0.0)

    return squared(batch.previous_trade, 1), squared(batch.fifth_trade, GRID) / GRID


def _level_column(batch: _Batch) -> Int[Array, " N"]:
    """Where a book record lies among the `BOOKED` levels; 0 for other ticks."""
    side = jnp.where(batch.side == BUY, 0, LEVELS - 1)
    return jnp.where(batch.kind == BOOK, side + batch.level - 1, 0)


def _book_amounts(batch: _Batch, ints: Array, floats: Array) -> dict[str, Array]:
    """The flow of the second to fifth level, each against its own former content."""
    column = _level_column(batch)[:, None]
    prices, sizes = ints[:, LEVEL_PRICES:RECENT_TRADES], floats[:, LEVEL_SIZES:]
    old_price = jnp.take_along_axis(prices, column, 1)[:, 0]
    old_size = jnp.take_along_axis(sizes, column, 1)[:, 0]
    price = _before(batch.previous, batch.bid, old_price)
    size = _before(batch.previous, batch.bid_size, old_size)
    bid_added, bid_removed = _queue_change(batch.bid_size, batch.bid, size, price, 1)
    ask_added, ask_removed = _queue_change(batch.bid_size, batch.bid, size, price, -1)
    is_bid = batch.side == BUY
    flow = jnp.where(is_bid, bid_added - bid_removed, ask_removed - ask_added)
    # A level never stated has no former content to compare with; an empty one has.
    counts = (batch.kind == BOOK) & (size >= 0)
    return {
        f"flow_{k + 1}": jnp.where(counts & (batch.level == k), flow, 0.0)
        for k in range(1, 5)
    }


def _found(
    batch: _Batch, quote: _Quote, latency: Int[Array, ""], symbols: int
) -> dict[str, Int[Array, " S"]]:
    """What a symbol's ticks reach at most, `NOTHING` where there is none.

    Lows are highs of the negative, firsts are lasts of the negative: one scatter finds
    them all, and scatters are what absorbing costs.
    """
    is_quote, is_trade = batch.kind == QUOTE, batch.kind == TRADE
    rows = jnp.arange(batch.slot.shape[0], dtype=jnp.int32)
    mid = batch.bid + batch.ask
    reached = {
        "mid_high": (is_quote, mid),
        "mid_low": (is_quote, -mid),
        "trade_high": (is_trade, batch.bid),
        "trade_low": (is_trade, -batch.bid),
        "last_quote": (is_quote, rows),
        "first_quote": (is_quote, -rows),
        "first_trade": (is_trade, -rows),
        "last_entry": (is_quote & (batch.time <= latency), rows),
        "bid_moved": (is_quote & (~quote.known | (batch.bid != quote.bid)), rows),
        "ask_moved": (is_quote & (~quote.known | (batch.ask != quote.ask)), rows),
        "last_status": (batch.kind == STATUS, rows),
    }
    each = jnp.stack([jnp.where(is_so, x, NOTHING) for is_so, x in reached.values()], 1)
    nothing = jnp.full((symbols, len(reached)), NOTHING, jnp.int32)
    most = nothing.at[batch.slot].max(each, mode="drop")
    return {name: most[:, i] for i, name in enumerate(reached)}


def _record_found(
    ints: Array, floats: Array, before: Array, batch: _Batch, found: dict[str, Array]
) -> tuple[Array, Array]:
    """Highs, lows, openings and what the last tick of a kind leaves standing."""
    old = {name: before[:, i] for name, i in INTS.items()}
    mid = batch.bid + batch.ask

    def at(name: str, column: Array, otherwise: Array, sign: int = 1) -> Array:
        row = found[name]
        value = column[jnp.maximum(sign * row, 0)]
        return jnp.where(row == NOTHING, otherwise, value)

    def widened(kind: str, start: dict[str, Array]) -> dict[str, Array]:
        high, low = f"{kind}_high", f"{kind}_low"
        least = jnp.where(found[low] == NOTHING, -NOTHING, -found[low])
        return {
            high: jnp.maximum(start[high], found[high]),
            low: jnp.minimum(start[low], least),
        }

    # A symbol's first quote ever, or first trade of the bar, starts high and low.
    is_new = old["has_quote"] == 0
    first_mid = at("first_quote", mid, old["mid_open"], -1)
    first_trade = at("first_trade", batch.bid, old["trade_open"], -1)
    is_untraded = (old["trade_count"] == 0) & (found["first_trade"] != NOTHING)
    mids = {k: jnp.where(is_new, first_mid, old[k]) for k in MIDS}
    trades = {k: jnp.where(is_untraded, first_trade, old[k]) for k in TRADES}
    new = (
        old
        | mids
        | trades
        | widened("mid", mids)
        | widened("trade", trades)
        | {
            "bid": at("last_quote", batch.bid, old["bid"]),
            "ask": at("last_quote", batch.ask, old["ask"]),
            "quote_time": at("last_quote", batch.time, old["quote_time"]),
            "mid_entry": at("last_entry", mid, mids["mid_entry"]),
            "bid_since": at("bid_moved", batch.time, old["bid_since"]),
            "ask_since": at("ask_moved", batch.time, old["ask_since"]),
            "status": at("last_status", batch.bid, old["status"]),
            "has_quote": jnp.where(found["last_quote"] == NOTHING, old["has_quote"], 1),
        }
    )
    standing = jnp.stack([new[name] for name in INT_LASTS + INT_REST], 1)
    first = len(FLOAT_SUMS)
    sizes = jnp.stack(
        [
            at("last_quote", column, floats[:, first + i])
            for i, column in enumerate((batch.bid_size, batch.ask_size))
        ],
        1,
    )
    return (
        ints.at[:, len(INT_SUMS) : LEVEL_PRICES].set(standing),
        floats.at[:, first : first + len(FLOAT_LASTS)].set(sizes),
    )


def _record_levels(
    ints: Array, floats: Array, batch: _Batch, own: Array
) -> tuple[Array, Array]:
    """Book levels as last stated, and the latest trade prices."""
    nobody = ints.shape[0]
    last = jnp.where(batch.is_last > 0, batch.slot, nobody)
    level = jnp.where(batch.kind == BOOK, last, nobody)
    trade = jnp.where(batch.kind == TRADE, last, nobody)
    turn = jnp.mod(own[:, INTS["trades_ever"]] + batch.trade_rank, GRID)
    column = _level_column(batch)
    is_level = batch.kind == BOOK
    place = jnp.where(is_level, LEVEL_PRICES + column, RECENT_TRADES + turn)
    either = jnp.where(is_level, level, trade)
    ints = ints.at[either, place].set(batch.bid, mode="drop")
    floats = floats.at[level, LEVEL_SIZES + column].set(batch.bid_size, mode="drop")
    return ints, floats
