"""Ready-made bars on the device's columns."""

import numpy as np
import polars as pl
import pytest

from bot4jax.data.bars import COLUMNS, BarSource, Panel, check_bars, on_clock
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import BAR_FLOATS, BAR_INTS, Instrument

MINUTE = 60 * 10**9
NAN = np.nan


def panel(close, live=None, **changed):
    close = np.array(close, float)
    live = np.isfinite(close) if live is None else np.array(live, bool)
    columns = {
        "open": close - 0.25,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": np.full(close.shape, 40.0),
        "live": live,
        "adjustment": np.ones(close.shape),
    }
    return Panel(**{**columns, **changed})


def source(given, increment=0.25):
    symbols = [
        Instrument(symbol=f"S{slot}", increment=increment)
        for slot in range(given.close.shape[1])
    ]
    return BarSource(universe(symbols), given, MINUTE, 10**18)


def column(block, name):
    if name in BAR_INTS:
        return block.ints[BAR_INTS.index(name)].tolist()
    return block.floats[BAR_FLOATS.index(name)].tolist()


def test_prices_become_offsets_from_the_first_close():
    market = source(panel([[100.0, 8.0], [101.5, 7.25]]))
    assert market.anchors.tolist() == [400, 32]
    first, second = market.bars(0, 2)
    assert (first.index, second.index) == (0, 1)
    assert column(first, "mid_close") == [0, 0]
    # 101.5 is 406 increments, 6 above the anchor and 12 half increments
    assert column(second, "mid_close") == [12, -6]
    assert column(second, "trade_close") == [6, -3]
    assert column(second, "mid_open") == [10, -8]
    assert column(second, "mid_entry") == column(second, "mid_open")
    assert column(second, "mid_high") == [20, 2]
    assert column(second, "trade_low") == [2, -7]
    assert column(second, "base_turnover") == [40, 40]
    assert column(second, "anchor") == [400, 32]
    assert column(second, "live") == [1, 1]


def test_mids_keep_half_increments():
    market = source(panel([[100.0], [100.5], [101.5]]), increment=1.0)
    blocks = list(market.bars(0, 3))
    assert [column(b, "mid_close") for b in blocks] == [[0], [1], [3]]


def test_columns_that_bars_cannot_know_are_absent_and_zero():
    (block,) = source(panel([[100.0]])).bars(0, 1)
    assert block.ints.dtype == np.int32
    assert block.floats.dtype == np.float32
    for name in {*BAR_INTS, *BAR_FLOATS} - set(COLUMNS):
        assert column(block, name) == [0]
    assert {"bid", "buy_volume", "flow", "quote_turnover"}.isdisjoint(COLUMNS)


def test_holes_repeat_the_last_close_without_volume():
    market = source(panel([[NAN, 8.0], [100.0, NAN], [NAN, NAN], [101.0, 9.0]]))
    blocks = list(market.bars(0, 4))
    # before its first bar a symbol stands at that bar's open
    assert market.anchors.tolist() == [399, 32]
    assert [column(b, "live") for b in blocks] == [[0, 1], [1, 0], [0, 0], [1, 1]]
    assert [column(b, "mid_close") for b in blocks] == [[0, 0], [2, 0], [2, 0], [10, 8]]
    for name in ("mid_open", "mid_high", "mid_low", "mid_entry"):
        assert column(blocks[2], name) == [2, 0]
    assert column(blocks[2], "trade_high") == [1, 0]
    assert column(blocks[2], "base_turnover") == [0, 0]
    assert column(blocks[2], "adjustment") == [1, 1]


def test_values_of_a_bar_that_is_not_live_do_not_count():
    wild = panel([[100.0], [1e12], [101.0]], live=[[1], [0], [1]])
    blocks = list(source(wild).bars(0, 3))
    assert [column(b, "mid_high") for b in blocks] == [[8], [0], [16]]


def test_any_split_gives_the_same_bars():
    market = source(panel(np.arange(100.0, 120.0).reshape(10, 2)))
    whole = list(market.bars(0, 10))
    parts = [*market.bars(0, 3), *market.bars(3, 3), *market.bars(3, 10)]
    for one, other in zip(whole, parts, strict=True):
        assert one.index == other.index
        np.testing.assert_array_equal(one.ints, other.ints)
        np.testing.assert_array_equal(one.floats, other.floats)
    assert list(market.frames(0, 10)) == []


def test_symbol_beyond_the_device_s_integers_is_named():
    fits = panel([[100.0, 100.0], [100.0, 100.0 + 2**29 - 2]])
    assert source(fits, increment=1.0).bar_count == 2
    too_far = panel([[100.0, 100.0], [100.0, 100.0 + 2**29 - 1]])
    with pytest.raises(DataError, match=r"S1 moves 1\.07e\+09 half increments of 1 "):
        source(too_far, increment=1.0)


def test_symbol_without_any_bar_is_named():
    with pytest.raises(DataError, match="S1 has no bar"):
        source(panel([[100.0, NAN], [100.0, NAN]]))


@pytest.mark.parametrize(("first", "stop"), [(-1, 1), (0, 3), (2, 1)])
def test_bars_that_are_not_there_are_refused(first, stop):
    with pytest.raises(ValueError, match="the source holds 0"):
        list(source(panel([[100.0], [101.0]])).bars(first, stop))


def table(**changed):
    columns = {
        "time": [0, MINUTE, 3 * MINUTE],
        "open": [10.0, 10.5, 11.0],
        "high": [11.0, 11.5, 12.0],
        "low": [9.0, 9.5, 10.0],
        "close": [10.5, 11.0, 11.5],
        "volume": [3.0, 0.0, 4.0],
    }
    return pl.DataFrame({**columns, **changed})


def test_clock_runs_from_the_first_bar_of_any_to_the_last():
    late = table(time=[2 * MINUTE, 3 * MINUTE, 5 * MINUTE])
    start_ns, given = on_clock([table(), late], MINUTE)
    assert start_ns == 0
    assert given.live.tolist() == [
        [True, False],
        [True, False],
        [False, True],
        [True, True],
        [False, False],
        [False, True],
    ]
    assert given.close[:, 0][given.live[:, 0]].tolist() == [10.5, 11.0, 11.5]
    assert given.volume[3].tolist() == [4.0, 0.0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"time": [0, MINUTE + 1, 3 * MINUTE]}, "row 1: .* time on the 60 s clock"),
        ({"time": [0, MINUTE, MINUTE]}, "row 2: .* later than the row before"),
        ({"high": [11.0, NAN, 12.0]}, "row 1: .* prices that are finite"),
        ({"close": [10.5, 11.0, np.inf]}, "row 2: .* prices that are finite"),
        ({"low": [0.0, 9.5, 10.0]}, "row 0: .* prices that are finite and positive"),
        ({"open": [10.0, None, 11.0]}, "row 1: .* prices that are finite"),
        ({"high": [11.0, 10.7, 12.0]}, "row 1: .* low ≤ open, close ≤ high"),
        ({"low": [9.0, 9.5, 11.2]}, "row 2: .* low ≤ open, close ≤ high"),
        ({"volume": [-1.0, 0.0, 1.0]}, "row 0: .* a volume that is finite"),
        ({"volume": [1.0, NAN, 1.0]}, "row 1: .* a volume that is finite"),
    ],
)
def test_first_row_that_is_no_bar_is_named(changed, message):
    check_bars("x", table(), MINUTE)
    with pytest.raises(DataError, match=f"^x, {message}"):
        check_bars("x", table(**changed), MINUTE)


def test_no_rows_are_no_bars():
    with pytest.raises(DataError, match="x holds no bars"):
        check_bars("x", table().clear(), MINUTE)
