"""The page of experiments names every one, and shows what the kept runs found."""

import json

import pytest

from benchmarks import experiments
from bot4jax.config import groups


def test_every_experiment_is_on_the_page():
    page = experiments.PAGE.read_text()
    for name in groups()["experiment"]:
        assert f"={name}" in page or f",{name}" in page, name


def test_the_page_is_that_of_the_kept_runs():
    page = experiments.PAGE.read_text()
    _, _, rest = page.partition(experiments.OPENS)
    found, closes, _ = rest.partition(experiments.CLOSES)
    assert closes
    assert found == f"\n{experiments.section()}", "python -m benchmarks.experiments"


def summary(**changes):
    judged = dict.fromkeys(experiments.JUDGED, 0.5) | {"extra": 1}
    scan = {name: {"net": [0.01, -0.02, 0.03]} for name in ("gru", "ensemble", "flat")}
    return {
        "mode": "backtest",
        "data": "simulator",
        "symbols": 2,
        "seed": 0,
        "seconds": 1.0,
        "bars": {},
        "labels": {"counted": 1},
        "members": {"gru": judged | {"excess": -2e-3, "excess_error": 1e-3}},
        "ensemble": judged,
        "baselines": {"flat": judged | {"p_value": None}},
        "pnl": {"net": 1.0},
        "backtest": {"scan": scan, "traps": {"alarms": []}, "latency": []},
        **changes,
    }


def test_rows_tell_what_a_summary_says():
    kept = experiments.taken(summary())
    assert "extra" not in json.dumps(kept)
    gru, _, flat = experiments.rows("a", kept)
    assert gru == ("a", "gru", "-2.00 ± 1.96", "0.5", "0.500", "+1.00 (-2.00 … +3.00)")
    assert flat[3] == "–"
    assert list(experiments.book_rows("a", kept)) == []


@pytest.mark.parametrize("best", ["gru", "trees"])
def test_the_best_member_of_a_book_is_named(best):
    score = {"macro_f1": 0.4, "above_linear": -0.1, "above_linear_error": 0.01}
    names = ("always", "linear", "gru", "trees", "ensemble")
    scores = {
        name: score | {"macro_f1": 0.5 if name == best else 0.4} for name in names
    }
    label = {"label": "honest", "horizon": 10, "scores": scores}
    kept = experiments.taken(summary(mode="lob", events={}, labels=[label]))
    (row,) = experiments.book_rows("b", kept)
    assert row[:3] == ("b", "honest", "10")
    assert row[5] == f"{best} 0.500 (-0.100 ± 0.020)"
    assert row[6] == "0.400 (-0.100 ± 0.020)"
    assert list(experiments.rows("b", kept)) == []
