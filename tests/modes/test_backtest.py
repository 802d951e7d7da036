"""A backtest says of the same members what paper trading said, and more."""

import dataclasses
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.data.universe import notional
from bot4jax.errors import DataError
from bot4jax.kernels import planning
from bot4jax.learn import earnings, ledger, redundancy
from bot4jax.learn.evaluate import LEAST_BARS, PRIOR
from bot4jax.learn.folds import pieces_of
from bot4jax.modes import backtest as mode
from bot4jax.modes import making, report_features
from bot4jax.modes.plays import FoldPlay, Late
from bot4jax.modes.report_backtest import fidelity
from bot4jax.modes.report_money import crossing
from bot4jax.modes.report_skill import TOO_SHORT
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.telling_backtest import (
    chained,
    feature_facts,
    joined_late,
    told_apart,
)
from bot4jax.runtime.equity import DAY_NS, EquityRow
from bot4jax.runtime.states import States, Transition
from bot4jax.state import Params
from tests.contract import check_summary
from tests.small_stage import FEW

SEVEN = [
    "class_prior",
    "recent_prior",
    "last_return",
    "logistic_regression",
    "gradient_boosting",
    "alpha158_boosting",
    "per_symbol_boosting",
]


LIVE = np.zeros((3, 2))
"""Rows of a fold, none of them novel."""


@pytest.fixture(scope="module")
def stage(words) -> Setting:
    return set_stage(load([*words, *FEW]))


@pytest.fixture(scope="module")
def paper(few):
    """The folder and the summary of paper trading with a feed and a venue apart."""
    return few, json.loads((few / "summary.json").read_text())


def backtest(words, root, *more):
    """The summary and the report of a backtest."""
    own = [word for word in words if not word.startswith("run.root")]
    own += [*FEW, "mode=backtest", f"run.root={root}", "run.name=b"]
    config = load([*own, *more])
    assert mode.backtest(config) == 0
    folder = Path(root) / "b"
    summary = json.loads((folder / "summary.json").read_text())
    return summary, (folder / "report.html").read_text()


@pytest.fixture(scope="module")
def exact(paper, stage, words, tmp_path_factory):
    root = tmp_path_factory.mktemp("exact")
    same = f"backtest.latencies_ms=[{stage.config.venue.latency_ms}]"
    return backtest(words, root, f"run.model={paper[0]}", same)


@pytest.fixture(scope="module")
def research(paper, words, tmp_path_factory):
    root = tmp_path_factory.mktemp("research")
    return root, *backtest(
        words, root, f"run.model={paper[0]}", "backtest.fidelity=research"
    )


def test_an_exact_backtest_trades_as_paper_trading_did(paper, exact):
    _, told = paper
    summary, report = exact
    check_summary(summary)
    assert told["fills"] >= 20
    for name in ("pnl", "orders", "fills", "denials", "decisions", "masked"):
        assert summary[name] == told[name], name
    (again,) = summary["backtest"]["latency"]
    assert again["net"] == pytest.approx(told["pnl"]["net"])
    assert "An <b>exact</b> backtest" in report


def test_both_ways_judge_the_same_forecasts(paper, exact, research):
    """What is forecast does not depend on what is held."""
    _, told = paper
    for summary in (exact[0], research[1]):
        assert summary["ensemble"] == pytest.approx(told["ensemble"], nan_ok=True)
        for name, one in told["members"].items():
            assert summary["members"][name] == pytest.approx(one, nan_ok=True)
        for name in SEVEN[:4]:
            assert summary["baselines"][name]["log_loss"] == pytest.approx(
                told["baselines"][name]["log_loss"]
            )
        assert list(summary["baselines"]) == SEVEN


def test_a_scan_has_no_orders_and_says_so(research):
    _, summary, report = research
    own = summary["backtest"]
    assert (own["fidelity"], summary["orders"], own["latency"]) == ("research", 0, [])
    assert "nothing here compares with orders" in report
    assert len(own["late_entry"]["by_delay"]) == 3
    assert "gone within one bar" not in report
    for name in SEVEN[:2]:
        flat = own["scan"][name]
        assert (flat["gross"], flat["cost"]) == (0, 0)
    for one in own["scan"].values():
        assert one["net"][0] == pytest.approx(one["gross"] - one["cost"])
        assert one["net_at_cost"]["2"] == pytest.approx(one["gross"] - 2 * one["cost"])
        assert one["sharpe"] is None  # minutes are no thirty days
    assert summary["backtest"]["overfitting"]["candidates"] < len(own["scan"])


def test_a_scan_trades_what_stands_at_the_best_price_and_says_so(
    paper, research, words, tmp_path
):
    """Of a thousandfold capital the same targets are the same shares of it, for members
    and baselines alike, and what stands is next to nothing."""
    _, summary, report = research
    assert "at most what stood at the best price" in report
    more = ["backtest.fidelity=research", "strategy.capital=1e9"]
    rich, _ = backtest(words, tmp_path, f"run.model={paper[0]}", *more)
    scans = summary["backtest"]["scan"], rich["backtest"]["scan"]
    traded = [name for name, one in scans[0].items() if one["turnover"] > 0]
    assert {"ensemble", "last_return", "gru"} <= set(traded)
    for name in traded:
        first, then = (scan[name] for scan in scans)
        assert 0 < then["turnover"] < 0.1 * first["turnover"]
        for same in ("asked_turnover", "capacity"):
            assert then[same] == first[same] > 0


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("sizes", "nothing walks the book"),
        ("volume", "This source shows no book: a trade takes at most"),
        ("nothing", "targets are met in full, whatever their size"),
    ],
)
def test_the_label_says_what_bounds_a_trade_and_that_no_walk_is_in_it(
    stage, told, said
):
    backtest = msgspec.structs.replace(stage.config.backtest, fidelity="research")
    config = msgspec.structs.replace(stage.config, backtest=backtest)
    assert said in fidelity(config, told)


def test_what_is_saved_is_the_excess_over_always_flat(research):
    """The table of forecasts and that of baselines name one difference."""
    _, summary, _ = research
    judged = summary["members"] | summary["baselines"]
    judged["ensemble"] = summary["ensemble"]
    scanned = summary["backtest"]["scan"]
    assert set(judged) == set(scanned)
    for name, one in judged.items():
        saved = scanned[name]["saved_log_loss"][0]
        assert one["excess"] == pytest.approx(-saved, abs=1e-12), name
        recent = scanned[name]["saved_of_recent"][0]
        assert one["recent_excess"] == pytest.approx(-recent, abs=1e-12), name


def test_nothing_is_better_than_the_best_possible_forecast(paper, research):
    """The bound that only a simulator knows, over the same labels."""
    _, told = paper
    _, summary, report = research
    own, limit = summary["backtest"]["traps"], summary["bayes_bound"]
    assert own["alarms"] == []
    assert list(own["above_the_bound"]) == list(summary["backtest"]["scan"])
    for one in own["above_the_bound"].values():
        assert one["log_loss"] > -3 * one["standard_error"]
    # the edges of classes are rounded otherwise there, by 1e-7 of themselves
    assert limit["log_loss"] == pytest.approx(told["bayes_bound"]["log_loss"], abs=1e-5)
    assert (own["shuffled_t"], own["moved"], own["strayed"]) == (None, None, [])
    assert "No trap for leaks went off" in report
    assert "not laid: backtest.traps=true" in report


def test_every_backtest_is_a_trial(research):
    root, summary, report = research
    tried = ledger.read(root / ledger.NAME)
    assert [one.config_hash for one in tried.trials] == [summary["config_hash"]]
    told = {"count": 1, "charged": 1, "damaged": []}
    told |= {"compared": 1, "overfitting": None}
    assert summary["backtest"]["trials"] == told
    assert summary["backtest"]["deflated_sharpe"]["trials"] == 1
    assert "probability of overfitting" in report


def test_trials_of_one_span_are_compared_bar_by_bar(paper, exact, stage, words):
    """The demo's account, and an exact backtest's with other sizes, in one ledger."""
    root, first = paper[0].parent, exact[0]
    model, same = f"run.model={paper[0]}", "backtest.latencies_ms=[]"
    summary, report = backtest(words, root, model, same, "strategy.capital=2e5")
    own, tried = summary["backtest"]["trials"], ledger.read(root / ledger.NAME)
    looks = tried.distinct.values()
    assert [one.kind for one in looks] == ["demo", "backtest"]
    kept = [earnings.read(root, one.earned or "") for one in looks]
    assert kept[0] is not None
    assert kept[1] is not None
    assert kept[0].span == kept[1].span
    assert (own["count"], own["compared"]) == (2, 2)
    assert own["overfitting"]["candidates"] == 2
    capital = stage.config.strategy.capital
    assert first["pnl"]["net"] == pytest.approx(capital * kept[0].profits.sum())
    assert "choosing one of 2 trials of this span" in report
    assert "<summary>Trials</summary>" in report


def test_walking_forward_fits_each_fold_anew(words, tmp_path):
    anew = ["backtest.refit=true", "backtest.folds=2", "backtest.fidelity=research"]
    anew += ["backtest.traps=true", "labels.ends=barriers"]
    anew += ["ensemble.members=[gru]"]
    summary, report = backtest(words, tmp_path, "spans.test=140", *anew)
    assert list(summary["members"]) == ["gru"]
    assert list(summary["baselines"]) == SEVEN  # boosting too, that is no member here
    boosted = summary["baselines"]["gradient_boosting"]["log_loss"]
    assert boosted == pytest.approx(
        summary["baselines"]["class_prior"]["log_loss"], abs=0.2
    )
    laid = summary["backtest"]["traps"]
    assert laid["moved"] == 0
    assert abs(laid["shuffled_t"]) < 3
    assert laid["alarms"] == []
    assert summary["bayes_bound"] is None  # it does not know of barriers
    own = summary["backtest"]
    assert len(own["effective_labels"]) == 2
    assert min(own["effective_labels"]) >= 200
    assert summary["bars"] == {"train": 270, "calibrate": 64, "test": 140}
    assert "Everything was fitted anew" in report
    forests = [
        (tmp_path / "b" / "folds" / number / "trees" / "forest.json").read_text()
        for number in ("1", "2")
    ]
    assert forests[0] != forests[1]


def test_folds_too_short_to_say_anything_are_refused_before_they_are_read(
    words, tmp_path
):
    with pytest.raises(DataError, match=r"1: 48, 2: 48, .*at least 200 in each"):
        backtest(words, tmp_path, "backtest.refit=true")
    assert not (tmp_path / ledger.NAME).exists()


def a_play(stage, **own) -> FoldPlay:
    """A fold of which nothing else is asked."""
    fold, counts = pieces_of(stage.split), np.zeros((2, 1))
    silent = np.zeros(stage.settings.layout.symbols)
    params = Params(**dict.fromkeys(Params._fields))
    first, then = (stage.split, fold, None, params, []), (None, (), counts, silent)
    return FoldPlay(*first, *then, 7, LIVE, {}, None)._replace(**own)


def test_features_that_move_together_are_told_where_somebody_has_looked(stage):
    pair = redundancy.Pair("mean", "relative_spread", 0.97, "")
    counts = np.zeros((2, len(stage.settings.plan.specs)))
    told, blank = (
        report_features.twins(feature_facts(stage, [a_play(stage, **own)]))
        for own in ({"counts": counts, "twins": found} for found in ([pair], None))
    )
    assert "1 pairs with a correlation beyond" in told
    assert blank == ""


def test_absent_features_are_not_counted_as_masked(stage):
    """They are zero everywhere, and listed with what they lack."""
    settings, specs = stage.settings, stage.settings.plan.specs
    columns = tuple(set(settings.layout.columns) - {"bid", "ask"})
    plan = planning.plan(settings.layout._replace(columns=columns), specs)
    assert list(plan.absent) == ["relative_spread"]
    poor = stage._replace(settings=dataclasses.replace(settings, plan=plan))
    play = a_play(stage, counts=np.full((2, 4), 3))
    found = feature_facts(poor, [play, play])
    for spec in specs:
        expected = 0 if spec.name in plan.absent else 6
        assert found.masked[spec.name] == found.clamped[spec.name] == expected


def test_changes_of_state_say_in_which_fold():
    one = Transition(3, 0, "drawdown", True, 2, "too deep")
    assert told_apart([[one]]) == [one]
    found = told_apart([[], [one, one], [one]])
    assert [x.text for x in found] == [f"fold {n}: too deep" for n in (2, 2, 3)]


def test_latencies_are_joined_in_order(stage):
    late = tuple(Late(ms, 1, 2.0, 1.0, 1.0) for ms in (100.0, 0.0))
    play = a_play(stage, late=late)
    found = joined_late([play, play])
    assert [one.latency_ms for one in found] == [0, 100]
    assert found[0] == Late(0.0, 2, 4.0, 2.0, 2.0)


def row(step: int, nav: float, fees: float, funding: float) -> EquityRow:
    rest = dict.fromkeys(EquityRow._fields, 0.0)
    own = {"step": step, "nav": nav, "fees": fees, "funding": funding}
    return EquityRow(**(rest | own))


def test_accounts_go_on_where_the_last_one_ended():
    first = [row(0, 100.0, 0.0, 0.0), row(1, 104.0, 1.0, -2.0)]
    second = [row(0, 100.0, 0.5, 0.0), row(1, 97.0, 2.0, 0.25)]
    found = chained([first, second, second], 100.0)
    assert [one.nav for one in found] == [100, 104, 104, 101, 101, 98]
    assert [one.fees for one in found] == [0, 1, 1.5, 3, 3.5, 5]
    assert [one.funding for one in found] == [0, -2, -2, -1.75, -1.75, -1.5]


@pytest.mark.parametrize(("mode", "kept"), [("backtest", None), ("live", 4)])
def test_only_a_run_without_an_end_forgets_its_first_worth(
    stage, monkeypatch, mode, kept
):
    monkeypatch.setattr(making, "CURVE_ROWS", 4)
    config = msgspec.structs.replace(stage.config, mode=mode)
    setting = stage._replace(config=config)
    portfolio = making.make_account(setting, "run", States(print)).portfolio
    unknown = np.full(len(portfolio.lots), np.nan)
    bars = range(len(stage.split.test) + 1)
    rows = [portfolio.value(bar, bar, unknown) for bar in bars]
    assert portfolio.curve == rows[-(kept or len(rows)) :]


def test_the_configured_rate_is_what_short_positions_pay(words):
    """Of 3,650 bps a year a coin that never closes pays ten a day."""
    stage = set_stage(load([*words, *FEW, "venue.borrow.spot_bps=3650"]))
    portfolio = making.make_account(stage, "run", States(print)).portfolio
    portfolio.lots[0] = -10
    prices = np.full(len(portfolio.lots), 50.0)
    first, second = (portfolio.value(n, n * DAY_NS, prices) for n in (1, 2))
    worth = abs(notional(stage.source.universe.instruments[0], -10, 50.0))
    assert (first.funding, second.funding) == pytest.approx((0.0, 1e-3 * worth))


@pytest.mark.parametrize(
    ("net", "said"),
    [
        ((-1, -2), "Nothing is left even at 0 ms"),
        ((3, -1), "Nothing is left at about 75 ms"),
        ((3, 1), "Something is left at 100 ms"),
    ],
)
def test_the_latency_that_takes_everything(net, said):
    late = [Late(ms, 1, 0.0, 0.0, n) for ms, n in zip((0.0, 100.0), net, strict=True)]
    assert crossing(late) == f"{said}."


def test_a_result_that_rises_with_latency_is_called_chance():
    """Regression: of 17, 91 and −43 dollars at 0, 100 and 500 ms it was told that at
    371 ms nothing is left, and no more."""
    pairs = zip((0.0, 100.0, 500.0), (16.59, 91.2, -43.23), strict=True)
    assert crossing([Late(ms, 50, 0.0, 0.0, n) for ms, n in pairs]) == (
        "Nothing is left at about 371 ms. More was earned at 100 ms than at 0 ms: "
        "chance weighs more here than latency does."
    )


@pytest.mark.parametrize(
    ("net", "fills", "said"),
    [
        ((-1, 2), 3, "Nothing is left at 0 ms, something at 100 ms: latency is not"),
        ((0, 0), 0, "Nothing was traded at any latency."),
    ],
)
def test_no_latency_is_said_to_take_what_another_leaves_or_nobody_traded(
    net, fills, said
):
    pairs = zip((0.0, 100.0), net, strict=True)
    found = crossing([Late(ms, fills, 0.0, 0.0, n) for ms, n in pairs])
    assert found.startswith(said)


def test_nothing_in_the_report_is_not_a_number(exact, research):
    for report in (exact[1], research[2]):
        assert "nan" not in report.split("Provenance")[0].replace("finance", "").lower()


def test_every_report_counts_independent_bars_and_warns(paper, exact, research):
    """The demo's too, by the same figure."""
    folder, told = paper
    worth = told["ensemble"]["effective_bars"]
    assert 0 < worth < 300
    assert told["ensemble"]["bars"] < LEAST_BARS
    for summary in (exact[0], research[1]):
        assert summary["ensemble"]["effective_bars"] == pytest.approx(worth)
    for page in ((folder / "report.html").read_text(), exact[1], research[2]):
        assert f"as from about {worth:,.0f} independent bars" in page
        assert "Too short to say who saves log loss" in page


def test_a_short_span_has_neither_intervals_of_log_loss_nor_a_verdict(paper, research):
    folder, told = paper
    assert told["too_short"]
    assert research[1]["too_short"]
    for name, one in research[1]["backtest"]["scan"].items():
        ends = one["saved_log_loss"][1:]
        assert ends == ([0.0, 0.0] if name == PRIOR else [None, None])
    for page in ((folder / "report.html").read_text(), research[2]):
        assert f"of the calibration span: {TOO_SHORT}. Telling up from down" in page
        assert f"after Holm: {TOO_SHORT}." in page
        assert "log loss ± 95 %" not in page
        assert "direction, 10⁻³" in page
    assert "nobody can say of a span as short as this" in research[2]
    assert "Holm's&nbsp;p" not in research[2]


def test_a_short_span_says_who_beats_the_best_baseline(paper, exact, research):
    """In order and direction, of every member and the ensemble, of each fold's best."""
    folder, told = paper
    pages = ((folder / "report.html").read_text(), exact[1], research[2])
    for summary, page in zip((told, exact[0], research[1]), pages, strict=True):
        everyone = {*summary["members"], "ensemble"}
        for figure, one in summary["best_baseline"]["contests"].items():
            assert set(one["rivals"]) <= set(summary["baselines"])
            assert set(one["beside"]) == everyone
            for name, own in one["beside"].items():
                judged = (summary["members"] | {"ensemble": summary["ensemble"]})[name]
                if None in (own["own"], judged[figure]):
                    continue
                assert own["lead"] == pytest.approx(own["own"] - own["rival"])
                whole = {"class_prior", "recent_prior", "last_return"}
                whole |= {"logistic_regression", "gradient_boosting"}
                if set(one["rivals"]) <= whole and len(one["rivals"]) == 1:
                    assert own["own"] == pytest.approx(judged[figure], abs=1e-6)
        assert "In order (IC) the best baseline on the calibration span is" in page
        assert "In direction (hit rate) the best baseline on the" in page


def test_every_report_says_how_large_its_members_are(paper, exact, research):
    """Each net with its weights; a binary tree has a leaf more than splits."""
    folder, told = paper
    pages = ((folder / "report.html").read_text(), exact[1], research[2])
    for summary, page in zip((told, exact[0], research[1]), pages, strict=True):
        counts, grown = dict(summary["parameters"]), summary["forest"]
        total = counts.pop("total")
        assert sum(counts.values()) == total
        assert set(summary["members"]) - {"trees"} < set(counts)
        for name in set(summary["members"]) - {"trees"}:
            assert f"<td>{name}</td><td>{counts[name]:,}</td>" in page
        if grown is not None:
            assert grown["leaves"] == grown["splits"] + grown["trees"] > 0
            assert f"{grown['trees']:,} trees, {grown['splits']:,} splits" in page
