"""The mid that stood as a fill traded, beside one that is searched quote by quote."""

import numpy as np
import pytest

from bot4jax.modes import summary
from bot4jax.modes.report_trade import at_costs
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.market import Quotes
from bot4jax.runtime.messages import CorporateAction
from bot4jax.runtime.mids import Mids, MidsHeard
from bot4jax.runtime.orders import Fill
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import BUY, QUOTE, TICK, TRADE
from tests.runtime.scene import BAR_NS, UNIVERSE, Scene, compared, repeating

SLOTS = 4


def fill(slot: int, event_ns: int, is_maker: bool) -> Fill:
    return Fill("f" * 16, slot, BUY, 1, 1, 0.0, is_maker=is_maker, event_ns=event_ns)


def at(mids: Mids, slot: int, *event_ns: int) -> list[float]:
    """The mids of one slot at these times."""
    return mids.at(np.full(len(event_ns), slot), np.array(event_ns)).tolist()


def drawn(count: int, seed: int = 0) -> np.ndarray:
    """Quotes out of order and at equal times, some of them crossed or one-sided."""
    random = np.random.default_rng(seed)
    records = np.zeros(count, TICK)
    records["kind"] = QUOTE
    records["symbol"] = random.integers(SLOTS, size=count)
    records["event_ns"] = random.integers(30, size=count)
    records["a"] = random.integers(0, 20, size=count)
    records["b"] = random.integers(8, 30, size=count)
    return records


def searched(before, quotes, slot: int, event_ns: int) -> float:
    """The newest of the quotes that are no newer; of equals the last to arrive."""
    own = [q for q in quotes.tolist() if q[3] == slot and q[4] <= event_ns]
    newest = max(own, key=lambda q: q[4], default=None)
    for q in own:
        newest = q if q[4] == newest[4] else newest
    bid, ask = (before[slot], before[slot]) if newest is None else newest[5:7]
    return (bid + ask) / 2 if 0 < bid <= ask else np.nan


def test_it_is_the_newest_that_is_no_newer():
    before = np.array([0, 7, 9, 11])
    quotes = drawn(60)
    some = quotes[quotes["symbol"] != 3]  # of one nothing is heard
    mids = Mids(2 * before, np.split(some, [5, 5, 30]))
    slots, times = np.indices((SLOTS, 33)).reshape(2, -1)
    times -= 1
    order = np.random.default_rng(0).permutation(len(slots))
    for few in (order, order[:7], order[:1], order[:0]):
        pairs = zip(slots[few].tolist(), times[few].tolist(), strict=True)
        expected = [searched(before, some, *pair) for pair in pairs]
        found = mids.at(slots[few], times[few])
        assert found.tolist() == pytest.approx(expected, nan_ok=True)
    assert at(mids, 3, 5) == [11]
    assert np.isnan(at(Mids(2 * before, []), 0, 5)).all()


def test_what_rested_is_traded_with_by_what_comes():
    """The quote that crosses a resting order was none that it could have traded at."""
    records = drawn(2)
    records["symbol"], records["event_ns"] = 1, (5, 6)
    records["a"], records["b"] = (10, 12), (12, 14)
    mids = Mids(np.zeros(SLOTS, np.int64), [records])
    taken, rested = fill(1, 6, is_maker=False), fill(1, 6, is_maker=True)
    assert mids.of([taken, rested, fill(1, 7, is_maker=True)]).tolist() == [13, 11, 13]


def test_a_bar_begins_with_what_stands():
    """Sent in pieces, with trades between; what was asked for once does not change."""
    quotes = Quotes(UNIVERSE)
    first = drawn(2)
    first["symbol"], first["event_ns"] = 0, (5, 6)
    first["a"], first["b"] = (10, 12), (12, 14)
    trade = first[1:].copy()
    trade["kind"], trade["a"] = TRADE, 99
    quotes.absorb(np.concatenate([first, trade]))
    one, two = quotes.mids(), quotes.mids()
    later = first[:1].copy()
    later["event_ns"], later["a"], later["b"] = 9, 20, 22
    quotes.absorb(later)
    assert at(one, 0, 5, 6, 20) == [11, 13, 13]
    assert at(two, 0, 0, 20) == [13, 13]
    three = quotes.mids()
    assert at(three, 0, 8, 9) == [13, 21]
    split = CorporateAction(symbol=0, event_ns=9, action="split", factor=2.0)
    quotes.hear(split)
    assert np.isnan(at(quotes.mids(), 0, 20)).all()


def test_behind_more_quotes_than_are_kept_no_mid_is_known():
    """Not even where fewer come again: what stood between them is missing."""
    heard = MidsHeard(1, most=100)
    records = np.zeros(7, TICK)
    records["kind"] = QUOTE
    for piece in [*range(20), *range(30, 50)]:
        records["event_ns"] = np.arange(7) + 7 * piece
        records["a"] = records["b"] = records["event_ns"] + 1
        heard.hear(records.copy())
    heard.hear(records[:1])
    first = heard.taken(np.array([[350, 350, 1, 1]]))
    assert at(first, 0, 0, 97) == [1, 98]
    assert np.isnan(at(first, 0, 98, 200, 349, 10**18)).all()
    assert at(heard.taken(np.array([[350, 350, 1, 1]])), 0, 10**18) == [350]


LATE_NS = BAR_NS * 6 // 10
"""Half a bar brings the next quote; orders come after it."""


def first_alone(step: int) -> tuple[float, ...]:
    """Half of the capital in the first step, and nothing later."""
    return (0.5 * (step == 1), 0, 0)


def late_scene(folder) -> Scene:
    """Decided at a mid of 100 dollars, bought at one of 98 and sold at one of 101."""
    venue = PaperVenue(UNIVERSE, LATE_NS, taker_fee=1.0, maker_fee=0.0)
    scene = Scene(folder, first_alone, venue=LocalVenue(venue))
    scene.trader.start()
    return scene


MIDS = (200, 196, 202, 202)


def test_the_delay_of_an_order_is_no_part_of_its_spread(tmp_path):
    """Both fills came half an increment from the mid that stood, and both were lucky:
    a market that asks twice as much must not come out better."""
    scene = late_scene(tmp_path)
    for bar, mid in enumerate(MIDS):
        scene.step(bar, (mid, 200, 200))
    row = scene.account.portfolio.curve[-1]
    lots = 5000
    assert scene.account.portfolio.trips == 1
    assert row.spread == pytest.approx(2 * lots * 0.5)
    assert row.delay == pytest.approx(lots * (-2.0 - 3.0))
    told = summary.pnl(row, "USD")
    assert told["slippage"] == told["spread"] + told["delay"] < 0
    shortfall = told["fees"] + told["slippage"] + told["funding"]
    assert told["net"] == pytest.approx(told["gross"] - shortfall)
    assert told["net"] == pytest.approx(row.nav - 1e6)
    ladder = list(summary.net_at_cost(told).values())
    assert ladder == sorted(ladder, reverse=True)
    assert ladder[2] == told["net"]
    assert ladder[0] == pytest.approx(lots * (101.0 - 98.0))
    assert list(at_costs(told).values()) == ladder
    earned = told | {"spread": -1e6}
    assert at_costs(earned) == {}


def test_a_replay_splits_as_the_run_did(tmp_path):
    """Neither the journal nor the venue tells of mids: they are heard again."""
    scene = late_scene(tmp_path)
    bars = [scene.closed(0, (MIDS[0], 200, 200))]
    scene.trader.step(bars[0])
    for bar, mid in enumerate(MIDS[1:], 1):
        bars.append(scene.closed(bar, (mid, 200, 200)))
        done = scene.trader.step(bars[-1])
        assert done.closed.mids is None  # what keeps steps must not keep all quotes
    again = repeating(first_alone)
    found = compared(again, bars, scene.journal.read())
    assert found.is_equal
    assert found.steps == len(MIDS)
    assert again.account.portfolio.curve == scene.account.portfolio.curve
    assert again.account.portfolio.curve[-1].delay < 0
