"""Frames of a recording: nothing lost, nothing twice, cut anywhere alike."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.data.recording import (
    FRAME_RECORDS,
    RecordedSource,
    Recording,
    in_order,
    standing,
)
from bot4jax.data.source import DataError
from bot4jax.data.universe import universe
from bot4jax.types import BOOK, BUY, QUOTE, SELL, TICK, TRADE, Instrument

BAR = 100_000_000
BEHIND = -1_300_000_000
"""Local clock less exchange clock, ns."""


def recording(seed=0, count=4_000, symbols=2):
    """Quotes, trades and levels whose event times run back up to a third of a bar."""
    random = np.random.default_rng(seed)
    records = np.zeros(count, TICK)
    records["kind"] = random.choice([QUOTE, TRADE, BOOK], count)
    records["kind"][: 2 * symbols] = QUOTE
    records["symbol"] = np.arange(count) % symbols
    records["a"] = 1_000 + random.integers(0, 9, count)
    records["b"] = records["a"] + 1
    records["c"] = 1 + random.integers(0, 9, count)
    records["d"] = 7
    arrival = np.cumsum(random.exponential(BAR / 60, count)).astype(np.int64)
    arrival[count // 2 :] += 5 * BAR  # silence of some bars
    arrival[3_000:3_700] = arrival[3_000]  # and a burst of more than two frames
    arrival = np.sort(arrival)
    records["event_ns"] = 10**18 + arrival - random.integers(0, BAR // 3, count)
    return Recording(records, 10**18 + arrival + BEHIND)


def source(played=None, bar_ns=BAR):
    two = universe([Instrument(symbol="A"), Instrument(symbol="B")])
    return RecordedSource(two, played or recording(), bar_ns)


@pytest.fixture(scope="module")
def market():
    return source()


def all_records(frames):
    return np.concatenate([frame.records for frame in frames])


def assert_same(frames, others):
    assert len(frames) == len(others)
    for one, other in zip(frames, others, strict=True):
        assert one[:4] == other[:4]
        np.testing.assert_array_equal(one.records, other.records)


@given(st.lists(st.integers(0, 60), max_size=6))
def test_any_split_gives_the_same_frames(market, stops):
    assert market.bar_count > 60
    stops = sorted({0, 61, *stops})
    parts = [f for a, b in pairwise(stops) for f in market.frames(a, b)]
    assert_same(parts, list(market.frames(0, 61)))


def test_bar_ends_with_the_first_record_past_its_boundary(market):
    for bar in range(market.bar_count):
        end = market.start_ns + (bar + 1) * BAR
        frames = list(market.frames(bar, bar + 1))
        if frames:
            events = all_records(frames)["event_ns"]
            assert events[-1] >= end
            assert (events[:-1] < end).all()


def test_everything_received_is_played_once_in_order(market):
    frames = list(market.frames(0, market.bar_count))
    records = all_records(frames)
    given_records = recording().records
    tail = records[records["event_ns"] > market.start_ns]
    last = np.flatnonzero(given_records == records[-1])[-1]
    first = np.flatnonzero(given_records["event_ns"] >= market.start_ns)[0]
    kept = given_records[first : last + 1]
    kept = kept[kept["event_ns"] > market.start_ns]
    np.testing.assert_array_equal(tail, kept)
    starts = [frame.sequence for frame in frames]
    sizes = [len(frame.records) for frame in frames]
    assert starts == [0, *np.cumsum(sizes)[:-1].tolist()]


def test_frames_are_short_and_never_span_a_boundary_of_receive_time(market):
    sent = market.played.received_ns
    frames = list(market.frames(0, market.bar_count))
    assert max(len(frame.records) for frame in frames) == FRAME_RECORDS
    for frame in frames:
        first, last = frame.sequence, frame.sequence + len(frame.records) - 1
        assert sent[first] // BAR == sent[last] // BAR
        assert frame.sent_ns == sent[last]
    assert (np.diff([frame.sent_ns for frame in frames]) >= 0).all()


def test_negative_latency_is_kept(market):
    latency = market.played.received_ns - market.played.records["event_ns"]
    assert latency.min() >= BEHIND
    assert latency.max() < BEHIND + BAR // 3


def test_a_shifted_local_clock_changes_nothing_but_the_time_of_sending():
    records, received = recording()
    shifted = source(Recording(records, received + 20 * BAR))
    frames, others = list(source().frames(0, 50)), list(shifted.frames(0, 50))
    for one, other in zip(frames, others, strict=True):
        assert other.sent_ns - one.sent_ns == 20 * BAR
        np.testing.assert_array_equal(one.records, other.records)


def test_begins_with_what_stands(market):
    first = next(market.frames(0, 1)).records
    state = first[first["event_ns"] == market.start_ns]
    quotes = state[state["kind"] == QUOTE]
    assert quotes["symbol"].tolist() == [0, 1]
    before, received = recording()
    opening = np.argmax(before["event_ns"] >= market.start_ns)
    assert set(market.played.received_ns[: len(state)]) == {received[opening]}
    for slot in (0, 1):
        mine = before[:opening][before["symbol"][:opening] == slot]
        newest = mine[mine["kind"] == QUOTE][-1]
        assert quotes[slot][["a", "b", "c", "d"]] == newest[["a", "b", "c", "d"]]
    assert market.anchors.tolist() == ((quotes["a"] + quotes["b"]) // 2).tolist()


def test_standing_levels_leave_out_what_was_removed():
    rows = [
        (BOOK, BUY, 0, 0, 1, 99, 5, 1, 0),
        (BOOK, SELL, 0, 0, 2, 102, 5, 1, 0),
        (BOOK, BUY, 0, 0, 3, 98, 0, 1, 0),
        (TRADE, BUY, 0, 0, 3, 98, 1, 1, 0),
        (BOOK, SELL, 0, 0, 4, 103, 6, 1, 0),
    ]
    assert standing(np.array(rows, TICK))["a"].tolist() == [103]


def test_recordings_merge_by_receive_time_keeping_ties_in_order():
    one = Recording(np.zeros(3, TICK), np.array([1, 5, 9]))
    two = Recording(np.ones(3, TICK), np.array([0, 5, 7]))
    merged = in_order(one, two)
    assert merged.received_ns.tolist() == [0, 1, 5, 5, 7, 9]
    assert merged.records["kind"].tolist() == [1, 0, 0, 1, 1, 0]


def test_bars_up_to_a_moment_do_not_know_what_follows(market):
    records, received = recording()
    cut = source(Recording(records[:2_500], received[:2_500]))
    assert 20 < cut.bar_count < market.bar_count
    assert cut.start_ns == market.start_ns
    assert cut.anchors.tolist() == market.anchors.tolist()
    assert_same(
        list(cut.frames(0, cut.bar_count)), list(market.frames(0, cut.bar_count))
    )


def test_symbol_without_a_quote_is_named():
    records, received = recording()
    records["kind"][records["symbol"] == 1] = TRADE
    with pytest.raises(DataError, match="No quote of B"):
        source(Recording(records, received))


@pytest.mark.parametrize(
    ("bars", "message"), [(400, "before its first bar"), (50, "no full bar")]
)
def test_recording_shorter_than_a_bar_is_refused(bars, message):
    records, received = recording()
    records["event_ns"] += BAR
    with pytest.raises(DataError, match=message):
        source(Recording(records, received), bars * BAR)


@pytest.mark.parametrize(("first", "stop"), [(-1, 2), (3, 2), (0, 10_000)])
def test_bars_that_are_not_there_are_refused(market, first, stop):
    with pytest.raises(ValueError, match="the source holds 0"):
        list(market.frames(first, stop))


def test_records_are_shared_read_only(market):
    frame = next(market.frames(0, 1))
    with pytest.raises(ValueError, match="read-only"):
        frame.records["a"] = 0
