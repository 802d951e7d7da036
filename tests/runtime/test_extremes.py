"""Whatever passes the screen leaves bars, history and scores finite in float32."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot4jax import engine
from bot4jax.data.universe import universe
from bot4jax.kernels import history, planning
from bot4jax.kernels.bars import unpack_bar
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.history import Scales
from bot4jax.registry import select
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.screen import FARTHEST, HIGHEST_PRICE, LARGEST_SIZE, screen
from bot4jax.state import Settings, Units, init_observing
from bot4jax.types import (
    BAR_FLOATS,
    BOOK,
    BUY,
    QUOTE,
    SELL,
    TICK,
    TRADE,
    Bar,
    Frame,
    Instrument,
    Layout,
)
from tests.runtime.device_bars import closed_on_device
from tests.small_nets import SMALL

BAR_NS, CALM = 1_000, 3
"""So many ordinary bars follow: what has once become no number would stay none."""

ANCHORS = np.array([1, 100, FARTHEST - 1, FARTHEST + 16, HIGHEST_PRICE - 5])
"""Increments: a price of next to nothing, of a share, and such as fine increments or a
high price make; near the third and fourth a price may lose all of itself."""

SYMBOLS = len(ANCHORS)
MARKET = universe([Instrument(symbol=name) for name in "ABCDE"])
NAMES = (
    *("mean", "skewness", "kyle_lambda", "amihud", "log_quote_slope", "market_beta"),
    *("multi_level_order_flow_imbalance", "rank_of_volume", "vwap_deviation"),
    *("microprice_momentum", "queue_age", "quantile_50", "average_true_range_14"),
    *("vpin", "chaikin_money_flow_20", "money_flow_index_14", "bollinger_width"),
)
"""Of every form, and what remembers from bar to bar what it has once taken in."""

ONES = jnp.ones(SYMBOLS)
SCALES = Scales(ONES * 1e-4, ONES, jnp.ones(5) / 5)
UNITS = Units(SCALES, init_scaler(len(NAMES)), jnp.float32(6), jnp.int32(0))
PLAN = planning.plan(Layout(SYMBOLS, 16, 64, 3, 0, Bar._fields), select(NAMES))
SETTINGS = Settings(PLAN, SMALL, ("lstm", "gru"), fallback=NAMES[:2])

observe = jax.jit(partial(engine.observe, SETTINGS))


@jax.jit
def columns_of(ints, floats, past):
    """All that features may read of a bar."""
    return history.bar_columns(unpack_bar(ints, floats), past, SCALES)


def prices(slot: int) -> list[int]:
    """The lowest and highest that are admitted, the anchor, and their neighbours."""
    anchor = int(ANCHORS[slot])
    lowest = max(1, anchor - FARTHEST + 1)
    highest = min(HIGHEST_PRICE, anchor + FARTHEST - 1)
    near = (lowest, lowest + 1, lowest + 40, anchor, anchor + 1, highest - 1, highest)
    return [one for one in near if one <= highest]


Row = tuple[int, ...]
sizes = st.sampled_from([1, 2, LARGEST_SIZE - 1, LARGEST_SIZE])


@st.composite
def ticks(draw: st.DrawFn) -> Row:
    """One of any kind, but for its time."""
    slot = draw(st.integers(0, SYMBOLS - 1))
    low, high = sorted(draw(st.sampled_from(prices(slot))) for _ in range(2))
    size, other = draw(sizes), draw(sizes)
    kind = draw(st.sampled_from([QUOTE, QUOTE, TRADE, BOOK]))
    if kind == QUOTE:
        return QUOTE, 0, 0, slot, low, high, size, other
    if kind == TRADE:
        return TRADE, draw(st.integers(0, SELL)), 0, slot, low, size, 0, 0
    level = draw(st.integers(1, 9))
    return BOOK, draw(st.sampled_from([BUY, SELL])), 0, slot, low, size, level, 0


def ordinary() -> list[Row]:
    """Everything is quoted at its anchor."""
    return [
        (QUOTE, 0, 0, slot, int(anchor), int(anchor) + 1, 5, 5)
        for slot, anchor in enumerate(ANCHORS)
    ]


def market(bars: Sequence[Sequence[Row]]) -> np.ndarray:
    """Records, bar after bar, all of them admitted."""
    rows = [
        (*row[:4], number * BAR_NS + 1 + at, *row[4:])
        for number, bar in enumerate(bars)
        for at, row in enumerate(bar)
    ]
    records = np.array(rows, TICK)
    assert screen(records, ANCHORS) is None
    return records


def through(records: np.ndarray, bars: int) -> Iterator[tuple[Any, ...]]:
    """By closed bar: its numbers, the columns that are made of it, what is remembered
    from then on, and what is seen."""
    feed = Feed(MARKET, ANCHORS, BAR_NS, 0, 64)
    frame = Frame(1, 1, 0, bars * BAR_NS, records)
    memory = init_observing(SETTINGS, SCALES)
    for ints, floats in closed_on_device(feed, [frame], ANCHORS):
        columns = columns_of(ints, floats, memory.bank.past)
        memory, seen = observe(UNITS, memory, ints, floats)
        named = dict(zip(BAR_FLOATS, floats, strict=True))
        yield jax.device_get((named, columns, memory, seen))


def infinite(found: Any) -> list[str]:
    """Names of what is not finite throughout."""
    leaves = jax.tree_util.tree_leaves_with_path(found)
    return [
        jax.tree_util.keystr(at) for at, one in leaves if not np.isfinite(one).all()
    ]


FALLEN = [
    (QUOTE, 0, 0, 2, prices(2)[-1], prices(2)[-1], 1, 1),
    (TRADE, BUY, 0, 2, prices(2)[-1], 1, 0, 0),
    (TRADE, SELL, 0, 2, prices(2)[0], LARGEST_SIZE, 0, 0),
    (QUOTE, 0, 0, 2, prices(2)[0], prices(2)[0], 1, 1),
]
"""From the highest price to the lowest."""

LEANING = [(QUOTE, 0, 0, 2, prices(2)[0], prices(2)[-1], 1, LARGEST_SIZE)]
"""A microprice at the bid, and a bid of nothing beside the mid."""


@settings(max_examples=60)
@given(bars=st.lists(st.lists(ticks(), max_size=30), min_size=1, max_size=5))
@example(bars=[ordinary(), FALLEN])
@example(bars=[FALLEN[:1], FALLEN[3:]])
@example(bars=[LEANING, LEANING])
def test_what_is_admitted_leaves_bars_history_and_scores_finite(bars):
    """A price that had lost all but a 2²⁵th of itself was once a return of minus
    infinity: it stayed in the running variance, and in that of the whole market."""
    bars = [ordinary(), *bars, *[ordinary()] * CALM]
    found = [infinite(one) for one in through(market(bars), len(bars))]
    assert len(found) == len(bars) - 1, "the last is open"
    assert found == [[]] * len(found)
