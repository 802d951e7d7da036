"""Frames taken up together leave the feed as it would be after one at a time."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.errors import Halted
from bot4jax.kernels.history import STANDING
from bot4jax.runtime.backlog import Clocks, conflated, follows, join
from bot4jax.runtime.batches import Batch
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.publish import Arrival, receive, send
from bot4jax.runtime.reception import received
from bot4jax.runtime.sockets import bound_endpoint, publisher, subscriber
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import MAGIC, encode
from bot4jax.types import (
    BAR_FLOATS,
    BAR_INTS,
    BEHIND,
    BOOK,
    CONFLATED,
    END,
    QUOTE,
    SNAPSHOT,
    STATUS,
    TICK,
    TRADE,
    Frame,
)
from tests.runtime.device_bars import closed_on_device
from tests.runtime.small_market import BAR_NS, MARKET, stream

PATIENCE_S = 20.0
ANCHORS = np.full(len(MARKET.instruments), 100)
LIMIT_NS = 300


def new_feed(capacity: int = 5) -> Feed:
    return Feed(MARKET, ANCHORS, BAR_NS, 0, capacity, skew_limit_ns=LIMIT_NS)


def cut(frames: Sequence[Frame], width: int) -> list[Frame]:
    """The same stream in frames of a few records."""
    return [
        one._replace(
            sequence=one.sequence + at,
            records=one.records[at : at + width],
            flags=one.flags if not at else 0,
        )
        for one in frames
        for at in range(0, len(one.records), width)
    ]


def planted(frames: list[Frame]) -> list[Frame]:
    """Everything that must not be joined, and what is not there at all."""
    for number, ahead_ns in ((9, 10_000), (11, 150), (22, 100), (40, 299), (50, 250)):
        ahead = frames[number].records.copy()
        ahead["event_ns"][:1] = frames[number].sent_ns + ahead_ns
        frames[number] = frames[number]._replace(records=ahead)
    frames[20] = frames[20]._replace(records=frames[20].records[:0])
    frames[30] = frames[30]._replace(sent_ns=frames[29].sent_ns - 1)
    frames[33] = frames[33]._replace(epoch=2)
    del frames[26], frames[14]
    frames.insert(18, frames[17])
    return frames


STREAM = planted(cut(stream(), 3))


def groups(frames: Sequence[Frame], widths: Sequence[int]) -> list[list[Frame]]:
    """Frames that may be joined, so many at most at a time."""
    clocks, found, was_plain = Clocks(LIMIT_NS), [], False
    for one in frames:
        most = widths[len(found) % len(widths)]
        is_plain = clocks.is_plain(one)
        joins = is_plain and was_plain and follows(found[-1][-1], one)
        if joins and len(found[-1]) < most:
            found[-1].append(one)
        else:
            found.append([one])
        was_plain = is_plain
    return found


def told(events) -> list:
    """Closings, and the bytes of every tick."""
    rows = []
    for one in events:
        rows += map(bytes, one.records) if isinstance(one, Batch) else [str(one)]
    return rows


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
@example([1000])
def test_a_piece_stands_for_its_frames_exactly(widths):
    one_by_one, together, singles, pieces = new_feed(), new_feed(), [], []
    for receive_ns, group in enumerate(groups(STREAM, widths), 50_000):
        for frame in group:
            singles += told(one_by_one.push(frame, receive_ns))
        pieces += told(together.push(join(group), receive_ns))
    assert singles + told(one_by_one.flush()) == pieces + told(together.flush())
    # How far a place was told of is known by pieces: the rest of the state is equal.
    alike = [one.state._replace(coverage=0) for one in (one_by_one, together)]
    assert alike[0] == alike[1]
    np.testing.assert_array_equal(one_by_one.stale, together.stale)
    assert together.counters.gaps
    assert together.counters.duplicates


def test_something_is_joined_at_all():
    assert len(groups(STREAM, [1000])) < len(STREAM) / 4


FIRST, SECOND = cut(stream(), 3)[2:4]


@pytest.mark.parametrize(
    "changes",
    [
        {"publisher": 2},
        {"epoch": 2},
        {"sequence": SECOND.sequence + 1},
        {"sequence": SECOND.sequence - 1},
        {"sent_ns": FIRST.sent_ns - 1},
        {"kind": SNAPSHOT},
        {"flags": END},
        {"records": SECOND.records[:0]},
    ],
    ids=str,
)
def test_each_difference_keeps_frames_apart(changes):
    other = SECOND._replace(**changes)
    assert follows(FIRST, SECOND)
    assert Clocks(LIMIT_NS).is_plain(SECOND)
    assert not (follows(FIRST, other) and Clocks(LIMIT_NS).is_plain(other))


def test_a_snapshot_counts_what_a_piece_said_up_to_its_end():
    """Of a place that the piece restates the older word of a snapshot is no news."""
    quote = np.array([(0, 0, 0, 0, 1, 99, 101, 5, 5)], TICK)
    filler = np.array([(1, 1, 0, 1, 1, 100, 5, 0, 0)], TICK)
    feed = new_feed()
    for one in (
        Frame(1, 1, 0, 5, quote, flags=2),
        Frame(1, 1, 3, 5, np.concatenate([filler, filler, quote])),
        Frame(1, 1, 5, 5, quote, kind=SNAPSHOT),
    ):
        list(feed.push(one))
    assert feed.counters.snapshots == 1
    assert feed.counters.restated == 0


# Conflation: fewer quotes, the same trades, the same closing of every bar.


def walked(records: np.ndarray, bar_ns: int) -> list[int]:
    """Rows that stay, by the rule written out: a walk that knows one row at a time."""
    newest, opened = {}, 0
    for row, one in enumerate(records.tolist()):
        kind, side, _, symbol, event_ns, *_, level, _ = one
        own = max(event_ns, 0) // bar_ns
        opened = max(opened, own)
        place = (kind, side, level) if kind == BOOK else (kind,)
        name = (row,) if kind in (TRADE, STATUS) else (opened, own, symbol, *place)
        if event_ns >= newest.get(name, (event_ns, row))[0]:
            newest[name] = event_ns, row
    return sorted(row for _, row in newest.values())


@given(st.integers(0, 99))
def test_conflation_keeps_what_the_rule_keeps(seed):
    records = np.concatenate([one.records for one in stream(seed=seed)])
    jitter = np.random.default_rng(seed).integers(-900, 900, len(records))
    records["event_ns"] += jitter
    found = conflated(records, 0, BAR_NS)
    rows = walked(records, BAR_NS)
    expected = records[rows]
    stands_for_several = found["flags"] == CONFLATED
    found["flags"] = 0
    assert found.tobytes() == expected.tobytes()
    assert len(found) < len(records)
    assert stands_for_several.any()
    assert np.isin(found["kind"][stands_for_several], (QUOTE, BOOK)).all()


def bars_of(frames: Sequence[Frame]) -> list[dict[str, np.ndarray]]:
    """Closed bars by column, from the device."""
    names, closed = (*BAR_INTS, *BAR_FLOATS), closed_on_device(new_feed(8), frames)
    return [dict(zip(names, [*ints, *floats], strict=True)) for ints, floats in closed]


def test_a_conflated_stream_closes_its_bars_as_the_whole_one_does():
    frames = cut(stream(frames=80, per_frame=9), 100)
    (piece,) = [join(one) for one in groups(frames, [1000])]
    last = piece._replace(
        sequence=len(piece.records), sent_ns=9_000, records=piece.records[:0], flags=0
    )
    whole = bars_of([piece, last])
    fewer = bars_of([piece._replace(flags=piece.flags | BEHIND), last])
    assert len(whole) == len(fewer) == 9
    for bar, (one, other) in enumerate(zip(whole, fewer, strict=True)):
        # What was never quoted before opens with its first quote, which may be gone.
        for name in {*STANDING, *EXACT} - ({"mid_open"} if bar == 0 else set()):
            np.testing.assert_array_equal(one[name], other[name], name)
    assert sum(one["conflated"].sum() for one in whole) == 0
    assert sum(one["conflated"].sum() for one in fewer) > 0
    assert sum(one["quote_updates"].sum() for one in fewer) < sum(
        one["quote_updates"].sum() for one in whole
    )


EXACT = (
    *("trade_open", "trade_high", "trade_low", "trade_close", "trade_count"),
    *("buy_count", "sell_count", "buy_volume", "sell_volume", "base_turnover"),
    *("quote_turnover", "vwap_offset", "signed_root_notional"),
)


def test_what_is_conflated_is_counted_and_not_missed():
    feed = new_feed(100)
    (piece,) = [join(one) for one in groups(cut(stream(), 100), [1000])]
    batches = list(feed.push(piece._replace(flags=piece.flags | BEHIND)))
    batches += list(feed.flush())
    counters = feed.counters
    assert counters.conflated > 0
    assert counters.absorbed + counters.conflated + feed.held == counters.received
    assert (counters.gaps, counters.missing, len(counters.dropped)) == (0, 0, 0)
    following = piece._replace(sequence=len(piece.records), records=piece.records[:0])
    list(feed.push(following))
    assert counters.gaps == 0


# A thread reads real sockets.


def test_a_loop_that_is_too_far_behind_is_told_so_over_real_sockets():
    """Ten times too slow: each piece holds all that waits, and is marked."""
    frames = cut(stream(), 2)
    with (
        publisher("tcp://127.0.0.1:*") as source,
        subscriber(bound_endpoint(source), (MAGIC,)) as sink,
        received(
            receive(sink, MARKET.hash, PATIENCE_S, 0.01), 10, backlog=30
        ) as reception,
    ):
        Subscribers(source).await_present(1, PATIENCE_S)
        arrivals, found = reception.arrivals(), []
        for at in range(0, len(frames), 40):
            for one in frames[at : at + 40]:
                send(source, encode(one, MARKET.hash))
            until = sum(len(one.records) for one in frames[at : at + 40])
            while reception.waiting < until:
                threading.Event().wait(0.001)
            while reception.waiting:
                found.append(next(arrivals))
    pieces = [one.frame for one in found if one.frame is not None]
    assert len(pieces) == 3
    assert all(one.flags & BEHIND for one in pieces)
    assert sum(len(one.records) for one in pieces) == sum(
        len(one.records) for one in frames
    )
    feed = new_feed(1000)
    for one in pieces:
        list(feed.push(one))
    assert feed.counters.conflated > 0
    assert feed.counters.gaps == 0


def test_a_busy_loop_finds_what_came_in_few_pieces():
    frames = cut(stream(), 2)
    last = frames[-1]
    end = Frame(1, 1, last.sequence + len(last.records), 9_000, last.records[:0])
    with (
        publisher("tcp://127.0.0.1:*") as source,
        subscriber(bound_endpoint(source), (MAGIC,)) as sink,
        received(receive(sink, MARKET.hash, PATIENCE_S, 0.01), most=50) as reception,
    ):
        Subscribers(source).await_present(1, PATIENCE_S)
        for one in [*frames, end._replace(flags=END)]:
            send(source, encode(one, MARKET.hash))
        ticks = sum(len(one.records) for one in frames)
        while reception.waiting < ticks:
            threading.Event().wait(0.001)
        found = [one for one in reception.arrivals() if one.frame is not None]
    assert len(found) <= 1 + ticks // 50 + 1
    records = np.concatenate([one.frame.records for one in found if one.frame])
    expected = np.concatenate([one.records for one in frames])
    assert records.tobytes() == expected.tobytes()
    assert reception.waiting == 0


def test_silence_is_told_only_to_who_has_caught_up():
    with (
        publisher("tcp://127.0.0.1:*") as source,
        subscriber(bound_endpoint(source), (MAGIC,)) as sink,
        received(receive(sink, MARKET.hash, PATIENCE_S, 0.01), most=50) as reception,
    ):
        arrivals = reception.arrivals()
        assert next(arrivals).frame is None
        Subscribers(source).await_present(1, PATIENCE_S)
        send(source, encode(STREAM[0], MARKET.hash))
        while not reception.waiting:
            threading.Event().wait(0.001)
        queued = [next(arrivals), next(arrivals)]
        assert any(one.frame is not None for one in queued)


def test_what_fails_in_the_thread_is_told_to_the_loop():
    with (
        publisher("tcp://127.0.0.1:*") as source,
        subscriber(bound_endpoint(source), (MAGIC,)) as sink,
        received(receive(sink, MARKET.hash, 0.05), most=50) as reception,
        pytest.raises(Halted, match="No frame came"),
    ):
        list(reception.arrivals())


def test_a_reader_that_is_too_far_ahead_waits(monkeypatch):
    monkeypatch.setattr("bot4jax.runtime.reception.MOST_WAITING", 100)
    came = [Arrival(one, 0.0, 0) for one in cut(stream(), 2)]
    with received(came, most=8) as reception:
        arrivals, highest = reception.arrivals(), 0
        for _ in arrivals:
            highest = max(highest, reception.waiting)
    assert 0 < highest < 20  # five frames of two ticks, and what had been read


@pytest.mark.parametrize("backlog", [None, 1_000])
def test_only_at_the_clocks_pace_does_waiting_count(backlog):
    """A stream that can wait is received when it is taken up."""
    came = [Arrival(one, 0.0, 0) for one in cut(stream(), 2)]
    with received(came, 8, backlog) as reception:
        timers = [one.timer_s for one in reception.arrivals()]
    assert all((timer_s == 0.0) == (backlog is not None) for timer_s in timers)
