"""Bars on the device: what is carried while they are open, and how they close.

An open bar is one int32 and one float32 row a symbol; `kernels.absorb` fills them. How
they stood at the opening stays beside them, so that a bar whose ticks came out of order
can be begun anew.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels.turnover import unsided
from bot4jax.numerics import safe_divide
from bot4jax.types import (
    BAR_FLOATS,
    BAR_INTS,
    FRACTION,
    LEVELS,
    TRADING,
    Bar,
)

GRID = 5
"""Trades between the two ends of a slow return (Zhang, Mykland & Aït-Sahalia 2005)."""

OLDEST = -(1 << 30)
"""Where the age of a best price stops counting: 1,024 bars."""

INT_SUMS = (
    "buy_count",
    "sell_count",
    "trade_count",
    "quote_updates",
    "best_changes",
    "late",
    "conflated",
    "received",
    "minimum_spread_time",
    "trades_ever",
)
INT_LASTS = ("bid", "ask", "quote_time")
INT_REST = (
    "reference",  # the mid at the last closing, the anchor before the first quote
    "mid_open",
    "mid_high",
    "mid_low",
    "mid_entry",
    "bid_since",
    "ask_since",
    "trade_open",
    "trade_high",
    "trade_low",
    "has_quote",
    "status",
    "earlier_reference",
    "earlier_signed_count",
)
FLOAT_SUMS = (
    "buy_volume",
    "sell_volume",
    "base_turnover",
    "quote_turnover",
    "vwap_offset",
    "flow",
    "flow_2",
    "flow_3",
    "flow_4",
    "flow_5",
    "signed_root_notional",
    "effective_spread",
    "signed_offset",
    "squared_return_fast",
    "squared_return_slow",
    "bid_added",
    "bid_removed",
    "ask_added",
    "ask_removed",
)
FLOAT_LASTS = ("bid_size", "ask_size")
FLOAT_REST = ("anchor", "earlier_signed_offset", "earlier_effective", "adjustment")

BOOKED = 2 * (LEVELS - 1)
"""Book levels 1 … 9 of both sides, bids first."""

NEVER_STATED = -1.0
"""Below every size of a level: 0 is what stands on a level that is empty."""

MIDS = ("mid_open", "mid_high", "mid_low", "mid_entry")
TRADES = ("trade_open", "trade_high", "trade_low")

INTS = {name: i for i, name in enumerate(INT_SUMS + INT_LASTS + INT_REST)}
FLOATS = {name: i for i, name in enumerate(FLOAT_SUMS + FLOAT_LASTS + FLOAT_REST)}
LEVEL_PRICES = len(INTS)
RECENT_TRADES = LEVEL_PRICES + BOOKED
LEVEL_SIZES = len(FLOATS)


class OpenBars(NamedTuple):
    """The bars being built, one row a symbol; columns by `INTS` and `FLOATS`.

    Behind the named columns stand the book levels and the last `GRID` trade prices.
    """

    ints: Int[Array, "S I"]
    floats: Float[Array, "S J"]
    first_ints: Int[Array, "S I"]
    """at the opening"""
    first_floats: Float[Array, "S J"]


def init_bars(anchors: Float[Array, " S"]) -> OpenBars:
    """Empty bars of symbols that have never been quoted; anchors in increments."""
    symbols = anchors.shape[0]
    floats = jnp.zeros((symbols, LEVEL_SIZES + BOOKED), jnp.float32)
    floats = floats.at[:, LEVEL_SIZES:].set(NEVER_STATED)
    floats = floats.at[:, FLOATS["anchor"]].set(anchors)
    floats = floats.at[:, FLOATS["adjustment"]].set(1.0)
    ints = jnp.zeros((symbols, RECENT_TRADES + GRID), jnp.int32)
    return opened(ints, floats)


def opened(ints: Int[Array, "S I"], floats: Float[Array, "S J"]) -> OpenBars:
    """Bars that nothing has entered yet."""
    return OpenBars(ints, floats, jnp.copy(ints), jnp.copy(floats))


def reopen(bars: OpenBars, slots: Bool[Array, " S"]) -> OpenBars:
    """The bars of these slots as they stood at the opening."""
    return bars._replace(
        ints=jnp.where(slots[:, None], bars.first_ints, bars.ints),
        floats=jnp.where(slots[:, None], bars.first_floats, bars.floats),
    )


def close_bars(
    bars: OpenBars,
) -> tuple[OpenBars, Int[Array, "B S"], Float[Array, "D S"]]:
    """Close the open bars: what the next ones start from, and the closed, packed.

    The rows of the closed bars are `BAR_INTS` and `BAR_FLOATS`; see `unpack_bar`.
    """
    ints = {name: bars.ints[:, i] for name, i in INTS.items()}
    floats = {name: bars.floats[:, i] for name, i in FLOATS.items()}
    closed = _closed(ints, floats, bars)
    packed_ints = jnp.stack([closed[name] for name in BAR_INTS])
    packed_floats = jnp.stack([closed[name] for name in BAR_FLOATS])
    return _next_bars(bars, ints, floats), packed_ints, packed_floats


def unpack_bar(ints: Int[Array, "B S"], floats: Float[Array, "D S"]) -> Bar:
    """The closed bars by name."""
    return Bar(*ints, *floats)


def _closed(ints: dict, floats: dict, bars: OpenBars) -> dict[str, Array]:
    """The columns of `Bar`, from the sums and what stands at the closing."""
    mid = ints["bid"] + ints["ask"]
    price = floats["anchor"] + mid.astype(jnp.float32) / 2
    quoted = ints["has_quote"] > 0
    stood = jnp.where(
        quoted & (ints["ask"] - ints["bid"] == 1), FRACTION - ints["quote_time"], 0
    )
    at_minimum = (ints["minimum_spread_time"] + stood).astype(jnp.float32) / FRACTION
    oldest = jnp.minimum(ints["bid_since"], ints["ask_since"])
    spoken = (ints["received"] > 0) & quoted & (ints["status"] == TRADING)
    realised = _realised_spread(ints, floats, mid, price)
    return (
        ints
        | floats
        | _depths(floats, bars)
        | {
            "mid_close": mid,
            "trade_close": _last_trade(ints, bars),
            "live": spoken.astype(jnp.int32),
            "realised_spread": realised,
            "price_impact": floats["earlier_effective"] - realised,
            "inferred_cancels": _inferred_cancels(floats),
            "best_lifetime": (FRACTION - oldest).astype(jnp.float32) / FRACTION,
            "time_at_minimum_spread": at_minimum,
        }
    )


def _inferred_cancels(floats: dict) -> Array:
    """What left the best queues and was not traded away.

    Where a feed does not tell the aggressor, a trade may have hit either queue: it is
    taken off both together.
    """
    bid_left = jnp.maximum(floats["bid_removed"] - floats["sell_volume"], 0.0)
    ask_left = jnp.maximum(floats["ask_removed"] - floats["buy_volume"], 0.0)
    sided = floats["buy_volume"] + floats["sell_volume"]
    traded = unsided(floats["base_turnover"], sided)
    return jnp.maximum(bid_left + ask_left - traded, 0.0)


def _realised_spread(ints: dict, floats: dict, mid: Array, price: Array) -> Array:
    """The previous bar's trades against the mid now: each is at least a bar old.

    Σ side × (2 × trade − mid now) is split at the mid those trades were summed from,
    so that one pass over the events is enough.
    """
    moved = (ints["earlier_reference"] - mid).astype(jnp.float32)
    signed = ints["earlier_signed_count"].astype(jnp.float32) * moved
    return safe_divide(floats["earlier_signed_offset"] + signed, price)


def _last_trade(ints: dict, bars: OpenBars) -> Int[Array, " S"]:
    turn = jnp.mod(ints["trades_ever"] - 1, GRID)
    recent = jnp.take_along_axis(bars.ints[:, RECENT_TRADES:], turn[:, None], 1)
    return recent[:, 0]


def _depths(floats: dict, bars: OpenBars) -> dict[str, Array]:
    """Size on the first five and ten levels of each side, base volume."""
    sizes = jnp.maximum(bars.floats[:, LEVEL_SIZES:], 0.0)  # never stated: nothing
    half = LEVELS - 1
    return {
        f"{side}_depth_{levels}": floats[f"{side}_size"]
        + sizes[:, first : first + levels - 1].sum(1)
        for side, first in (("bid", 0), ("ask", half))
        for levels in (5, 10)
    }


def _next_bars(bars: OpenBars, ints: dict, floats: dict) -> OpenBars:
    """The next bar's start: sums are zero, prices repeat, ages go on."""
    mid = ints["bid"] + ints["ask"]
    last_trade = _last_trade(ints, bars)
    kept = {name: jnp.zeros_like(mid) for name in INT_SUMS}
    kept |= {
        "trades_ever": ints["trades_ever"],
        "quote_time": jnp.zeros_like(mid),
        "reference": mid,
        "bid_since": jnp.maximum(ints["bid_since"] - FRACTION, OLDEST),
        "ask_since": jnp.maximum(ints["ask_since"] - FRACTION, OLDEST),
        "earlier_reference": ints["reference"],
        "earlier_signed_count": ints["buy_count"] - ints["sell_count"],
    }
    kept |= dict.fromkeys(MIDS, mid)
    kept |= dict.fromkeys(TRADES, last_trade)
    carried = {name: jnp.zeros_like(floats["anchor"]) for name in FLOAT_SUMS}
    carried |= {
        "earlier_signed_offset": floats["signed_offset"],
        "earlier_effective": floats["effective_spread"],
        "adjustment": jnp.ones_like(floats["anchor"]),  # told once, see `rebase_bars`
    }
    whole = jnp.stack([(ints | kept)[name] for name in INTS], 1)
    parts = jnp.stack([(floats | carried)[name] for name in FLOATS], 1)
    return opened(
        jnp.concatenate([whole, bars.ints[:, LEVEL_PRICES:]], 1),
        jnp.concatenate([parts, bars.floats[:, LEVEL_SIZES:]], 1),
    )
