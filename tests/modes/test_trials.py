"""A look at a test span: what is written down of it, and what it answers for."""

from functools import cache

import msgspec
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn import earnings, ledger, selection
from bot4jax.learn.earnings import Earned
from bot4jax.modes import report_luck, trials
from bot4jax.modes.report_luck import SHOWN
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.folder import RunFolder
from bot4jax.schema import Config

BARS = 200
"""Of a horizon of five: 40 periods."""


@cache
def base() -> Config:
    return load(["mode=backtest", "backtest.refit=true"])


def asked(root, number: int, **own: str | int) -> Config:
    """One of several configurations that differ; `own` are keys of `run`."""
    config, replace = base(), msgspec.structs.replace
    run = replace(config.run, name=f"job-{number}", root=str(root), **own)
    rate = 0.5 + number / 100
    ensemble = replace(config.ensemble, learning_rate=rate)
    return replace(config, run=run, ensemble=ensemble)


def profits(number: int):
    return np.random.default_rng(number).normal(0.0002, 0.001, BARS)


def earned(number: int, first: int = 1) -> Earned:
    return Earned((first + np.arange(BARS)) * 10**9, profits(number))


def kept(root, number: int) -> str:
    return earnings.keep(root, earned(number))


def entered(root, number: int, first: int = 1, **own: str | int) -> trials.Luck:
    config = asked(root, number, **own)
    return trials.enter(RunFolder(config), config, earned(number, first))


SWEEP = {"sweep": "hundred", "jobs": 100}


def test_the_first_job_of_a_sweep_answers_for_a_hundred(tmp_path):
    first, second = (entered(tmp_path, number, **SWEEP) for number in range(2))
    alone = entered(tmp_path / "alone", 0)
    assert (first.deflated.trials, second.deflated.trials) == (100, 100)
    assert (alone.deflated.trials, alone.deflated.expected_best) == (1, 0)
    assert alone.deflated.probability > 0.95 > first.deflated.probability
    assert first.tried.told() == {"count": 1, "charged": 100, "damaged": []}


def test_a_run_of_its_own_answers_for_what_was_tried(tmp_path):
    entered(tmp_path, 0, **SWEEP)
    found = entered(tmp_path, 1)
    assert found.deflated.trials == found.tried.charged == 2


def test_what_is_written_down_names_the_sweep(tmp_path):
    entered(tmp_path, 0, **SWEEP)
    (one,) = ledger.read(tmp_path / ledger.NAME).trials
    assert (one.run, one.sweep, one.jobs) == ("job-0", "hundred", 100)
    assert one.net == pytest.approx(profits(0).sum())
    assert (one.horizon, one.earned) == (5, kept(tmp_path, 0))


def test_sweep_and_jobs_are_no_part_of_what_was_tried(tmp_path):
    """Else a repeated job, now alone, would be another trial."""
    entered(tmp_path, 0, **SWEEP)
    assert entered(tmp_path, 0).tried.known.count == 1


def test_choosing_among_the_trials_of_a_span_is_judged_by_what_each_earned(tmp_path):
    found = [entered(tmp_path, number) for number in range(8)]
    assert [one.compared for one in found] == list(range(1, 9))
    assert found[0].overfit is None
    table = np.stack([profits(number) for number in range(8)], axis=1)
    assert found[-1].overfit == selection.overfitting(table)
    assert found[-1].overfit is not None
    assert found[-1].overfit.candidates == 8


def test_other_spans_markets_and_what_is_lost_are_no_candidates(tmp_path):
    for number in range(4):
        entered(tmp_path, number)
    entered(tmp_path, 4, first=7)
    entered(tmp_path, 5, seed=9)
    earnings.place(tmp_path, kept(tmp_path, 1)).unlink()
    spoilt = earnings.place(tmp_path, kept(tmp_path, 2))
    spoilt.write_bytes(spoilt.read_bytes()[:-9])
    config = asked(tmp_path, 6)
    trials.written(RunFolder(config), config, 40)
    found = entered(tmp_path, 7)
    assert found.tried.known.count == 7
    table = np.stack([profits(number) for number in (0, 3, 7)], axis=1)
    assert (found.compared, found.overfit) == (3, selection.overfitting(table))


def test_earlier_trials_are_charged_anew_for_what_came_after(tmp_path):
    """Told first and alone, a worthless one passed; beside forty it does not."""
    first = entered(tmp_path, 0)
    assert first.deflated.probability > 0.95
    for number in range(1, 40):
        last = entered(tmp_path, number)
    assert len(last.anew) == 40
    assert {own.trials for _, own in last.anew} == {40}
    told = {one.run: own for one, own in last.anew}
    assert told["job-0"].sharpe == first.deflated.sharpe
    assert told["job-0"].probability < 0.95
    assert told["job-39"] == last.deflated
    chances = [own.probability for _, own in last.anew]
    assert chances == sorted(chances, reverse=True)
    page = report_luck.anew(last)
    assert page.count("<tr>") == 1 + report_luck.SHOWN
    assert f"of 40 are above what luck explains. The surest {SHOWN}:" in page


def row(step: int, nav: float) -> EquityRow:
    blank = dict.fromkeys(EquityRow._fields, 0)
    return EquityRow(**blank | {"step": step, "boundary_ns": step * 10, "nav": nav})


def test_what_an_account_earned_stands_at_the_bar_in_which_it_was_known():
    curve = [row(1, 110.0), row(2, np.nan), row(3, 90.0)]
    found = trials.account_earned(curve, 100.0)
    np.testing.assert_array_equal(found.ends_ns, [10, 30])
    np.testing.assert_allclose(found.profits, [0.1, -0.2])
    late = trials.account_earned([row(5, 110.0), row(6, 121.0)], 100.0)
    np.testing.assert_allclose(late.profits, [0.0, 0.11])
    assert trials.account_earned([], 100.0).span == ()


def market(*words: str) -> str:
    return trials.market_of(load(["mode=backtest", "backtest.refit=true", *words]))


def test_a_plugin_s_market_is_told_by_what_it_is_asked_to_open():
    """Not by the seed: one that reads a file was another market with each, and nothing
    was charged. Another name or other options open something else."""
    own = ("data=plugin", "data.name=mine", "plugins=[mine]")
    first = market(*own)
    assert market(*own, "run.seed=1") == first
    others = {
        market("data=plugin", "data.name=other", "plugins=[mine]"),
        market(*own, "data.options={file: a}"),
        market(*own, "data.options={file: b}"),
        market(*own, "data.path=/a"),
    }
    assert len(others - {first}) == 4


def test_a_market_of_columns_is_its_file():
    """Of one folder; and one that the simulator draws is its seed."""
    own = ("data=columns", "data.path=/tmp", "data.mapping={time: t}")
    assert market(*own, "data.file=a.csv") != market(*own, "data.file=b.csv")
    assert market(*own, "data.file=a.csv") == market(
        *own, "data.file=a.csv", "run.seed=1", "labels.horizon=7"
    )
    assert market("run.seed=1") != market("run.seed=2") == market("run.seed=2")
