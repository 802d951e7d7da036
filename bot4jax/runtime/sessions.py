"""When markets are open, and when their day ends.

Silence outside the sessions means nothing, and a day's losses end with the day.

`always` never closes. `xnys` is the New York Stock Exchange: weekdays from 9:30 to
16:00 there, to 13:00 around some holidays, closed on its regular ones (NYSE Rule 7.2
and the exchange's published calendars). Closures that no rule foresees, as after a
disaster, count as open: silence then stops an engine that had nothing to hear anyway.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from bot4jax.data.universe import Universe
from bot4jax.errors import DataError
from bot4jax.runtime.equity import DAY_NS

NEW_YORK = ZoneInfo("America/New_York")
OPENING, CLOSING, EARLY_CLOSING = time(9, 30), time(16), time(13)

MONDAY, THURSDAY, FRIDAY, SATURDAY, SUNDAY = 0, 3, 4, 5, 6
DAY = timedelta(days=1)

JUNETEENTH_SINCE = 2022


def sessions(universe: Universe) -> Callable[[int], bool]:
    """Whether any instrument trades at a time, ns since 1970 UTC."""
    trades = [CALENDARS[one].trades for one in calendars(universe)]
    return lambda now_ns: any(one(now_ns) for one in trades)


def days(universe: Universe) -> Callable[[int], int]:
    """The number of the market's day that a boundary belongs to.

    Where several calendars meet on one account, its day is that of UTC.
    """
    found = calendars(universe)
    return CALENDARS[found[0]].day if len(found) == 1 else utc_day


def days_ended(universe: Universe) -> Callable[[int], int]:
    """The number of the market's day that a bar ending there is of.

    As `days`, but a boundary at midnight, and so a bar that ends there, is of the day
    before.
    """
    day_of = days(universe)
    return lambda boundary_ns: day_of(boundary_ns - 1)


def calendars(universe: Universe) -> list[str]:
    """Those of all instruments, each once."""
    found = sorted(set(universe.column("calendar").tolist()))
    if unknown := set(found) - set(CALENDARS):
        raise DataError(
            f"Unknown calendar '{min(unknown)}' of an instrument. Use one of: "
            f"{', '.join(CALENDARS)}."
        )
    return found


def utc_day(now_ns: int) -> int:
    """Days since 1970; midnight is the first moment of one."""
    return now_ns // DAY_NS


def new_york_trades(now_ns: int) -> bool:
    """Whether the New York Stock Exchange is in its regular session."""
    now = in_new_york(now_ns)
    day = now.date()
    return is_new_york_day(day) and OPENING <= now.time() < new_york_closing(day)


def new_york_day(now_ns: int) -> int:
    """The session that a moment belongs to, by its date: the last to have closed ended
    with its closing, whose boundary is still its own."""
    now = in_new_york(now_ns)
    day = now.date()
    if now.time() > new_york_closing(day):
        day += DAY
    while not is_new_york_day(day):
        day += DAY
    return day.toordinal()


def in_new_york(now_ns: int) -> datetime:
    return datetime.fromtimestamp(now_ns / 1e9, UTC).astimezone(NEW_YORK)


def is_new_york_day(day: date) -> bool:
    """Whether the exchange opens on it."""
    return day.weekday() < SATURDAY and day not in holidays(day.year)


def new_york_closing(day: date) -> time:
    return EARLY_CLOSING if day in short_days(day.year) else CLOSING


class Calendar(NamedTuple):
    """Of moments, ns since 1970 UTC."""

    trades: Callable[[int], bool]
    day: Callable[[int], int]


CALENDARS = {
    "always": Calendar(lambda now_ns: True, utc_day),
    "xnys": Calendar(new_york_trades, new_york_day),
}


@cache
def holidays(year: int) -> frozenset[date]:
    """Days of a year on which the exchange does not open."""
    found = {
        nth(year, 1, MONDAY, 3),  # Martin Luther King
        nth(year, 2, MONDAY, 3),  # Washington
        easter(year) - 2 * DAY,  # Good Friday
        nth(year, 6, MONDAY, 1) - 7 * DAY,  # Memorial Day
        nth(year, 9, MONDAY, 1),  # Labor Day
        nth(year, 11, THURSDAY, 4),  # Thanksgiving
        *(observed(one) for one in fixed_dates(year)),
    }
    new_year = date(year, 1, 1)
    if new_year.weekday() != SATURDAY:  # it is not kept on the last day of a year
        found.add(observed(new_year))
    return frozenset(found)


def fixed_dates(year: int) -> Iterator[date]:
    if year >= JUNETEENTH_SINCE:
        yield date(year, 6, 19)
    yield date(year, 7, 4)
    yield date(year, 12, 25)


@cache
def short_days(year: int) -> frozenset[date]:
    """Days that close early: before Independence Day and Christmas, after Thanksgiving.

    The eves count on Monday to Thursday; on a Friday the holiday itself is kept then.
    """
    eves = (date(year, 7, 3), date(year, 12, 24))
    early = {one for one in eves if one.weekday() < FRIDAY}
    return frozenset(early | {nth(year, 11, THURSDAY, 4) + DAY})


def observed(day: date) -> date:
    """When a holiday of a fixed date is kept: not on a weekend."""
    return day + {SATURDAY: -DAY, SUNDAY: DAY}.get(day.weekday(), timedelta())


def nth(year: int, month: int, weekday: int, number: int) -> date:
    """The first, second … such weekday of a month."""
    first = date(year, month, 1)
    return first + DAY * ((weekday - first.weekday()) % 7 + 7 * (number - 1))


def easter(year: int) -> date:
    """Easter Sunday (Meeus 1991, Astronomical Algorithms, after Butcher 1876)."""
    golden, century, of_century = year % 19, year // 100, year % 100
    skipped = (century - (century + 8) // 25 + 1) // 3
    epact = (19 * golden + century - century // 4 - skipped + 15) % 30
    leaps = 2 * (century % 4) + 2 * (of_century // 4) - of_century % 4
    weekday = (32 + leaps - epact) % 7
    correction = (golden + 11 * epact + 22 * weekday) // 451
    month, day = divmod(epact + weekday - 7 * correction + 114, 31)
    return date(year, month, day + 1)
