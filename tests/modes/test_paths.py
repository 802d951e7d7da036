"""Backtests that leave out parts of time in turn: purged, resumable, labelled."""

import json
from pathlib import Path

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn.evaluate import FLAT
from bot4jax.learn.selection import period_profits, period_sharpe
from bot4jax.modes import backtest as mode
from bot4jax.modes.fold_fits import in_pieces
from bot4jax.modes.paths import Figures
from bot4jax.modes.paths import Path as Walk
from bot4jax.modes.report_paths import in_words, spread_over
from bot4jax.modes.setting import set_stage
from tests.learn.small_fit import assert_same_bits
from tests.modes.ways import silent
from tests.small_stage import FEW

OWN = [*FEW, "features.window=32", "mode=backtest", "backtest.refit=true"]
EVERY = [
    "backtest.split=combinatorial",
    "backtest.folds=3",
    "backtest.tests=2",
    "backtest.fidelity=research",
    "spans.calibrate=32",
    "spans.test=213",
]
"""Three parts of 148 bars: of one length, so that what one compiled fits the next."""
PARTS = [
    "backtest.split=k_fold",
    "backtest.folds=2",
    "backtest.latencies_ms=[]",
    "spans.test=161",
]
"""Two of 212."""


def configured(words, root, *more):
    own = [word for word in words if not word.startswith("run.root")] + OWN
    return load([*own, f"run.root={root}", "run.name=b", *more])


def backtest(words, root, *more):
    """The folder, the summary and the report."""
    assert mode.backtest(configured(words, root, *more)) == 0
    folder = Path(root) / "b"
    summary = json.loads((folder / "summary.json").read_text())
    return folder, summary, (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def every(words, tmp_path_factory):
    return backtest(words, tmp_path_factory.mktemp("every"), *EVERY)


def test_every_choice_of_parts_is_left_out_once(every):
    """Three choices of two parts of three, two paths through all of them."""
    folder, summary, report = every
    own = summary["backtest"]
    assert (own["split"], own["is_causal"]) == ("combinatorial", False)
    forests = {
        (folder / "folds" / n / "trees" / "forest.json").read_text() for n in "123"
    }
    assert len(forests) == 3
    assert own["paths"]["count"] == 2
    assert own["traps"]["overlaps"] == []
    assert own["traps"]["alarms"] == []
    bars = 200 + 32 + 213 + 2 * 6 - (61 - 48)  # all, but what warms up the first
    assert summary["bars"]["test"] == bars == 3 * 148
    assert len(own["effective_labels"]) == 3
    assert "<b>Not causal</b>" in report
    assert "<h2>Paths</h2>" in report


def test_the_tables_are_those_of_the_first_path(every):
    _, summary, _ = every
    own = summary["backtest"]
    for name, one in own["paths"]["forecasters"].items():
        assert one["net"][0] == pytest.approx(own["scan"][name]["net"][0])
        if name not in FLAT:
            told = own["scan"][name]
            saved = min(told[key][0] for key in ("saved_log_loss", "saved_of_recent"))
            assert one["saved"][0] == pytest.approx(saved)
    fitted = own["paths"]["forecasters"]["ensemble"]["saved"]
    assert fitted[0] != fitted[1]  # other bars were fitted on


@pytest.fixture(scope="module")
def parts(words, tmp_path_factory):
    return backtest(words, tmp_path_factory.mktemp("parts"), *PARTS)


def test_k_folds_trade_every_bar_once_and_say_what_it_is_worth(parts):
    folder, summary, report = parts
    bars = 200 + 64 + 161 + 2 * 6 - (61 - 48)
    assert summary["bars"]["test"] == bars == 2 * 212
    assert summary["orders"] > 0
    assert summary["backtest"]["paths"]["count"] == 1
    assert {one.name for one in (folder / "folds").iterdir()} == {"1", "2"}
    assert (folder / "folds" / "2" / "journal.sqlite").is_file()
    assert "<b>Not causal</b>" in report
    assert "<h2>Paths</h2>" not in report
    assert "An <b>exact</b> backtest" in report


def test_a_fold_that_was_fitted_is_taken_up_again(words, tmp_path):
    """From its checkpoint: the same bits where its test begins, and nothing fitted."""
    setting = set_stage(configured(words, tmp_path, *PARTS))
    fold, _ = folds = mode.folds_of(setting)
    market = mode.record_market(setting, folds, silent)
    first, again = (
        in_pieces(setting, market, fold, tmp_path, silent)[0] for _ in range(2)
    )
    assert first.learned is not None
    assert again.learned is not None
    ours, theirs = again.learned.members, first.learned.members
    for one in ("history", "forest"):
        assert_same_bits(getattr(ours, one), getattr(theirs, one))
    assert again.learned.calibration == first.learned.calibration
    assert first.setting.split == again.setting.split
    for one in ("state", "data", "record"):
        assert_same_bits(getattr(again, one), getattr(first, one))
    for one in ("returns", "classes", "weights"):
        assert_same_bits(getattr(again.labels, one), getattr(first.labels, one))


def walk(*nets) -> Walk:
    """A path on which one forecaster earned this, and another never traded."""
    sharpe = period_sharpe(period_profits(np.array(nets), 1))
    return Walk(
        {
            "gru": Figures(0.001, float(np.sum(nets)), sharpe),
            "class_prior": Figures(0.0, 0.0, float("nan")),
        },
        None,
    )


def test_the_spread_over_paths_by_hand():
    paths = (walk(0.01, 0.03, 0.02), walk(-0.02, 0.01, -0.02))
    found = spread_over(paths)
    assert "1.500 (-3.000 … 6.000)" in found
    assert "1 of 2" in found
    assert "class prior" not in found
    assert spread_over(paths[:1]) == ""
    told = in_words(paths)["forecasters"]
    assert told["class_prior"]["sharpe"] == [None, None]
    assert told["gru"]["sharpe"][0] == pytest.approx(2.0)
    assert told["gru"]["net"] == pytest.approx([0.06, -0.03])
