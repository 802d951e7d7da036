"""Bars against bars made by hand, whatever the cut of the stream into batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.kernels import absorb as absorbing
from bot4jax.kernels import bars
from bot4jax.kernels.rebase import Terms, rebase_bars
from bot4jax.types import (
    BAR_INTS,
    BOOK,
    BUY,
    FRACTION,
    QUOTE,
    SELL,
    TRADE,
    UNKNOWN_SIDE,
    Bar,
)
from tests.oracles.bars import SlowBars
from tests.ticks import pack, random_ticks

SYMBOLS, CAPACITY, ANCHOR = 5, 64, 60_000
LATENCY = FRACTION // 10

absorb, close_bars = jax.jit(absorbing.absorb), jax.jit(bars.close_bars)


def stream(seed, count=6, ticks=220):
    rng = np.random.default_rng(seed)
    return [random_ticks(rng, SYMBOLS - 1, ticks) for _ in range(count)]


def run(stream, cut):
    """Closed bars as `Bar`s of NumPy, the stream cut into batches by `cut(n)`."""
    state, closed = bars.init_bars(jnp.full(SYMBOLS, ANCHOR, jnp.float32)), []
    for ticks in stream:
        for part in cut(ticks):
            packed = jnp.asarray(pack(part, SYMBOLS, CAPACITY))
            state = absorb(state, packed, jnp.int32(LATENCY))
        state, ints, floats = close_bars(state)
        bar = bars.unpack_bar(ints, floats)
        closed.append(Bar(*(np.asarray(column) for column in bar)))
    return closed, state


def by(size):
    return lambda ticks: [ticks[i : i + size] for i in range(0, len(ticks), size)]


def by_hand(stream):
    slow = [SlowBars(ANCHOR, LATENCY) for _ in range(SYMBOLS)]
    closed = []
    for ticks in stream:
        for tick in ticks:
            slow[tick["slot"]].tick(tick)
        closed.append([one.close() for one in slow])
    return closed


@pytest.mark.parametrize("seed", [0, 1])
def test_bars_equal_bars_made_by_hand(seed):
    ticks = stream(seed)
    fast, _ = run(ticks, by(CAPACITY))
    for bar, rows in zip(fast, by_hand(ticks), strict=True):
        for name, column in bar._asdict().items():
            expected = np.array([row[name] for row in rows])
            if name in BAR_INTS:
                np.testing.assert_array_equal(column, expected, name)
            else:
                # float32 sums of some fifty terms around a price of 60,000
                np.testing.assert_allclose(column, expected, 2e-5, 1e-6, name)


def assert_same_bits(first, second):
    """Two trees of arrays."""
    assert jax.tree.structure(first) == jax.tree.structure(second)
    for one, other in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("size", [1, 7, 50])
def test_any_cut_of_the_stream_gives_the_same_bits(size):
    ticks = stream(2, count=3)
    whole, state = run(ticks, by(CAPACITY))
    cut, cut_state = run(ticks, by(size))
    assert_same_bits((whole, state), (cut, cut_state))


def test_a_symbol_without_ticks_repeats_its_quote_and_is_not_live():
    ticks = stream(3, count=1)
    closed, _ = run([*ticks, []], by(CAPACITY))
    before, after = closed
    np.testing.assert_array_equal(after.mid_close, before.mid_close)
    np.testing.assert_array_equal(after.mid_open, before.mid_close)
    assert not after.live.any()
    assert not after.base_turnover.any()
    assert before.live[: SYMBOLS - 1].any()


def test_a_symbol_that_never_spoke_is_zero_and_not_live():
    closed, _ = run(stream(4, count=2), by(CAPACITY))
    assert closed[-1].live[SYMBOLS - 1] == 0
    assert closed[-1].mid_close[SYMBOLS - 1] == 0


def test_padding_and_absurd_slots_touch_nothing():
    state = bars.init_bars(jnp.full(SYMBOLS, ANCHOR, jnp.float32))
    packed = pack(stream(5, count=1)[0][:10], SYMBOLS, CAPACITY)
    packed[:, 0] = SYMBOLS
    after = absorb(state, jnp.asarray(packed), jnp.int32(0))
    assert_same_bits(state, after)


@pytest.mark.parametrize("size", [1, CAPACITY])
def test_a_level_that_empties_and_returns_adds_nothing(size):
    """It once lost five for each time it emptied: empty was taken for never stated."""
    level = {"slot": 0, "kind": BOOK, "side": BUY, "bid": -1, "ask": 0, "time": 1}
    level |= {"ask_size": 0.0, "level": 1, "flags": 0}
    closed, _ = run([[level | {"bid_size": x} for x in (5.0, 0.0) * 3]], by(size))
    assert closed[0].flow_2[0] == -5.0
    closed, _ = run([[level | {"bid_size": x} for x in (0.0, 5.0) * 3]], by(size))
    assert closed[0].flow_2[0] == closed[0].bid_depth_5[0] == 5.0


def test_a_level_that_was_never_stated_is_not_after_a_split_either():
    state = bars.init_bars(jnp.full(SYMBOLS, ANCHOR, jnp.float32))
    each = jnp.ones(SYMBOLS)
    terms = Terms(each > 0, each / 2, 0 * each, ANCHOR * each / 2, 2 * each)
    state = rebase_bars(state, terms)
    level = {"slot": 0, "kind": BOOK, "side": BUY, "bid": -1, "ask": 0, "time": 1}
    level |= {"bid_size": 5.0, "ask_size": 0.0, "level": 1, "flags": 0}
    packed = jnp.asarray(pack([level], SYMBOLS, CAPACITY))
    _, ints, floats = close_bars(absorb(state, packed, jnp.int32(0)))
    bar = bars.unpack_bar(ints, floats)
    assert bar.flow_2[0] == 0
    np.testing.assert_array_equal(bar.bid_depth_10, [5, 0, 0, 0, 0])


def test_realised_spread_belongs_to_the_previous_bars_trades():
    quote = {"slot": 0, "kind": QUOTE, "side": 0, "bid": 0, "ask": 2, "time": 1}
    quote |= {"bid_size": 1.0, "ask_size": 1.0, "level": 0, "flags": 0}
    buy = quote | {"kind": TRADE, "side": 1, "bid": 2, "time": 2, "level": 1}
    risen = quote | {"bid": 4, "ask": 6}
    closed, _ = run([[quote, buy], [risen]], by(CAPACITY))
    first, second = closed
    assert first.effective_spread[0] == pytest.approx(2 / 60_001, rel=1e-4)
    assert first.realised_spread[0] == 0
    assert second.realised_spread[0] == pytest.approx(2 * (2 - 5) / 60_005, rel=1e-4)
    assert second.price_impact[0] == pytest.approx(8 / 60_003, rel=1e-3)


def test_a_trade_that_no_quote_was_given_for_meets_the_one_that_stands():
    """As after a restart: the bars know a quote, their new feed has heard none."""
    quote = {"slot": 0, "kind": QUOTE, "side": 0, "bid": 0, "ask": 2, "time": 1}
    quote |= {"bid_size": 1.0, "ask_size": 1.0, "level": 0, "flags": 0}
    buy = quote | {"kind": TRADE, "side": BUY, "bid": 3, "ask": 0}
    closed, _ = run([[quote], [buy, buy | {"slot": 1}]], by(1))
    expected = [2 * 2 / 60_001, 0, 0, 0, 0]
    np.testing.assert_allclose(closed[1].effective_spread, expected, 1e-6)


@pytest.mark.parametrize("side", [UNKNOWN_SIDE, BUY, SELL])
def test_what_was_traded_away_was_not_cancelled(side):
    """Of five that leave the bid three are sold, by whoever the feed says, or not."""
    quote = {"slot": 0, "kind": QUOTE, "side": 0, "bid": 0, "ask": 2, "time": 1}
    quote |= {"bid_size": 9.0, "ask_size": 9.0, "level": 0, "flags": 0}
    trade = quote | {"kind": TRADE, "side": side, "bid": 0, "bid_size": 3.0}
    closed, _ = run([[quote, trade, quote | {"bid_size": 4.0}]], by(CAPACITY))
    assert closed[0].inferred_cancels[0] == (5.0 if side == BUY else 2.0)
