"""Rows that come one by one, kept in memory or in files that are written once.

Files are mapped: what reads a chunk of bars brings that chunk into memory and no more,
and whoever reads them cannot tell the difference. They hold plain numbers, row after
row, without a header, and live no longer than the run that wrote them.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from bot4jax.errors import DataError

Row = TypeVar("Row")


class Shelf(NamedTuple):
    """Where rows are put."""

    folder: Path | None
    """None: in memory"""


MEMORY = Shelf(None)


def gathered(
    shelf: Shelf,
    names: Sequence[str],
    rows: Iterable[Sequence[Any]],
    count: int | None = None,
) -> tuple[np.ndarray, ...]:
    """One array a column, `[rows, …]`; on disk one file a column.

    In memory rows are held until the last one is known, then copied, unless it is told
    how many will come: then each is copied as it comes.
    """
    if shelf.folder is not None:
        return _mapped(shelf.folder, names, rows)
    if count:
        return _copied(rows, count)
    columns = zip(*(map(np.asarray, row) for row in rows), strict=True)
    return tuple(np.stack(column) for column in columns)


def one_behind(rows: Iterable[Row]) -> Iterator[Row]:
    """Each row when the next has been asked for: a device computes that meanwhile."""
    before: list[Row] = []
    for row in rows:
        yield from before
        before = [row]
    yield from before


def _copied(rows: Iterable[Sequence[Any]], count: int) -> tuple[np.ndarray, ...]:
    found: list[np.ndarray] = []
    number = 0
    for number, row in enumerate(rows, 1):
        arrays = [np.asarray(one) for one in row]
        found = found or [np.empty((count, *one.shape), one.dtype) for one in arrays]
        for column, array in zip(found, arrays, strict=True):
            column[number - 1] = array
    return tuple(column[:number] for column in found)


def _mapped(
    folder: Path, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> tuple[np.ndarray, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    count, kinds = 0, []
    with ExitStack() as stack:
        files = [
            stack.enter_context((folder / name).open("wb", buffering=0))
            for name in names
        ]
        for row in rows:
            arrays = [np.asarray(one) for one in row]
            kinds, count = [(one.dtype, one.shape) for one in arrays], count + 1
            _write(folder, files, arrays)
    return tuple(
        np.asarray(np.memmap(folder / name, kind, "r+", shape=(count, *shape)))
        for name, (kind, shape) in zip(names, kinds, strict=True)
    )


def _write(folder: Path, files: Sequence[Any], arrays: Sequence[np.ndarray]) -> None:
    try:
        for file, array in zip(files, arrays, strict=True):
            left = np.ascontiguousarray(array).data.cast("B")
            while left:  # unbuffered, so that a full disk is told of here
                left = left[file.write(left) :]
    except OSError as error:
        raise DataError(
            f"{folder}: cannot hold what training reads ({error}): make room, move "
            "run.root, or use train.samples=memory"
        ) from error
