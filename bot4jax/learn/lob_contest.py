"""Who forecasts a book's labels best: our members, their mean, and a straight line.

All see the same rows. Classes weigh alike in training, for macro-F1 counts them alike.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.learn import baselines, fit, metrics
from bot4jax.learn.boosting import tree_settings
from bot4jax.learn.schedule import Samples
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.schema import Config
from bot4jax.trees.fit import fit_forest
from bot4jax.trees.predict import probabilities
from bot4jax.types import CLASSES

Report = Callable[..., None]

LINEAR, ENSEMBLE, ALWAYS = "linear", "ensemble", "always the largest class"

DRAWS = 500
"""Bootstrap samples of lanes."""


class Score(NamedTuple):
    """Macro-F1 of one forecaster, and what it is above the linear baseline's."""

    macro_f1: float
    error: float
    """standard error, stretches drawn with replacement"""
    above_linear: float
    above_linear_error: float
    """of the difference on the same stretches"""


class Task(NamedTuple):
    """One label at one horizon, of training and of test; −1 where there is none."""

    train: Int[np.ndarray, "T S"]
    test: Int[np.ndarray, "U V"]


class Judged(NamedTuple):
    """One label at one horizon."""

    kind: str
    horizon: int
    """events"""
    shares: Float[np.ndarray, " C"]
    """of the test's classes"""
    scores: Mapping[str, Score]


def contest(
    config: Config,
    sizes: NetSizes,
    train: Float[np.ndarray, "T S F"],
    test: Float[np.ndarray, "U V F"],
    task: Task,
    report: Report,
) -> dict[str, Score]:
    """Everyone fitted on one label and judged on its test."""
    samples = Samples(train, np.maximum(task.train, 0), balanced(task.train))
    said = forecasts(config, sizes, samples, test, report)
    known = task.test >= 0
    counts = {
        name: confusions(task.test, one.argmax(-1), known) for name, one in said.items()
    }
    return scored(counts, config.run.seed)


def balanced(labels: Int[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Weights by which every class that occurs weighs alike, 1 in the mean; 0 of −1."""
    known = labels >= 0
    count = np.bincount(labels[known], minlength=len(CLASSES))
    share = np.divide(
        known.sum() / (count > 0).sum(),
        count,
        out=np.zeros(len(count)),
        where=count > 0,
    )
    return np.where(known, share[np.maximum(labels, 0)], 0.0).astype(np.float32)


def forecasts(
    config: Config,
    sizes: NetSizes,
    samples: Samples,
    test: Float[np.ndarray, "U V F"],
    report: Report,
) -> dict[str, Float[np.ndarray, "U V C"]]:
    """Probabilities of the test, the members in the order of the ensemble."""
    x, y, w = samples
    seed, members = config.run.seed, {}
    if sizes.members:
        nets, _ = fit.fit_nets(
            sizes, samples, config.train, config.hardware, seed, report
        )
        carry = zoo.init_carry(sizes, test.shape[1])
        logs, _ = fit.net_probabilities(sizes, nets, test, carry)
        members = {name: np.exp(logs[:, i]) for i, name in enumerate(sizes.members)}
    t, s = baselines.sampled_rows(w, baselines.SAMPLES, seed)
    if "trees" in config.ensemble.members:
        booster = fit_forest(x[t, s], y[t, s], w[t, s], tree_settings(config))
        flat = probabilities(booster, test.reshape(-1, test.shape[2]))
        members["trees"] = flat.reshape(*test.shape[:2], -1)
    members = {name: members[name] for name in config.ensemble.members}
    largest = np.bincount(y[w > 0].astype(int), minlength=len(CLASSES)).argmax()
    always = np.eye(len(CLASSES))[np.full(test.shape[:2], largest)]
    line = baselines.logistic_regression(x, y, w, test, seed=seed)
    pooled = np.mean(list(members.values()), axis=0)
    return {ALWAYS: always, LINEAR: line, **members, ENSEMBLE: pooled}


def confusions(
    labels: Int[np.ndarray, "U V"],
    chosen: Int[np.ndarray, "U V"],
    known: Bool[np.ndarray, "U V"],
) -> Float[np.ndarray, "V C C"]:
    """What was true and what was said, counted by stretch."""
    return np.stack(
        [
            metrics.confusion(labels[own, lane], chosen[own, lane])
            for lane, own in enumerate(known.T)
        ]
    )


def scored(
    counts: Mapping[str, Float[np.ndarray, "V C C"]], seed: int
) -> dict[str, Score]:
    """Macro-F1 and errors from the confusions of all stretches."""
    lanes = len(counts[LINEAR])
    drawn = np.random.default_rng(seed).integers(0, lanes, (DRAWS, lanes))
    f1 = {name: metrics.macro_f1(one.sum(0)) for name, one in counts.items()}
    again = {
        name: np.array([metrics.macro_f1(one[rows].sum(0)) for rows in drawn])
        for name, one in counts.items()
    }
    return {
        name: Score(
            macro_f1=f1[name],
            error=float(again[name].std(ddof=1)),
            above_linear=f1[name] - f1[LINEAR],
            above_linear_error=float((again[name] - again[LINEAR]).std(ddof=1)),
        )
        for name in counts
    }
