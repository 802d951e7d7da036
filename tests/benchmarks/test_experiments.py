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


RIVAL = {"excess": 1e-3, "error": 1e-3, "p_value": 0.8, "holm": 1.0}


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
        "best_baseline": {"rivals": ["flat"], "beside": {"gru": RIVAL}},
        "backtest": {"scan": scan, "traps": {"alarms": []}, "latency": []},
        **changes,
    }


def test_rows_tell_what_a_summary_says():
    kept = experiments.taken(summary())
    assert "extra" not in json.dumps(kept)
    gru, ensemble, flat = experiments.rows("a", kept)
    assert gru[:4] == ("a", "gru", "-2.00 ± 1.96", "0.5")
    assert gru[6:8] == ("+0.500 (0.5)", "+1.00 ± 1.96")
    assert gru[8:] == ("1", "0.500", "+1.00 (-2.00 … +3.00)")
    assert ensemble[7:9] == ("–", "–")
    assert flat[3] == "–"
    assert list(experiments.book_rows("a", kept)) == []


def test_seeds_are_counted_by_what_they_found():
    """Of one experiment, whatever else lies there; a single seed says nothing."""
    runs = {}
    for seed, p in enumerate((0.001, 0.03, 0.4)):
        kept = experiments.taken(summary(seed=seed))
        kept["forecasters"]["gru"] |= {"direction": p - 1, "direction_p_value": p}
        kept["forecasters"]["flat"]["direction_p_value"] = None
        runs[f"link-{seed}"] = kept
    runs["ladder-1-0"] = kept
    rows = list(experiments.seed_rows(runs))
    assert [row[:3] for row in rows] == [
        ("link", "gru", "3"),
        ("link", "ensemble", "3"),
    ]
    told = ("-856.33 (-999.00 … -600.00)", "1", "2", "0.5 (0.5 … 0.5)")
    assert rows[0][3:] == told


@pytest.mark.parametrize("best", ["gru", "trees"])
def test_the_best_member_of_a_book_is_named(best):
    """The one chosen before the test, whoever is best in it."""
    score = {"macro_f1": 0.4, "above_linear": -0.1, "above_linear_error": 0.01}
    names = ("always", "linear", "gru", "trees", "ensemble")
    scores = {
        name: score | {"macro_f1": 0.5 if name == best else 0.6} for name in names
    }
    label = {"label": "honest", "horizon": 10, "scores": scores, "best": best}
    kept = experiments.taken(summary(mode="lob", events={}, labels=[label]))
    (row,) = experiments.book_rows("b", kept)
    assert row[:3] == ("b", "honest", "10")
    assert row[5] == f"{best} 0.500 (-0.100 ± 0.020)"
    assert row[6] == "0.600 (-0.100 ± 0.020)"
    assert list(experiments.rows("b", kept)) == []
