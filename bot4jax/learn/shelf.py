"""Rows that come one by one, kept in memory or in files that are written once.

Files are mapped: what reads a chunk of bars brings that chunk into memory and no more,
and whoever reads them cannot tell the difference. They hold plain numbers, row after
row, without a header, and live no longer than the run that wrote them.
"""

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bot4jax.errors import DataError


class Shelf(NamedTuple):
    """Where rows are put."""

    folder: Path | None
    """None: in memory"""


MEMORY = Shelf(None)


def gathered(
    shelf: Shelf, names: Sequence[str], rows: Iterable[Sequence[Any]]
) -> tuple[np.ndarray, ...]:
    """One array a column, `[rows, …]`; on disk one file a column."""
    if shelf.folder is not None:
        return _mapped(shelf.folder, names, rows)
    columns = zip(*(map(np.asarray, row) for row in rows), strict=True)
    return tuple(np.stack(column) for column in columns)


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
