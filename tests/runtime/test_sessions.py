"""Sessions against the exchange's own days, and silence that is judged within them."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from bot4jax.data.universe import universe
from bot4jax.errors import DataError
from bot4jax.runtime.equity import DAY_NS
from bot4jax.runtime.sessions import days, easter, new_york_trades, sessions
from bot4jax.types import Instrument

NEW_YORK = ZoneInfo("America/New_York")


def at(text: str) -> int:
    """A New York wall clock as ns since 1970."""
    moment = datetime.fromisoformat(text).replace(tzinfo=NEW_YORK)
    return int(moment.timestamp()) * 10**9


def test_the_exchange_is_open_on_the_days_that_it_has_traded(data_root):
    """Fifteen months of daily bars know every holiday that has been kept."""
    (path,) = (data_root / "us_daily").glob("*.parquet")
    traded = set(pl.read_parquet(path, columns=["date"])["date"].unique().to_list())
    day, last = min(traded), max(traded)
    opened = set()
    while day <= last:
        if new_york_trades(at(f"{day} 12:00")):
            opened.add(day)
        day += timedelta(days=1)
    assert opened == traded
    assert len(opened) > 300


@pytest.mark.parametrize(
    ("moment", "is_open"),
    [
        ("2024-03-08 09:29:59", False),
        ("2024-03-08 09:30:00", True),
        ("2024-03-08 15:59:59", True),
        ("2024-03-08 16:00:00", False),
        ("2024-03-11 09:30:00", True),  # clocks went forward on the 10th
        ("2024-03-09 12:00:00", False),
        ("2024-11-29 12:59:59", True),  # the day after Thanksgiving
        ("2024-11-29 13:00:00", False),
        ("2024-07-03 13:00:00", False),
        ("2024-12-24 12:00:00", True),
        ("2024-12-24 13:00:00", False),
        ("2021-12-24 10:00:00", False),  # Christmas on a Saturday
        ("2021-12-31 15:00:00", True),  # the New Year on a Saturday is not kept
        ("2023-01-02 12:00:00", False),  # and on a Sunday it is
        ("2021-06-18 12:00:00", True),  # Juneteenth is kept since 2022
        ("2022-06-20 12:00:00", False),
        ("2020-07-03 12:00:00", False),
    ],
)
def test_published_hours(moment, is_open):
    assert new_york_trades(at(moment)) == is_open


@pytest.mark.parametrize(
    "sunday", ["1961-04-02", "2000-04-23", "2008-03-23", "2011-04-24", "2025-04-20"]
)
def test_easter_against_published_dates(sunday):
    day = date.fromisoformat(sunday)
    assert easter(day.year) == day
    assert day.weekday() == 6


def test_a_universe_trades_when_any_of_it_does():
    night = at("2024-03-08 03:00:00")
    stocks = universe([Instrument(symbol="A", calendar="xnys")])
    both = universe([*stocks.instruments, Instrument(symbol="B")])
    assert not sessions(stocks)(night)
    assert sessions(both)(night)
    assert sessions(stocks)(at("2024-03-08 11:00:00"))
    assert datetime.fromtimestamp(night / 1e9, UTC).hour == 8


@pytest.mark.parametrize("asked", [sessions, days])
def test_an_unknown_calendar_is_refused_by_name(asked):
    moon = universe([Instrument(symbol="A", calendar="moon")])
    with pytest.raises(DataError, match=r"Unknown calendar 'moon'.*always, xnys"):
        asked(moon)


STOCKS = universe([Instrument(symbol="A", calendar="xnys")])
HALF_AN_HOUR_NS = 1_800 * 10**9


def test_a_day_lasts_from_one_closing_to_the_next():
    """Two years, half an hour after the other; closings by the market's own hours."""
    day_of, closings = days(STOCKS), []
    moment, last = at("2022-12-30 12:00:00"), at("2024-12-31 12:00:00")
    was_open = new_york_trades(moment)
    while moment < last:
        moment += HALF_AN_HOUR_NS
        is_open = new_york_trades(moment)
        if was_open and not is_open:
            closings.append(moment)
        was_open = is_open
    assert len(closings) == 1 + 250 + 251  # sessions of the years, as published
    numbers = [day_of(one) for one in closings]
    assert numbers == sorted(set(numbers))
    for before, one in pairwise(closings):
        assert day_of(before + 1_000) == day_of((before + one) // 2) == day_of(one)


def test_a_day_has_the_date_of_its_session():
    day_of = days(STOCKS)
    assert day_of(at("2024-03-08 16:00:00")) == date(2024, 3, 8).toordinal()
    assert day_of(at("2024-03-08 16:00:01")) == date(2024, 3, 11).toordinal()
    assert day_of(at("2024-11-27 20:00:00")) == date(2024, 11, 29).toordinal()
    assert day_of(at("2024-11-29 13:00:01")) == date(2024, 12, 2).toordinal()


def test_where_calendars_meet_the_day_is_that_of_utc():
    coins = universe([Instrument(symbol="B")])
    both = universe([*STOCKS.instruments, *coins.instruments])
    midnight = 20_000 * DAY_NS
    for one in (coins, both):
        found = [days(one)(now_ns) for now_ns in (midnight - 1, midnight)]
        assert found == [19_999, 20_000]
    assert days(STOCKS)(midnight - 1) == days(STOCKS)(midnight)
