"""A replay repeats a run to the bit, and says so when it does not."""

import contextlib
import io
import json

import msgspec
import polars as pl
import pytest

from bot4jax.errors import CheckpointError, ConfigError
from bot4jax.modes.replay import CERTIFICATE_VIOLATED, replay


@pytest.fixture
def again(run, tmp_path):
    """Replays a folder: exit code, what was printed and what was found."""

    def replayed(folder):
        config = msgspec.structs.replace(
            run.config,
            mode="replay",
            run=msgspec.structs.replace(run.config.run, root=str(tmp_path), name="re"),
            replay=msgspec.structs.replace(run.config.replay, run=str(folder)),
        )
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = replay(config)
        found = json.loads((tmp_path / "re" / "replay.json").read_text())
        return code, printed.getvalue(), found

    return replayed


def test_recorded_ticks_give_the_same_decisions_and_orders(run, again, setting):
    code, printed, found = again(run.folder)
    assert code == 0
    assert found["steps"] == len(setting.split.test)
    assert found["orders"] >= 100
    assert (found["decisions_differ"], found["orders_differ"]) == (0, 0)
    assert "the same, bit by bit" in printed


def test_other_ticks_are_told_from_the_recorded_ones(copied, again):
    """Every trade in the middle of the recording loses a lot."""
    for path in (copied / "ticks").glob("*.ticks.parquet"):
        rows = pl.read_parquet(path)
        middle = pl.int_range(pl.len()).is_between(pl.len() // 3, pl.len() // 2)
        lighter = pl.when((pl.col("kind") == 1) & middle & (pl.col("b") > 1))
        changed = lighter.then(pl.col("b") - 1).otherwise("b")
        rows.with_columns(changed).write_parquet(path)
    code, printed, found = again(copied)
    assert code == CERTIFICATE_VIOLATED
    assert found["decisions_differ"] > 0
    assert found["worst"] > 0
    assert f"{found['decisions_differ']} differ in decisions" in printed


def test_a_replay_of_nothing_is_refused(run, again, tmp_path):
    with pytest.raises((CheckpointError, ConfigError, FileNotFoundError)) as refused:
        again(tmp_path / "nowhere")
    assert "nowhere" in str(refused.value)
