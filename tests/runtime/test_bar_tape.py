"""The clock of ready-made bars: the market's own days, whatever lies between them."""

from collections import Counter
from datetime import UTC, date, datetime

import numpy as np
import polars as pl

from bot4jax.data.daily import SCHEMA, Daily
from bot4jax.runtime.closings import BarTape
from bot4jax.runtime.equity import DAY_NS, Losses
from bot4jax.runtime.indicative import Terms
from bot4jax.runtime.sessions import days

TRADED = (
    *(date(2016, 2, day) for day in (10, 11, 12)),
    *(date(2016, 2, day) for day in (16, 17, 18, 19)),  # Washington's was a Monday
    *(date(2016, 2, day) for day in (22, 23)),
)


def daily(folder):
    """One steady share on these days."""
    prices = dict.fromkeys(("open", "high", "low", "close"), 10.0)
    rest = {"symbol": "A", "volume": 100_000, "ret_adj": 0.0, "lag_days": 0}
    rows = [{"date": day, **prices, **rest} for day in TRADED]
    pl.DataFrame(rows, schema=SCHEMA).write_parquet(folder / "panel.parquet")
    return Daily(folder)


def played(market):
    """Every closed bar, and what was shown on the way."""
    shown: list[np.ndarray] = []
    tape = BarTape(market, Terms(5e-4, 0.1), shown.append)
    return list(tape.closed(0, market.bar_count)), np.concatenate(shown)


def utc(instant_ns):
    return datetime.fromtimestamp(instant_ns / 1e9, UTC)


def test_each_trading_day_is_a_day_of_the_account(tmp_path):
    """Bars count no weekends: days told from their number put up to four of them into
    one day of the exchange, whose loss nobody had on any of them."""
    market = daily(tmp_path)
    closed, _ = played(market)
    day_of = days(market.universe)
    assert set(Counter(day_of(one.boundary_ns) for one in closed).values()) == {1}
    losses, worth, told = Losses(1e6, day_of), 1e6, []
    for one in closed:
        worth *= 0.992
        told.append(losses.seen(worth, one.boundary_ns, ()).of_day.share)
    np.testing.assert_allclose(told, 0.008)


def test_bars_of_days_end_where_the_next_trading_day_begins(tmp_path):
    """What is decided there meets that day's opening, and not a close of before."""
    market = daily(tmp_path)
    closed, shown = played(market)
    ends = [utc(one.boundary_ns).date() for one in closed]
    assert ends == [*TRADED[1:], date(2016, 2, 24)]
    opened = market.opens_ns.tolist()
    for number, one in enumerate(closed[:-1]):
        later = shown[shown["event_ns"] >= one.boundary_ns]
        assert later["event_ns"][0] == opened[number + 1] == one.boundary_ns
        assert one.boundary_ns % DAY_NS == 0
    assert (np.diff(shown["event_ns"]) >= 0).all()
