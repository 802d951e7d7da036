"""How much can be traded: money worked out by hand, by what the source tells."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bot4jax.data.bars import BarSource, Panel
from bot4jax.data.daily import DAY_NS
from bot4jax.data.universe import notional, universe
from bot4jax.learn.dataset import BarRecord, record_bars
from bot4jax.learn.room import boundless, room_of, told
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar, Instrument

BARS, SHARE, CAPITAL = 5, 0.02, 1e6
ROUNDED = 1e-6
"""Relative: float32."""


def shares() -> tuple[Panel, BarSource]:
    """Of 50 and 200 dollars; the second is halted on day 2 and traded by nobody on
    day 3."""
    close = np.array([[50.0, 200.0]]) * np.array([[1, 1.1, 0.9, 1.2, 1]]).T
    volume = np.arange(1, 11).reshape(BARS, 2) * 1e4
    live = np.ones(close.shape, bool)
    live[2, 1], volume[3, 1] = False, 0.0
    panel = Panel(close, close, close, close, volume, live, np.ones(close.shape))
    names = [Instrument(symbol=name, kind="equity", increment=0.01) for name in "AB"]
    return panel, BarSource(universe(names), panel, DAY_NS, 0)


def recorded(source: BarSource) -> BarRecord:
    blocks = source.bars(0, BARS)
    return record_bars(0, ((one.ints, one.floats) for one in blocks))


def test_of_bars_it_is_a_share_of_what_the_bar_that_meets_a_target_trades():
    panel, source = shares()
    room = room_of(recorded(source), source, SHARE, CAPITAL)
    for t in range(BARS):
        own = min(t + 1, BARS - 1)  # after the last everything leaves at its close
        for s in range(2):
            money = panel.close[own, s] * panel.volume[own, s] * panel.live[own, s]
            expected = pytest.approx(SHARE * money / CAPITAL, rel=ROUNDED)
            assert room.buy[t, s] == room.sell[t, s] == expected
    assert (room.buy[1:3, 1] == 0).all()


def test_no_decision_reads_a_volume_that_is_known_later():
    """Another volume of a bar changes the room of the decision before it alone, and of
    the closing sale."""
    panel, source = shares()
    other = panel.volume.copy()
    other[3, 0] *= 7
    again = BarSource(source.universe, panel._replace(volume=other), DAY_NS, 0)
    first, then = (room_of(recorded(x), x, SHARE, CAPITAL) for x in (source, again))
    assert np.argwhere(first.buy != then.buy).tolist() == [[2, 0]]


def test_a_volume_that_is_not_known_is_no_room():
    _, source = shares()
    record = recorded(source)
    record.floats[2, BAR_FLOATS.index("base_turnover"), 0] = np.nan
    room = room_of(record, source, SHARE, CAPITAL)
    assert np.argwhere(room.buy == 0)[:, 0].tolist() == [1, 1, 2]
    assert np.isfinite(room.sell).all()


CONTRACTS = [
    Instrument(symbol="L", kind="linear", increment=0.5, lot=0.1, multiplier=2.0),
    Instrument(
        symbol="I", kind="inverse", increment=0.5, multiplier=100.0, settlement="BTC"
    ),
]


def quoted(columns: tuple[str, ...] = Bar._fields) -> tuple[BarRecord, Any]:
    """Both stand at a mid of 400 dollars, in a thousand lots to buy and 600 to sell."""
    ints = np.zeros((BARS, len(BAR_INTS), 2), np.int32)
    floats = np.zeros((BARS, len(BAR_FLOATS), 2), np.float32)
    floats[:, BAR_FLOATS.index("anchor")] = 790
    ints[:, BAR_INTS.index("mid_close")] = 20
    # in base: a lot of .1 of contracts of two; a hundred dollars in coins of 400
    for name, lots in (("ask_size", 1000), ("bid_size", 600)):
        floats[:, BAR_FLOATS.index(name)] = lots * np.array([0.1 * 2, 100 / 400])
    floats[:, BAR_FLOATS.index("base_turnover")] = 1e9
    source: Any = SimpleNamespace(universe=universe(CONTRACTS), columns=columns)
    return BarRecord(0, ints, floats), source


def test_of_quotes_it_is_what_stood_on_the_other_side_at_the_close():
    """In the money that each settles in: of the inverse contract the coin."""
    record, source = quoted()
    ask = BAR_FLOATS.index("ask_size")
    record.floats[3, ask] *= 5
    room = room_of(record, source, SHARE, CAPITAL)
    for s, one in enumerate(CONTRACTS):
        buy, sell = (notional(one, n, 400.0) / CAPITAL for n in (1000, 600))
        np.testing.assert_allclose(room.sell[:, s], sell, rtol=ROUNDED)
        each = buy * np.array([1, 1, 1, 5, 1])
        np.testing.assert_allclose(room.buy[:, s], each, rtol=ROUNDED)


def test_who_tells_neither_bounds_nothing():
    record, source = quoted(("mid_close", "bid", "ask"))
    room = room_of(record, source, SHARE, CAPITAL)
    assert room.buy.shape == (BARS, 2)
    assert np.isposinf(room).all()
    assert np.isposinf(boundless((3, 2))).all()


@pytest.mark.parametrize(
    ("columns", "known"),
    [
        (Bar._fields, "sizes"),
        (BarSource.columns, "volume"),
        (("ask_size", "base_turnover"), "volume"),
        (("mid_close",), "nothing"),
    ],
)
def test_what_a_source_tells(columns, known):
    assert told(columns) == known
