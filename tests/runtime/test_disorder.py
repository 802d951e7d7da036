"""Ticks out of order leave the bars, the quotes and the mids of sorted ones."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot4jax.data.binance import Binance
from bot4jax.data.universe import universe
from bot4jax.kernels.history import STANDING
from bot4jax.runtime.batches import Batch, Close, Reopen
from bot4jax.runtime.context import Market
from bot4jax.runtime.disorder import Disorder
from bot4jax.runtime.earlier import REMEMBERED
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.reference import carried
from bot4jax.state import copied
from bot4jax.types import (
    BAR_FLOATS,
    BAR_INTS,
    BEHIND,
    BOOK,
    BUY,
    PACKED,
    QUOTE,
    REFERENCE,
    SELL,
    TICK,
    TRADE,
    Frame,
    Instrument,
)
from tests.runtime.device_bars import arrivals, rows_of, tape_of
from tests.runtime.small_market import BAR_NS, S, new_terms, record

ANCHORS = np.full(S, 100)
MARKET = universe([Instrument(symbol=name, lot=0.001) for name in "ABC"])
"""Lots whose sums are rounded, in whatever order."""

ASK = PACKED.index("ask")

LATE_NS = 300
"""So long before its bar a late tick may lie."""


def market_of(
    seed: int, bars: int, per_bar: int, late: int
) -> list[list[tuple[int, ...]]]:
    """Bar after bar, ticks of all kinds in order of their times, all different."""
    rng = np.random.default_rng(seed)
    made = []
    for bar in range(bars):
        within = rng.choice(BAR_NS, min(per_bar, BAR_NS), replace=False)
        before = -1 - rng.choice(LATE_NS, late * (bar > 0), replace=False)
        times = np.sort(np.concatenate([before, within])) + (bar + 1) * BAR_NS
        made.append([record(rng, int(time)) for time in times])
    return made


def in_order(rows: Sequence) -> Sequence:
    return rows


def permuted(seed: int) -> Callable[[Sequence], Sequence]:
    rng = np.random.default_rng(seed)
    return lambda rows: [rows[i] for i in rng.permutation(len(rows))]


def frames_of(market, turned: Callable, width: int, resends: bool = False):
    """Frames of `width` ticks, a heartbeat that ends each bar; some sent twice.

    From the second bar on, the first symbol's prices are of half the increment.
    """
    terms = carried([new_terms(0, 2 * BAR_NS, increment=0.5)])
    yield Frame(1, 1, 0, BAR_NS, terms, REFERENCE, events=1)
    sequence = len(terms)
    for bar, rows in enumerate(market):
        boundary = (bar + 2) * BAR_NS
        rows = turned(rows)
        for at in range(0, len(rows), width):
            some = np.array(rows[at : at + width], TICK)
            one = Frame(1, 1, sequence, boundary - 1, some, events=1)
            yield one
            if resends and at % 2 == 0:
                yield one
            sequence += len(some)
        yield Frame(1, 1, sequence, boundary, np.empty(0, TICK), events=1)


def new_feed(capacity: int = 16, reorder_ticks: int = 1 << 16) -> Feed:
    return Feed(
        MARKET,
        ANCHORS,
        BAR_NS,
        BAR_NS,
        capacity,
        skew_limit_ns=LATE_NS,
        reorder_ticks=reorder_ticks,
    )


class Walk(NamedTuple):
    """Bars as they closed, the host's quotes by then, and the feed behind them."""

    bars: list[tuple[np.ndarray, np.ndarray]]
    markets: list[Market]
    feed: Feed

    @property
    def reordered(self) -> int:
        return self.feed.counters.reordered


def walked(frames, feed: Feed | None = None, idles: bool = False) -> Walk:
    """Through a feed and a tape."""
    feed = new_feed() if feed is None else feed
    closed = list(tape_of(feed).closed(arrivals(frames, idles)))
    return Walk(rows_of(closed), [one.market for one in closed], feed)


def differing(one: Walk, other: Walk) -> set[str]:
    """What is not the same to the bit."""
    assert len(one.bars) == len(other.bars) > 0
    found = set()
    for (ints, floats), (other_ints, other_floats) in zip(
        one.bars, other.bars, strict=True
    ):
        rows = zip(BAR_INTS, ints, other_ints, strict=True)
        found |= {name for name, a, b in rows if (a != b).any()}
        rows = zip(BAR_FLOATS, floats, other_floats, strict=True)
        found |= {name for name, a, b in rows if a.tobytes() != b.tobytes()}
    for market, other_market in zip(one.markets, other.markets, strict=True):
        rows = zip(market._fields, market, other_market, strict=True)
        found |= {name for name, a, b in rows if np.any(a != b)}
    return found - {"since_ns"}  # the first tick to arrive is another


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    bars=st.integers(1, 4),
    per_bar=st.sampled_from([1, 7, 40]),
    late=st.integers(0, 3),
    width=st.integers(1, 9),
    capacity=st.sampled_from([1, 16]),
)
@example(seed=1, bars=3, per_bar=9 * REMEMBERED, late=9, width=50, capacity=16)
def test_permuted_and_repeated_ticks_end_as_the_sorted_ones(
    seed, bars, per_bar, late, width, capacity
):
    market = market_of(seed, bars, per_bar, late)
    sorted_ = walked(frames_of(market, in_order, 5))
    turned = frames_of(market, permuted(seed), width, resends=True)
    other = walked(turned, new_feed(capacity), idles=True)
    assert late or not sorted_.reordered  # a late trade may miss its own bar's quotes
    assert not sorted_.feed.counters.dropped
    assert sorted_.feed.universe.instruments[0].increment == 0.5
    assert not differing(sorted_, other)
    assert other.feed.counters.absorbed == sorted_.feed.counters.absorbed
    assert other.feed.counters.late == sorted_.feed.counters.late


@pytest.mark.parametrize("method", ["_look", "watch"])
def test_who_does_not_look_is_found_out(method, monkeypatch):
    market = market_of(5, 2, 40, 0)
    sorted_ = walked(frames_of(market, in_order, 5))
    monkeypatch.setattr(Disorder, method, lambda *_: None)
    other = walked(frames_of(market, permuted(5), 5))
    assert {"flow", "mid_close", "trade_close", "bid"} <= differing(sorted_, other)


@pytest.mark.parametrize("at", [4, 7, 12, 15])
def test_a_device_that_wakes_up_within_a_bar_puts_it_in_order_too(at):
    """The snapshot holds what was absorbed, and what stood at the opening."""
    frames = list(frames_of(market_of(7, 3, 40, 2), permuted(7), 8))
    whole = walked(frames)
    first, second = tape_of(new_feed()), tape_of(new_feed())
    second.is_asleep = True
    closed = len(list(first.closed(arrivals(frames[:at], idles=True))))
    list(second.closed(arrivals(frames[:at], idles=True)))
    second.open_bars, second.is_asleep = copied(first.open_bars), False
    rest = list(second.closed(arrivals(frames[at:])))
    woken = Walk(rows_of(rest), [one.market for one in rest], second.feed)
    tail = Walk(whole.bars[closed:], whole.markets[closed:], whole.feed)
    assert not differing(tail, woken)
    assert woken.reordered == whole.reordered > 0


def test_conflation_keeps_the_newest_and_not_the_last():
    """By event time, so that what was sent behind is put in order as well."""
    market = market_of(4, 3, 40, 0)
    frames = frames_of(market, permuted(4), 40)
    fewer = walked([one._replace(flags=one.flags | BEHIND) for one in frames])
    whole = walked(frames_of(market, in_order, 40))
    assert fewer.feed.counters.conflated > 0
    standing = {*STANDING, *Market._fields} - {"mid_open"}
    assert not differing(whole, fewer) & standing


def tick(kind: int, time: int, symbol: int = 0) -> tuple[int, ...]:
    said = (BUY, 100, 5, 0, 0) if kind == TRADE else (0, 100, 102, 5, 5)
    return kind, said[0], 0, symbol, BAR_NS + time, *said[1:]


def level(side: int, time: int, number: int) -> tuple[int, ...]:
    return BOOK, side, 0, 0, BAR_NS + time, 100, 5, number, 0


CUT = pytest.mark.parametrize("width", [1, 16])
"""Ticks of a frame and of a batch; what else is here is cut into as many."""


@CUT
@pytest.mark.parametrize(
    ("rows", "is_reordered"),
    [
        ([level(BUY, 5, 2), level(SELL, 7, 2), level(BUY, 9, 2)], False),
        ([level(BUY, 9, 2), level(SELL, 7, 3)], False),
        ([level(BUY, 9, 2), level(SELL, 7, 2)], True),
        ([level(SELL, 9, 2), level(BUY, 7, 2)], True),
    ],
)
def test_flows_of_both_sides_of_a_level_are_one_sum(rows, is_reordered, width):
    walk = walked(frames_of([rows], in_order, width), new_feed(width))
    assert bool(walk.reordered) == is_reordered


@pytest.mark.parametrize(
    ("rows", "is_reordered"),
    [
        ([(QUOTE, 5), (TRADE, 7), (QUOTE, 9)], False),
        ([(QUOTE, 5), (QUOTE, 9), (TRADE, 7)], False),  # the mid of 5 stood before it
        ([(QUOTE, 5), (TRADE, 7), (QUOTE, 6)], True),  # the mid of 6 did
        ([(QUOTE, 9), (TRADE, 7)], True),  # no mid stood before it
        ([(QUOTE, 5), (TRADE, 9), (TRADE, 7)], True),
        ([(QUOTE, 5), (QUOTE, 4)], True),
        ([(QUOTE, 5), (QUOTE, 5), (TRADE, 5)], False),
        ([(QUOTE, 4), (QUOTE, 5), (QUOTE, 5), (TRADE, 5)], False),
    ],
)
@CUT
def test_only_what_changes_a_bar_is_put_in_order(rows, is_reordered, width):
    """However the ticks are cut into batches."""
    market = [[tick(*row) for row in rows]]
    walk = walked(frames_of(market, in_order, width), new_feed(width))
    assert bool(walk.reordered) == is_reordered


def test_trades_of_binance_meet_the_mid_of_their_moment(data_root):
    """By the exchange's time, of all quotes that were known when the bar closed."""
    source = Binance(data_root / "binance" / "usdm")
    known, met, reopened = {0: [], 1: []}, [], 0
    for rows, is_reopened in bars_put_in_order(source):
        reopened += is_reopened
        for symbol, past in known.items():
            own = rows[rows["symbol"] == symbol]
            quotes, trades = (own[own["kind"] == kind] for kind in (QUOTE, TRADE))
            past += zip(quotes["event_ns"], quotes["a"] + quotes["b"], strict=True)
            past.sort(key=lambda quote: quote[0])
            times, mids = np.array(past).reshape(-1, 2).T
            at = times.searchsorted(trades["event_ns"]) - 1
            met += (mids[at] == trades["d"])[at >= 0].tolist()
    assert reopened > 10
    assert len(met) > 1_000
    assert all(met)


def bars_put_in_order(source) -> Iterator[tuple[np.ndarray, bool]]:
    """Each bar's ticks as they were packed last, trades with the mid given as `d`."""
    own = source.universe, source.anchors, source.bar_ns, source.start_ns
    feed, rows, is_reopened = Feed(*own, 4_096, skew_limit_ns=5 * 10**9), [], False
    for event in (e for one in source.frames(0, 600) for e in feed.push(one)):
        if isinstance(event, Batch):
            told, ask = event.records.copy(), event.packed[: event.count, ASK]
            is_trade = told["kind"] == TRADE
            told["d"][is_trade] = (ask + 2 * source.anchors[told["symbol"]])[is_trade]
            rows.append(told)
        elif isinstance(event, Reopen):
            rows = [one[~event.slots[one["symbol"]]] for one in rows]
            is_reopened = True
        else:
            yield np.concatenate([np.empty(0, TICK), *rows]), is_reopened
            rows, is_reopened = [], False


def test_only_symbols_out_of_order_are_absorbed_again():
    rows = [tick(QUOTE, 5), tick(QUOTE, 3), tick(QUOTE, 4, 1), tick(TRADE, 6, 2)]
    feed = new_feed()
    events = [e for one in frames_of([rows], in_order, 9) for e in feed.push(one)]
    assert [type(one) for one in events] == [Batch, Reopen, Batch, Close]
    (reopen,) = [one for one in events if isinstance(one, Reopen)]
    first, again = [one for one in events if isinstance(one, Batch)]
    assert reopen.slots.tolist() == [True, False, False]
    assert (first.is_again, again.is_again) == (False, True)
    assert again.records["event_ns"].tolist() == [BAR_NS + 3, BAR_NS + 5]
    assert (feed.counters.absorbed, feed.counters.reordered) == (4, 2)


def test_a_bar_with_too_many_ticks_keeps_the_order_of_arrival_and_says_so(caplog):
    walk = walked(frames_of(market_of(3, 2, 40, 0), permuted(3), 5), new_feed(16, 39))
    counters = walk.feed.counters
    assert (counters.reordered, counters.unordered) == (0, 2 * S)
    assert "40 ticks" in caplog.text
    just = walked(frames_of(market_of(3, 2, 39, 0), permuted(3), 5), new_feed(16, 39))
    assert just.reordered > 39
    assert just.feed.counters.unordered == 0
