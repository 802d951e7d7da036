"""The page of experiments names every one, and shows what the kept runs found."""

import json
import shutil
import subprocess
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from benchmarks import experiments, looks, luck, origins, regimes, rungs
from bot4jax.config import load, run_folder, to_yaml
from bot4jax.data.binance import MARKETS
from bot4jax.kernels import CATALOGUE, catalogue_hash
from bot4jax.learn import ledger, selection
from bot4jax.learn.evaluate import Judged
from bot4jax.modes.summary import CHANCES
from bot4jax.words import groups


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


LUCK = {
    "deflated_sharpe": {
        "sharpe": 0.1,
        "periods": 200,
        "trials": 3,
        "expected_best": 0.05,
        "probability": 0.9,
    },
    "overfitting": {"probability": 0.25, "ways": 70},
    "trials": {"count": 3, "damaged": []},
    "net_at_cost": {"0": 2500.0, "0.5": 1250.0, "1": 0.0, "2": -2500.0},
    "traps": {"alarms": ["one"], "shuffled_t": -0.75, "moved": 0, "overlaps": []},
}
RIVAL = {"excess": 1e-3, "error": 1e-3, "p_value": 0.8, "holm": 1.0}


def summary(**changes):
    judged = dict.fromkeys(experiments.JUDGED, 0.5) | {"extra": 1, "degrees": 10.0}
    recent = {"recent_excess": -1e-3, "recent_excess_error": 2e-3}
    judged |= recent | {"recent_degrees": 10.0}
    costs = {"0": 0.02, "0.5": 0.015, "1": 0.01, "2": 0.0}
    scanned = {"net": [0.01, -0.02, 0.03], "net_at_cost": costs}
    scan = dict.fromkeys(("gru", "ensemble", "flat"), scanned)
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
        "backtest": {"scan": scan, "latency": [], **LUCK},
        **changes,
    }


def test_rows_tell_what_a_summary_says():
    kept = experiments.taken(summary())
    assert "extra" not in json.dumps(kept)
    gru, ensemble, flat = experiments.rows("a", kept)
    assert len(gru) == len(experiments.HEAD)
    assert gru[:5] == ("a", "gru", "-2.00 ± 2.23", "-1.00 ± 4.46", "0.5")
    assert gru[7:9] == ("+0.500 (0.5; 0.5)", "+1.00 ± 1.96")
    assert gru[9:] == ("0.8", "0.500", "+1.00 (-2.00 … +3.00)")
    assert ensemble[8:10] == ("–", "–")
    assert flat[4] == "–"
    assert list(experiments.book_rows("a", kept)) == []


def contest(verdicts):
    """A lead of a tenth for each, and what was said of it."""
    own = {"own": 0.2, "rival": 0.1, "lead": 0.1, "error": 0.01, "degrees": 9.0}
    return {
        "rivals": ["flat"],
        "beside": {name: own | {"verdict": one} for name, one in verdicts.items()},
    }


def test_who_beats_the_best_baseline_is_counted_over_seeds():
    """Of runs that were asked; where none was there is no table."""
    runs = {"old-0": experiments.taken(summary())}
    assert experiments.contest_section(runs) == []
    for seed, verdict in enumerate(("better", "not told apart", "better")):
        found = contest({"gru": verdict, "ensemble": "worse"})
        found["beside"]["gru"]["lead"] = 0.01 * seed
        asked = summary()["best_baseline"] | {"contests": {"hit_rate": found}}
        told = summary(seed=seed, best_baseline=asked)
        runs[f"link-{seed}"] = experiments.taken(told)
    gru, ensemble = experiments.contest_rows(runs)
    assert len(gru) == len(experiments.CONTEST_HEAD)
    assert gru[:4] == ("link", "gru", "direction (hit rate)", "3")
    assert gru[4:] == ("+1.00 (+0.00 … +2.00)", "2", "0", "1", "0")
    assert ensemble[4:] == ("+10.00 (+10.00 … +10.00)", "0", "3", "0", "0")
    assert len(experiments.contest_section(runs)) == 1


def test_how_long_each_run_took_is_told_and_all_together():
    kept = experiments.taken(summary())
    runs = {f"link-{x}": kept | {"seed": x, "seconds": 60.0 * x} for x in (1, 2)}
    assert list(experiments.time_rows(runs)) == [("link", "2", "2", "60 … 120", "3.0")]


def test_every_published_run_ended_within_fifteen_minutes():
    for path in experiments.FOUND.glob("*.json"):
        assert json.loads(path.read_text())["seconds"] <= 15 * 60, path.name


def test_a_summary_keeps_what_tells_the_generation_of_its_errors():
    """By the fields that a run's own summary has."""
    assert set(experiments.JUDGED) <= {*Judged._fields, *CHANCES}
    kept = experiments.taken(summary())["forecasters"]["gru"]
    assert {"degrees", "recent_degrees", "log_loss_degrees"} <= set(kept)


def test_who_was_never_asked_of_the_recent_prior_is_called_better_by_nobody():
    """Of a run from before, p is of the training span's shares alone: in brackets."""
    kept = experiments.taken(summary())
    for one in kept["forecasters"].values():
        for name in ("excess", "excess_error", "p_value", "degrees"):
            one.pop(f"recent_{name}", None)
    gru, _, flat = experiments.rows("a", kept)
    assert gru[2:5] == ("-2.00 ± 2.23", "–", "(0.5)")
    assert flat[4] == "–"


def test_luck_and_sentinels_are_kept_and_shown():
    """Of every run that has them; what was not asked or not defined is a dash."""
    kept = experiments.taken(summary())
    (row,) = luck.rows({"a": kept, "old": {"data": "simulator"}}, [])
    assert len(row) == len(luck.HEAD)
    assert row[1] == "+2.00 … +1.50 … +1.00 … +0.00"
    assert row[2] == "+2,500 … +1,250 … +0 … -2,500"
    best = selection.expected_best(3, selection.luck_spread((), 200))
    own = NormalDist().cdf(NormalDist().inv_cdf(0.9) / 0.05 * (0.1 - best))
    assert row[3:5] == ("3", f"+0.100 ({best:+.3f})")
    assert row[5:] == (f"{own:.3f}", "0.25", "-0.8", "0", "1")
    blank = kept["luck"] | {"overfitting": None, "net_at_cost": None}
    blank |= {"shuffled_t": None, "moved": None, "alarms": []}
    undefined = {"sharpe": None, "probability": None}
    blank["deflated_sharpe"] = kept["luck"]["deflated_sharpe"] | undefined
    (row,) = luck.rows({"b": kept | {"luck": blank}}, [])
    assert row[2:] == ("–", "3", f"– ({best:+.3f})", *["–"] * 4, "0")
    for one in ("gru", "flat"):
        assert kept["luck"]["scanned"][one]["0.5"] == 0.015


def test_every_run_on_a_market_is_charged_for_all_that_was_published():
    """The first of four steps as the last, whatever each root's ledger counted.

    Beside `deflated_sharpe` itself, of the same profits and the common number.
    """
    generator, runs, kept = np.random.default_rng(5), {}, experiments.taken(summary())
    profits = generator.standard_t(4, (3, 200)) * 1e-3 + 2e-4
    for number, own in enumerate(profits):
        told = selection.deflated_sharpe(own, number + 1)._asdict()
        own_luck = {"deflated_sharpe": told, "trials": number + 1}
        runs[str(number)] = kept | {"luck": kept["luck"] | own_luck}
        runs[str(number)]["config_hash"] = str(number)
    earlier = [looks.Look("simulator 0", str(x), (x, 0.0), None, None) for x in "abcd"]
    others = [looks.Look("simulator 1", "e", (1.0, 0.0), 9.0, 200)]
    every = [*earlier, *others, *map(looks.look, runs.values())]
    known = [selection.period_sharpe(own) for own in profits]
    rows = list(luck.rows(runs, every))
    for own, row in zip(profits, rows, strict=True):
        right = selection.deflated_sharpe(own, 7, known)
        assert row[3] == "7"
        assert row[4] == f"{right.sharpe:+.3f} ({right.expected_best:+.3f})"
        assert row[5] == f"{right.probability:.3f}"


def test_a_ratio_that_was_certain_in_all_digits_is_not_charged_anew():
    told = LUCK["deflated_sharpe"] | {"probability": 1.0}
    assert luck.recharged(told, 9, [])["probability"] is None


def test_the_looks_that_were_published_are_not_forgotten():
    """Those of the files and of every version in git's history; each once."""
    kept = looks.read(experiments.FOUND)
    assert len(set(kept)) == len(kept)
    assert looks.gathered(experiments.FOUND) == kept, "python -m benchmarks.experiments"


def test_a_result_that_was_overwritten_stays_a_look(tmp_path):
    """Git remembers it, and once written down nothing needs git."""
    folder = tmp_path / "found"
    folder.mkdir()
    git = ("git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=b@c")
    subprocess.run([*git, "init", "-q"], check=True)
    kept: dict[str, Any] = experiments.taken(summary()) | {"config_hash": "x"}
    for loss in (1.0, 1.5, 1.5):
        kept["forecasters"]["ensemble"]["log_loss"] = loss
        kept["seconds"] += 1.0  # another file of the same result
        (folder / "a-0.json").write_text(json.dumps(kept))
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "a"], check=True)
    outcomes = [one.outcome for one in looks.gathered(folder)]
    assert outcomes == [(1.0, 0.01), (1.5, 0.01)]
    looks.write(folder, looks.gathered(folder))
    shutil.rmtree(tmp_path / ".git")
    (folder / "a-0.json").unlink()
    assert [one.outcome for one in looks.gathered(folder)] == outcomes


def test_no_p_value_is_told_that_the_draws_cannot_tell():
    """Nor Holm's, of two that were asked, by a file from before that was known."""
    kept = experiments.taken(summary())
    kept["forecasters"]["gru"] |= {"p_value": 1e-9, "direction_p_value": 3e-3}
    kept["best_baseline"]["beside"] = {
        "gru": RIVAL | {"p_value": 1e-9, "holm": 2e-9},
        "ensemble": RIVAL | {"p_value": None, "holm": None},
        "trees": RIVAL | {"p_value": 0.3, "holm": 0.3},
    }
    gru, ensemble, _ = experiments.rows("a", kept)
    assert (gru[4], gru[6], gru[9]) == ("≤ 0.002", "0.003", "0.004")
    assert ensemble[9] == "–"


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
    del runs["link-0"]["forecasters"]["gru"]  # a run from before it was asked
    own = {row[:3] for row in experiments.seed_rows(runs)}
    assert own == {("link", "gru", "2"), ("link", "ensemble", "3")}


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


NAMES = ["mean", "rsi_14"]


def origin(folder, hash_, names=NAMES, mode="backtest"):
    """What is kept of where a finished run's figures come from."""
    config = load([f"features.names=[{','.join(names)}]"])
    manifest = {name: name for name in origins.MANIFEST} | {"dirty": False}
    (folder / "config.yaml").write_text(to_yaml(config) + "a_key_of_the_past: 1\n")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    kept = origins.origin(folder, {"mode": mode, "catalogue_hash": hash_})
    return kept | {"seed": 0}


def test_figures_of_an_earlier_catalogue_are_told(tmp_path):
    """By what the same features would be today; one that is gone is of no catalogue."""
    now = catalogue_hash([CATALOGUE[name] for name in NAMES])
    today = origin(tmp_path, now)
    runs = {"a-0": today, "a-1": today | {"seed": 1}}
    runs["b-0"] = origin(tmp_path, catalogue_hash())
    runs["c-0"] = today | {"features": ["mean", "a feature of the past"]}
    runs["d-0"] = {k: x for k, x in today.items() if k != "catalogue_hash"}
    runs["e-0"] = origin(tmp_path, None, mode="lob") | {"events": {}}
    rows = list(origins.rows(runs))
    fees = "demo: lowest tier: 0.05, 0 of makers"
    assert rows[0] == ("a", "0, 1", "`commit`", f"`{now}`", "as today", fees)
    assert [row[-2] for row in rows[1:4]] == ["**of an earlier catalogue**"] * 3
    assert rows[4][-3:] == ("none", "the book's own", "none")


def test_fees_that_were_not_kept_are_told(tmp_path):
    """Figures of other fees are no repetition: they have a row of their own."""
    old = {k: x for k, x in origin(tmp_path, None).items() if k != "fees"}
    dear = {"fees": {"tier": "x", "taker_fee_bps": 5.0, "maker_fee_bps": -0.5}}
    rows = list(origins.rows({"a-0": old, "a-1": old | dear | {"seed": 1}}))
    assert [row[-1] for row in rows] == ["not kept", "x: 5, -0.5 of makers"]


SIMULATED = {
    name for name in groups()["experiment"] if name[:4] in ("link", "no_l", "ladd")
}


def test_no_real_market_is_charged_what_the_simulator_asks():
    """Every experiment on recorded data names a tier of its own."""
    cheap, asked = load([]).venue, ("bac", "binance", "eurusd", "us_daily")
    assert set(groups()["experiment"]) - set(asked) == {*SIMULATED, "lob"}
    for name in asked:
        config = load([f"experiment={name}", "data.path=PATH"])
        assert config.venue.tier != cheap.tier, name
        assert config.venue.taker_fee_bps > cheap.taker_fee_bps, name


def test_binance_is_charged_what_its_contracts_state():
    config = load(["experiment=binance", "data.path=PATH"])
    venue, stated = config.venue, MARKETS["usdm"]
    assert venue.taker_fee_bps == pytest.approx(stated.taker_fee * 1e4)
    assert venue.maker_fee_bps == pytest.approx(stated.maker_fee * 1e4)


def test_latencies_are_varied_on_every_real_market_of_ticks():
    for name in ("bac", "eurusd", "binance"):
        config = load([f"experiment={name}", "data.path=PATH"])
        assert config.backtest.fidelity == "exact", name
        assert {0.0, 500.0} <= set(config.backtest.latencies_ms), name


def test_who_finds_skill_or_none_has_laid_every_trap():
    for name in ("link", "no_link", "us_daily"):
        needs = ["data.path=PATH"] if name == "us_daily" else []
        assert load([f"experiment={name}", *needs]).backtest.traps, name


def test_seeds_of_an_experiment_do_not_collide():
    """Each has a run folder of its own, whichever experiment it is."""
    simulated = ("link", "no_link", "ladder")
    for name in groups()["experiment"]:
        needs = [] if name.startswith(simulated) else ["data.path=PATH"]
        needs += ["data=binance"] if name == "lob" else []
        words = [f"experiment={name}", *needs]
        found = {run_folder(load([*words, f"run.seed={x}"])) for x in (0, 1)}
        assert len(found) == 2, name


def test_a_step_of_the_ladder_stands_beside_the_time_of_its_lstm():
    kept = experiments.taken(summary(seed=3))
    kept["forecasters"]["lstm"] = kept["forecasters"]["gru"]
    kept["latency"] = [{"latency_ms": 500.0, "net": -1234.4}]
    timed = rungs.times(rungs.TIMED)
    three, five = (next(rungs.rows(f"ladder-{step}-3", kept, timed)) for step in (1, 2))
    measured = {row.stage: row for row in rungs.read(rungs.TIMED).rows}
    for row, stage in ((three, "ladder_3"), (five, "ladder_5")):
        own = measured[stage]
        assert row[2] == f"{own.p50:.2f} ({own.p99:.2f}) ms"
    assert three[:2] == ("ladder-1", "3")
    assert three[2] != five[2]
    _, ensemble = rungs.rows("ladder-1-3", kept, timed)
    assert ensemble[-1] == "+1; -1,234 at 500 ms"
    assert list(rungs.rows("link-3", kept, timed)) == []
    assert [row[1][:2] for row in rungs.costs(timed)] == ["3:", "5:", "3:", "5:"]


def test_an_ablation_of_calibration_is_two_looks(tmp_path):
    """In its root's ledger and among those published, once however often repeated."""
    config = load([f"run.root={tmp_path}", "run.seed=7", "data=simulator"])
    first = looks.Look("simulator 7", "x", (1.0, 0.0), 0.1, 90)
    looks.write(tmp_path, [first])
    losses = {"none": 1.02, "volatility": 1.03}
    for _ in range(2):
        regimes.enter(config, losses, 400, tmp_path)
    (known, *own) = sorted(looks.read(tmp_path), key=lambda one: one.outcome)
    assert known == first
    assert [(one.market, one.outcome) for one in own] == [
        ("simulator 7", (1.02,)),
        ("simulator 7", (1.03,)),
    ]
    entered = ledger.read(tmp_path / ledger.NAME).on("simulator 7")
    assert (entered.count, len(entered.trials)) == (2, 4)
    hashes = {one.config_hash for one in entered.trials}
    assert hashes == {one.config_hash for one in own}
    assert {one.sharpe for one in entered.trials} == {None}


def test_the_ablation_that_findings_publish_is_charged_for():
    """Two looks a row of its table, at the market of the row."""
    page = (experiments.PAGE.parent / "findings.md").read_text()
    below = page.split("## A calibration for each regime")[1].split("\n## ")[0]
    sources = {"bac": "lean", "eurusd": "forex", "us_daily": "daily"}
    kept = {(one.market, one.outcome) for one in looks.read(experiments.FOUND)}
    told = [line.split("|") for line in below.splitlines() if " … " in line]
    assert len(told) == 7
    for _, name, seed, _, _, loss, added, *_ in told:
        own = sources.get(name.strip(), name.strip())
        if own in ("link", "no_link"):
            own = f"simulator {seed.strip()}"
        one = float(loss)
        other = one + float(added.split("(")[0].replace("−", "-")) / 1e3
        assert (own, (one,)) in kept
        assert (own, (round(other, 5),)) in kept
