"""FI-2010: ten days of the books of five Finnish shares, as Ntakaris et al. gave them.

Source: Ntakaris, Magris, Kanniainen, Gabbouj & Iosifidis (2018), Benchmark dataset for
mid-price forecasting of limit order book data with machine learning methods. A file is
a matrix of 149 rows, every tenth event a column: rows 0–39 the book (ask price, ask
size, bid price, bid size of each level), 40–143 features, 144–148 the class of the next
10, 20, 30, 50 and 100 events, which are the next 1, 2, 3, 5 and 10 columns: 1 up, 2
flat, 3 down. Of the blocks of ten speak Zhang, Zohren & Roberts (2019), DeepLOB.

Neither stocks nor days are marked within a file. The first training file holds one day
and so does every test file, the next one: those are read, a file a day. Within a day
the shares follow each other, and a price that jumps is another share's.
"""

import re
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bot4jax.data.depth import BookStates
from bot4jax.data.source import DataError

ROWS, LEVELS = 149, 10
BOOK = slice(0, 4 * LEVELS)
SIZES = slice(1, 4 * LEVELS, 2)
LABELS = slice(144, 149)
"""10, 20, 30, 50 and 100 events ahead."""

BLOCK = 10
"""Events from one column to the next."""

JUMP = 0.02
"""Relative move of the mid between two events that no share makes within a day."""


def fi2010_states(folder: Path, symbols: int = 0, most: int = 0) -> list[BookStates]:
    """The books of every share and day of the folder's files, in the order of days.

    At most the first `symbols` shares of a file and the first `most` columns of each;
    0: all.
    """
    found = [
        one.part(slice(most or None))
        for day, path in enumerate(day_files(folder))
        for one in islice(shares(day, read_matrix(path)), symbols or None)
    ]
    if not found:
        raise DataError(
            f"{folder} holds no file of one day of FI-2010: expected "
            "'Train_Dst_NoAuction_DecPre_CF_1.txt' and 'Test_Dst_NoAuction_DecPre_CF_"
            "<1…9>.txt'. Other training files hold several days, which are not marked."
        )
    return found


def day_files(folder: Path) -> list[Path]:
    """Files of a single day: the first training file, then the test files."""
    paths = sorted(folder.glob("*.txt"))
    train = [one for one in paths if re.search(r"Train.*_CF_1\.txt$", one.name)]
    test = [one for one in paths if re.search(r"Test.*_CF_\d\.txt$", one.name)]
    return train + test


def read_matrix(path: Path) -> Float[np.ndarray, "149 N"]:
    """A file's numbers, refused where they are not FI-2010's in decimal precision."""
    try:
        matrix = np.loadtxt(path, dtype=np.float64, ndmin=2)
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}): fetch it again.") from error
    if len(matrix) != ROWS:
        raise DataError(
            f"{path}: {len(matrix)} rows were found, {ROWS} were expected: 40 of the "
            "book, 104 features, 5 labels."
        )
    if not np.isin(matrix[LABELS], (1, 2, 3)).all():
        raise DataError(f"{path}: rows 144–148 hold other labels than 1, 2 and 3.")
    if not np.isfinite(matrix[BOOK]).all():
        raise DataError(f"{path}: rows 0–39, the book, hold what is no finite number.")
    asks, bids = matrix[0], matrix[2]
    if not ((bids > 0) & (asks > bids)).all():
        raise DataError(
            f"{path}: best asks do not lie above best bids. Prices that were brought "
            "to scores or to 0 … 1 are no prices any more: use the files in decimal "
            "precision (DecPre)."
        )
    if not (matrix[SIZES] >= 0).all():
        raise DataError(f"{path}: rows 0–39, the book, hold a size below 0.")
    return matrix


def shares(day: int, matrix: Float[np.ndarray, "149 N"]) -> Iterator[BookStates]:
    """One share after the other, cut where the mid jumps."""
    events = matrix.shape[1]
    mid = (matrix[0] + matrix[2]) / 2
    jumps = np.flatnonzero(np.abs(np.diff(mid)) > JUMP * mid[:-1]) + 1
    edges = [0, *jumps.tolist(), events]
    for number, (start, stop) in enumerate(pairwise(edges), 1):
        own = matrix[:, start:stop]
        book = own[BOOK].T.reshape(-1, LEVELS, 2, 2)  # level, side, price and size
        price, size = (book[..., i].transpose(0, 2, 1) for i in (0, 1))
        at = day + np.arange(stop - start) / (stop - start)
        labels = (3 - own[LABELS].T).astype(np.int64)
        yield BookStates(f"share {number}", day, at, price, size, labels, BLOCK)
