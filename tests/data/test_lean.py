"""LEAN's tick archives: small planted ones, and a recorded day."""

import datetime
import shutil
import zipfile

import numpy as np
import pytest

from bot4jax.data.lean import Lean, midnight_ns
from bot4jax.data.source import DataError
from bot4jax.types import QUOTE, TRADE

MS = 1_000_000
OPEN = 34_200_000
"""9:30 in New York, ms of the day."""

QUOTES = [
    "30000000,0,0,140000,500,Q,1,0",  # before the session: it only stands
    f"{OPEN + 10},139000,700,0,0,P,1,0",
    f"{OPEN + 10},0,0,139500,300,N,1,0",
    f"{OPEN + 1500},139500,100,0,0,P,1,0",  # crosses, until its other half is read
    f"{OPEN + 1500},0,0,140000,200,N,1,0",
    f"{OPEN + 1600},1,100,0,0,P,1,1",  # suspicious
    f"{OPEN + 1700},139500,900,0,0,P,1,0",  # one side alone changes
    f"{OPEN + 9000},0,0,140500,200,N,1,0",
]
TRADES = [
    f"{OPEN + 5},139500,100,P,1,0",
    f"{OPEN + 1500},139500,300,P,1,0",
    f"{OPEN + 1550},900000,100,P,1,1",
    f"{OPEN + 2000},140000,200,P,20000020,0",
    "57600000,141000,100,P,1,0",  # 16:00: the session is over
]


def write(folder, kind, lines, symbol="abc", day="20131007"):
    (folder / symbol).mkdir(exist_ok=True)
    path = folder / symbol / f"{day}_{kind}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{day}_{symbol}_{kind}.csv", "\n".join(lines) + "\n")
    return path


@pytest.fixture
def archives(tmp_path):
    write(tmp_path, "quote", QUOTES)
    write(tmp_path, "trade", TRADES)
    return tmp_path


def rows(source, first=0):
    records = [one.records for one in source.frames(first, source.bar_count)]
    return np.concatenate(records).tolist()


def test_lines_become_records(archives):
    source = Lean(archives, bar_seconds=1.0)
    zero = midnight_ns("20131007") + OPEN * MS
    (one,) = source.universe.instruments
    assert (one.symbol, one.increment, one.lot) == ("ABC", 0.05, 100)
    assert source.start_ns == zero + 1_000 * MS
    assert source.suspicious == {"ABC": 2}
    at = {ms: zero + ms * MS for ms in (1500, 1700, 2000, 9000)}
    assert rows(source) == [
        (QUOTE, 0, 0, 0, source.start_ns, 278, 279, 7, 3),
        # the trade comes before the quotes of its millisecond, half a quote is none
        (TRADE, 0, 0, 0, at[1500], 279, 3, 0, 0),
        (QUOTE, 0, 0, 0, at[1500], 279, 280, 1, 2),
        (QUOTE, 0, 0, 0, at[1700], 279, 280, 9, 2),
        (TRADE, 0, 0, 0, at[2000], 280, 2, 0, 0),
        (QUOTE, 0, 0, 0, at[9000], 279, 281, 9, 2),
    ]


def test_nothing_is_said_of_aggressors_and_the_book(archives):
    columns = set(Lean(archives).columns)
    assert {"flow", "base_turnover", "trade_count", "relative"} - columns == {
        "relative"
    }
    assert not columns & {"buy_volume", "effective_spread", "flow_2", "bid_depth_5"}


@pytest.mark.parametrize(
    ("day", "offset"), [("20131007", 4), ("20140115", 5), ("20131104", 5)]
)
def test_days_begin_in_new_york(day, offset):
    """Summer time in October, winter time in January and after the clock's change."""
    date = datetime.datetime.strptime(day, "%Y%m%d").replace(tzinfo=datetime.UTC)
    begins = date + datetime.timedelta(hours=offset)
    assert midnight_ns(day) == begins.timestamp() * 1e9


@pytest.mark.parametrize(
    ("kind", "line", "number"),
    [
        ("quote", f"{OPEN},x,700,0,0,P,1,0", 3),
        ("quote", f"{OPEN},0,0,0,0,P,1,0", 3),
        ("quote", f"{OPEN},139000,0,0,0,P,1,0", 3),
        ("quote", f"{OPEN},-139000,5,0,0,P,1,0", 3),
        ("quote", "29999999,139000,5,0,0,P,1,0", 3),
        ("quote", f"{OPEN},139000,5,0,0,P,1,yes", 3),
        ("trade", f"{OPEN + 5},139500,0,P,1,0", 2),
        ("trade", "90000000,139500,100,P,1,0", 2),
    ],
)
def test_malformed_line_is_named(archives, kind, line, number):
    good = QUOTES if kind == "quote" else TRADES
    lines = [*good[: number - 1], line, *good[number - 1 :]]
    path = write(archives, kind, lines)
    with pytest.raises(DataError) as told:
        Lean(archives)
    assert str(told.value).startswith(f"{path}, line {number}: {line} was found, ")


def test_damaged_archives_and_strange_folders_are_named(archives):
    path = archives / "abc" / "20131007_trade.zip"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"_trade\.zip is damaged"):
        Lean(archives)
    write(archives, "trade", ["1,2,3"])
    with pytest.raises(DataError, match="3 fields a line were found, 6 were expected"):
        Lean(archives)
    (archives / "empty").mkdir()
    with pytest.raises(DataError, match="holds no tick archive with quotes"):
        Lean(archives / "empty")


def test_symbols_without_quotes_are_left_out(archives):
    write(archives, "trade", TRADES, symbol="xyz")
    source = Lean(archives)
    assert (source.universe.symbols, source.skipped) == (("ABC",), ["XYZ"])


def test_recorded_day_agrees_with_its_trades(data_root, tmp_path):
    """The sides joined as read here are one market: never crossed, and traded inside.

    .2 % of the trades lie outside: reported late, or at prices agreed before.
    """
    folder = data_root / "us_ticks" / "bac"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the recorded day")
    (tmp_path / "bac").mkdir()
    for path in folder.glob("20131007_*.zip"):
        shutil.copy(path, tmp_path / "bac")
    source = Lean(tmp_path)
    records = source.played.records
    quotes = records[records["kind"] == QUOTE]
    assert source.universe.instruments[0].increment == 0.01
    assert len(quotes) > 200_000
    assert (quotes["a"] <= quotes["b"]).all()
    assert (quotes["a"] == quotes["b"]).mean() < 0.02
    trades = np.flatnonzero(records["kind"] == TRADE)
    before = np.maximum.accumulate(
        np.where(records["kind"] == QUOTE, np.arange(len(records)), -1)
    )[trades]
    price, stood = records["a"][trades], records[before]
    assert ((stood["a"] <= price) & (price <= stood["b"])).mean() > 0.995
