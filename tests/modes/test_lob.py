"""`mode=lob` on a small simulated market, as a user would type it."""

import json

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.errors import ConfigError
from bot4jax.learn import ledger
from bot4jax.learn import lob as rows
from bot4jax.learn.lob_contest import ALWAYS, ENSEMBLE, LINEAR
from bot4jax.modes import lob
from bot4jax.modes.report_lob import left_out
from tests.contract import check_summary
from tests.data.test_fi2010 import matrix, write


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    root = tmp_path_factory.mktemp("lob")
    own = ["experiment=lob", "debug=tiny", "data.symbols=3", "ensemble.members=[gru]"]
    small = ["lob.horizons=[5]", "lob.lane=100", "lob.warm=20", "train.epochs=2"]
    alone = ["ensemble.cap=1", "lob.levels=1", f"run.root={root}", "run.name=lob"]
    assert lob.lob(load([*own, *small, *alone])) == 0
    folder = root / "lob"
    report = (folder / "report.html").read_text()
    tried = ledger.read(root / ledger.NAME)
    return json.loads((folder / "summary.json").read_text()), report, tried


def test_both_labels_are_judged_beside_the_line(told):
    summary, report, _ = told
    check_summary(summary)
    assert [(x["label"], x["horizon"]) for x in summary["labels"]] == [
        ("smoothed", 5),
        ("honest", 5),
    ]
    for one in summary["labels"]:
        scores = one["scores"]
        assert list(scores) == [ALWAYS, LINEAR, "gru", ENSEMBLE]
        assert scores[LINEAR]["above_linear"] == 0
        assert sum(one["classes"]) == pytest.approx(1)
        assert one["best"] == "gru"
    events = summary["events"]
    assert events["train"] > 1.5 * events["test"] > 3 * events["calibrate"] > 1_000
    assert "SIMULATED" in report
    assert "Beside the linear baseline, the ensemble" in report


def test_events_that_nobody_was_asked_for_are_counted(told):
    """In the test each symbol is one piece, whose last events have no label.

    Of the smoothed one it is the same: it knows what lies behind after `warm` events.
    """
    summary, report, _ = told
    for one in summary["labels"]:
        assert one["without"]["test"] == one["horizon"] * summary["symbols"]
    assert summary["dropped"] == summary["untested"] == []
    assert "Left out: the first 20 events" in report
    assert "events of the test without a label" in report


def test_a_look_at_the_test_is_written_down(told):
    """Without a ratio, for there was no profit; it counts as any other look."""
    summary, report, tried = told
    (trial,) = tried.trials
    assert (trial.kind, trial.data) == ("lob", "simulator 0")
    assert trial.config_hash == summary["config_hash"]
    assert trial.sharpe is trial.period_seconds is trial.net is None
    assert summary["trials"] == {"count": 1, "charged": 1, "damaged": []}
    assert "this one among them: 1." in report


def test_shares_that_jumps_made_are_counted_and_named(tmp_path):
    """Twenty rows behind a jump are a share, and too few for a label of ten."""
    mids = np.repeat([0.26, 0.39, 0.45], [2_000, 2_000, 20])
    write(tmp_path, "Train_Dst_NoAuction_DecPre_CF_1", matrix(mids[:4_000]))
    write(tmp_path, "Test_Dst_NoAuction_DecPre_CF_1", matrix(mids, seed=1))
    config = load(["experiment=lob", "data=fi2010", f"data.path={tmp_path}"])
    book = lob.read(config)
    assert {(one.symbol, one.day) for one in book.dropped} == {("share 3", 1)}
    assert sum(one.events for one in book.dropped) == 20
    told = left_out(config, book)
    assert "jumps by more than 2 %: 2 on day 0, 3 on day 1." in told
    assert "Day 1 differs: doubt its shares." in told
    assert "each of the 3 jumps" in told
    flat = {"share 1": 0.0, "share 2": 0.0}
    train = rows.classes(book.train.pieces, ("honest", 10), flat)
    assert [np.flatnonzero(one == -1).tolist() for one in train] == [
        [len(one) - 1] for one in train
    ]
    assert told.count("<b>share 3</b>, day 1, ") == 3
    assert " rows are too few for the longest label." in told
    assert " events are too few" not in told


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["trees.patience=5"], "trees.patience: mode=lob does not use it"),
        (["labels.class_weights=[1,2,1]"], "labels.class_weights: mode=lob"),
        (["labels.threshold=cost"], "labels.threshold: mode=lob"),
        (["labels.ends=barriers"], "labels.ends: mode=lob"),
        (["lob.lane=50", "lob.warm=50"], "lob.warm"),
        (["lob.train_share=.6", "lob.calibrate_share=.4"], "lob.calibrate_share"),
        (["data=fi2010", "data.path=.", "lob.levels=5"], "lob: data=fi2010"),
    ],
)
def test_contradictions_are_named(words, found):
    with pytest.raises(ConfigError, match=found):
        load(["experiment=lob", *words])
