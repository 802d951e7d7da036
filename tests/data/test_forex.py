"""LEAN's quotes of currency pairs: small planted days, and recorded ones."""

import zipfile
from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from bot4jax.data.forex import STANDING, Forex, day_of
from bot4jax.data.source import DataError
from bot4jax.types import QUOTE

LINES = [
    "500,1.38720,1.38729",
    "1500,1.38725,1.38730",
    "1600,1.38730,1.38730",  # both sides meet: not shown
    "1700,1.38730,1.38729",  # they cross, as the pools of banks do for moments
    "2500,1.38710,1.38715",
    "9000,1.38700,1.38705",
]


def at(moment: str) -> int:
    """A moment of UTC, ns since 1970."""
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp()) * 10**9


def write(folder, lines=LINES, pair="eurusd", day="20140501"):
    (folder / pair).mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / pair / f"{day}_quote.zip", "w") as archive:
        archive.writestr(f"{day}_{pair}_tick_quote.csv", "\n".join(lines) + "\n")
    return folder


def test_lines_become_quotes(tmp_path):
    source = Forex(write(tmp_path), bar_seconds=1.0)
    (one,) = source.universe.instruments
    assert (one.symbol, one.base, one.settlement) == ("EURUSD", "EUR", "USD")
    assert one.increment == pytest.approx(1e-5)
    assert source.crossed == {"EURUSD": 2}
    zero = at("2014-05-01T05:00")
    records = np.concatenate(
        [x.records for x in source.frames(0, source.bar_count)]
    ).tolist()
    sizes = (STANDING, STANDING)
    assert records == [
        (QUOTE, 0, 0, 0, zero + 10**9, 138720, 138729, *sizes),
        (QUOTE, 0, 0, 0, zero + 15 * 10**8, 138725, 138730, *sizes),
        (QUOTE, 0, 0, 0, zero + 25 * 10**8, 138710, 138715, *sizes),
        (QUOTE, 0, 0, 0, zero + 90 * 10**8, 138700, 138705, *sizes),
    ]


@pytest.mark.parametrize("day", ["20140108", "20140309", "20140702", "20141102"])
def test_a_day_begins_at_five_utc_all_year(tmp_path, day):
    """In summer, in winter, and where the clocks of New York are moved."""
    source = Forex(write(tmp_path, day=day), bar_seconds=1.0)
    first = next(source.frames(0, 1)).records["event_ns"][0]
    zero = at(f"{day[:4]}-{day[4:6]}-{day[6:]}T05:00")
    assert zero < first <= zero + 15 * 10**8


def test_no_day_is_longer_than_a_day(tmp_path):
    with pytest.raises(DataError, match="line 7"):
        Forex(write(tmp_path, [*LINES, "86400000,1.3,1.4"]))


def test_nothing_is_made_of_sizes_that_are_not_told(tmp_path):
    columns = set(Forex(write(tmp_path), bar_seconds=1.0).columns)
    assert {"mid_close", "bid", "ask", "quote_updates"} <= columns
    assert not columns & {"bid_size", "flow", "base_turnover", "bid_depth_5"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("10000,-1.4,1.3", "line 7: .* positive prices was expected"),
        ("8000,1.3,1.4", "line 7: .*no earlier than the line"),
        ("x,1.3,1.4", "line 7"),
        ("10000,,1.4", "line 7"),
    ],
)
def test_a_line_that_makes_no_quote_is_named(tmp_path, line, found):
    with pytest.raises(DataError, match=found):
        Forex(write(tmp_path, [*LINES, line]))


def test_recorded_days_are_of_one_week(data_root):
    path = data_root / "fx_ticks"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: it holds quotes of EURUSD")
    source = Forex(path, bar_seconds=60.0)
    (one,) = source.universe.instruments
    assert one.increment == pytest.approx(1e-5)
    assert source.bar_count > 10 * 1440
    first = next(source.frames(0, 1)).records
    assert 138_000 < first["a"].min() <= first["b"].max() < 139_000


@pytest.mark.parametrize(
    ("moment", "event"),
    [
        ("2014-05-02T12:30", "payrolls, told at 8:30 in New York"),
        ("2014-05-13T12:30", "retail sales, told at 8:30 in New York"),
        ("2014-05-07T14:00", "the chair of the Federal Reserve speaks at 10:00"),
    ],
)
def test_recorded_days_jump_when_the_news_came(data_root, moment, event):
    """The day's widest minute is that of news whose time is known elsewhere."""
    path = data_root / "fx_ticks"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: it holds quotes of EURUSD")
    day = moment[:10].replace("-", "")
    rows = day_of(day, path / "eurusd" / f"{day}_quote.zip")
    by_minute = rows.group_by(minute=pl.col("ns") // (60 * 10**9))
    moved = by_minute.agg(range=pl.col("bid").max() - pl.col("bid").min())
    widest = moved.sort("range")["minute"][-1]
    assert widest == at(moment) // (60 * 10**9), event


def test_recorded_weeks_end_at_five_in_the_evening_of_new_york(data_root):
    """21:00 UTC in summer, within a minute."""
    path = data_root / "fx_ticks"
    if not path.is_dir():
        pytest.skip(f"{path} is absent: it holds quotes of EURUSD")
    for day in ("2014-05-02", "2014-05-09"):
        name = day.replace("-", "")
        rows = day_of(name, path / "eurusd" / f"{name}_quote.zip")
        closing = at(f"{day}T21:00")
        assert closing - 60 * 10**9 < rows["ns"][-1] <= closing
