"""What came in, on disk: what a restart hears once more.

Frames are kept as they were taken up, before anything was made of them. So the restart
needs no knowledge of what feed, quotes and open bars remember: it hears the same again.

They are written by a thread of their own, as they come. A step only says where it
stands: a *mark*, the length of the file and the hash of all that is in it. The mark
goes into the journal with the step, and is given out once the file is synced up to it.
So nothing leaves before what it was decided on is durable, and the waiting goes on
while the device decides. What came after the last mark is heard again as well, as far
as it is whole.
"""

import hashlib
import os
import struct
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from bot4jax import durable
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.journal import Unwritten
from bot4jax.runtime.journal_file import Durability
from bot4jax.runtime.publish import Arrival
from bot4jax.types import AWAKE, TICK, Frame

FILE = "inputs.bin"

HEAD = struct.Struct("<qIIQqIHHHI")
"""receive ns, publisher, epoch, sequence, sent ns, records, kind, flags, events, crc32
of what follows the head and of the head before it; all 0 but the first: a moment of
silence"""

CHECKED = HEAD.size - 4
SILENCE = 0
"""The kind of no frame."""

SILENT = Frame(0, 0, 0, 0, np.empty(0, TICK), SILENCE)
"""Stands for a moment in which nothing came."""

AWOKEN = Frame(0, 0, 0, 0, np.empty(0, TICK), AWAKE)
"""Stands where a process has gone on with what a former one had heard; it is given the
time at which that one received something last."""

MARK = struct.Struct("<q32s")
"""Bytes of the file, SHA-256 of them."""


class InputsError(Bot4JaxError):
    """What came in cannot be heard again as it was."""

    exit_code = 3


class Inputs:
    """The file of one run, open for adding to it; a thread of its own writes."""

    def __init__(self, folder: Path, durability: Durability = "power_loss") -> None:
        """`durability`: what marks must survive, as in the journal."""
        self.path = folder / FILE
        self._file = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600)
        durable.sync(folder)  # a new file's name must outlive the machine's power too
        self._hash, self._length = hashlib.sha256(), 0
        self._writer = ThreadPoolExecutor(1, "inputs")
        self._failed: Exception | None = None
        self._outlives_power = durability == "power_loss"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.shutdown()
        os.close(self._file)

    @property
    def length(self) -> int:
        """Bytes, up to what was heard again last."""
        return self._length

    def again(self, marks: Iterable[bytes]) -> Iterator[Arrival]:
        """All that was heard, once; what steps have marked is what it was then.

        A torn end is cut off: no step has been decided on it.
        """
        with self.path.open("rb") as file:
            for mark in filter(None, marks):
                yield from self._marked(file, mark)
            while (found := entry(file)) is not None:
                self._count(found)
                yield arrival(found)
        os.ftruncate(self._file, self._length)

    def heard(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals, handed to the writer before anything is made of them."""
        for one in arrivals:
            self._writer.submit(self._append, one)
            yield one

    def mark(self) -> Future[bytes]:
        """Where the file ends with what was heard so far, once that is durable."""
        return self._writer.submit(self._synced)

    def _marked(self, file: BinaryIO, mark: bytes) -> Iterator[Arrival]:
        length, digest = MARK.unpack(mark)
        while self._length < length and (found := entry(file)) is not None:
            self._count(found)
            yield arrival(found)
        if self._length != length or self._hash.digest() != digest:
            raise InputsError(
                f"{self.path} is not what the journal says after {length} bytes: "
                "restore both from one copy, or start anew with run.fresh=true."
            )

    def _append(self, one: Arrival) -> None:
        try:
            parts = packed(one)
            written = os.writev(self._file, parts)
            if written != sum(map(len, parts)):
                raise OSError(f"{written} bytes written")
            self._count(parts)
        except Exception as error:  # nobody reads this future: the next mark tells
            self._failed = self._failed or error

    def _synced(self) -> bytes:
        try:
            if self._outlives_power:
                os.fdatasync(self._file)
        except Exception as error:
            self._failed = self._failed or error
        if self._failed is not None:
            raise Unwritten(
                f"What came in could not be written to {self.path} ({self._failed}). "
                "Nothing was sent. Check the disk and start again."
            )
        return MARK.pack(self._length, self._hash.digest())

    def _count(self, parts: Sequence[bytes]) -> None:
        for part in parts:
            self._hash.update(part)
            self._length += len(part)


def came_in(path: Path) -> Iterator[Arrival]:
    """What such a file holds whole, and the file left as it is."""
    with path.open("rb") as file:
        while (found := entry(file)) is not None:
            yield arrival(found)


def packed(one: Arrival) -> tuple[bytes, bytes]:
    """An arrival as it stands in the file: its head, and its records."""
    frame = one.frame or SILENT
    body = np.ascontiguousarray(frame.records).tobytes()
    fields = (*frame[:4], len(frame.records), *frame[5:])
    head = HEAD.pack(one.receive_ns, *fields, 0)[:CHECKED]
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "little"), body


def entry(file: BinaryIO) -> tuple[bytes, bytes] | None:
    """The next head and its records; None where the file ends, or is torn."""
    head = file.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    *_, count, _, _, _, checksum = HEAD.unpack(head)
    body = file.read(count * TICK.itemsize)
    is_whole = len(body) == count * TICK.itemsize
    found = zlib.crc32(body, zlib.crc32(head[:CHECKED]))
    return (head, body) if is_whole and found == checksum else None


def arrival(found: tuple[bytes, bytes]) -> Arrival:
    """What an entry tells of, taken up now."""
    head, body = found
    receive_ns, name, epoch, sequence, sent_ns, *rest = HEAD.unpack(head)
    _, kind, flags, events, _ = rest
    records = np.frombuffer(body, TICK)
    frame = Frame(name, epoch, sequence, sent_ns, records, kind, flags, events)
    return Arrival(None if kind == SILENCE else frame, time.perf_counter(), receive_ns)
