"""Packed rows equal those of a slow walk that remembers every symbol's past."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.runtime.disorder import Disorder, in_order_of
from bot4jax.runtime.earlier import REMEMBERED, EarlierMids
from bot4jax.runtime.pack import GRID, instrument_terms, pack
from bot4jax.types import (
    BOOK,
    BUY,
    FRACTION,
    PACKED,
    QUOTE,
    SELL,
    STATUS,
    TICK,
    TRADE,
    Instrument,
)

OPEN_NS, BAR_NS = 1_000_000_000_000, 1_000_000_000
MARKET = universe(
    [
        Instrument(symbol="SPOT", lot=0.001, multiplier=7.0),
        Instrument(symbol="LINEAR", kind="linear", lot=1.0, multiplier=0.01),
        Instrument(
            symbol="INVERSE", kind="inverse", lot=1.0, multiplier=100.0, increment=0.5
        ),
        Instrument(symbol="SHARE", kind="equity", lot=100.0, multiplier=7.0),
    ]
)
ANCHORS = np.array([1_000, 50_000, 120_000, 0])
TERMS = instrument_terms(MARKET, ANCHORS)

prices = st.integers(1, 200_000)
sizes = st.integers(1, 1_000)
heads = {"symbol": st.integers(0, 3), "time": st.integers(-BAR_NS, BAR_NS - 1)}


def record(kind, symbol, time, side=0, flags=0, a=0, b=0, c=0, d=0):
    return (kind, side, flags, symbol, OPEN_NS + time, a, b, c, d)


quotes = st.builds(
    record, st.just(QUOTE), **heads, a=prices, b=prices, c=sizes, d=sizes
)
trades = st.builds(
    record, st.just(TRADE), **heads, side=st.integers(0, 2), a=prices, b=sizes, c=sizes
)
books = st.builds(
    record,
    st.just(BOOK),
    **heads,
    side=st.sampled_from((BUY, SELL)),
    flags=st.integers(0, 3),
    a=prices,
    b=st.integers(0, 9),
    c=st.integers(1, 9),
)
statuses = st.builds(record, st.just(STATUS), **heads, a=st.integers(0, 3))


def packed_rows(records: np.ndarray, earlier: EarlierMids | None = None) -> np.ndarray:
    rows = np.full((len(records), len(PACKED)), -77, np.int32)
    earlier = earlier or EarlierMids(len(ANCHORS))
    pack(records, TERMS, earlier, Disorder(len(ANCHORS), 8), OPEN_NS, BAR_NS, rows)
    return rows


def mid_before(quoted: list[tuple[int, int]], event: int) -> int | None:
    """Of mids and their times, in order of arrival, the newest older than the event."""
    lately = quoted[-REMEMBERED:]
    older = [mid for time, mid in lately if time < event]
    return older[-1] if older else lately[0][1] if lately else None


def base_volume(symbol: int, lots: int, price: int) -> float:
    one = MARKET.instruments[symbol]
    match one.kind:
        case "spot" | "equity":
            return lots * one.lot
        case "inverse":
            return lots * one.lot * one.multiplier / (price * one.increment)
    return lots * one.lot * one.multiplier


def expected_rows(records: np.ndarray) -> list[dict]:
    """One tick after the other, with dictionaries for a memory."""
    rows, last, trades, quoted = [], {}, {}, {}
    for number, tick in enumerate(records):
        kind, symbol = int(tick["kind"]), int(tick["symbol"])
        a, b, c, d = (int(tick[name]) for name in "abcd")
        past = trades.setdefault(symbol, [])
        chain = (symbol, kind, int(tick["side"]), c) if kind == BOOK else (symbol, kind)
        is_trade, is_quote = kind == TRADE, kind == QUOTE
        event = int(tick["event_ns"])
        mids = quoted.setdefault(symbol, [])
        mid = mid_before(mids, event) if is_trade else None
        given = 0 if mid is None else mid - 2 * int(ANCHORS[symbol])
        mids += [(event, a + b)] * is_quote
        elapsed = max(event - OPEN_NS, 0)
        first = {QUOTE: c, TRADE: b, BOOK: b, STATUS: 0}[kind]
        rows.append(
            {
                "slot": symbol,
                "kind": kind,
                "side": int(tick["side"]),
                "bid": a if kind == STATUS else a - int(ANCHORS[symbol]),
                "ask": b - int(ANCHORS[symbol]) if is_quote else given,
                "bid_size": base_volume(symbol, first, max(a, 1)),
                "ask_size": base_volume(symbol, d, b) if is_quote else 0.0,
                "time": elapsed * FRACTION // BAR_NS,
                "level": c if kind == BOOK else int(mid is not None),
                "flags": int(tick["flags"]),
                "previous": -1 if is_trade else last.get(chain, -1),
                "previous_trade": past[-1] if is_trade and past else -1,
                "fifth_trade": past[-GRID] if is_trade and len(past) >= GRID else -1,
                "trade_rank": len(past) if is_trade else 0,
                "is_last": 1,
            }
        )
        if is_trade:
            past.append(number)
            if len(past) > GRID:
                rows[past[-GRID - 1]]["is_last"] = 0
        elif chain in last:
            rows[last[chain]]["is_last"] = 0
        last[chain] = number
    return rows


def assert_as_expected(records: np.ndarray) -> None:
    found, expected = packed_rows(records), expected_rows(records)
    for i, name in enumerate(PACKED):
        column = [row[name] for row in expected]
        if name in ("bid_size", "ask_size"):
            # One rounding to float32 of a product that may be grouped otherwise.
            got = np.ascontiguousarray(found[:, i]).view(np.float32)
            np.testing.assert_allclose(got, column, rtol=1.2e-7, err_msg=name)
        else:
            np.testing.assert_array_equal(found[:, i], column, err_msg=name)


@given(st.lists(quotes | trades | books | statuses, max_size=60))
@example([])
@example([record(STATUS, 3, 0, a=1)])
@example([record(TRADE, 1, 0, a=5, b=1), record(QUOTE, 1, 0, a=5, b=6, c=1, d=1)])
@example([record(TRADE, 2, 0, a=5, b=1)] * 12)
@example([record(BOOK, 0, 0, side=BUY, a=5, b=0, c=1)] * 2)
def test_rows_equal_those_of_a_slow_walk(rows):
    assert_as_expected(np.array(rows, TICK))


def test_a_large_batch_of_all_kinds():
    rng = np.random.default_rng(3)
    rows = np.zeros(5_000, TICK)
    rows["kind"] = rng.choice(4, 5_000, p=(0.5, 0.3, 0.15, 0.05))
    rows["side"] = rng.integers(1, 3, 5_000)
    rows["symbol"] = rng.integers(0, 4, 5_000)
    rows["event_ns"] = OPEN_NS + rng.integers(0, BAR_NS, 5_000)
    rows["a"] = np.where(rows["kind"] == STATUS, 2, rng.integers(1, 200_000, 5_000))
    rows["b"] = np.where(rows["kind"] == STATUS, 0, rng.integers(1, 9, 5_000))
    rows["c"] = np.where(rows["kind"] == STATUS, 0, rng.integers(1, 10, 5_000))
    rows["d"] = np.where(rows["kind"] == QUOTE, 4, 0)
    assert_as_expected(rows)


MID = [PACKED.index("ask"), PACKED.index("level")]


def test_a_trade_meets_the_mid_that_is_older_by_the_exchanges_time():
    """It arrives last of all; quotes that were stamped with it or later came first."""
    times = {0: (100, 102), 10: (102, 104), 20: (106, 108)}
    rows = [record(QUOTE, 0, t, a=a, b=b, c=1, d=1) for t, (a, b) in times.items()]
    for event, mid in {1: 202, 10: 202, 11: 206, 20: 206, 21: 214, -1: 202}.items():
        found = packed_rows(
            np.array([*rows, record(TRADE, 0, event, a=101, b=1)], TICK)
        )
        np.testing.assert_array_equal(found[-1, MID], [mid - 2_000, 1], str(event))


@given(st.lists(quotes | trades, min_size=1, max_size=60), st.data())
def test_mids_before_trades_know_no_batches(rows, data):
    records, earlier = np.array(rows, TICK), EarlierMids(len(ANCHORS))
    cut = data.draw(st.integers(0, len(rows)))
    parts = [packed_rows(part, earlier) for part in (records[:cut], records[cut:])]
    whole = packed_rows(records)
    np.testing.assert_array_equal(np.concatenate(parts)[:, MID], whole[:, MID])


def test_as_many_quotes_are_remembered_as_are_told():
    """In one batch and over many, in which their places in memory come again."""
    rng, many = np.random.default_rng(4), 5 * REMEMBERED
    rows = [
        record(QUOTE, i % 2, int(t), a=int(a), b=int(a) + 1, c=1, d=1)
        for i, (t, a) in enumerate(rng.integers(1, 900, (many, 2)))
    ]
    rows[7::9] = [record(TRADE, i % 2, i, a=5, b=1) for i in range(len(rows[7::9]))]
    records = np.array(rows, TICK)
    assert_as_expected(records)
    whole, earlier = packed_rows(records), EarlierMids(len(ANCHORS))
    parts = [packed_rows(part, earlier) for part in np.array_split(records, 11)]
    np.testing.assert_array_equal(np.concatenate(parts)[:, MID], whole[:, MID])


def test_prices_of_other_terms_are_forgotten():
    quote = record(QUOTE, 0, 0, a=1, b=2, c=1, d=1)
    earlier = EarlierMids(len(ANCHORS))
    packed_rows(
        np.array([quote, record(QUOTE, 1, 0, a=1, b=2, c=1, d=1)], TICK), earlier
    )
    earlier.forget(np.array([True, False, False, False]))
    traded = [record(TRADE, symbol, 5, a=2, b=1) for symbol in (0, 1)]
    found = packed_rows(np.array(traded, TICK), earlier)
    assert found[:, PACKED.index("level")].tolist() == [0, 1]


@given(st.lists(quotes | trades | books, min_size=1, max_size=40), st.data())
def test_predecessors_do_not_look_ahead(rows, data):
    """Whatever follows, it changes nothing but who is last."""
    records = np.array(rows, TICK)
    stop = data.draw(st.integers(1, len(rows)))
    whole, part = packed_rows(records), packed_rows(records[:stop])
    np.testing.assert_array_equal(whole[:stop, :-1], part[:, :-1])


@pytest.mark.parametrize("limit", [50, 70_000, 1 << 40])
def test_order_is_stable_for_narrow_and_wide_keys(limit):
    rng = np.random.default_rng(1)
    keys = rng.integers(0, limit, 2_000) // (limit // 40) * (limit // 40)
    np.testing.assert_array_equal(in_order_of(keys), np.argsort(keys, kind="stable"))


@pytest.mark.parametrize("bar_ns", [10_000_000, 10**9, 86_400 * 10**9])
def test_times_stay_within_the_bar(bar_ns):
    half = record(QUOTE, 0, 0, a=1, b=2, c=1, d=1)
    records = np.array([half] * 4, TICK)
    records["event_ns"] = OPEN_NS + np.array([-1, 0, bar_ns // 2, bar_ns - 1])
    rows = np.zeros((4, len(PACKED)), np.int32)
    pack(records, TERMS, EarlierMids(4), Disorder(4, 8), OPEN_NS, bar_ns, rows)
    times = rows[:, PACKED.index("time")]
    np.testing.assert_array_equal(times, [0, 0, FRACTION // 2, FRACTION - 1])


def test_rows_behind_the_last_tick_stay():
    rows = np.full((3, len(PACKED)), 9, np.int32)
    records = np.array([record(TRADE, 1, 5, a=7, b=1)], TICK)
    pack(records, TERMS, EarlierMids(4), Disorder(4, 8), OPEN_NS, BAR_NS, rows)
    assert rows[0, PACKED.index("kind")] == TRADE
    assert (rows[1:] == 9).all()
