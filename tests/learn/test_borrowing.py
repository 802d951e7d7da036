"""What short positions pay their lenders, against arithmetic by hand."""

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from bot4jax.data.universe import universe
from bot4jax.learn.borrowing import Lending, daily_rates, ends_of_days, owed
from bot4jax.runtime.equity import DAY_NS
from bot4jax.runtime.sessions import days_ended
from bot4jax.schema.trading import Borrow
from bot4jax.types import Instrument

HOUR_NS = DAY_NS // 24


def test_a_year_of_days_costs_the_yearly_rate():
    """252 of a share, 365 of a coin that never closes; a future is not borrowed."""
    own = Borrow(equity_bps=252.0, spot_bps=730.0)
    share = Instrument(symbol="A", kind="equity", calendar="xnys")
    coin = Instrument(symbol="B", kind="spot")
    future = Instrument(symbol="C", kind="linear")
    assert daily_rates((share,), own) == pytest.approx([1e-4])
    assert daily_rates((coin, future), own) == pytest.approx([2e-4, 0.0])


def test_a_day_ends_with_its_last_boundary():
    """Midnight is still of the day before; days without a bar are no days."""
    hours = np.array([22, 23, 24, 25, 47, 49, 5 * 24 + 1])
    day_of = days_ended(universe([Instrument(symbol="B", kind="spot")]))
    found = ends_of_days(np.array([day_of(int(x) * HOUR_NS) for x in hours]))
    assert found.tolist() == [False, False, True, False, True, True, False]


FRIDAY = datetime(2013, 10, 4, 9, 30, tzinfo=ZoneInfo("America/New_York"))
OPENED_NS = int(FRIDAY.timestamp()) * 10**9
MINUTE_NS = HOUR_NS // 60


def test_a_share_is_lent_for_one_night_over_a_weekend():
    """Bars of ticks go on through it, and midnights of UTC counted three nights of a
    year of 252."""
    share = Instrument(symbol="A", kind="equity", calendar="xnys")
    day_of = days_ended(universe([share]))
    minutes = range(1, 3 * 24 * 60 + 390 + 1)  # to Monday's closing
    days = np.array([day_of(OPENED_NS + x * MINUTE_NS) for x in minutes])
    assert ends_of_days(days).sum() == 1
    assert (days == days[0]).sum() == 390  # whole, its closing within
    lending = Lending(np.array([1e-4]), ends_of_days(days))
    assert owed(-np.ones((len(days), 1)), lending).sum() == pytest.approx(1e-4)


def test_targets_pay_for_the_night_of_the_bar_that_meets_them():
    """Decided in bar t, met in bar t + 1: held over the night behind that one."""
    held = np.array([[-0.2, 0.5], [-0.4, -0.1], [0.3, -0.3], [-1.0, 0.0]])
    lending = Lending(np.array([1e-4, 3e-4]), np.array([True, True, False, False]))
    found = owed(held, lending)
    assert found == pytest.approx([0.2 * 1e-4, 0.0, 0.0, 0.0])
    daily = lending._replace(ends_day=np.array([True, True, True, False]))
    by_hand = [0.2 * 1e-4, 0.4 * 1e-4 + 0.1 * 3e-4, 0.0, 0.0]
    assert owed(held, daily) == pytest.approx(by_hand)
