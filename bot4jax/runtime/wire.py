"""The wire, version 2: a frame of ticks as bytes, and back without a copy.

A frame is a header of 48 bytes and `count` tick records of 48 bytes; everything is
little-endian. `docs/protocol.md` describes every byte for other languages.
"""

import enum
import struct
import zlib
from typing import NamedTuple

import numpy as np

from bot4jax.types import BEGIN, END, LEDGER, REFERENCE, SNAPSHOT, TICK, TICKS, Frame

MAGIC = b"B4JX"
VERSION = 2

HEADER = struct.Struct("<4sBBHIIQqIHHII")
"""magic · version · kind · flags · publisher · epoch · sequence · sent ns · count ·
record bytes · events · universe hash · crc32 of all that stands before it and of the
payload"""

CHECKED = HEADER.size - 4
"""Bytes of the header that the checksum covers; the payload follows."""

LATEST_NS = 1 << 62
"""Times stay below, so that the difference of any two fits an int64."""

MOST_RECORDS = 1 << 53
"""Numbers of records stay below, so that an int64 and a float64 hold each of them."""


class Refusal(enum.StrEnum):
    """Why a frame is not accepted."""

    SHORT = "short"
    MAGIC = "magic"
    VERSION = "version"
    RECORD = "record"
    LENGTH = "length"
    CHECKSUM = "checksum"
    KIND = "kind"
    FLAGS = "flags"
    SEQUENCE = "sequence"
    TIME = "time"
    UNIVERSE = "universe"


class WireError(Exception):
    """Bytes that are not a frame of this wire; `reason` says which check failed."""

    def __init__(self, reason: Refusal, found: object, expected: object):
        super().__init__(f"Refused frame ({reason}): {found}, expected {expected}.")
        self.reason = reason


class Header(NamedTuple):
    """The fields of a frame's header, in their order on the wire."""

    magic: bytes
    version: int
    kind: int
    flags: int
    publisher: int
    epoch: int
    sequence: int
    sent_ns: int
    record_count: int
    record_bytes: int
    events: int
    universe_hash: int
    checksum: int


def encode(frame: Frame, universe_hash: int) -> bytes:
    """The frame as bytes; `universe_hash` names the list that its slots refer to."""
    payload = np.ascontiguousarray(frame.records, TICK).tobytes()
    start = HEADER.pack(
        MAGIC,
        VERSION,
        frame.kind,
        frame.flags,
        frame.publisher,
        frame.epoch,
        frame.sequence,
        frame.sent_ns,
        len(frame.records),
        TICK.itemsize,
        frame.events,
        universe_hash,
        0,
    )[:CHECKED]
    checksum = zlib.crc32(payload, zlib.crc32(start))
    return b"".join((start, checksum.to_bytes(4, "little"), payload))


def decode(buffer: bytes | memoryview, universe_hash: int) -> Frame:
    """The frame in these bytes; its records are a view of them, not a copy.

    The checksum comes before the fields that only publishers get wrong, so that a
    damaged frame is never taken for a foreign one.
    """
    header = read_header(buffer)
    _check_shape(header, len(buffer))
    _check_sum(header, buffer)
    _check_meaning(header, universe_hash)
    records = np.frombuffer(buffer, np.uint8, offset=HEADER.size).view(TICK)
    return Frame(
        header.publisher,
        header.epoch,
        header.sequence,
        header.sent_ns,
        records,
        header.kind,
        header.flags,
        header.events,
    )


def read_header(buffer: bytes | memoryview) -> Header:
    """The header as it stands, before any check but the length."""
    if len(buffer) < HEADER.size:
        raise WireError(
            Refusal.SHORT, f"{len(buffer)} bytes", f"at least {HEADER.size}"
        )
    return Header(*HEADER.unpack_from(buffer))


def _check_shape(header: Header, length: int) -> None:
    if header.magic != MAGIC:
        raise WireError(Refusal.MAGIC, f"magic {header.magic!r}", MAGIC)
    if header.version != VERSION:
        raise WireError(Refusal.VERSION, f"version {header.version}", VERSION)
    if header.record_bytes != TICK.itemsize:
        found = f"records of {header.record_bytes} bytes"
        raise WireError(Refusal.RECORD, found, TICK.itemsize)
    expected = HEADER.size + header.record_count * TICK.itemsize
    if length != expected:
        found = f"{length} bytes for {header.record_count} records"
        raise WireError(Refusal.LENGTH, found, expected)


def _check_sum(header: Header, buffer: bytes | memoryview) -> None:
    view = memoryview(buffer)
    expected = zlib.crc32(view[HEADER.size :], zlib.crc32(view[:CHECKED]))
    if header.checksum != expected:
        found = f"checksum {header.checksum:08x}"
        raise WireError(Refusal.CHECKSUM, found, f"{expected:08x}")


def _check_meaning(header: Header, universe_hash: int) -> None:
    if header.kind not in (TICKS, SNAPSHOT, REFERENCE):
        expected = f"{TICKS}, {SNAPSHOT} or {REFERENCE}"
        raise WireError(Refusal.KIND, f"kind {header.kind}", expected)
    known = END | BEGIN | (LEDGER if header.kind == SNAPSHOT else 0)
    if header.flags & ~known:
        raise WireError(Refusal.FLAGS, f"flags {header.flags:#06x}", "no unknown bit")
    following = header.sequence + header.record_count
    if not following < MOST_RECORDS:
        expected = f"a next one below {MOST_RECORDS}"
        raise WireError(Refusal.SEQUENCE, f"record {following} to come", expected)
    if not 0 <= header.sent_ns < LATEST_NS:
        expected = f"0 up to {LATEST_NS}"
        raise WireError(Refusal.TIME, f"sent at {header.sent_ns} ns", expected)
    if header.universe_hash != universe_hash:
        found = f"universe {header.universe_hash:08x}"
        expected = f"{universe_hash:08x}; start both sides with the same universe"
        raise WireError(Refusal.UNIVERSE, found, expected)
