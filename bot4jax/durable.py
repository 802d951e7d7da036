"""Files that are there whole or not at all, and outlive a loss of power."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bot4jax.errors import StorageError

UNFINISHED = re.compile(r"(\.\d+)?\.part$")
"""Behind the name of a file that is being written, with the writer's process number."""

ROOM, LEAVE = "make room there", "let this user read and write there"

MENDS = {
    errno.ENOSPC: ROOM,
    errno.EDQUOT: ROOM,
    errno.EFBIG: ROOM,
    errno.EROFS: LEAVE,
    errno.EACCES: LEAVE,
    errno.EPERM: LEAVE,
    errno.EIO: "look at the disk",
    errno.ENAMETOOLONG: "choose a shorter path",
}
"""What a person can do about an error of the disk; others are defects of ours."""


@contextmanager
def explained() -> Iterator[None]:
    """What the disk refuses while the block lasts, in a sentence with its path."""
    try:
        yield
    except OSError as error:
        if error.errno not in MENDS:
            raise
        where, why = error.filename or "the disk", os.strerror(error.errno).lower()
        raise StorageError(
            f"{os.fsdecode(where)}: {why}; {MENDS[error.errno]}, then start again"
        ) from error


def write(path: Path, content: str | bytes) -> Path:
    """Replace a file in one move, once its bytes are on the disk; the path.

    A reader sees the old file or all of the new one. A text is written as UTF-8.
    """
    raw = content.encode() if isinstance(content, str) else content
    with drafted(path) as part, part.open("wb") as file:
        file.write(raw)
    return path


def append(path: Path, handle: int, line: bytes) -> None:
    """Add bytes to an open file, all of them or none; durable on return.

    A disk that fills up takes the first of them without a word.
    """
    size = os.fstat(handle).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    except OSError as error:
        os.ftruncate(handle, size)
        raise _of(path, error) from error


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """The name to write under; what lies there takes the file's place in one move.

    Where the block or the disk fails nothing is left of it, and the error names the
    file: a full disk tells of no path by itself.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        yield part
        sync(part)
        os.replace(part, path)
        sync(path.parent)
    except BaseException as error:
        with suppress(OSError):
            part.unlink()
        if isinstance(error, OSError):
            raise _of(path, error) from error
        raise


@contextmanager
def named(path: Path) -> Iterator[None]:
    """An error of the disk that names no file, as that of a full one, names this."""
    try:
        yield
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise _of(path, error) from error


def of_the_disk(error: Exception) -> OSError | None:
    """What the system has refused, of a library's error that only tells it in words."""
    numbers = (one for one in MENDS if os.strerror(one) in str(error))
    number = next(numbers, None)
    return None if number is None else OSError(number, os.strerror(number))


def _of(path: Path, error: OSError) -> OSError:
    """The same error with the file that it is about."""
    return OSError(error.errno, error.strerror or str(error), str(path))


def intended(name: str) -> str:
    """Of which file one is the unfinished beginning, by their names; else its own."""
    return UNFINISHED.sub("", name)


def sync(path: Path) -> None:
    """Wait until a file's bytes, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
