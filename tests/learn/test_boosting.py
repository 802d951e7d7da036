"""How long the forest is boosted: told by bars behind a gap, and by them alone."""

import json
import os

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn.boosting import drawn, enough_rounds, tree_settings
from bot4jax.learn.schedule import Samples
from bot4jax.schema import Config
from bot4jax.trees.fit import fit_forest

HORIZON, BARS = 5, 400
CUT = 320
"""Where the watched fifth of the bars begins, before its gap."""


@pytest.fixture(scope="module")
def config() -> Config:
    return load(["debug=tiny", "trees.rounds=40", "trees.patience=5"])


def samples() -> Samples:
    """Half of the labels follow the first feature."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BARS, 32, 4)).astype(np.float32)
    told = np.digitize(x[..., 0], (-0.6, 0.6))
    y = np.where(rng.random(told.shape) < 0.5, told, rng.integers(0, 3, told.shape))
    return Samples(x, y.astype(np.int8), np.ones(y.shape, np.float32))


def turned(found: Samples, rows: slice) -> Samples:
    """With the opposite labels in some bars."""
    labels = found.labels.copy()
    labels[rows] = 2 - labels[rows]
    return found._replace(labels=labels)


def test_boosting_ends_before_it_learns_by_heart(config):
    assert 1 < enough_rounds(config, samples(), HORIZON) < 40


def test_bars_of_the_gap_tell_nothing(config):
    """Labels of the bars before the gap end in it; those of its own reach beyond."""
    found = enough_rounds(config, samples(), HORIZON)
    gap = slice(CUT - HORIZON, CUT + HORIZON + 1)
    assert enough_rounds(config, turned(samples(), gap), HORIZON) == found


def test_watched_bars_decide(config):
    watched = slice(CUT + HORIZON + 1, BARS)
    assert enough_rounds(config, turned(samples(), watched), HORIZON) == 1


@pytest.mark.parametrize("threads", [1, 3, 0])
def test_xgboost_takes_the_threads_that_are_configured(threads):
    """It is told the number: left alone it would take what its own library finds."""
    config = load(["debug=tiny", "trees.rounds=1", f"hardware.threads={threads}"])
    booster = fit_forest(*drawn(samples(), HORIZON, 0), tree_settings(config))
    told = json.loads(booster.save_config())["learner"]["generic_param"]["nthread"]
    assert int(told) == (threads or len(os.sched_getaffinity(0)))
