"""The wire refuses everything but whole frames of its own version and universe."""

import struct
import zlib

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.runtime.orders import Count
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.ticks_record import TickRecord, recorded
from bot4jax.runtime.wire import Refusal, WireError, decode, encode
from bot4jax.types import (
    BEGIN,
    BUY,
    END,
    LEDGER,
    QUOTE,
    REFERENCE,
    SNAPSHOT,
    TICK,
    TICKS,
    TRADE,
    Frame,
)
from tests.sim.market import new_feed

UNIVERSE = 0xC0FFEE42

words = st.integers(-(2**63), 2**63 - 1)
ticks = st.tuples(
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    *[words] * 5,
)
frames = st.builds(
    Frame,
    publisher=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**53 - 6),
    sent_ns=st.integers(0, 2**62 - 1),
    records=st.lists(ticks, max_size=5).map(lambda rows: np.array(rows, TICK)),
    kind=st.sampled_from([TICKS, SNAPSHOT]),
    flags=st.sampled_from([0, END, BEGIN, END | BEGIN]),
    events=st.integers(0, 2**16 - 1),
)


def small_frame() -> Frame:
    rows = [
        (QUOTE, 0, 0, 3, 1_000, 100, 101, 5, 6),
        (TRADE, BUY, 0, 3, 2_000, 101, 4, 77, 0),
    ]
    return Frame(7, 1, 40, 2_500, np.array(rows, TICK))


def resealed(buffer: bytes, at: int, replacement: bytes) -> bytes:
    """A changed frame whose checksum is right again, as a faulty publisher's."""
    changed = buffer[:at] + replacement + buffer[at + len(replacement) :]
    checksum = zlib.crc32(changed[:44] + changed[48:])
    return changed[:44] + struct.pack("<I", checksum) + changed[48:]


def assert_same(left: Frame, right: Frame) -> None:
    assert (left[:4], left[5:]) == (right[:4], right[5:])
    assert left.records.dtype == right.records.dtype == TICK
    assert left.records.tobytes() == right.records.tobytes()


@given(frames)
@example(Frame(0, 0, 0, 0, np.empty(0, TICK)))
def test_a_frame_survives_the_wire(frame):
    assert_same(decode(encode(frame, UNIVERSE), UNIVERSE), frame)


def test_bytes_equal_those_packed_by_hand():
    """An independent encoder, written from the protocol's byte table."""
    payload = struct.pack("<BBHIqqqqq", 0, 0, 0, 3, 1_000, 100, 101, 5, 6)
    payload += struct.pack("<BBHIqqqqq", 1, 1, 0, 3, 2_000, 101, 4, 77, 0)
    fields = (b"B4JX", 2, 1, END, 7, 1, 40, 2_500, 2, 48, 0, UNIVERSE)
    start = struct.pack("<4sBBHIIQqIHHI", *fields)
    checksum = struct.pack("<I", zlib.crc32(start + payload))
    encoded = encode(small_frame()._replace(flags=END), UNIVERSE)
    assert encoded == start + checksum + payload


def test_records_are_a_view_of_the_bytes():
    buffer = bytearray(encode(small_frame(), UNIVERSE))
    records = decode(memoryview(buffer), UNIVERSE).records
    buffer[48 + 16] = 99
    assert records["a"][0] == 99


@given(st.binary(max_size=400))
@example(b"B4JX" + bytes(44))
@example(b"")
def test_arbitrary_bytes_are_refused(noise):
    with pytest.raises(WireError):
        decode(noise, UNIVERSE)


@given(st.binary(max_size=200))
def test_noise_behind_a_true_beginning_is_refused(noise):
    with pytest.raises(WireError):
        decode(b"B4JX\x01\x01\x00\x00" + noise, UNIVERSE)


@given(st.integers(0, 255), st.data())
def test_a_changed_byte_is_refused(value, data):
    buffer = bytearray(encode(small_frame(), UNIVERSE))
    at = data.draw(st.integers(0, len(buffer) - 1))
    is_same = buffer[at] == value
    buffer[at] = value
    if is_same:
        assert_same(decode(bytes(buffer), UNIVERSE), small_frame())
    else:
        with pytest.raises(WireError):
            decode(bytes(buffer), UNIVERSE)


def test_every_single_byte_matters():
    buffer = encode(small_frame(), UNIVERSE)
    for at in range(len(buffer)):
        for flip in (1, 128, 255):
            changed = bytearray(buffer)
            changed[at] ^= flip
            with pytest.raises(WireError):
                decode(bytes(changed), UNIVERSE)


@given(frames, st.data())
def test_a_cut_or_longer_frame_is_refused(frame, data):
    buffer = encode(frame, UNIVERSE)
    shorter = buffer[: data.draw(st.integers(0, len(buffer) - 1))]
    longer = buffer + data.draw(st.binary(min_size=1, max_size=100))
    for wrong in (shorter, longer):
        with pytest.raises(WireError):
            decode(wrong, UNIVERSE)


@pytest.mark.parametrize(
    ("at", "replacement", "reason"),
    [
        (0, b"BAJX", Refusal.MAGIC),
        (4, b"\x01", Refusal.VERSION),
        (5, b"\x09", Refusal.KIND),
        (6, b"\x04\x00", Refusal.FLAGS),
        (16, struct.pack("<Q", 2**64 - 1), Refusal.SEQUENCE),
        (16, struct.pack("<Q", 2**63), Refusal.SEQUENCE),
        (16, struct.pack("<Q", 2**53 - 2), Refusal.SEQUENCE),
        (24, struct.pack("<q", -1), Refusal.TIME),
        (24, struct.pack("<q", 2**62), Refusal.TIME),
        (32, struct.pack("<I", 3), Refusal.LENGTH),
        (32, struct.pack("<I", 2**32 - 1), Refusal.LENGTH),
        (36, struct.pack("<H", 47), Refusal.RECORD),
        (36, struct.pack("<H", 0), Refusal.RECORD),
        (40, struct.pack("<I", UNIVERSE + 1), Refusal.UNIVERSE),
    ],
)
def test_a_faulty_publisher_is_told_why(at, replacement, reason):
    wrong = resealed(encode(small_frame(), UNIVERSE), at, replacement)
    with pytest.raises(WireError, match="expected") as refused:
        decode(wrong, UNIVERSE)
    assert refused.value.reason == reason


def test_the_largest_numbers_that_pass_can_be_recorded_and_counted(tmp_path):
    """A frame that ended the engine would end each of its restarts as well."""
    widest = small_frame()._replace(sequence=2**53 - 3)
    frame = decode(encode(widest, UNIVERSE), UNIVERSE)
    feed, came = new_feed(), Arrival(frame, 0.0, 5)
    list(feed.push(frame, came.receive_ns))
    with TickRecord(tmp_path / "ticks") as record:
        assert list(record.heard([came])) == [came]
    (again,) = recorded(tmp_path / "ticks")
    assert again.frame is not None
    assert again.frame.sequence == widest.sequence
    assert msgspec.json.decode(msgspec.json.encode(widest.sequence), type=Count)


def test_damage_is_named_apart_from_a_foreign_universe():
    buffer = bytearray(encode(small_frame(), UNIVERSE))
    buffer[40] ^= 1
    with pytest.raises(WireError) as refused:
        decode(bytes(buffer), UNIVERSE)
    assert refused.value.reason == Refusal.CHECKSUM
    with pytest.raises(WireError) as refused:
        decode(buffer[:20], UNIVERSE)
    assert refused.value.reason == Refusal.SHORT


def test_a_ledger_comes_with_snapshots_alone():
    snapshot = small_frame()._replace(kind=SNAPSHOT, flags=LEDGER)
    assert decode(encode(snapshot, UNIVERSE), UNIVERSE).flags == LEDGER
    for kind in (TICKS, REFERENCE):
        with pytest.raises(WireError) as refused:
            decode(encode(snapshot._replace(kind=kind), UNIVERSE), UNIVERSE)
        assert refused.value.reason == Refusal.FLAGS


def test_beginning_and_end_are_marked_in_the_header():
    for flags in (0, END, BEGIN, END | BEGIN):
        frame = small_frame()._replace(flags=flags)
        assert decode(encode(frame, UNIVERSE), UNIVERSE).flags == flags
