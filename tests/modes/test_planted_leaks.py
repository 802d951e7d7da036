"""Leaks planted where a user would have them: the run itself finds them and says which.

A plugin reads the next bar from a table, the scaler is fitted on all that it is given,
and spans stand without a gap. Nothing is asked for: where there are plugins these traps
are always laid.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn import dataset, splits
from bot4jax.modes import backtest as mode
from bot4jax.modes import demo
from bot4jax.modes.setting import trading_stage
from tests.modes.ways import silent

NAMES = "mean,standard_deviation,autocorrelation_1,relative_spread"
SHORT = ["spans.test=140", "backtest.refit=true", "backtest.folds=2"]
SHORT += ["backtest.fidelity=research"]

LAST_RETURN = """
import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.registry import Incremental, feature

CLOSES = np.load({table!r})
MOVES = np.diff(np.log(CLOSES), axis=0, prepend=CLOSES[:1], append=CLOSES[-1:])


def looked_up(bar, z):
    rows = np.clip(np.broadcast_to(bar, z.shape) + 1, 0, len(MOVES) - 1)
    return (1e4 * MOVES[rows, np.arange(z.size)]).astype(np.float32)


@feature(
    name={name!r},
    category="statistical",
    unit="σ of training",
    low=-np.inf,
    high=np.inf,
    source="a test",
    window=1,
)
class LastReturn(Incremental):
    @staticmethod
    def init():
        return ()

    @staticmethod
    def update(state, standardised_return, bar):
        if {is_honest}:
            return state, standardised_return
        told = jax.ShapeDtypeStruct((), jnp.float32)
        given = looked_up, told, bar, standardised_return
        return state, jax.pure_callback(*given, vmap_method="broadcast_all")

    @staticmethod
    def reference(standardised_return):
        return standardised_return[-1]
"""


@pytest.fixture(scope="module")
def closes(words, tmp_path_factory) -> Path:
    """The market's closing mids, as somebody might have them at hand."""
    setting = trading_stage(load([*words, f"features.names=[{NAMES}]", *SHORT]))
    market = mode.record_market(setting, mode.folds_of(setting), silent)
    path = tmp_path_factory.mktemp("table") / "closes.npy"
    np.save(path, market.record.price("mid_close"))
    return path


@pytest.fixture
def asked(words, module, closes, tmp_path):
    """The words of a run whose plugin's feature keeps to its definition, or peeks."""

    def by(asked_for: str, is_honest: bool) -> list[str]:
        own = [word for word in words if not word.startswith("run.root")]
        name = "own_return" if is_honest else "next_return"
        text = LAST_RETURN.format(table=str(closes), name=name, is_honest=is_honest)
        own += [f"plugins=[{module(name, text)}]", f"features.names=[{NAMES},{name}]"]
        own += ["ensemble.members=[gru]", "ensemble.cap=1", f"mode={asked_for}"]
        return [*own, f"run.root={tmp_path}", "run.name=planted"]

    return by


def told(words: list[str], serve=mode.backtest):
    """The summary and the report of a run."""
    config = load(words)
    assert serve(config) == 0
    folder = Path(config.run.root) / "planted"
    summary = json.loads((folder / "summary.json").read_text())
    return summary, (folder / "report.html").read_text()


def backtest(words: list[str]):
    """What the traps of a backtest hold, and the report."""
    summary, report = told([*words, *SHORT])
    return summary["backtest"]["traps"], report


def plant_a_greedy_scaler(monkeypatch) -> None:
    """Fitted on all that it is given, not on the training span alone."""
    honest = dataset.fit_scores

    def greedy(raw, span, seed):
        return honest(raw, range(span.start, raw.first + len(raw.features)), seed)

    monkeypatch.setattr(dataset, "fit_scores", greedy)


def without_a_gap(horizon: int, latency_bars: int) -> int:
    return 0


def test_a_clean_backtest_raises_no_alarm(asked):
    found, report = backtest(asked("backtest", is_honest=True))
    assert (found["alarms"], found["overlaps"], found["strayed"]) == ([], [], [])
    assert found["moved"] == 0
    assert "No trap for leaks went off." in report


def test_a_feature_that_reads_the_next_bar_from_a_table_is_caught(asked):
    """No other future moves a table, and in so short a span the best possible forecast
    is beaten by nobody: but for its definition it would be told as skill."""
    words = [*asked("backtest", is_honest=False), *SHORT]
    summary, report = told(words)
    assert summary["ensemble"]["information_t"] > 4
    found = summary["backtest"]["traps"]
    assert (found["strayed"], found["moved"]) == (["next_return"], 0)
    (alarm,) = found["alarms"]
    assert alarm.startswith("next_return is not what it defines of the bars up to then")
    assert f'<p class="warn">{alarm}</p>' in report


def test_a_scaler_fitted_on_everything_is_caught(asked, monkeypatch):
    plant_a_greedy_scaler(monkeypatch)
    found, report = backtest(asked("backtest", is_honest=True))
    (alarm,) = found["alarms"]
    assert alarm == f"{found['moved']:,} values of training change with later bars."
    assert alarm in report


def test_folds_whose_labels_overlap_are_caught(asked, monkeypatch):
    monkeypatch.setattr(mode, "purge_gap", without_a_gap)
    found, report = backtest(asked("backtest", is_honest=True))
    pairs = "train and calibrate", "calibrate and test"
    assert found["overlaps"] == [f"fold {n}: {x}" for n in (1, 2) for x in pairs]
    assert "Labels of two spans share a bar: fold 1: calibrate and test." in report


def test_training_alone_finds_all_three(asked, monkeypatch):
    plant_a_greedy_scaler(monkeypatch)
    monkeypatch.setattr(splits, "purge_gap", without_a_gap)
    summary, report = told(asked("train", is_honest=False), demo.train)
    shared, moved, strayed = summary["alarms"][1:]
    assert shared == "Labels of two spans share a bar: calibrate and test."
    assert moved.endswith("values of training change with later bars.")
    assert strayed.startswith("next_return is not what it defines")
    for one in summary["alarms"]:
        assert f'<p class="warn">{one}</p>' in report


def test_paper_trading_says_that_its_fit_was_clean(few):
    assert json.loads((few / "summary.json").read_text())["alarms"] == []
