"""Received ticks on disk, as they came: what a replay plays again.

One Parquet file a few thousand frames, each row a tick, frames told apart by number.
Where the clock closes bars, the moments of silence in which it was asked stand among
the frames. A thread of its own writes them, so that nobody who decides waits for a
disk.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import polars as pl

from bot4jax.errors import DataError
from bot4jax.runtime.inputs import SILENCE, SILENT
from bot4jax.runtime.journal import Unwritten
from bot4jax.runtime.publish import Arrival
from bot4jax.types import TICK, Frame

FRAMES_A_FILE, TICKS_A_FILE = 8192, 1 << 19
"""A file is full with either: 24 MiB of ticks."""

HEADER = (
    *("publisher", "epoch", "sequence", "sent_ns", "kind", "flags", "events"),
    *("receive_ns", "count"),
)


class TickRecord:
    """Keeps all that it hears; files appear whole, in order of their numbers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._heard: list[tuple[Frame, int]] = []
        self._ticks = 0
        self._writer = ThreadPoolExecutor(1, "ticks")
        self._files = 0
        self._coming: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._write()
        self._writer.shutdown()
        for one in self._coming:
            self._end(one)

    def heard(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals, remembered in passing; they replace a former record."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for left in self._folder.glob("*.parquet*"):
            left.unlink()
        for one in arrivals:
            frame = one.frame or SILENT
            self._heard.append((frame, one.receive_ns))
            self._ticks += len(frame.records)
            if len(self._heard) >= FRAMES_A_FILE or self._ticks >= TICKS_A_FILE:
                self._write()
            yield one

    def _write(self) -> None:
        """Hand what was heard to the writer."""
        if not self._heard:
            return
        stem, heard = self._folder / f"{self._files:06d}", self._heard
        self._heard, self._ticks = [], 0
        self._files += 1
        self._coming.append(self._writer.submit(write, stem, heard))
        while self._coming and self._coming[0].done():
            self._end(self._coming.popleft())

    def _end(self, written: Future[None]) -> None:
        """A file is there; without it the run could not be played again."""
        try:
            written.result()
        except Exception as error:
            raise Unwritten(
                f"Received ticks could not be written to {self._folder} ({error}). "
                "Check the disk and start again."
            ) from error


def write(stem: Path, heard: Sequence[tuple[Frame, int]]) -> None:
    """Two files, ticks and frames, each whole or not there."""
    heads = [
        (*one[:4], *one[5:], receive_ns, len(one.records)) for one, receive_ns in heard
    ]
    frames = pl.DataFrame(heads, schema=dict.fromkeys(HEADER, pl.Int64), orient="row")
    records = np.concatenate([frame.records for frame, _ in heard])
    ticks = pl.DataFrame({field: records[field] for field in TICK.names or ()})
    for kind, table in (("ticks", ticks), ("frames", frames)):
        part = stem.with_name(f"{stem.name}.{kind}.part")
        table.write_parquet(part, compression="zstd", compression_level=1)
        part.replace(stem.with_name(f"{stem.name}.{kind}.parquet"))


def recorded(folder: Path) -> Iterator[Arrival]:
    """What a record holds in the order it came, with its receive times."""
    files = sorted(folder.glob("*.frames.parquet"))
    if not files:
        raise DataError(
            f"{folder} holds no recorded ticks: replay.run must name the folder of a "
            "run that traded over sockets."
        )
    for path in files:
        ticks = pl.read_parquet(path.with_name(path.name.replace("frames", "ticks")))
        records = np.empty(len(ticks), TICK)
        for field in TICK.names or ():
            records[field] = ticks[field].to_numpy()
        at = 0
        for row in _heads(path).iter_rows():
            name, epoch, sequence, sent_ns, kind, flags, told, receive_ns, count = row
            own = records[at : at + count]
            at += count
            frame = Frame(name, epoch, sequence, sent_ns, own, kind, flags, told)
            yield Arrival(None if kind == SILENCE else frame, 0.0, receive_ns)


def _heads(path: Path) -> pl.DataFrame:
    """All frames' heads in a file of this release."""
    found = pl.read_parquet(path)
    if tuple(found.columns) != HEADER:
        raise DataError(
            f"{path} was recorded by another release of bot4jax: it has the columns "
            f"{', '.join(found.columns)}. Replay it with that one."
        )
    return found
