"""Random bars with planted edges, as a recording `[T, S]` of every column of `Bar`."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar

NORMAL, DEAR, FLAT, UNTRADED, SPIKED, LATE, LOST, WILD, BACK, EMPTY = range(10)
"""Slots: ordinary, no aggressors told · price of 6,000,000 increments · price never
moves · no trade ever · one trade and one huge move · first live at bar 40, empty queues
now and then, half of the aggressors told · silent for the last 60 bars · trending,
volatile, volume in bursts · silent from the 60th last bar to the 20th last · nothing
ever rests in its queues."""

BEGINS = 40
"""Bar of the first word from slot `LATE`."""
SILENCE = 60
"""Bars at the end without a word from slot `LOST`."""
RETURN = 20
"""Bars at the end in which slot `BACK` is heard again."""
SPIKE = 300
"""Bar of the huge move of slot `SPIKED`."""

ANCHORS = np.array(
    [20_000, 6e6, 9_000, 15_000, 12_000, 30_000, 25_000, 60_000, 40_000, 18_000], int
)
STEP = np.array([4.0, 900.0, 0.0, 3.0, 2.0, 5.0, 4.0, 40.0, 6.0, 4.0])
"""Standard deviation of a bar's move, increments."""
LOT = np.array([3.0, 0.02, 500.0, 1.0, 10.0, 2.0, 40.0, 1.0, 5.0, 3.0])
"""Median volume of a bar, base units."""


DAY = "20131007"
"""Of US ticks."""


class Units(NamedTuple):
    """What `history.Scales` freezes."""

    returns: np.ndarray
    volume: np.ndarray
    levels: np.ndarray


def units() -> Units:
    # No whole number of increments: rounding would say which side of 2σ a move lies.
    returns = 1.013 * np.where(STEP > 0, STEP, 1.0) / ANCHORS
    levels = np.array([0.3, 0.25, 0.2, -0.1, 0.15], np.float32)
    return Units(returns.astype(np.float32), LOT.astype(np.float32), levels)


def recorded_bars(seed: int, count: int) -> Bar:
    """`count` bars of ten symbols."""
    rng = np.random.default_rng(seed)
    columns = _prices(rng, count)
    columns |= _trades(rng, count, columns)
    columns |= _queues(rng, count)
    columns = _silence(columns, count)
    typed: dict[str, Any] = {name: columns[name].astype(np.int32) for name in BAR_INTS}
    typed |= {name: columns[name].astype(np.float32) for name in BAR_FLOATS}
    return Bar(**typed)


def at_mids(bars: Bar, anchor: np.ndarray, close: np.ndarray) -> Bar:
    """The same bars at other prices `[T, S]`: each opens at the close before it, opens
    and closes at its high and low, and bids a half or a whole increment below. The ask
    is left to whoever knows the spread; anchors are `[S]`."""
    opened = np.vstack([close[:1], close[:-1]])
    return bars._replace(
        anchor=np.broadcast_to(anchor.astype(np.float32), close.shape),
        live=np.ones_like(close),
        mid_open=opened,
        mid_entry=opened,
        mid_close=close,
        mid_high=np.maximum(opened, close),
        mid_low=np.minimum(opened, close),
        bid=(close - 1) // 2,
    )


def cut(bars: Bar, start: int, stop: int) -> Bar:
    return of_columns(column[start:stop] for column in bars)


def joined(first: Bar, then: Bar) -> Bar:
    return of_columns(np.concatenate(pair) for pair in zip(first, then, strict=True))


def of_columns(columns: Iterable[Any]) -> Bar:
    """A recording from its columns in the order of `Bar`."""
    return Bar(*columns)


def _prices(rng, count):
    """Mids in half increments; a bar opens where the one before closed."""
    shape = (count, len(STEP))
    moves = rng.standard_t(4, shape) * STEP * np.where(rng.random(shape) < 0.2, 0, 1)
    moves[:, WILD] *= 0.3 + 2 * (np.arange(count) // 30 % 2)
    moves[:, WILD] += 5
    if count > SPIKE:
        moves[SPIKE, SPIKED] = 4_000
    # Keeps long recordings away from zero: the path is pulled back to its start.
    path = np.zeros(shape)
    for t in range(count):
        path[t] = (path[t - 1] * 0.995 if t else 0) + moves[t]
    spread = rng.integers(1, 4, shape)
    spread[:, FLAT] = 2
    bid = np.floor(path).astype(int) - spread // 2
    ask = bid + spread
    close = bid + ask
    opened = np.vstack([close[:1], close[:-1]])
    reach = np.round(rng.exponential(1.0, shape) * STEP).astype(int)
    dip = np.round(rng.exponential(1.0, shape) * STEP).astype(int)
    return {
        "anchor": np.broadcast_to(ANCHORS, shape),
        "bid": bid,
        "ask": ask,
        "mid_close": close,
        "mid_open": opened,
        "mid_entry": opened,
        "mid_high": np.maximum(opened, close) + reach,
        "mid_low": np.minimum(opened, close) - dip,
        "live": np.ones(shape, int),
        "adjustment": np.ones(shape),
    }


def _trades(rng, count, prices):
    shape = (count, len(LOT))
    buys, sells = rng.poisson(3.0, shape), rng.poisson(3.0, shape)
    buys[:, WILD] *= 1 + 4 * (rng.random(count) < 0.1)
    for slot in (UNTRADED, SPIKED):
        buys[:, slot] = sells[:, slot] = 0
    buys[min(290, count - 1), SPIKED] = 1
    buy_volume = buys * LOT * rng.exponential(0.2, shape)
    sell_volume = sells * LOT * rng.exponential(0.2, shape)
    number, volume = buys + sells, buy_volume + sell_volume
    # Half of what is traded in one slot, and all in another, tells no aggressor.
    number[:, LATE] *= 2
    volume[:, LATE] *= 2
    for side in (buys, sells, buy_volume, sell_volume):
        side[:, NORMAL] = 0
    width = (prices["ask"] - prices["bid"]) / ANCHORS
    effective = (buys + sells) * width * rng.uniform(0.8, 1.2, shape)
    earlier = np.vstack([np.zeros((1, len(LOT))), effective[:-1]])
    realised = earlier * rng.normal(0.3, 0.5, shape)
    last = np.where(rng.random(shape) < 0.5, prices["bid"], prices["ask"])
    noise = width**2 / 4 * rng.exponential(1.0, shape)
    root = (buys - sells) * np.sqrt(ANCHORS * LOT / 6) * rng.exponential(1.0, shape)
    return {
        "trade_open": last,
        "trade_high": last + 1,
        "trade_low": last - 1,
        "trade_close": standing(last, number),
        "buy_count": buys,
        "sell_count": sells,
        "trade_count": number,
        "buy_volume": buy_volume,
        "sell_volume": sell_volume,
        "base_turnover": volume,
        "quote_turnover": volume * ANCHORS,
        "vwap_offset": volume * rng.normal(0, 1, shape),
        "signed_root_notional": root,
        "effective_spread": effective,
        "realised_spread": realised,
        "price_impact": earlier - realised,
        "squared_return_fast": number * noise,
        "squared_return_slow": number * noise * rng.uniform(0.2, 1.1, shape),
    }


def standing(last, number):
    """The last trade's price, kept through bars without one."""
    kept = np.zeros_like(last)
    for t in range(len(last)):
        kept[t] = np.where(number[t] > 0, last[t], kept[t - 1] if t else 0)
    return kept


def _queues(rng, count):
    shape = (count, len(LOT))
    queue = {}
    for name in ("bid_size", "ask_size", "bid_added", "ask_added"):
        queue[name] = LOT * rng.exponential(2.0, shape)
    for name in ("bid_removed", "ask_removed", "inferred_cancels"):
        queue[name] = LOT * rng.exponential(1.0, shape)
    for name in ("bid_size", "ask_size"):
        queue[name][::7, LATE] = queue[name][:, EMPTY] = 0.0
    for side in ("bid", "ask"):
        queue[f"{side}_depth_5"] = queue[f"{side}_size"] * rng.uniform(1, 6, shape)
        queue[f"{side}_depth_10"] = queue[f"{side}_depth_5"] * rng.uniform(1, 2, shape)
    for name in ("flow", "flow_2", "flow_3", "flow_4", "flow_5"):
        queue[name] = LOT * rng.normal(0, 2, shape)
    updates = rng.poisson(20, shape)
    return queue | {
        "quote_updates": updates,
        "best_changes": np.minimum(updates, rng.poisson(4, shape)),
        "late": np.zeros(shape, int),
        "conflated": np.zeros(shape, int),
        "best_lifetime": rng.exponential(2.0, shape),
        "time_at_minimum_spread": rng.beta(1, 1, shape),
    }


SUMS = [
    "buy_count",
    "sell_count",
    "trade_count",
    "quote_updates",
    "best_changes",
    "live",
    "buy_volume",
    "sell_volume",
    "base_turnover",
    "quote_turnover",
    "vwap_offset",
    "signed_root_notional",
    "effective_spread",
    "realised_spread",
    "price_impact",
    "squared_return_fast",
    "squared_return_slow",
    "bid_added",
    "bid_removed",
    "ask_added",
    "ask_removed",
    "flow",
    "flow_2",
    "flow_3",
    "flow_4",
    "flow_5",
    "inferred_cancels",
]
"""Columns that are zero in a bar without a word."""


def _silence(columns, count):
    """Nothing before a slot begins; prices stand and sums are zero once it is lost."""
    columns = {name: np.array(column) for name, column in columns.items()}
    gone = max(count - SILENCE, 1)
    for name, column in columns.items():
        if name not in ("anchor", "adjustment"):
            column[:BEGINS, LATE] = 0
    for slot, stop in ((LOST, count), (BACK, max(count - RETURN, 1))):
        for name, column in columns.items():
            if name in SUMS:
                column[gone:stop, slot] = 0
            elif name not in ("mid_open", "mid_high", "mid_low", "best_lifetime"):
                column[gone:stop, slot] = column[gone - 1, slot]
        for name in ("mid_open", "mid_high", "mid_low"):
            columns[name][gone:stop, slot] = columns["mid_close"][gone - 1, slot]
    return columns


def one_day(folder: Path, target: Path) -> Path:
    """US ticks of the first day alone: four would be read for what one shows."""
    (target / "bac").mkdir()
    for path in sorted((folder / "bac").glob(f"{DAY}_*.zip")):
        shutil.copy(path, target / "bac" / path.name)
    return target
