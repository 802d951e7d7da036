"""Trades of recorded markets and the mids that stood before them, walked by hand."""

from typing import NamedTuple

import numpy as np
import pytest

from bot4jax.data.binance import Binance
from bot4jax.data.lean import Lean
from bot4jax.runtime.batches import Batch
from bot4jax.runtime.feed import Feed
from bot4jax.types import PACKED, QUOTE, TRADE
from tests import recorded

BARS = 3_000
"""Of .1 s each; a bar of BAC is one of a second."""


SKEW_NS = 5_000_000_000
"""The recorder's clock stands up to 1.5 s behind the exchange's."""


class Shares(NamedTuple):
    """Of the trades of a market."""

    raced: float
    """whose mid before them by arrival is another than by the exchange's time"""
    found: float
    """that the feed gives the mid which a walk through all quotes finds"""
    unraced_spread: float
    """mean effective spread against the mid by arrival, basis points"""
    spread: float
    """the same by the exchange's time"""


def batches(source) -> list[tuple[np.ndarray, np.ndarray]]:
    """Records as they arrived, and the mids that the device was given with them."""
    own = source.universe, source.anchors, source.bar_ns, source.start_ns
    feed = Feed(*own, 4_096, skew_limit_ns=SKEW_NS)
    found, ask = [], PACKED.index("ask")
    for frame in source.frames(0, min(BARS, source.bar_count)):
        for one in feed.push(frame):
            if isinstance(one, Batch) and not one.is_again:
                mids = one.packed[: one.count, ask].astype(np.int64)
                mids += 2 * source.anchors[one.records["symbol"]]
                found.append((one.records.copy(), mids))
    return found


def shares(source) -> Shares:
    """Every trade against all quotes that came before it, one after the other."""
    quoted: dict[int, list[tuple[int, int]]] = {}
    rows = []
    for records, mids in batches(source):
        for tick, given in zip(records.tolist(), mids.tolist(), strict=True):
            kind, side, _, symbol, event, price, ask, _, _ = tick
            past = quoted.setdefault(symbol, [])
            if kind == QUOTE:
                past.append((event, price + ask))
            elif kind == TRADE:
                older = (mid for time, mid in reversed(past) if time < event)
                rows.append((past[-1][1], next(older, past[0][1]), given, price, side))
    arrived, truth, given, price, side = np.array(rows, float).T
    assert len(rows) > 10_000
    sign = np.select([side == 1, side == 2], [1, -1])
    by_arrival, by_time = (
        (sign * (2 * price - mid) / (mid / 2)).mean() * 1e4 for mid in (arrived, truth)
    )
    raced, found = (arrived != truth).mean(), (given == truth).mean()
    return Shares(raced, found, by_arrival, by_time)


def test_trades_of_binance_race_with_the_quotes_they_cause(data_root):
    """Met in order of arrival they would cost half of what they did."""
    told = shares(Binance(data_root / "binance" / "usdm"))
    assert told.raced == pytest.approx(0.22, abs=0.03)
    assert told.found > 0.999
    assert told.spread > 1.5 * told.unraced_spread > 0


def test_trades_of_shares_stand_before_the_quotes_of_their_moment(data_root, tmp_path):
    told = shares(Lean(recorded.one_day(data_root / "us_ticks", tmp_path)))
    assert told.raced == 0
    assert told.found == 1
