"""Rows on disk are the rows in memory, and training reads them piece by piece."""

import os
import subprocess
import sys

import numpy as np
import pytest

from bot4jax.errors import DataError
from bot4jax.learn.schedule import Samples
from bot4jax.learn.shelf import MEMORY, Shelf, gathered, one_behind
from tests.learn.small_fit import assert_same_bits, fitted, samples
from tests.learn.small_memory import KEEPS_NOTHING

NAMES = ("values", "usable", "market")


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    return [
        (
            random.normal(size=(3, 2)).astype(np.float32),
            random.random((3, 2)) < 0.5,
            np.float32(random.random()),
        )
        for _ in range(5)
    ]


def test_files_hold_what_memory_would(rows, tmp_path):
    here = gathered(MEMORY, NAMES, iter(rows))
    there = gathered(Shelf(tmp_path), NAMES, iter(rows))
    for one, other in zip(here, there, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert {path.name for path in tmp_path.iterdir()} == set(NAMES)
    assert (tmp_path / "values").stat().st_size == 5 * 3 * 2 * 4


@pytest.mark.parametrize("count", [5, 8], ids=["as_many", "fewer_than_told"])
def test_rows_whose_number_is_told_are_copied_as_they_come(rows, count):
    """Each is overwritten by the next, as a device's buffers may be."""

    def same_place():
        place = [np.empty_like(one) for one in rows[0]]
        for row in rows:
            for own, one in zip(place, row, strict=True):
                own[...] = one
            yield place

    expected = gathered(MEMORY, NAMES, iter(rows))
    found = gathered(MEMORY, NAMES, same_place(), count)
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_a_row_is_handed_on_when_the_next_has_been_asked_for():
    made, taken = [], []
    for row in one_behind(made.append(n) or n for n in range(4)):
        taken.append((row, len(made)))
    assert taken == [(0, 2), (1, 3), (2, 4), (3, 4)]
    assert list(one_behind([])) == []


def test_files_can_be_written_in_place(rows, tmp_path):
    """As scores replace raw values; what was mapped before is seen to change."""
    values, *_ = gathered(Shelf(tmp_path), NAMES, iter(rows))
    values[2] = 7
    again = np.fromfile(tmp_path / "values", np.float32).reshape(5, 3, 2)
    np.testing.assert_array_equal(again[2], 7)
    np.testing.assert_array_equal(again[3], rows[3][0])


def test_a_fit_from_disk_has_the_bits_of_one_from_memory(tmp_path):
    data = samples()
    there = Samples(
        *gathered(Shelf(tmp_path), Samples._fields, zip(*data, strict=True))
    )
    assert_same_bits(fitted(data=there), fitted(data=data))


def test_a_full_disk_is_told(rows):
    with pytest.raises(DataError, match=r"cannot hold.*train.samples=memory"):
        gathered(Shelf(FullDisk()), NAMES, iter(rows))


class FullDisk:
    """A folder all of whose files are `/dev/full`."""

    def mkdir(self, **how):
        pass

    def __truediv__(self, name):
        return self

    def open(self, mode, buffering):
        return open("/dev/full", mode, buffering)


def test_memory_is_bounded_by_a_chunk_and_not_by_the_data():
    """A process that may allocate 128 MiB trains on 320 MiB, and cannot copy them."""
    command = [sys.executable, "-m", "tests.learn.small_memory"]
    own = os.environ | KEEPS_NOTHING
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=own)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "data 320 MiB, limit 128 MiB",
        "updates 64",
        "a copy of the data: MemoryError",
    ]
