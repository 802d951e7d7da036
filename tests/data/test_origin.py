"""What was fitted is known by instants and content, whatever number its bars have."""

from typing import Any

import numpy as np
import pytest

from bot4jax.data import origin
from bot4jax.data.bars import BarSource, Panel
from bot4jax.data.binance import Binance
from bot4jax.data.origin import Origin, origin_of, shown
from bot4jax.data.simulator import START_NS, Simulator
from bot4jax.data.source import opens_ns
from bot4jax.data.universe import universe
from bot4jax.types import Instrument

MINUTE = 60 * 10**9
BARS, UNTIL = 12, 8


class Plain:
    """The same source to someone who knows no quicker way than to read it."""

    def __init__(self, source):
        self.source = source

    def __getattr__(self, name):
        if name == "digest":
            raise AttributeError(name)
        return getattr(self.source, name)


def market(first=0, bars=BARS, **changed):
    """Bars of one symbol from minute `first` on, of which some may be other ones."""
    minutes = np.arange(first, first + bars)
    close = (100.0 + minutes % 7)[:, None]
    prices = {
        "open": close,
        "high": close + 1,
        "low": close - 1,
        "close": close,
        "volume": close,
    }
    for name, (at, value) in changed.items():
        prices[name] = prices[name].copy()
        prices[name][at] = value
    live, ones = np.ones((bars, 1), bool), np.ones((bars, 1))
    one = Instrument(
        symbol="X/USD",
        increment=0.01,
        lot=1.0,
        base="X",
        quote="USD",
        settlement="USD",
        maker_fee=0.0,
        taker_fee=0.0,
    )
    panel = Panel(**prices, live=live, adjustment=ones)
    return BarSource(universe([one]), panel, MINUTE, int(minutes[0]) * MINUTE)


@pytest.mark.parametrize("way", [lambda own: own, Plain], ids=["quick", "read"])
def test_bars_added_behind_change_nothing(way):
    found = origin_of(way(market()), UNTIL)
    assert found == origin_of(way(market(bars=BARS + 5)), UNTIL)
    assert (found.start_ns, found.until_ns) == (0, UNTIL * MINUTE)


@pytest.mark.parametrize("way", [lambda own: own, Plain], ids=["quick", "read"])
@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_one_other_value_is_other_content_up_to_the_end_and_no_further(way, column):
    plain = origin_of(way(market()), UNTIL).digest
    value = {"high": 110.0, "low": 90.0}.get(column, 101.5)
    last, next_one = ((at, value) for at in (UNTIL - 1, UNTIL))
    assert origin_of(way(market(**{column: last})), UNTIL).digest != plain
    assert origin_of(way(market(**{column: next_one})), UNTIL).digest == plain


def test_bars_added_in_front_move_every_instant():
    earlier = origin_of(market(first=5), UNTIL)
    assert earlier.until_ns == (5 + UNTIL) * MINUTE
    assert earlier.start_ns == 5 * MINUTE


def test_days_without_trading_count():
    """Bars of days have no gaps, instants do: Friday, Monday, and what comes behind."""
    day = 86_400 * 10**9
    own: Any = market(bars=2)
    own.bar_ns, own.opens_ns = day, np.array([4 * day, 7 * day])
    assert [opens_ns(own, bar) // day for bar in range(4)] == [4, 7, 8, 9]


def test_the_configuration_says_what_a_simulated_market_holds():
    own = Simulator(symbols=2, bars=20, seed=0)
    assert origin_of(own, 5) == Origin(START_NS, START_NS + 5 * 10**9, "")


def test_records_of_a_capture_are_digested_up_to_the_bar(data_root):
    """As a pass over its frames would; one record of another price is told."""
    own = Binance(data_root / "binance" / "spot", 10.0, 2)
    until = own.bar_count // 2
    found = origin_of(own, until)
    assert found == origin_of(Plain(own), until)
    records = own.played.records.copy()
    own.played = own.played._replace(records=records)
    records["a"][own._edges[until]] += 1
    assert origin_of(own, until) == found
    records["a"][own._edges[until] - 1] += 1
    assert origin_of(own, until).digest != found.digest


def test_an_instant_is_told_to_a_person():
    assert shown(START_NS) == f"2024-01-01 00:00:00 UTC ({START_NS})"


def test_a_digest_is_of_bits():
    """A zero and its negative are equal numbers, and not the same file."""
    digests = {origin.digest_of([np.array([x])]) for x in (0.0, -0.0)}
    assert len(digests) == 2
