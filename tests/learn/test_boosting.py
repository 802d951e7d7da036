"""How long the forest is boosted: told by bars behind a gap, and by them alone."""

import json
import os

import jax
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.errors import DataError
from bot4jax.learn.boosting import (
    drawn,
    enough_rounds,
    fit_alone,
    fit_trees,
    stopping_of,
    tree_settings,
)
from bot4jax.learn.schedule import Samples
from bot4jax.modes.keeping import blank
from bot4jax.modes.setting import set_stage
from bot4jax.schema import Config
from bot4jax.trees import forest, predict
from bot4jax.trees.fit import Rows, fit_forest

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


def weightless(found: Samples) -> Samples:
    """Without a label in the watched bars."""
    weights = found.weights.copy()
    weights[CUT:] = 0
    return found._replace(weights=weights)


@pytest.mark.parametrize(
    ("watched", "horizon", "spoilt", "use"),
    [
        (0.9, 60, lambda found: found, "fit on"),
        (0.2, 100, lambda found: found, "watch"),
        (0.2, HORIZON, weightless, "watch"),
    ],
)
def test_parts_that_hold_no_label_are_told_by_the_key(watched, horizon, spoilt, use):
    """Of a gap that reached behind the first bar, the first part was counted from the
    end: it held the watched bars themselves."""
    own = load(["debug=tiny", "trees.patience=5", f"trees.watched={watched}"])
    told = rf"trees\.watched: {watched} of 400 .* leaves no label to {use}: lengthen"
    with pytest.raises(DataError, match=told):
        enough_rounds(own, spoilt(samples()), horizon)


def rounds_alone(config, found: Samples, horizon: int, patience: int = 5) -> int:
    """Of a forest fitted alone on every row of all bars."""
    at = np.arange(BARS).repeat(found.labels.shape[1])
    rows = Rows(found.features.reshape(len(at), -1), *(c.ravel() for c in found[1:]))
    stopping = stopping_of(config, horizon)._replace(patience=patience)
    booster = fit_alone(rows, at, BARS, tree_settings(config), stopping)
    return booster.num_boosted_rounds()


def test_a_forest_alone_stops_where_the_ensembles_does(config):
    """At a horizon of one bar both are fitted on every row."""
    few = Samples(*(column[:, :6] for column in samples()))
    found = enough_rounds(config, few, 1)
    assert 1 < found < 40
    assert rounds_alone(config, few, 1) == found
    assert rounds_alone(config, few, 1, patience=0) == 40


def test_a_forest_alone_is_stopped_by_the_bars_behind_the_gap(config):
    gap, watched = (
        slice(CUT - HORIZON, CUT + HORIZON + 1),
        slice(CUT + HORIZON + 1, BARS),
    )
    found = rounds_alone(config, samples(), HORIZON)
    assert rounds_alone(config, turned(samples(), gap), HORIZON) == found
    assert rounds_alone(config, turned(samples(), watched), HORIZON) == 1


def test_where_nobody_can_be_watched_all_rounds_are_boosted(config):
    """A symbol that ended before the watched bars."""
    found = samples()
    found.weights[CUT:] = 0
    assert rounds_alone(config, found, HORIZON) == 40


def test_a_deep_forest_is_fitted_in_the_shapes_that_a_checkpoint_expects():
    setting = set_stage(load(["debug=tiny", "trees.depth=20"]))
    found = samples()
    booster, packed = fit_trees(setting.config, setting.settings, found, lambda *_: 0)
    assert max(text.count("\t" * 12) for text in booster.get_dump()) > 0
    shapes = jax.eval_shape(lambda: (packed, blank(setting).params.forest))
    assert shapes[0] == shapes[1]
    x = found.features[-1]
    said = jax.jit(forest.predict)(packed, x)
    truth = predict.probabilities(booster, x)
    np.testing.assert_allclose(said, truth, rtol=0, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3, 0])
def test_xgboost_takes_the_threads_that_are_configured(threads):
    """It is told the number: left alone it would take what its own library finds."""
    config = load(["debug=tiny", "trees.rounds=1", f"hardware.threads={threads}"])
    booster = fit_forest(*drawn(samples(), HORIZON, 0), tree_settings(config))
    told = json.loads(booster.save_config())["learner"]["generic_param"]["nthread"]
    assert int(told) == (threads or len(os.sched_getaffinity(0)))
