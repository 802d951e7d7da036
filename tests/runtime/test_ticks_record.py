"""A record of ticks is played again as it was written, or not at all."""

import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bot4jax.errors import DataError
from bot4jax.runtime import ticks_record
from bot4jax.runtime.journal import Unwritten
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.ticks_record import TickRecord, recorded
from bot4jax.types import QUOTE, TICK, Frame
from tests.small_disk import no_room

PARTS, FRAMES = 3, 2
"""Of a record, and of each part."""


def arrival(number: int) -> Arrival:
    """A frame of three quotes."""
    records = np.zeros(3, TICK)
    records["kind"], records["a"], records["b"] = QUOTE, 100 + number, 102 + number
    records["event_ns"] = 10 * number + np.arange(3)
    return Arrival(Frame(1, 1, 3 * number, 10 * number, records), 0.0, 10 * number)


def keep(folder: Path, count: int) -> None:
    with TickRecord(folder) as record:
        assert len(list(record.heard(map(arrival, range(count))))) == count


def told(folder: Path) -> list[tuple[int, bytes]]:
    """What a record says, frame by frame."""
    return [
        (one.receive_ns, one.frame.records.tobytes())
        for one in recorded(folder)
        if one.frame is not None
    ]


@pytest.fixture
def record(tmp_path, monkeypatch) -> Path:
    """Of three parts."""
    monkeypatch.setattr(ticks_record, "FRAMES_A_FILE", FRAMES)
    keep(tmp_path / "ticks", PARTS * FRAMES)
    assert len(list((tmp_path / "ticks").iterdir())) == 3 * PARTS
    return tmp_path / "ticks"


def test_it_is_told_as_it_came_and_anybody_can_check_it(record):
    came = [arrival(number) for number in range(PARTS * FRAMES)]
    assert told(record) == [
        (one.receive_ns, one.frame.records.tobytes()) for one in came if one.frame
    ]
    sums = sorted(one.name for one in record.glob("*.sha256"))
    subprocess.run(["sha256sum", "--check", "--quiet", *sums], cwd=record, check=True)


def test_a_record_made_anew_holds_nothing_of_the_one_before(record):
    (record / "000009.ticks.part").write_bytes(b"of a process that was killed")
    keep(record, 1)
    assert {one.name[:6] for one in record.iterdir()} == {"000000"}
    assert len(told(record)) == 1


def without(name: str) -> Callable[[Path], None]:
    """Takes away what this pattern finds."""

    def remove(folder: Path) -> None:
        for one in folder.glob(name):
            one.unlink()

    return remove


def torn(folder: Path) -> None:
    path = folder / "000001.ticks.parquet"
    path.write_bytes(path.read_bytes()[:-20])


def with_fewer_ticks(folder: Path) -> None:
    path = folder / "000001.ticks.parquet"
    pl.read_parquet(path).head(2).write_parquet(path)


def exchanged(folder: Path) -> None:
    """Two parts, each whole."""
    for one in folder.glob("000001.*"):
        other, held = folder / f"000002{one.name[6:]}", folder / "held"
        one.rename(held)
        other.rename(one)
        held.rename(other)


@pytest.mark.parametrize(
    "change",
    [
        *map(without, ("000000.*", "000001.*", "000001.ticks*", "000001.frames*")),
        *map(without, ("000001.sha256", "*.sha256", "*")),
        torn,
        with_fewer_ticks,
        exchanged,
    ],
)
def test_a_record_that_is_not_whole_is_refused_by_name(record, change):
    change(record)
    with pytest.raises(DataError, match=str(record)):
        told(record)


@pytest.mark.parametrize("kind", ["ticks", "frames"])
def test_no_flipped_bit_goes_unseen(record, kind):
    """Polars itself reads many of them as other ticks, and ends the process at some."""
    path, rng = record / f"000001.{kind}.parquet", random.Random(kind)
    whole = path.read_bytes()
    for _ in range(200):
        changed = bytearray(whole)
        changed[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(DataError, match="not what was recorded"):
            told(record)


@pytest.mark.parametrize("room", [0, 100])
def test_a_part_that_finds_no_room_leaves_nothing_half_written(tmp_path, room):
    with no_room(room), pytest.raises(Unwritten, match=f"written to {tmp_path}"):
        keep(tmp_path, 1)
    assert list(tmp_path.iterdir()) == []
    keep(tmp_path, 1)
    assert len(list(recorded(tmp_path))) == 1
