"""A run that ended while it wrote its first checkpoint goes on when it starts again."""

import errno
import json
import os
from pathlib import Path

import pytest

from bot4jax.config import load
from bot4jax.errors import CheckpointError
from bot4jax.learn import checkpoint
from bot4jax.modes import demo
from bot4jax.modes.keeping import expect_checkpoint, is_kept
from tests.small_stage import FEW


def full(handle: int, *_) -> None:
    """No room for a run's first checkpoint."""
    if "/checkpoints/" in os.readlink(f"/proc/self/fd/{handle}"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def told(folder: Path) -> dict:
    """What a run found out, apart from how long it took."""
    summary = json.loads((folder / "summary.json").read_text())
    return {name: summary[name] for name in ("members", "ensemble", "orders", "bars")}


def test_a_run_without_room_for_its_checkpoint_fits_again(
    few, words, tmp_path, monkeypatch
):
    """It is told to make room and to start again, and comes to what it would have."""
    config = load(["mode=demo", "run.name=few", *words, f"run.root={tmp_path}", *FEW])
    folder = tmp_path / "few"
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            demo.demo(config)
    assert (folder / "checkpoints").is_dir()
    assert not is_kept(folder)
    assert demo.demo(config) == 0
    assert told(folder) == told(few)


@pytest.mark.parametrize("left", [[], [f"{checkpoint.UNFINISHED}356"]])
def test_what_was_not_written_to_its_end_is_no_checkpoint(tmp_path, left):
    for name in left:
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    assert not is_kept(tmp_path)
    with pytest.raises(CheckpointError, match="run `mode=train` or the demo first"):
        expect_checkpoint(tmp_path)


def test_a_damaged_checkpoint_is_one_all_the_same(tmp_path):
    """Its run is refused by what is wrong with it, and never fitted over it."""
    (tmp_path / "checkpoints" / "356").mkdir(parents=True)
    assert is_kept(tmp_path)
