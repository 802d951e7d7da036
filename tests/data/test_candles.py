"""Candle files: against the exchange's own candles, and planted folders."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from bot4jax.data.candles import Candles, resample_trades
from bot4jax.data.source import DataError
from bot4jax.types import BAR_INTS

START = datetime(2018, 1, 10, tzinfo=UTC)


def candles(minutes, **changed):
    count = len(minutes)
    close = 0.0125 + np.arange(count) / 10_000
    columns = {
        "date": [START + timedelta(minutes=minute) for minute in minutes],
        "open": close - 0.0001,
        "high": close + 0.0002,
        "low": close - 0.0002,
        "close": close,
        "volume": np.arange(1.0, count + 1),
    }
    return pl.DataFrame({**columns, **changed})


def folder(path, **files):
    for name, table in files.items():
        base, quote, timeframe = name.split("_")
        table.write_ipc(path / f"{base}_{quote}-{timeframe}.feather")
    return path


def test_resampled_trades_equal_the_exchange_s_candles(data_root):
    root = data_root / "candles"
    ours = resample_trades(pl.read_ipc(root / "XRP_ETH-trades.feather"), 1)
    theirs = pl.read_ipc(root / "XRP_ETH-1m.feather")
    assert theirs.height == 2_469
    assert_frame_equal(ours, theirs, check_exact=True)


def test_resampling_keeps_the_order_of_trades_of_one_moment():
    trades = pl.DataFrame(
        {
            "timestamp": [59_999, 60_000, 60_000, 60_000, 180_000],
            "price": [5.0, 2.0, 9.0, 4.0, 7.0],
            "amount": [1.0, 1.0, 2.0, 3.0, 4.0],
        }
    )
    bars = resample_trades(trades, 1)
    assert bars.drop("date").rows() == [
        (5.0, 5.0, 5.0, 5.0, 1.0),
        (2.0, 9.0, 2.0, 4.0, 6.0),
        (7.0, 7.0, 7.0, 7.0, 4.0),
    ]
    minutes = bars["date"].dt.timestamp("ms") // 60_000
    assert minutes.to_list() == [0, 1, 3]


def test_recorded_folder_opens_as_one_portfolio(data_root):
    market = Candles(data_root / "candles")
    assert len(market.universe.instruments) == 10
    assert {one.settlement for one in market.universe.instruments} == {"BTC"}
    assert [file.name for file in market.skipped] == [
        "XRP_ETH-1m.feather",
        "XRP_ETH-5m.feather",
    ]
    assert (market.bar_count, market.bar_ns) == (5_760, 300 * 10**9)
    assert market.universe.instruments[0].increment == 1e-8
    heights = [
        pl.read_ipc(file).height
        for file in sorted((data_root / "candles").glob("*_BTC-5m.feather"))
    ]
    assert market.panel.live.sum(axis=0).tolist() == heights


def test_missing_candles_are_not_live(tmp_path):
    files = {
        "AAA_BTC_5m": candles([0, 5, 15]),
        "BBB_BTC_5m": candles([5, 10, 20]),
    }
    market = Candles(folder(tmp_path, **files))
    assert market.universe.symbols == ("AAA/BTC", "BBB/BTC")
    assert market.start_ns == int(START.timestamp()) * 10**9
    blocks = list(market.bars(0, market.bar_count))
    live = [block.ints[BAR_INTS.index("live")].tolist() for block in blocks]
    assert live == [[1, 0], [1, 1], [0, 1], [1, 0], [0, 1]]
    # closes .0125, .0126, –, .0127: on a grid of 1e-4, twice that in half increments
    mids = [int(block.ints[BAR_INTS.index("mid_close")][0]) for block in blocks]
    assert mids == [0, 2, 2, 4, 4]


def test_bars_up_to_a_moment_do_not_know_what_follows(tmp_path):
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    whole = Candles(folder(tmp_path / "whole", A_BTC_5m=candles(range(0, 500, 5))))
    cut = Candles(folder(tmp_path / "cut", A_BTC_5m=candles(range(0, 300, 5))))
    pairs = zip(cut.bars(0, 60), whole.bars(0, 60), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one.ints, other.ints)
        np.testing.assert_array_equal(one.floats, other.floats)


def test_one_timeframe_and_one_currency_are_chosen(tmp_path):
    five, one = candles([0, 5]), candles([0, 1])
    folder(tmp_path, A_ETH_1m=one, A_BTC_5m=five, B_BTC_5m=five, C_ETH_5m=five)
    (tmp_path / "notes.txt").write_text("not a candle")
    usual = Candles(tmp_path)
    assert usual.universe.symbols == ("A/BTC", "B/BTC")
    names = [file.name for file in usual.skipped]
    assert names == ["A_ETH-1m.feather", "C_ETH-5m.feather"]
    assert Candles(tmp_path, 60.0).universe.symbols == ("A/ETH",)
    assert Candles(tmp_path, quote="ETH").universe.symbols == ("C/ETH",)
    assert Candles(tmp_path, symbols=1).universe.symbols == ("A/BTC",)
    with pytest.raises(DataError, match=r"no candles of 3600 s .* A_BTC-5m\.feather"):
        Candles(tmp_path, 3600.0)
    with pytest.raises(DataError, match="no candles of 300 s in USD"):
        Candles(tmp_path, quote="USD")


def test_malformed_candle_is_named(tmp_path):
    bad = candles([0, 5, 10], close=[0.0125, np.nan, 0.0127])
    folder(tmp_path, A_BTC_5m=bad)
    with pytest.raises(DataError, match=r"A_BTC-5m\.feather, row 1: .* finite"):
        Candles(tmp_path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (candles([0]).drop("volume"), "missing or no time: volume"),
        (candles([0]).with_columns(date=pl.lit("soon")), "missing or no time: date"),
    ],
)
def test_malformed_columns_are_named(tmp_path, table, message):
    folder(tmp_path, A_BTC_5m=table)
    with pytest.raises(DataError, match=rf"A_BTC-5m\.feather: .* {message}"):
        Candles(tmp_path)


def test_unreadable_file_and_empty_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="holds no candles"):
        Candles(tmp_path)
    with pytest.raises(DataError, match="a folder of candles was expected"):
        Candles(tmp_path / "nowhere")
    (tmp_path / "A_BTC-5m.feather").write_bytes(b"garbage")
    with pytest.raises(DataError, match="no readable feather file"):
        Candles(tmp_path)
