"""Bars into the columns that features read, and the window of those that need order.

Columns are dimensionless: returns are logarithmic, volumes come in units of the
symbol's frozen median bar volume, spreads are relative to the mid.
"""

from collections.abc import Collection
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels.past import (
    Past,
    Scales,
    log_ratio,
    price,
)
from bot4jax.kernels.ranges import ranges
from bot4jax.kernels.turnover import classified, trades, volumes
from bot4jax.numerics import BEYOND, pairwise_sum, safe_divide, sort_key
from bot4jax.types import Bar

COLUMNS: dict[str, tuple[str, ...]] = {
    "log_return": ("mid_close",),
    "standardised_return": ("mid_close",),
    "trade_return": ("trade_close", "trade_count"),
    "earlier_trade_return": ("trade_close", "trade_count"),
    "trade_pair": ("trade_close", "trade_count"),
    "open_over_close": ("mid_open", "mid_close"),
    "high_over_close": ("mid_high", "mid_close"),
    "low_over_close": ("mid_low", "mid_close"),
    "previous_over_close": ("mid_close",),
    "standardised_range": ("mid_high", "mid_low"),
    "standardised_body": ("mid_open", "mid_close"),
    "follows": ("live",),
    "directional_rise": ("mid_high", "mid_low", "mid_close"),
    "directional_fall": ("mid_high", "mid_low", "mid_close"),
    "true_range": ("mid_high", "mid_low", "mid_close"),
    "close_location": ("mid_high", "mid_low", "mid_close"),
    "volume": ("base_turnover",),
    "notional": ("base_turnover", "vwap_offset", "mid_close"),
    "buy_volume": ("buy_volume",),
    "sell_volume": ("sell_volume",),
    "signed_volume": ("buy_volume", "sell_volume"),
    "classified_volume": ("base_turnover", "mid_close"),
    "money_flow": ("base_turnover", "mid_high", "mid_low", "mid_close"),
    "signed_count": ("buy_count", "sell_count"),
    "sided_count": ("buy_count", "sell_count"),
    "earlier_sided_count": ("buy_count", "sell_count"),
    "trade_count": ("trade_count",),
    "quote_updates": ("quote_updates",),
    "best_changes": ("best_changes",),
    "relative_spread": ("bid", "ask"),
    "bid_size": ("bid_size",),
    "ask_size": ("ask_size",),
    "microprice_offset": ("bid", "ask", "bid_size", "ask_size"),
    "vwap_deviation": ("vwap_offset", "base_turnover", "mid_close"),
    "flow": ("flow",),
    "flow_2": ("flow_2",),
    "flow_3": ("flow_3",),
    "flow_4": ("flow_4",),
    "flow_5": ("flow_5",),
    "integrated_flow": ("flow", "flow_2", "flow_3", "flow_4", "flow_5"),
    "signed_root_notional": ("signed_root_notional",),
    "effective_spread": ("effective_spread",),
    "realised_spread": ("realised_spread",),
    "price_impact": ("price_impact",),
    "squared_return_fast": ("squared_return_fast",),
    "squared_return_slow": ("squared_return_slow",),
    "bid_added": ("bid_added",),
    "bid_removed": ("bid_removed",),
    "ask_added": ("ask_added",),
    "ask_removed": ("ask_removed",),
    "inferred_cancels": ("inferred_cancels",),
    "best_lifetime": ("best_lifetime",),
    "time_at_minimum_spread": ("time_at_minimum_spread",),
    "bid_depth_5": ("bid_depth_5",),
    "ask_depth_5": ("ask_depth_5",),
    "bid_depth_10": ("bid_depth_10",),
    "ask_depth_10": ("ask_depth_10",),
    "live": ("live",),
    "market_return": ("mid_close",),
    "return_rank": ("mid_close",),
    "volume_rank": ("base_turnover",),
    "dispersion": ("mid_close",),
    "close_path": ("mid_close",),
    "high_path": ("mid_high", "mid_close"),
    "low_path": ("mid_low", "mid_close"),
}
"""Every column a feature may read, and the columns of `Bar` it is made of.

`*_path` exist as windows only: the price of each bar relative to the newest close,
`price / close − 1`. `market_return` is the mean over the other live symbols, `*_rank`
the place among the live symbols in −½ … ½, `dispersion` the spread of their returns.
`standardised_*` and `squared_return_*` are in units of the frozen return scale.
`follows` is 1 in every bar of a symbol but its first. `directional_*` are Wilder's
directional movements, over the close like `true_range`; `close_location` is −1 at the
low, 1 at the high. `sided_count` are trades whose aggressor is known.

`trade_return` leads from the last trade of one bar that traded to that of the next,
however many without a trade lie between them; `earlier_trade_return` is the one before
it, and `trade_pair` 1 where there are both. All are 0 in a bar without a trade.
`vwap_deviation` is what the bar's traded volume cost on average over its close, less 1.
`notional` is what it cost in all, over that of a median bar volume at the anchor: a
frozen unit, so that it grows with the price as money does. `signed_root_notional` is
over the root of the same.

`classified_volume` is bought less sold volume, by the aggressor where the feed tells
it; the rest is split by bulk classification. A source without aggressors leaves both
volumes at zero, so that all of it is: they are read, but not needed. `money_flow` is
volume times typical price over the anchor, with the sign of the typical price's move.
"""

RANKED = {"return_rank": "log_return", "volume_rank": "volume"}
"""Places among the live symbols, and the columns by which these are put in order."""

STANDING = frozenset(
    {
        *("mid_open", "mid_close", "bid", "ask", "bid_size", "ask_size"),
        *("bid_depth_5", "ask_depth_5", "bid_depth_10", "ask_depth_10", "live"),
    }
)
"""Columns of `Bar` that the last quotes of two bars tell, whatever came in between."""

TRADED = frozenset(
    {
        *("trade_open", "trade_high", "trade_low", "trade_close", "trade_count"),
        *("buy_count", "sell_count", "buy_volume", "sell_volume", "base_turnover"),
        *("quote_turnover", "vwap_offset", "signed_root_notional"),
        *("squared_return_fast", "squared_return_slow"),
    }
)
"""Columns that trades alone tell; all others but the standing ones need every quote."""

BOOK_LEVELS = 5
"""Levels of the book whose order flow is integrated."""

FLOAT_WINDOWS = (
    "log_return",
    "standardised_return",
    "volume",
    "vwap_deviation",
    "signed_volume",
    "market_return",
)
MID_WINDOWS = ("mid_close", "mid_high", "mid_low")
PATHS = {"close_path": "mid_close", "high_path": "mid_high", "low_path": "mid_low"}
ORDERED = FLOAT_WINDOWS + tuple(PATHS)
"""Columns whose window is kept in order: each costs a pass over memory every bar."""

STALE_BARS = 32
"""Bars without a tick after which a symbol's features are masked."""


def init_past(symbols: int) -> Past:
    return Past(*(jnp.zeros(symbols, jnp.int32) for _ in Past._fields))


def next_past(past: Past, bar: Bar) -> Past:
    """What to remember once `bar` is in."""
    known = (past.age > 0) | (bar.live > 0)
    trades = bar.trade_count > 0
    return Past(
        mid=bar.mid_close,
        trade=bar.trade_close,
        earlier_trade=jnp.where(trades, past.trade, past.earlier_trade),
        traded_bars=jnp.minimum(past.traded_bars + trades.astype(jnp.int32), 2),
        high=bar.mid_high,
        low=bar.mid_low,
        sided_count=bar.buy_count + bar.sell_count,
        age=jnp.where(known, past.age + 1, 0),
        silent=jnp.where(bar.live > 0, 0, past.silent + 1),
    )


def bar_columns(
    bar: Bar, past: Past, scales: Scales, ranks: Collection[str] = tuple(RANKED)
) -> dict[str, Float[Array, " S"]]:
    """The newest value of every column, paths and ranks that nobody reads excepted."""
    own = (
        _returns(bar, past, scales)
        | _trade_returns(bar, past)
        | ranges(bar, past)
        | volumes(bar, past, scales)
        | trades(bar, past, scales)
        | _spreads(bar)
        | _queues(bar, scales)
    )
    own |= classified(bar, own)
    return own | _across(own) | _ranks(own, ranks)


def _returns(bar: Bar, past: Past, scales: Scales) -> dict[str, Array]:
    is_known = past.age > 0
    log_return = jnp.where(is_known, log_ratio(bar, bar.mid_close, past.mid), 0.0)
    high = log_ratio(bar, bar.mid_high, bar.mid_close)
    low = log_ratio(bar, bar.mid_low, bar.mid_close)
    opened = log_ratio(bar, bar.mid_open, bar.mid_close)
    return {
        "log_return": log_return,
        "standardised_return": safe_divide(log_return, scales.returns),
        "open_over_close": opened,
        "high_over_close": high,
        "low_over_close": low,
        "previous_over_close": -log_return,
        "standardised_range": safe_divide(high - low, scales.returns),
        "standardised_body": safe_divide(-opened, scales.returns),
        "live": (bar.live > 0).astype(jnp.float32),
        "follows": is_known.astype(jnp.float32),
    }


def _trade_returns(bar: Bar, past: Past) -> dict[str, Array]:
    """The newest two returns from trade to trade, in bars that traded."""
    moves = (past.age > 0) & (past.traded_bars > 0) & (bar.trade_count > 0)
    pairs = moves & (past.traded_bars > 1)
    newest = log_ratio(bar, 2 * bar.trade_close, 2 * past.trade)
    earlier = log_ratio(bar, 2 * past.trade, 2 * past.earlier_trade)
    return {
        "trade_return": jnp.where(moves, newest, 0.0),
        "earlier_trade_return": jnp.where(pairs, earlier, 0.0),
        "trade_pair": pairs.astype(jnp.float32),
    }


def _across(own: dict[str, Array]) -> dict[str, Array]:
    """Columns that compare a symbol with the other live ones.

    Who is live and brings no number counts for nobody.
    """
    counted = (own["live"] > 0) & jnp.isfinite(own["log_return"])
    log_return, z = (
        jnp.where(counted, own[name], 0.0)
        for name in ("log_return", "standardised_return")
    )
    live = counted.astype(jnp.float32)
    number = live.sum()
    mean = safe_divide(z.sum(), number)
    spread = safe_divide(((z - mean) ** 2 * live).sum(), number)
    return {
        "market_return": (log_return.sum() - log_return)
        / jnp.maximum(number - live, 1.0),
        "dispersion": jnp.broadcast_to(jnp.sqrt(spread), live.shape),
    }


def _ranks(own: dict[str, Array], names: Collection[str]) -> dict[str, Array]:
    """The ranks of these names, sorted in one array: a GPU launches kernels once."""
    if not names:
        return {}
    columns = jnp.stack([own[RANKED[name]] for name in names])
    found = jax.vmap(_rank, (0, None))(columns, own["live"] > 0)
    return dict(zip(names, found, strict=True))


def _rank(values: Float[Array, " S"], is_live: Bool[Array, " S"]) -> Array:
    """Share of the counted below, ties counted half, less a half.

    0 of who is not live, NaN of who brings no number: neither is counted.
    """
    is_number = jnp.isfinite(values)
    counted = is_live & is_number
    key = jnp.where(counted, sort_key(values), BEYOND)
    place = partial(jnp.searchsorted, jnp.sort(key), key)
    middle = (place(side="left") + place(side="right")).astype(jnp.float32) / 2
    share = safe_divide(middle, counted.sum().astype(jnp.float32))
    rank = jnp.where(counted, share - 0.5, 0.0)
    return jnp.where(is_number, rank, jnp.nan)


def _spreads(bar: Bar) -> dict[str, Array]:
    spread = (bar.ask - bar.bid).astype(jnp.float32)
    both = bar.bid_size + bar.ask_size
    # The microprice leans to the side with less size: it is where the price goes next.
    tilt = safe_divide(bar.bid_size, both, 0.5) - 0.5
    return {
        "relative_spread": safe_divide(spread, price(bar)),
        "microprice_offset": safe_divide(tilt * spread, price(bar)),
        "quote_updates": bar.quote_updates.astype(jnp.float32),
        "best_changes": bar.best_changes.astype(jnp.float32),
        "best_lifetime": bar.best_lifetime,
        "time_at_minimum_spread": bar.time_at_minimum_spread,
    }


def _queues(bar: Bar, scales: Scales) -> dict[str, Array]:
    names = (
        "bid_size ask_size flow flow_2 flow_3 flow_4 flow_5 bid_added bid_removed "
        "ask_added ask_removed inferred_cancels bid_depth_5 ask_depth_5 bid_depth_10 "
        "ask_depth_10"
    )
    queues = {name: getattr(bar, name) / scales.volume for name in names.split()}
    flows = ["flow", *(f"flow_{k}" for k in range(2, BOOK_LEVELS + 1))]
    weighted = [scales.levels[k] * queues[flow] for k, flow in enumerate(flows)]
    return queues | {"integrated_flow": pairwise_sum(weighted)}


class Windows(NamedTuple):
    """The last `W` bars of the columns that are asked for, as rings written twice.

    A bar is written at `index % W` and again `W` further: the last `W` bars then lie
    in order somewhere, and no bar is ever moved.
    """

    floats: Float[Array, "R S 2W"]
    mids: Int[Array, "Q S 2W"]


def init_windows(floats: int, mids: int, symbols: int, window: int) -> Windows:
    return Windows(
        jnp.zeros((floats, symbols, 2 * window), jnp.float32),
        jnp.zeros((mids, symbols, 2 * window), jnp.int32),
    )


def push_windows(
    windows: Windows, index: Int[Array, ""], floats: list[Array], mids: list[Array]
) -> Windows:
    """Every ring with bar `index` written over the bar `W` before it."""

    def pushed(ring: Array, new: list[Array]) -> Array:
        if not new:
            return ring
        window = ring.shape[2] // 2
        at, column = index % window, jnp.stack(new)[:, :, None]
        ring = lax.dynamic_update_slice_in_dim(ring, column, at, 2)
        return lax.dynamic_update_slice_in_dim(ring, column, at + window, 2)

    return Windows(pushed(windows.floats, floats), pushed(windows.mids, mids))


def in_order(ring: Array, index: Int[Array, ""]) -> Array:
    """The last `W` bars of every ring, the oldest first, once `index` is in."""
    window = ring.shape[2] // 2
    return lax.dynamic_slice_in_dim(ring, index % window + 1, window, 2)


def relative_path(mids: Int[Array, "S W"], bar: Bar) -> Float[Array, "S W"]:
    """Prices of the window over the newest close, less one."""
    moved = (mids - bar.mid_close[:, None]).astype(jnp.float32) / 2
    return moved / jnp.maximum(price(bar), 1e-6)[:, None]
