"""Received ticks on disk, as they came: what a replay plays again.

One Parquet file a few thousand frames, each row a tick, frames told apart by number.
Where the clock closes bars, the moments of silence in which it was asked stand among
the frames. Beside both files of a number lie their SHA-256, as `sha256sum -c` reads
them: Parquet has no checksums here, and a reader may die of a flipped bit. A thread of
its own writes them, so that nobody who decides waits for a disk.
"""

import hashlib
import io
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

KINDS = ("ticks", "frames")

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
        for left in self._folder.iterdir():
            if left.suffix in (".parquet", ".part", ".sha256"):
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
    """Two files, ticks and frames, each whole or not there; then what they are known
    by."""
    heads = [
        (*one[:4], *one[5:], receive_ns, len(one.records)) for one, receive_ns in heard
    ]
    frames = pl.DataFrame(heads, schema=dict.fromkeys(HEADER, pl.Int64), orient="row")
    records = np.concatenate([frame.records for frame, _ in heard])
    ticks = pl.DataFrame({field: records[field] for field in TICK.names or ()})
    tables = zip(KINDS, (ticks, frames), strict=True)
    sums = [_put(_file(stem, kind), table) for kind, table in tables]
    _sums(stem).write_text("".join(f"{one}\n" for one in sums))


def _put(path: Path, table: pl.DataFrame) -> str:
    """Write a table; the line that it is known by."""
    buffer, part = io.BytesIO(), path.with_suffix(".part")
    table.write_parquet(buffer, compression="zstd", compression_level=1)
    try:
        part.write_bytes(buffer.getbuffer())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    return _line(path, buffer.getbuffer())


def recorded(folder: Path) -> Iterator[Arrival]:
    """What a record holds in the order it came, with its receive times; raises
    `DataError` where it is not all that was recorded, as it was."""
    stems = sorted({one.name[:6] for one in folder.glob("[0-9]*.*")})
    if not stems:
        raise DataError(
            f"{folder} holds no recorded ticks: replay.run must name the folder of a "
            "run that traded over sockets."
        )
    for number, stem in enumerate(stems):
        if stem != f"{number:06d}":
            raise DataError(
                f"{folder} has files {stem} and none of {number:06d}: restore them "
                "from a copy."
            )
        yield from _part(folder / stem)


def _part(stem: Path) -> Iterator[Arrival]:
    """What two files hold."""
    ticks, heads = (_read(stem, kind) for kind in KINDS)
    if tuple(heads.columns) != HEADER or tuple(ticks.columns) != TICK.names:
        raise _of_another_release(_file(stem, "frames"))
    records = np.empty(len(ticks), TICK)
    for field in TICK.names or ():
        records[field] = ticks[field].to_numpy()
    at = 0
    for row in heads.iter_rows():
        name, epoch, sequence, sent_ns, kind, flags, told, receive_ns, count = row
        own = records[at : at + count]
        at += count
        frame = Frame(name, epoch, sequence, sent_ns, own, kind, flags, told)
        yield Arrival(None if kind == SILENCE else frame, 0.0, receive_ns)


def _read(stem: Path, kind: str) -> pl.DataFrame:
    """A table whose file is what was written."""
    path, sums = _file(stem, kind), _sums(stem)
    try:
        content, known = path.read_bytes(), sums.read_text().splitlines()
    except (OSError, ValueError) as error:
        if path.is_file() and not sums.exists():
            raise _of_another_release(path) from error
        raise DataError(f"{path} cannot be read: {error}.") from error
    if _line(path, content) not in known:
        raise DataError(
            f"{path} is not what was recorded, by {sums.name} beside it: restore both "
            "from a copy."
        )
    return pl.read_parquet(io.BytesIO(content))


def _line(path: Path, content: bytes | memoryview) -> str:
    return f"{hashlib.sha256(content).hexdigest()}  {path.name}"


def _file(stem: Path, kind: str) -> Path:
    return stem.with_name(f"{stem.name}.{kind}.parquet")


def _sums(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.sha256")


def _of_another_release(path: Path) -> DataError:
    return DataError(
        f"{path} was recorded by another release of bot4jax, or not to its end: it "
        "lacks columns or its SHA-256. Replay it with that release."
    )
