"""`mode=lob` on a small simulated market, as a user would type it."""

import json

import pytest

from bot4jax.config import load
from bot4jax.errors import ConfigError
from bot4jax.learn.lob_contest import ALWAYS, ENSEMBLE, LINEAR
from bot4jax.modes import lob


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    root = tmp_path_factory.mktemp("lob")
    own = ["experiment=lob", "debug=tiny", "data.symbols=3", "ensemble.members=[gru]"]
    small = ["lob.horizons=[5]", "lob.lane=100", "lob.warm=20", "train.epochs=2"]
    alone = ["ensemble.cap=1", "lob.levels=1", f"run.root={root}", "run.name=lob"]
    assert lob.lob(load([*own, *small, *alone])) == 0
    folder = root / "lob"
    report = (folder / "report.html").read_text()
    return json.loads((folder / "summary.json").read_text()), report


def test_both_labels_are_judged_beside_the_line(told):
    summary, report = told
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


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["lob.lane=50", "lob.warm=50"], "lob.warm"),
        (["lob.train_share=.6", "lob.calibrate_share=.4"], "lob.calibrate_share"),
        (["data=fi2010", "data.path=.", "lob.levels=5"], "lob: data=fi2010"),
    ],
)
def test_contradictions_are_named(words, found):
    with pytest.raises(ConfigError, match=found):
        load(["experiment=lob", *words])
