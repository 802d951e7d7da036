"""A model is tested on what comes after its training by the clock, not by number."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from bot4jax.config import load
from bot4jax.errors import CheckpointError, ConfigError, DataError
from bot4jax.learn import checkpoint
from bot4jax.modes import demo
from bot4jax.modes.backtest import backtest, cut
from bot4jax.modes.keeping import adopt, blank, expect_origin, identity, take_up
from bot4jax.modes.setting import set_stage

BEGAN = datetime(2024, 3, 1, tzinfo=UTC)
SPANS = ["spans.train=90", "spans.calibrate=24", "spans.test=72"]
NEEDED = 36 + 16 + 90 + 24 + 72  # with some to spare for gaps
WORDS = [
    "debug=tiny",
    "data=candles",
    "data.bar_seconds=300",
    "features.window=16",
    "features.names=[mean,standard_deviation,autocorrelation_1,rsi_14]",
    "ensemble.members=[gru,trees]",
    *SPANS,
]


def write(folder: Path, first: int, count: int = NEEDED, nudge: float = 0.0) -> Path:
    """Five-minute candles of sixteen pairs from the `first` on; each has its price."""
    folder.mkdir(exist_ok=True)
    for slot in range(16):
        noise = np.random.default_rng(slot).integers(-5, 6, 4 * NEEDED)
        close = (1_000 + np.cumsum(noise))[first : first + count] / 100.0
        close[20] += nudge
        when = [BEGAN + timedelta(minutes=5 * (first + at)) for at in range(count)]
        columns = {"open": close, "high": close + 0.05, "low": close - 0.05}
        volume = np.arange(1.0, count + 1)
        table = pl.DataFrame({"date": when, **columns, "close": close})
        table = table.with_columns(volume=pl.Series(volume))
        table.write_ipc(folder / f"C{slot}_BTC-5m.feather")
    return folder


def configured(root: Path, *more: str):
    own = [f"data.path={root / 'candles'}", f"run.root={root}"]
    return load([*WORDS, *own, *more])


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """A place with candles from the 100th on, and what was trained on them."""
    root = tmp_path_factory.mktemp("origin")
    write(root / "candles", 100)
    assert demo.train(configured(root, "mode=train", "run.name=model")) == 0
    return root


@pytest.fixture
def place(fitted, tmp_path):
    """The same, to be changed; it stands where it was fitted, which is a part of it."""
    shutil.copytree(fitted, tmp_path / "whole")
    yield fitted
    shutil.rmtree(fitted)
    shutil.copytree(tmp_path / "whole", fitted)


def judged(root: Path, mode: str = "backtest"):
    """The stage of a run that takes up the model; the mode may be one with ticks."""
    model = root / "model"
    words = ["mode=backtest", f"run.model={model}", "run.name=b"]
    config = adopt(configured(root, *words), model)
    return set_stage(msgspec.structs.replace(config, mode=mode))


def test_earlier_history_in_the_folder_is_no_unseen_test(place):
    """What was 100 candles before the training's first makes its bars the test's."""
    take_up(place / "model", judged(place))
    write(place / "candles", 20, NEEDED + 80)
    found = (
        r"model: was fitted on bars from 2024-03-01 08:20:00 UTC .* up to .*; this "
        r"source begins at 2024-03-01 01:40:00 UTC .*, opens at .*train again on these"
    )
    setting = judged(place)
    with pytest.raises(CheckpointError, match=found):
        take_up(place / "model", setting)
    with pytest.raises(CheckpointError, match="was fitted on bars from"):
        backtest(setting.config)


def test_later_history_in_the_folder_is_welcome(place):
    write(place / "candles", 100, NEEDED + 50)
    setting = judged(place)
    assert take_up(place / "model", setting).next_bar == setting.split.test.start


def test_a_candle_of_the_training_that_was_corrected_is_told(place):
    write(place / "candles", 100, nudge=0.01)
    with pytest.raises(CheckpointError, match=r"digest .* its files have changed"):
        take_up(place / "model", judged(place))


def test_a_live_feed_may_begin_later_and_never_earlier(place):
    write(place / "candles", 120)
    take_up(place / "model", judged(place, "live"))
    with pytest.raises(CheckpointError, match="numbers have moved"):
        take_up(place / "model", judged(place))
    write(place / "candles", 80)
    with pytest.raises(CheckpointError, match="opens before that, at 2024-03-01"):
        take_up(place / "model", judged(place, "live"))


def test_a_checkpoint_that_does_not_tell_its_bars_is_refused(place):
    """Whoever takes it up, a live run too."""
    for mode in ("backtest", "live"):
        setting, folder = judged(place, mode), place / "model" / "checkpoints"
        step = checkpoint.newest_intact(folder)
        assert step is not None
        kept, _ = checkpoint.restore(folder, blank(setting), identity(setting))
        checkpoint.save(folder, step, kept, identity(setting))
        with pytest.raises(CheckpointError, match=r"does not tell when .* train again"):
            take_up(place / "model", setting)


def test_a_fold_in_pieces_knows_all_bars(place):
    """What was fitted behind the test as well is kept to all it was fitted on."""
    setting, whole = judged(place), NEEDED
    folder = place / "model" / "checkpoints"
    _, manifest = checkpoint.restore(folder, blank(setting), identity(setting))
    with pytest.raises(CheckpointError, match=f"bar {whole}, with which the test"):
        expect_origin(folder, manifest.origin, setting, whole)


def test_a_finished_run_is_not_told_again_of_other_files(place, capsys):
    again = configured(place, "mode=train", "run.name=model")
    assert demo.train(again) == 0  # nothing has changed: told again, not fitted
    assert "summary" in capsys.readouterr().out
    write(place / "candles", 100, nudge=0.01)
    found = r"run\.name: .*model holds a run of other files: .*\(digest .*run\.fresh"
    with pytest.raises(ConfigError, match=found):
        demo.train(again)
    write(place / "candles", 100)
    assert demo.train(again) == 0


@pytest.mark.parametrize("split", ["k_fold", "combinatorial"])
def test_tests_of_days_that_chose_the_shares_are_refused(split, tmp_path):
    """Who failed before the shares were chosen is in none of them."""
    setting: Any = folded(tmp_path, split)
    assert cut(setting)
    setting.source.listed_bars = 16 + 400
    found = rf"first 416 days, and backtest\.split={split} tests from day \d+ on"
    with pytest.raises(DataError, match=found):
        cut(setting)


def test_walking_forward_tests_after_the_days_that_chose_the_shares(tmp_path):
    setting: Any = folded(tmp_path, "walk_forward")
    setting.source.listed_bars = 16 + 400
    assert all(one.start >= 416 for fold in cut(setting) for one in fold.test)


def folded(root: Path, split: str):
    """A stage whose folds are fitted anew."""
    write(root / "candles", 100, 600)
    words = ["mode=backtest", "backtest.refit=true", "backtest.folds=3"]
    more = ["backtest.tests=1", "backtest.fidelity=research", "spans.train=400"]
    return set_stage(configured(root, *words, *more, f"backtest.split={split}"))
