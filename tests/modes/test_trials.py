"""A look at a test span: what is written down of it, and what it answers for."""

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn import ledger
from bot4jax.modes import trials
from bot4jax.runtime.folder import RunFolder
from bot4jax.schema import Config

BARS = 200
"""Of a horizon of five: 40 periods."""


def asked(root, number: int, *words: str) -> Config:
    """One of several configurations that differ."""
    own = [
        f"run.name=job-{number}",
        f"ensemble.learning_rate={0.5 + number / 100}",
        *words,
    ]
    return load(["mode=backtest", "backtest.refit=true", f"run.root={root}", *own])


def profits(number: int):
    return np.random.default_rng(number).normal(0.0002, 0.001, BARS)


def entered(root, number: int, *words: str) -> trials.Luck:
    config = asked(root, number, *words)
    return trials.enter(RunFolder(config), config, profits(number))


SWEEP = ["run.sweep=hundred", "run.jobs=100"]


def test_the_first_job_of_a_sweep_answers_for_a_hundred(tmp_path):
    first, second = (entered(tmp_path, number, *SWEEP) for number in range(2))
    alone = entered(tmp_path / "alone", 0)
    assert (first.deflated.trials, second.deflated.trials) == (100, 100)
    assert (alone.deflated.trials, alone.deflated.expected_best) == (1, 0)
    assert alone.deflated.probability > 0.95 > first.deflated.probability
    assert first.tried.told() == {"count": 1, "charged": 100, "damaged": []}


def test_a_run_of_its_own_answers_for_what_was_tried(tmp_path):
    entered(tmp_path, 0, *SWEEP)
    found = entered(tmp_path, 1)
    assert found.deflated.trials == found.tried.charged == 2


def test_what_is_written_down_names_the_sweep(tmp_path):
    entered(tmp_path, 0, *SWEEP)
    (one,) = ledger.read(tmp_path / ledger.NAME).trials
    assert (one.run, one.sweep, one.jobs) == ("job-0", "hundred", 100)
    assert one.net == pytest.approx(profits(0).sum())


def test_sweep_and_jobs_are_no_part_of_what_was_tried(tmp_path):
    """Else a repeated job, now alone, would be another trial."""
    entered(tmp_path, 0, *SWEEP)
    assert entered(tmp_path, 0).tried.known.count == 1
