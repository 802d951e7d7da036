"""The newest rows are those that a list of all of them ends with."""

import numpy as np
import pytest

from bot4jax.runtime.ring import Ring

SIZE = 5


@pytest.mark.parametrize("came", [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE + 2])
def test_rows_one_by_one_are_the_end_of_a_list(came):
    ring, every = Ring(SIZE, np.float32), []
    for number in range(came):
        ring.add(number / 4)
        every.append(number / 4)
    assert ring.since().tolist() == every[-SIZE:]
    assert (len(ring), ring.count) == (min(came, SIZE), came)


@pytest.mark.parametrize("first", [0, 3, 7, 11, 12, 99])
def test_rows_are_counted_from_the_very_first(first):
    ring = Ring(SIZE, np.int64)
    for number in range(12):
        ring.add(number)
    assert ring.since(first).tolist() == [n for n in range(12)[-SIZE:] if n >= first]


@pytest.mark.parametrize("seed", range(3))
def test_pieces_of_any_length_come_to_the_same(seed):
    """None, a few, exactly as many as there is room for, and more."""
    rng, ring, every = np.random.default_rng(seed), Ring(SIZE, np.int32), []
    for length in (0, SIZE, 2 * SIZE + 1, *rng.integers(0, 2 * SIZE, 20)):
        piece = np.arange(len(every), len(every) + length, dtype=np.int32)
        ring.extend(piece)
        every += piece.tolist()
        assert ring.since().tolist() == every[-SIZE:]
        assert ring.count == len(every)


def test_rows_with_columns_are_tuples():
    ring = Ring(2, [("step", np.int64), ("worth", np.float64)])
    for row in ((2**62, 0.1), (-1, np.inf), (3, 1e-300)):
        ring.add(row)
    assert ring.since().tolist() == [(-1, np.inf), (3, 1e-300)]


def test_what_was_read_does_not_change():
    ring = Ring(2, np.float32)
    ring.add(1.0)
    read = ring.since()
    ring.extend(np.array([2.0, 3.0]))
    assert read.tolist() == [1.0]
