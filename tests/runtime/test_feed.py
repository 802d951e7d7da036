"""Bars close, ticks are ordered, and nothing depends on how the stream was cut."""

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
import zmq
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.runtime.batches import ROTATION, Batch, Close, FeedState, Reopen
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.publish import receive
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.wire import CHECKED, HEADER, decode, encode
from bot4jax.types import (
    BEGIN,
    BUY,
    CONFLATED,
    END,
    LATE,
    PACKED,
    QUOTE,
    TICK,
    TRADE,
    Frame,
    Instrument,
)

START_NS, BAR_NS = 1_000_000, 1_000
LIMIT_NS, LATENESS_NS = 300, 200
MARKET = universe([Instrument(symbol=name) for name in ("A", "B", "C")])
ANCHORS = np.array([100, 100, 100])
FIRST_BAR = 2
OPEN_NS = START_NS + FIRST_BAR * BAR_NS


def new_feed(capacity: int = 4, lateness_ns: int | None = LATENESS_NS) -> Feed:
    return Feed(
        MARKET,
        ANCHORS,
        bar_ns=BAR_NS,
        start_ns=START_NS,
        capacity=capacity,
        first_bar=FIRST_BAR,
        allowed_lateness_ns=lateness_ns,
        skew_limit_ns=LIMIT_NS,
    )


def trade(time: int, number: int, symbol: int = 0, flags: int = 0) -> tuple:
    """A trade at this time since the opening of the first bar, named by its number."""
    return (TRADE, BUY, flags, symbol, OPEN_NS + time, 101, 5, number, 0)


def frame(sequence, *rows, publisher=1, epoch=1, sent=None, flags=0) -> Frame:
    records = np.array(list(rows), TICK)
    latest = max((row[4] for row in rows), default=OPEN_NS)
    sent_ns = latest if sent is None else OPEN_NS + sent
    return Frame(publisher, epoch, sequence, sent_ns, records, flags=flags)


def batches_of(events) -> list[Batch]:
    return [one for one in events if isinstance(one, Batch)]


def told(events) -> list:
    """Closings, slots that reopen, ticks by number with an asterisk where late."""
    lines = []
    for one in events:
        if isinstance(one, Close):
            lines.append(f"close {one.bar}")
        elif isinstance(one, Reopen):
            lines.append(f"reopen {one.slots.nonzero()[0].tolist()}")
        else:
            for tick in one.records:
                lines.append(f"{tick['c']}{'*' if tick['flags'] & LATE else ''}")
    return lines


def pushed(feed: Feed, *frames: Frame) -> list:
    events = [event for one in frames for event in feed.push(one)]
    return told(events + list(feed.flush()))


# The whole, against a walk that knows one record at a time.


@dataclass
class Heard:
    next_sequence: int
    event: int | None = None
    delay: int = 0
    shift: int = 0
    offset: int | None = None


@dataclass
class SlowFeed:
    """The documented rules, one record after the other."""

    lateness_ns: int
    bar: int = FIRST_BAR
    heard: dict[int, Heard] = field(default_factory=dict)
    held: list = field(default_factory=list)
    entered: list = field(default_factory=list)
    lines: list = field(default_factory=list)
    counted: Counter = field(default_factory=Counter)

    @property
    def boundary(self) -> int:
        return START_NS + (self.bar + 1) * BAR_NS

    def push(self, one: Frame, receive_ns: int) -> None:
        name = one.publisher
        known = self.heard.setdefault(name, Heard(one.sequence))
        if one.sequence > known.next_sequence:
            self.counted["gaps"] += 1
            self.counted["missing"] += one.sequence - known.next_sequence
            known.next_sequence = one.sequence
        is_ahead = self.is_ahead(known, receive_ns - one.sent_ns)
        for number, tick in enumerate(one.records, one.sequence):
            if number < known.next_sequence:
                self.counted["duplicates"] += 1
                continue
            known.next_sequence = number + 1
            if is_ahead:
                self.counted[Drop.AHEAD] += 1
            else:
                self.take(known, tick, one.sent_ns, receive_ns)
        if not len(one.records) and not is_ahead:
            self.hear(known, one.sent_ns, receive_ns)

    def is_ahead(self, known: Heard, offset: int) -> bool:
        if known.offset is not None and offset + LIMIT_NS < known.offset:
            return True
        known.offset = offset if known.offset is None else min(known.offset, offset)
        return False

    def take(self, known: Heard, tick, sent_ns: int, receive_ns: int) -> None:
        event = int(tick["event_ns"])
        if tick["symbol"] >= len(ANCHORS):
            self.counted[Drop.SYMBOL] += 1
            return
        if event > sent_ns - known.shift + LIMIT_NS:
            self.counted[Drop.FUTURE] += 1
            return
        known.shift = min(0, max(-LIMIT_NS, min(known.shift, sent_ns - event)))
        self.hear(known, event, receive_ns)
        if event >= self.boundary:
            self.held.append(tick)
        else:
            self.enter(tick)

    def hear(self, known: Heard, event: int, receive_ns: int) -> None:
        delay = receive_ns - event
        if known.event is None:
            known.event, known.delay = event, delay
        known.event, known.delay = max(known.event, event), min(known.delay, delay)
        events = [one.event for one in self.heard.values() if one.event is not None]
        self.close_up_to(min(events))

    def advance(self, receive_ns: int) -> None:
        reaches = [
            max(one.event, receive_ns - one.delay - self.lateness_ns)
            for one in self.heard.values()
            if one.event is not None
        ]
        if reaches:
            self.close_up_to(min(reaches))

    def close_up_to(self, reached: int) -> None:
        while reached >= self.boundary:
            self.put_in_order()
            self.lines.append(f"close {self.bar}")
            self.bar += 1
            waiting, self.held = self.held, []
            for tick in waiting:
                if tick["event_ns"] >= self.boundary:
                    self.held.append(tick)
                else:
                    self.enter(tick)

    def enter(self, tick) -> None:
        self.counted["late"] += int(self.is_late(tick))
        self.entered.append(tick)
        self.tell(tick)

    def is_late(self, tick) -> bool:
        return tick["event_ns"] < self.boundary - BAR_NS

    def tell(self, tick) -> None:
        self.lines.append(f"{tick['c']}{'*' if self.is_late(tick) else ''}")

    def put_in_order(self) -> None:
        """Symbols whose trades came in another order than that of their event times."""
        entered, self.entered = self.entered, []
        events: dict[int, list[int]] = {}
        for tick in entered:
            events.setdefault(int(tick["symbol"]), []).append(int(tick["event_ns"]))
        mixed = sorted(slot for slot, own in events.items() if own != sorted(own))
        if mixed:
            self.lines.append(f"reopen {mixed}")
        for tick in sorted(entered, key=lambda tick: tick["event_ns"]):
            if tick["symbol"] in mixed:
                self.tell(tick)


ticks = st.tuples(st.integers(-500, 3_500), st.integers(0, 3))
messages = st.tuples(
    st.integers(1, 2),  # publisher
    st.sampled_from([0, 0, 0, 0, 1, -2]),  # gap before it, or a repetition
    st.integers(-400, 3_500),  # sent
    st.lists(ticks, max_size=6),
    st.integers(0, 400),  # receive time since the message before
    st.booleans(),  # whether the queue is empty afterwards
)
scripts = st.lists(messages, max_size=12)
STEADY = [
    (1, 0, 100 * n, [(100 * n, 0), (100 * n - 50, 1)], 100, True) for n in range(40)
]
TWO = [(1 + n % 2, 0, 90 * n, [(90 * n, n % 3)], 90, n % 7 == 0) for n in range(60)]
SILENT = [(1 + (n < 9), 0, 90 * n, [(90 * n, 0)], 90, True) for n in range(40)]


def frames_of(script) -> list[tuple[Frame, int, bool]]:
    """Messages of a script; every record has a number of its own."""
    following, number, receive_ns = {1: 5, 2: 0}, 0, 77_000
    made = []
    for publisher, gap, sent, rows, pause, is_idle in script:
        sequence = max(following[publisher] + gap, 0)
        following[publisher] = max(following[publisher], sequence + len(rows))
        receive_ns += pause
        records = [trade(t, number + k, s) for k, (t, s) in enumerate(rows)]
        number += len(rows)
        one = frame(sequence, *records, publisher=publisher, sent=sent)
        made.append((one, receive_ns, is_idle))
    return made


@given(scripts, st.integers(1, 5))
@example(STEADY, 3)
@example(TWO, 4)
@example(SILENT, 2)
def test_the_feed_equals_a_walk_record_by_record(script, capacity):
    feed, slow, lines = new_feed(capacity), SlowFeed(LATENESS_NS), []
    for one, receive_ns, is_idle in frames_of(script):
        lines += told(feed.push(one, receive_ns))
        slow.push(one, receive_ns)
        if is_idle:
            lines += told(feed.advance(receive_ns))
            slow.advance(receive_ns)
    assert lines + told(feed.flush()) == slow.lines
    assert feed.held == len(slow.held)
    counters = feed.counters
    assert counters.dropped == {
        d: n for d, n in slow.counted.items() if d in list(Drop)
    }
    for name in ("gaps", "missing", "duplicates", "late"):
        assert getattr(counters, name) == slow.counted[name]
    accounted = counters.absorbed + counters.duplicates + feed.held
    assert counters.received == accounted + counters.dropped.total()


@given(scripts, st.data())
@example(TWO, None)
@example(STEADY, None)
def test_cutting_the_stream_changes_nothing(script, data):
    whole, cut, lines, pieces = new_feed(4), new_feed(3), [], []
    for one, receive_ns, is_idle in frames_of(script):
        lines += told(whole.push(one, receive_ns))
        width = data.draw(st.integers(1, 4)) if data else 1
        for at in range(0, max(len(one.records), 1), width):
            piece = one._replace(
                sequence=one.sequence + at, records=one.records[at : at + width]
            )
            pieces += told(cut.push(piece, receive_ns))
        if data and data.draw(st.booleans()):
            pieces += told(cut.flush())
        if is_idle:
            lines += told(whole.advance(receive_ns))
            pieces += told(cut.advance(receive_ns))
    assert lines + told(whole.flush()) == pieces + told(cut.flush())
    kept, other = whole.state, cut.state
    assert (kept.bar, kept.publishers, kept.held) == (
        other.bar,
        other.publishers,
        other.held,
    )


# Rules, one at a time.


def test_a_bar_closes_when_its_publisher_has_passed_the_boundary():
    feed = new_feed()
    assert pushed(feed, frame(0, trade(0, 1), trade(999, 2))) == ["1", "2"]
    assert pushed(feed, frame(2, trade(1_000, 3))) == ["close 2", "3"]
    assert pushed(feed, frame(3, trade(4_500, 4))) == [
        *("close 3", "close 4", "close 5"),
        "4",
    ]


def test_a_closing_tells_what_the_bar_held():
    feed = new_feed()
    first = frame(0, trade(-1, 1), trade(5, 2), flags=BEGIN)
    frames = first, frame(2, trade(2_100, 3), sent=2_200)
    events = [event for one in frames for event in feed.push(one)]
    closings = [event for event in events if isinstance(event, Close)]
    sent, watermark = OPEN_NS + 2_200, OPEN_NS + 2_100
    assert closings == [
        Close(2, OPEN_NS + 1_000, watermark, sent, watermark, ticks=2, late=1),
        Close(3, OPEN_NS + 2_000, watermark, sent, watermark, ticks=0, late=0),
    ]


def test_what_comes_later_than_usual_is_old_when_it_comes():
    """By the least delay of late, 5: what needed 45 more came 45 too late."""
    feed, found = new_feed(), []
    for sent, receive_ns in ((0, 5), (400, 450), (1_000, 1_050)):
        one = frame(feed.counters.received, trade(sent, 1))
        found += list(feed.push(one, OPEN_NS + receive_ns))
    (closing,) = [one for one in found if isinstance(one, Close)]
    assert (closing.receive_ns, closing.newest_ns) == (OPEN_NS + 1_050, OPEN_NS + 1_005)


def test_a_heartbeat_closes_a_bar():
    feed = new_feed()
    pushed(feed, frame(0, trade(5, 1)))
    assert pushed(feed, frame(1, sent=999)) == []
    assert pushed(feed, frame(1, sent=1_000)) == ["close 2"]
    assert feed.counters.heartbeats == 2


def test_the_slowest_publisher_decides_and_the_others_ticks_wait():
    feed = new_feed()
    assert pushed(feed, frame(0, trade(5, 1), publisher=2)) == ["1"]
    ahead = frame(0, trade(1_200, 2), trade(900, 3), trade(2_300, 4), publisher=1)
    assert pushed(feed, ahead) == ["3"]
    assert feed.held == 2
    slow = frame(1, trade(1_100, 5), publisher=2)
    assert pushed(feed, slow) == ["close 2", "2", "5"]
    assert pushed(feed, frame(2, sent=2_000, publisher=2)) == [
        *("reopen [0]", "5", "2"),
        *("close 3", "4"),
    ]


def test_a_finished_publisher_is_not_waited_for():
    feed = new_feed()
    pushed(feed, frame(0, trade(5, 1), publisher=2), frame(0, trade(1_200, 2)))
    feed.finish(2)
    assert pushed(feed, frame(1, trade(1_300, 3))) == ["close 2", "2", "3"]


def test_a_tick_of_a_closed_bar_is_late_and_stands_at_the_opening():
    feed = new_feed()
    frames = frame(0, trade(1_500, 1)), frame(1, trade(700, 2, flags=CONFLATED))
    events = [one for f in frames for one in feed.push(f)] + list(feed.flush())
    (batch,) = batches_of(events)
    assert batch.records["flags"].tolist() == [0, LATE | CONFLATED]
    assert batch.packed[1, PACKED.index("flags")] == LATE | CONFLATED
    assert batch.packed[1, PACKED.index("time")] == 0
    assert feed.counters.late == 1


def test_flags_that_only_the_feed_may_set_are_cleared():
    feed = new_feed()
    list(feed.push(frame(0, trade(5, 1, flags=0xFFFF))))
    (batch,) = feed.flush()
    assert batch.records["flags"].tolist() == [CONFLATED]


def test_what_came_out_of_order_is_told_again_in_order_before_its_bar_closes():
    feed = new_feed()
    rows = trade(900, 1), trade(100, 2), trade(950, 3, symbol=1)
    assert pushed(feed, frame(0, *rows)) == ["1", "2", "3"]
    last = pushed(feed, frame(3, trade(1_000, 4)))
    assert last == ["reopen [0]", "2", "1", "close 2", "4"]
    counters = feed.counters
    assert (counters.late, counters.absorbed, counters.reordered) == (0, 4, 2)


def test_the_clock_closes_when_a_publisher_falls_silent():
    """Receive times have an offset of their own: only what they gain counts."""
    feed = new_feed()
    offset = 10**15
    list(feed.push(frame(0, trade(100, 1)), OPEN_NS + 100 + offset))
    list(feed.push(frame(1, trade(150, 2)), OPEN_NS + 250 + offset))
    almost = OPEN_NS + 1_000 + LATENESS_NS + offset
    assert told(feed.advance(almost - 1)) == []
    assert told(feed.advance(almost)) == ["1", "2", "close 2"]
    events = list(feed.push(frame(2, trade(900, 3)), almost + 1))
    assert told(events + list(feed.flush())) == ["3*"]


def test_the_clock_closes_every_bar_of_a_long_pause():
    """Heartbeats repeat the last event time for an hour, and measure no delay."""
    feed, minute = Feed(MARKET, ANCHORS, 60 * 10**9, 0, 4, 0, 10**8), 60 * 10**9
    rows = np.array([(TRADE, BUY, 0, 0, 5, 101, 5, 0, 0)], TICK)
    list(feed.push(Frame(1, 1, 0, 5, rows), 10))
    for passed in range(1, 61):
        list(feed.push(Frame(1, 1, 1, 5, rows[:0]), passed * minute))
        list(feed.advance(passed * minute + 2 * 10**8))
        assert feed.bar == passed


def test_a_delay_that_was_too_small_is_forgotten_after_five_minutes():
    """A tick ahead of its time, or a clock that was set: whatever made it too small."""
    feed, number = Feed(MARKET, ANCHORS, 10**9, 0, 4, 0, 10**8, 10**10), 0

    def ticked(event_ns: int, receive_ns: int) -> None:
        nonlocal number
        rows = np.array([(TRADE, BUY, 0, 0, event_ns, 101, 5, number, 0)], TICK)
        list(feed.push(Frame(1, 1, number, event_ns, rows), receive_ns))
        number += 1

    ticked(4 * 10**9, 0)  # four seconds ahead
    spoiled = []
    for second in range(5, 420):
        ticked(second * 10**9, second * 10**9 + 10**6)
        before = feed.bar
        list(feed.advance(second * 10**9 + 5 * 10**8))
        spoiled.append(feed.bar > before)
    assert spoiled == [second < 5 * 60 for second in range(5, 420)]
    assert feed.publishers[1].clock.delay_ns == 10**6
    assert len(feed.publishers[1].clock.delays) <= 5


def test_latency_may_be_negative():
    feed = new_feed()
    list(feed.push(frame(0, trade(100, 1)), OPEN_NS - 5_000))
    assert told(feed.advance(OPEN_NS - 5_100 + 1_199)) == []
    assert told(feed.advance(OPEN_NS - 5_100 + 1_200)) == ["1", "close 2"]


def test_frames_that_waited_in_the_queue_are_not_late():
    """A consumer that stood still reads what waits before it believes the clock."""
    feed = new_feed()
    list(feed.push(frame(0, trade(100, 1)), OPEN_NS + 100))
    stalled = OPEN_NS + 60_000
    events = list(feed.push(frame(1, trade(800, 2), trade(1_050, 3)), stalled))
    assert told(events + list(feed.flush())) == ["1", "2", "close 2", "3"]
    assert feed.counters.late == 0


def test_without_a_lateness_only_event_time_closes():
    feed = new_feed(lateness_ns=None)
    list(feed.push(frame(0, trade(100, 1)), 0))
    assert list(feed.advance(10**18)) == []


def test_duplicates_apply_once():
    feed = new_feed()
    first = frame(7, trade(1, 1), trade(2, 2))
    assert pushed(feed, first, first) == ["1", "2"]
    overlapping = frame(8, trade(2, 2), trade(3, 3))
    assert pushed(feed, overlapping) == ["3"]
    assert feed.counters.duplicates == 3
    assert feed.counters.sent == 3


def test_a_gap_is_seen_at_once_even_by_a_heartbeat():
    feed = new_feed()
    pushed(feed, frame(0, trade(1, 1), flags=BEGIN), frame(1, sent=5))
    assert not feed.is_stale
    pushed(feed, frame(4, sent=6))
    assert feed.stale.all()
    assert (feed.counters.gaps, feed.counters.missing, feed.counters.sent) == (1, 3, 4)
    assert pushed(feed, frame(4, trade(9, 2))) == ["2"]
    assert feed.counters.gaps == 1


def test_a_restarted_publisher_counts_anew():
    feed = new_feed()
    pushed(feed, frame(0, trade(1, 1), flags=BEGIN))
    assert pushed(feed, frame(1, trade(2, 2), epoch=2)) == ["2"]
    assert not feed.is_stale
    assert pushed(feed, frame(0, trade(3, 3), epoch=3)) == ["3"]
    assert feed.is_stale
    assert pushed(feed, frame(2, trade(4, 4), epoch=2)) == []
    assert feed.counters.restarts == 2
    assert feed.counters.dropped == {Drop.EPOCH: 1}


def test_a_restart_does_not_turn_the_watermark_back():
    feed = new_feed()
    pushed(feed, frame(0, trade(1_100, 1)))
    assert pushed(feed, frame(0, trade(50, 2), trade(1_101, 3), epoch=2)) == ["3"]
    assert feed.bar == 3


def test_a_new_life_that_numbers_anew_is_believed_only_in_what_is_newer():
    """It may have sent the rest before, under other numbers."""
    feed = new_feed()
    heard = [trade(5, 1), trade(300, 2), trade(200, 3)]
    pushed(feed, frame(70, *heard, flags=BEGIN))
    again = [trade(5, 1), trade(300, 2), trade(200, 3), trade(301, 4)]
    assert pushed(feed, frame(0, *again[:2], epoch=2, flags=BEGIN)) == []
    assert pushed(feed, frame(2, *again[2:], epoch=2)) == ["4"]
    assert feed.is_stale
    assert feed.counters.duplicates == 3


def test_ticks_from_the_future_are_refused():
    feed = new_feed()
    good, bad = trade(LIMIT_NS, 1), trade(2 * LIMIT_NS + 1, 2)
    assert pushed(feed, frame(0, bad, sent=0)) == []
    assert pushed(feed, frame(1, good, bad, sent=0)) == ["1"]
    assert feed.counters.dropped == {Drop.FUTURE: 2}


def test_a_fast_clock_shifts_the_limit_but_never_walks_away():
    feed = new_feed()
    ahead = [frame(n, trade(200 + n, n), sent=n) for n in range(50)]
    assert len(pushed(feed, *ahead)) == 50
    creeping = [frame(50 + n, trade(100 * n, n), sent=50) for n in range(12)]
    pushed(feed, *creeping)
    latest = feed.publishers[1].event_ns
    assert latest is not None
    assert latest - (OPEN_NS + 50) <= 2 * LIMIT_NS
    assert feed.counters.dropped[Drop.FUTURE] == 5


@pytest.mark.parametrize("symbol", [3, 4, 2**31, 2**32 - 1])
def test_an_unknown_symbol_cannot_write(symbol):
    feed = new_feed()
    assert pushed(feed, frame(0, trade(5, 1, symbol), trade(6, 2))) == ["2"]
    assert feed.counters.dropped == {Drop.SYMBOL: 1}


def test_what_is_refused_moves_no_watermark():
    feed = new_feed()
    crossed = (QUOTE, 0, 0, 0, OPEN_NS + 1_500, 101, 100, 1, 1)
    assert pushed(feed, frame(0, trade(5, 1), crossed)) == ["1"]
    assert feed.bar == FIRST_BAR


def test_rows_behind_the_count_are_dropped_by_every_scatter():
    feed = new_feed(capacity=8)
    for n in range(3 * ROTATION):
        rows = [trade(1, k) for k in range(1 + n % 5)]
        list(feed.push(frame(feed_next(feed), *rows)))
        (batch,) = feed.flush()
        slots = batch.packed[:, PACKED.index("slot")]
        assert batch.count == len(batch.records) == len(rows)
        assert (slots[: batch.count] == 0).all()
        assert (slots[batch.count :] == len(ANCHORS)).all()


def feed_next(feed: Feed) -> int:
    return feed.publishers[1].next_sequence if feed.publishers else 0


def test_a_batch_stays_whole_until_the_rotation_comes_round():
    feed = new_feed(capacity=1)
    rows = [trade(1, n) for n in range(ROTATION)]
    batches = batches_of(feed.push(frame(0, *rows)))
    kept = [(one.packed.copy(), one.records.copy()) for one in batches]
    for batch, (packed, records) in zip(batches, kept, strict=True):
        np.testing.assert_array_equal(batch.packed, packed)
        np.testing.assert_array_equal(batch.records, records)
    assert len({batch.packed.ctypes.data for batch in batches}) == ROTATION


def buffer(one: Frame) -> bytes:
    return encode(one, MARKET.hash)


SENT = [
    buffer(frame(0, trade(1, 1), trade(2, 2))),
    buffer(frame(2, trade(3, 3), (QUOTE, 0, 0, 1, OPEN_NS + 4, 99, 101, 7, 8))),
    buffer(frame(4, trade(BAR_NS + 5, 4))),
    buffer(frame(5, sent=BAR_NS + 6, flags=END)),
]


def flipped(of: bytes, at: int, bits: int) -> bytes:
    """One byte of it is another."""
    at %= len(of)
    return of[:at] + bytes([of[at] ^ bits]) + of[at + 1 :]


def cut(of: bytes, at: int) -> bytes:
    return of[: at % len(of)]


WHOLE = st.sampled_from(SENT)
BROKEN = st.one_of(
    st.binary(max_size=200),
    st.builds(flipped, WHOLE, st.integers(0, 500), st.integers(1, 255)),
    st.builds(cut, WHOLE, st.integers(0, 500)),
)


def taken(buffers: Sequence[bytes]) -> tuple[FeedState, int]:
    """A feed's state once a socket's reader has handed on what is fit, and how many
    messages were not."""
    feed, refused = new_feed(), Counter()
    with (
        zmq.Context() as context,
        context.socket(zmq.PAIR) as sink,
        context.socket(zmq.PAIR) as source,
    ):
        sink.bind("inproc://broken")
        source.connect("inproc://broken")
        for one in buffers:
            source.send(one)
        for one in receive(sink, MARKET.hash, 20.0, refused=refused):
            assert one.frame is not None
            list(feed.push(one.frame))
    return feed.state, sum(refused.values())


UNDISTURBED = taken(SENT)


@given(st.lists(st.tuples(st.integers(0, len(SENT) - 1), BROKEN), max_size=8))
def test_corrupt_frames_leave_the_state_unchanged(broken):
    buffers = list(SENT)
    for before, one in broken:
        buffers.insert(before, one)
    assert taken(buffers) == (UNDISTURBED[0], len(broken))


def test_a_reader_that_believes_a_corrupt_frame_is_found_out(monkeypatch):
    """A planted defect: whatever its bytes are, a frame's checksum is right."""

    def believing(of: bytes, universe_hash: int) -> Frame:
        found = zlib.crc32(of[HEADER.size :], zlib.crc32(of[:CHECKED]))
        return decode(
            of[:CHECKED] + found.to_bytes(4, "little") + of[HEADER.size :],
            universe_hash,
        )

    monkeypatch.setattr("bot4jax.runtime.publish.decode", believing)
    assert taken(SENT) == UNDISTURBED
    broken = flipped(SENT[0], len(SENT[0]) - 1, 64)
    assert taken([broken, *SENT])[0] != UNDISTURBED[0]
