"""Mapped Parquet and CSV files: what they yield, and what is refused by name."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from bot4jax.config import load
from bot4jax.data.columns import Columns
from bot4jax.data.source import DataError
from bot4jax.data.sources import open_source
from bot4jax.data.table import read_columns
from bot4jax.types import (
    BAR_FLOATS,
    BAR_INTS,
    BUY,
    QUOTE,
    SELL,
    TRADE,
    Bar,
    Instrument,
)

NS = 10**9
BARS = {
    "symbol": "ticker",
    "time": "ts",
    "open": "o",
    "high": "h",
    "low": "l",
    "close": "c",
    "volume": "v",
}
QUOTES = {"time": "t", "bid": "b", "ask": "a", "bid_size": "B", "ask_size": "A"}
TRADES = {**QUOTES, "price": "p", "size": "q", "side": "s", "symbol": "x"}


def bar_table(**changed):
    columns = {
        "ticker": ["B", "A", "B"],
        "ts": [120, 60, 60],
        "o": [5.5, 10.0, 5.0],
        "h": [5.75, 10.5, 5.5],
        "l": [5.25, 9.5, 4.75],
        "c": [5.5, 10.25, 5.25],
        "v": [3.0, 7.5, 2.0],
    }
    return pl.DataFrame({**columns, **changed})


def tick_table(**changed):
    """Two symbols: quotes at 0.9, 1.0, 1.2 s, a trade at 1.2 s, and one after 3 s."""
    columns = {
        "t": [900, 1_000, 1_200, 1_250, 3_100],
        "x": ["A", "B", "A", "B", "A"],
        "b": [99.5, 10.0, 99.0, None, 99.5],
        "a": [100.0, 10.1, 100.5, None, 100.0],
        "B": [1.0, 5.0, 2.0, None, 1.0],
        "A": [1.5, 5.0, 2.5, None, 1.0],
        "p": [None, None, 100.0, 10.1, None],
        "q": [None, None, 0.5, 1.0, None],
        "s": [None, None, "SELL", "b", None],
    }
    return pl.DataFrame({**columns, **changed}, strict=False)


def write(path, table):
    table.write_parquet(path) if path.suffix == ".parquet" else table.write_csv(path)
    return path


def column(block, name):
    if name in BAR_INTS:
        return block.ints[BAR_INTS.index(name)].tolist()
    return block.floats[BAR_FLOATS.index(name)].tolist()


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
def test_bars(tmp_path, name):
    table = bar_table().sort("ts", maintain_order=True)
    market = Columns(write(tmp_path / name, table), BARS, "s", 60.0)
    assert market.universe.symbols == ("A", "B")
    assert (market.has_ticks, market.simulated) == (False, False)
    assert (market.start_ns, market.bar_ns, market.bar_count) == (60 * NS, 60 * NS, 2)
    assert [one.increment for one in market.universe.instruments] == [0.25, 0.25]
    first, second = market.bars(0, 2)
    assert market.anchors.tolist() == [41, 21]
    assert column(first, "mid_open") == [-2, -2]
    assert column(second, "mid_close") == [0, 2]
    assert column(second, "live") == [0, 1]
    assert column(second, "base_turnover") == [0.0, 3.0]
    assert list(market.frames(0, 2)) == []


def test_symbol_is_the_file_s_name_where_it_is_not_mapped(tmp_path):
    table = bar_table(ts=[60, 120, 180]).drop("ticker")
    mapping = {ours: theirs for ours, theirs in BARS.items() if ours != "symbol"}
    market = Columns(write(tmp_path / "EURUSD.csv", table), mapping, "s", 60.0)
    assert market.universe.symbols == ("EURUSD",)


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.parquet"])
def test_ticks(tmp_path, name):
    market = Columns(write(tmp_path / name, tick_table()), TRADES, "ms", 1.0)
    assert market.universe.symbols == ("A", "B")
    a, b = market.universe.instruments
    assert (a.increment, a.lot, b.increment, b.lot) == (0.5, 0.5, 0.1, 1.0)
    assert (market.start_ns, market.bar_count) == (2 * NS, 1)
    early = Columns(write(tmp_path / name, tick_table()), TRADES, "ms", 0.1)
    records = np.concatenate([f.records for f in early.frames(0, early.bar_count)])
    start, trades = 1_100_000_000, (1_200_000_000, 1_250_000_000)
    assert records.tolist() == [
        (QUOTE, 0, 0, 0, start, 199, 200, 2, 3),
        (QUOTE, 0, 0, 1, start, 100, 101, 5, 5),
        (QUOTE, 0, 0, 0, trades[0], 198, 201, 4, 5),
        (TRADE, SELL, 0, 0, trades[0], 200, 1, 0, 0),
        (TRADE, BUY, 0, 1, trades[1], 101, 1, 0, 0),
        (QUOTE, 0, 0, 0, 3_100_000_000, 199, 200, 2, 2),
    ]


def test_rows_are_played_in_the_order_of_receipt(tmp_path):
    received = [1_000, 1_010, 2_400, 3_000, 3_000]
    table = tick_table(r=received)
    mapping = {**TRADES, "received": "r"}
    market = Columns(write(tmp_path / "ticks.parquet", table), mapping, "ms", 0.1)
    records = np.concatenate([f.records for f in market.frames(0, market.bar_count)])
    later = records[records["event_ns"] > market.start_ns]
    assert later["event_ns"].tolist() == [
        1_200_000_000,
        1_200_000_000,
        1_250_000_000,
        3_100_000_000,
    ]
    assert later["kind"].tolist() == [QUOTE, TRADE, TRADE, QUOTE]
    assert list(market.frames(0, market.bar_count))[-1].sent_ns == 3 * NS


def test_columns_without_their_stream_are_absent(tmp_path):
    quotes = write(tmp_path / "q.csv", tick_table().drop_nulls("b").drop("p", "q", "s"))
    only_quotes = Columns(quotes, {**QUOTES, "symbol": "x"}, "ms").columns
    assert {"bid", "flow", "mid_close", "live"} <= set(only_quotes)
    assert {"trade_close", "buy_volume", "bid_depth_5"}.isdisjoint(only_quotes)
    ticks = write(tmp_path / "t.csv", tick_table())
    sideless = {ours: theirs for ours, theirs in TRADES.items() if ours != "side"}
    assert "base_turnover" in Columns(ticks, sideless, "ms").columns
    assert "buy_volume" not in Columns(ticks, sideless, "ms").columns
    with_sides = Columns(ticks, TRADES, "ms").columns
    assert "buy_volume" in with_sides
    assert list(with_sides) == [name for name in Bar._fields if name in with_sides]


@pytest.mark.parametrize(
    ("times", "unit"),
    [
        ([60, 120, 180], "s"),
        ([60_000, 120_000, 180_000], "ms"),
        ([60_000_000, 120_000_000, 180_000_000], "us"),
        ([60.0, 120.0, 180.0], "s"),
        ([datetime(1970, 1, 1, 0, k, tzinfo=UTC) for k in (1, 2, 3)], "ns"),
        ([datetime(1970, 1, 1) + timedelta(minutes=k) for k in (1, 2, 3)], "s"),
    ],
)
def test_units_of_time(tmp_path, times, unit):
    table = bar_table(ts=times, ticker=["A", "A", "A"])
    path = write(tmp_path / "bars.parquet", table)
    market = Columns(path, BARS, unit, 60.0)
    assert (market.start_ns, market.bar_count) == (60 * NS, 3)


FRACTIONS = [60.0, 60.1, 60.25, 119.9, 120.0000001, 1_700_000_000.3]
"""Seconds with fractions; float64 holds today's to 240 ns."""


@pytest.mark.parametrize("dtype", [pl.Float64, pl.Decimal(20, 7), pl.String])
def test_seconds_with_fractions_are_alike_in_frame_parquet_and_csv(tmp_path, dtype):
    """Columns of floats were cut to whole seconds, and text was not."""
    table = pl.DataFrame({"t": FRACTIONS, "v": FRACTIONS})
    typed = table.with_columns(pl.col("t").cast(dtype))
    mapping = {"time": "t", "volume": "v"}
    expected = np.rint(np.array(FRACTIONS) * NS).astype(np.int64).tolist()
    files = [write(tmp_path / f"f.{kind}", typed) for kind in ("csv", "parquet")]
    for market in (typed, *files):
        found = read_columns(market, mapping, "s")["time"]
        assert found.to_list() == expected


def test_a_product_just_below_a_nanosecond_is_rounded():
    """In float64 1.001 ms are 1,000,999.9999999999 ns, which were cut to 1,000,999."""
    table = pl.DataFrame({"t": ["1.001", "4.1"]})
    found = read_columns(table, {"time": "t"}, "ms")["time"]
    assert found.to_list() == [1_001_000, 4_100_000]


@pytest.mark.parametrize("times", [[60, 10**18], ["60", str(10**18)], [60.0, 1e18]])
def test_a_time_beyond_its_type_is_refused(times):
    """Nanoseconds that were called seconds came round the end of int64."""
    table = pl.DataFrame({"t": times})
    with pytest.raises(DataError, match=r"row 1, time .* a time in s was expected"):
        read_columns(table, {"time": "t"}, "s")


def test_instruments_may_be_given(tmp_path):
    path = write(tmp_path / "ticks.csv", tick_table())
    mine = [
        Instrument(symbol="A", increment=0.5, lot=0.5, kind="linear", taker_fee=0.001),
        Instrument(symbol="B", increment=0.05, lot=0.5),
    ]
    market = Columns(path, TRADES, "ms", 0.1, instruments=mine)
    assert market.universe.instruments == tuple(mine)
    assert market.anchors.tolist() == [199, 201]
    assert Columns(path, TRADES, "ms", 0.1, symbols=1).universe.symbols == ("A",)
    with pytest.raises(DataError, match=r"No instrument is given for B\."):
        Columns(path, TRADES, "ms", 0.1, instruments=mine[:1])


def test_price_off_the_given_grid_is_named(tmp_path):
    path = write(tmp_path / "ticks.csv", tick_table())
    mine = [Instrument(symbol=name, increment=1.0, lot=0.5) for name in "AB"]
    message = r"ticks\.csv, A, row 0: bid 99\.5 was found, a multiple of 1\.0 was"
    with pytest.raises(DataError, match=message):
        Columns(path, TRADES, "ms", 0.1, instruments=mine)


def without(mapping, name):
    return {ours: theirs for ours, theirs in mapping.items() if ours != name}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({**BARS, "colour": "x"}, r"Unknown column names colour\. Use some of: symbol"),
        (without(BARS, "close"), r"lacks close: a file of bars needs close, high"),
        (without(BARS, "time"), r"lacks time: a file of bars"),
        (without(TRADES, "ask"), r"lacks ask: a file of ticks needs ask, ask_size"),
        (without(TRADES, "size"), r"lacks size: a file of ticks"),
        ({"time": "t"}, r"lacks ask, ask_size, bid, bid_size"),
        ({**BARS, "price": "p"}, r"holds bars and also price"),
    ],
)
def test_mapping_that_makes_no_source_is_refused(tmp_path, mapping, message):
    with pytest.raises(DataError, match=message):
        Columns(tmp_path / "unread.csv", mapping)


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
def test_without_a_mapping_the_key_and_both_kinds_of_file_are_told(tmp_path, name):
    path = write(tmp_path / name, bar_table())
    with pytest.raises(DataError, match=r"^data\.mapping names no column") as told:
        Columns(path, {})
    assert "bars needs time, open, high, low, close, volume;" in str(told.value)
    assert "ticks time, bid, ask, bid_size, ask_size." in str(told.value)
    assert f"{path} has ticker, ts, o, h, l, c, v." in str(told.value)


def test_a_file_that_is_not_there_is_told_before_its_mapping(tmp_path):
    words = ["data=columns", f"data.path={tmp_path}", "data.file=nobodys.csv"]
    with pytest.raises(DataError, match=r"^data\.file=nobodys\.csv: there is no such"):
        open_source(load(words), 1)


def test_a_panel_that_is_not_there_is_told_with_its_columns(tmp_path):
    config = load(["data=daily", f"data.path={tmp_path / 'nobodys.parquet'}"])
    with pytest.raises(DataError, match=r"Parquet file of daily bars.*symbol, date"):
        open_source(config, 1)


ISO = {
    "2024-01-02T09:30:00Z": "2024-01-02T09:30:00",
    "2024-01-02T09:30:00": "2024-01-02T09:30:00",
    "2024-01-02 09:31": "2024-01-02T09:31:00",
    "2024-01-03": "2024-01-03T00:00:00",
    "2024-01-03T09:30:00.123456789+0000": "2024-01-03T09:30:00.123456789",
    "2024-01-03T09:30:00.5+02:00": "2024-01-03T07:30:00.5",
    "2024-01-03T09:30:00-05:30": "2024-01-03T15:00:00",
    "1969-12-31T23:59:59.999999999Z": "1969-12-31T23:59:59.999999999",
}
"""As files have times, and the same in UTC as NumPy reads it."""


@pytest.mark.parametrize("name", ["times.csv", "times.parquet"])
def test_times_of_iso_8601_are_read_to_the_nanosecond(tmp_path, name):
    path = write(tmp_path / name, pl.DataFrame({"t": list(ISO)}))
    found = read_columns(path, {"time": "t"}, "ns")["time"]
    expected = np.array(list(ISO.values()), "datetime64[ns]").astype(np.int64)
    np.testing.assert_array_equal(found.to_numpy(), expected)


def test_bars_are_the_same_whether_their_times_are_text_or_seconds(tmp_path):
    text = ["1970-01-01T00:01:00", "1970-01-01T02:01:00+02:00", "1970-01-01 00:02"]
    plain = write(tmp_path / "plain.csv", bar_table(ts=[60, 60, 120]))
    told = write(tmp_path / "told.csv", bar_table(ts=text))
    markets = [Columns(path, BARS, "s", 60.0) for path in (plain, told)]
    assert len({one.start_ns for one in markets}) == 1
    assert len({one.digest(one.bar_count) for one in markets}) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        *("2024-02-30", "2024-01-02T25:00:00", "2024-01-02T09:30:00+2", "170418780"),
        *("1066-10-14", "2262-12-31", "2024-01-02T09:30:00.1234567891", "02.01.2024"),
        *("2024-01-02T09:30:00+25:00", "2024-01-02T09:30:00Zulu"),
    ],
)
def test_what_is_no_time_of_iso_8601_is_named(tmp_path, wrong):
    table = bar_table(ts=["2024-01-02T09:30:00Z", wrong, "2024-01-02T09:31:00Z"])
    path = write(tmp_path / "bars.csv", table)
    message = r"row 1, time .* was found, a time such as 2024-01-02T09:30:00Z was"
    with pytest.raises(DataError, match=message):
        Columns(path, BARS, "s", 60.0)


def test_unknown_unit_of_time_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"Unknown time unit 'days'\. Use one of: ns"):
        Columns(tmp_path / "unread.csv", BARS, "days")


@pytest.mark.parametrize("name", ["bars.csv", "bars.parquet"])
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"c": [5.5, float("nan"), 1.0]},
            r"row 1, close \(column 'c'\): .*(nan|NaN).* above 0",
        ),
        (
            {"o": [5.5, 1.0, float("inf")]},
            r"row 2, open .*inf.* a finite price above 0",
        ),
        ({"l": [5.5, 1.0, 0.0]}, r"row 2, low .*0\.0.* a finite price above 0"),
        ({"h": [5.5, None, 6.0]}, r"row 1, high .*None was found, a finite price"),
        (
            {"h": ["x", "1", "2"]},
            r"row 0, high .*'x' was found, a finite price above 0",
        ),
        (
            {"v": [1.0, 1.0, -1.0]},
            r"row 2, volume .*-1\.0.* a finite size of at least 0",
        ),
        ({"ts": ["1", "soon", "3"]}, r"row 1, time .*'soon' was found, a time in s"),
        ({"ts": [60, 120, None]}, r"row 2, time .*None was found, a time in s was"),
        ({"ticker": ["A", None, "B"]}, r"row 1, symbol .*None was found, a name was"),
    ],
)
def test_malformed_cell_is_named(tmp_path, name, changed, message):
    path = write(tmp_path / name, bar_table(**changed))
    with pytest.raises(DataError, match=rf"{name}, {message}"):
        Columns(path, BARS, "s", 60.0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"s": [None, None, "up", "b", None]}, r"row 2, side .*'up' was found, one of"),
        ({"a": [100.0, None, 100.5, None, 100.0]}, r"B, row 1: .* a whole quote \(bid"),
        (
            {"p": [None, None, 100.0, None, None]},
            r"B, row 3: .* or trade \(price, size",
        ),
        ({"b": [-99.5, 10.0, 99.0, None, 1.0]}, r"row 0, bid .*-99\.5.* above 0"),
    ],
)
def test_malformed_tick_is_named(tmp_path, changed, message):
    path = write(tmp_path / "ticks.parquet", tick_table(**changed))
    with pytest.raises(DataError, match=message):
        Columns(path, TRADES, "ms", 0.1)


def test_missing_column_is_named(tmp_path):
    path = write(tmp_path / "bars.csv", bar_table().drop("h"))
    expected = r"bars\.csv: column h is missing; found: ticker, ts, o, l, c, v"
    with pytest.raises(DataError, match=expected):
        Columns(path, BARS, "s", 60.0)


def test_unreadable_files_are_named(tmp_path):
    with pytest.raises(DataError, match=r"absent\.csv is no readable Parquet"):
        Columns(tmp_path / "absent.csv", BARS)
    path = tmp_path / "bars.parquet"
    path.write_bytes(b"garbage")
    with pytest.raises(DataError, match=r"bars\.parquet is no readable Parquet"):
        Columns(path, BARS)
    with pytest.raises(DataError, match=r"bars\.csv holds no rows below"):
        Columns(write(tmp_path / "bars.csv", bar_table().clear()), BARS)


def test_bars_off_the_clock_are_named(tmp_path):
    path = write(tmp_path / "bars.csv", bar_table(ts=[61, 60, 120]))
    expected = r"bars\.csv, B, row 0: .* a time on the 60 s clock"
    with pytest.raises(DataError, match=expected):
        Columns(path, BARS, "s", 60.0)


def test_a_row_that_is_no_bar_is_named_by_its_place_in_the_file(tmp_path):
    """Regression: rows were counted within their symbol, from 0, and no file was named,
    times were ns and nothing was said of what to do."""
    given = bar_table(ts=[60, 120, 60], l=[5.5, 9.0, 5.5])
    assert given["ticker"].to_list() == ["B", "A", "B"]
    path = write(tmp_path / "bars.csv", given)
    with pytest.raises(DataError) as told:
        Columns(path, BARS, "s", 60.0)
    assert str(told.value) == (
        f"{path}, B, row 2: time 1970-01-01T00:01:00Z, open {given['o'][2]}, high "
        f"{given['h'][2]}, low 5.5, close {given['c'][2]}, volume {given['v'][2]} was "
        "found, a time later than the row before was expected. Sort the rows of a "
        "symbol by time, and keep one of each time."
    )
    with pytest.raises(DataError, match="frame, B, row 2: time 1970-01-01T00:01:00Z"):
        Columns(given, BARS, "s", 60.0)


def test_an_absurd_price_is_named_and_does_not_round_the_others(tmp_path):
    """Regression: it made increments of 10, by which every price of its symbol was a
    multiple of 10, without a word."""
    table = pl.DataFrame(
        {
            "ts": [1, 2, 3],
            "bid": [99.93, 1e9, 99.95],
            "ask": [99.94, 1e9 + 1, 99.96],
            "n": [1, 1, 1],
        }
    )
    mapping = {"time": "ts", "bid": "bid", "ask": "ask", "bid_size": "n"}
    mapping["ask_size"] = "n"
    path = write(tmp_path / "ticks.csv", table)
    with pytest.raises(DataError) as told:
        Columns(path, mapping, "s", 1.0)
    start = f"{path}, ticks, row 1: 1e+09 was found beside prices down to 99.93: "
    assert str(told.value).startswith(start)
    sound = Columns(write(path, table.filter(pl.col("bid") < 1e6)), mapping, "s", 1.0)
    assert sound.universe.instruments[0].increment == 0.01


@pytest.mark.parametrize("seconds", [0.25, 60.0])
def test_the_clock_is_told_as_it_is(tmp_path, seconds):
    """Regression: one of less than a second was told as of 0 s."""
    given = bar_table(ts=["0.1", "1", "2"])
    with pytest.raises(DataError, match=f"time on the {seconds:g} s clock"):
        Columns(given, BARS, "s", seconds)
