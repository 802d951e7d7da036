"""Who forecasts a book's labels best: our members, their mean, and a straight line.

All see the same rows. Classes weigh alike in training, for macro-F1 counts them alike.
"""

from collections.abc import Callable, Mapping
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import baselines, fit, metrics, student
from bot4jax.learn.baselines import Logistic
from bot4jax.learn.boosting import tree_settings
from bot4jax.learn.bootstrap import DRAWS, stationary_rows
from bot4jax.learn.schedule import Samples
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.schema import Config
from bot4jax.trees.fit import fit_forest
from bot4jax.trees.predict import probabilities
from bot4jax.types import CLASSES

Report = Callable[..., None]

LINEAR, ENSEMBLE, ALWAYS = "linear", "ensemble", "always the largest class"

BLOCK = 10
"""Slots of time in a mean block of the bootstrap: a twentieth of the test."""


class Score(NamedTuple):
    """Macro-F1 of one forecaster, and what it is above the linear baseline's."""

    macro_f1: float
    error: float
    """standard error, blocks of time drawn with replacement, all symbols together"""
    above_linear: float
    above_linear_error: float
    """of the difference on the same blocks"""
    degrees: float
    """of freedom of both"""


class Task(NamedTuple):
    """One label at one horizon, by stretch; −1 where there is none."""

    train: Int[np.ndarray, "T S"]
    calibrate: Int[np.ndarray, "K L"]
    test: Int[np.ndarray, "U V"]
    slots: Int[np.ndarray, "U V"]
    """of the test's time"""


class Found(NamedTuple):
    """Everyone on one label."""

    best: str
    """of the members on the calibration span"""
    scores: dict[str, Score]


class Fitted(NamedTuple):
    """Everyone, fitted on one label."""

    nets: zoo.NetParams | None
    booster: Any
    """`xgboost.Booster`; None where the forest is no member"""
    line: Logistic
    largest: int
    """class of training"""


class Judged(NamedTuple):
    """One label at one horizon."""

    kind: str
    horizon: int
    """events"""
    shares: Float[np.ndarray, " C"]
    """of the test's classes"""
    without: dict[str, int]
    """events of each side whose label would reach beyond their symbol, day or side"""
    best: str
    """of the members on the calibration span"""
    scores: Mapping[str, Score]


def contest(
    config: Config,
    sizes: NetSizes,
    train: Float[np.ndarray, "T S F"],
    calibrate: Float[np.ndarray, "K L F"],
    test: Float[np.ndarray, "U V F"],
    task: Task,
    report: Report,
) -> Found:
    """Everyone fitted on one label, the best member chosen, and judged on its test."""
    samples = Samples(train, np.maximum(task.train, 0), balanced(task.train))
    able, members = fitted(config, sizes, samples, report), config.ensemble.members
    before, said = (forecasts(members, sizes, able, x) for x in (calibrate, test))
    best = best_of(task.calibrate, {name: before[name] for name in members})
    counts = {
        name: confusions(task.test, one.argmax(-1), task.slots)
        for name, one in said.items()
    }
    return Found(best, scored(counts, config.run.seed))


def best_of(
    labels: Int[np.ndarray, "K L"], said: Mapping[str, Float[np.ndarray, "K L C"]]
) -> str:
    """Who has the largest macro-F1; the first of equals."""
    known = labels >= 0
    f1 = {
        name: metrics.macro_f1(metrics.confusion(labels[known], one.argmax(-1)[known]))
        for name, one in said.items()
    }
    return max(f1, key=lambda name: f1[name])


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


def fitted(config: Config, sizes: NetSizes, samples: Samples, report: Report) -> Fitted:
    """Members, and who they are compared with, on the same rows."""
    x, y, w = samples
    seed, nets, booster = config.run.seed, None, None
    if sizes.members:
        nets, _ = fit.fit_nets(
            sizes, samples, config.train, config.hardware, seed, report
        )
    t, s = baselines.sampled_rows(w, baselines.SAMPLES, seed)
    rows = x[t, s], y[t, s], w[t, s]
    if "trees" in config.ensemble.members:
        booster = fit_forest(*rows, tree_settings(config))
    largest = np.bincount(y[w > 0].astype(int), minlength=len(CLASSES)).argmax()
    return Fitted(nets, booster, baselines.fit_logistic(*rows), int(largest))


def forecasts(
    members: tuple[str, ...],
    sizes: NetSizes,
    fitted: Fitted,
    asked: Float[np.ndarray, "U V F"],
) -> dict[str, Float[np.ndarray, "U V C"]]:
    """Probabilities of some stretches, the members in the order of the ensemble."""
    said = {}
    if fitted.nets is not None:
        carry = zoo.init_carry(sizes, asked.shape[1])
        logs, _ = fit.net_probabilities(sizes, fitted.nets, asked, carry)
        said = {name: np.exp(logs[:, i]) for i, name in enumerate(sizes.members)}
    if fitted.booster is not None:
        flat = probabilities(fitted.booster, asked.reshape(-1, asked.shape[2]))
        said["trees"] = flat.reshape(*asked.shape[:2], -1)
    said = {name: said[name] for name in members}
    always = np.eye(len(CLASSES))[np.full(asked.shape[:2], fitted.largest)]
    line = [baselines.logistic_probability(fitted.line, row) for row in asked]
    pooled = np.mean(list(said.values()), axis=0)
    return {ALWAYS: always, LINEAR: np.stack(line), **said, ENSEMBLE: pooled}


def confusions(
    labels: Int[np.ndarray, "U V"],
    chosen: Int[np.ndarray, "U V"],
    slots: Int[np.ndarray, "U V"],
) -> Float[np.ndarray, "N C C"]:
    """What was true and what was said, counted by slot of time; −1 is no label."""
    known = (labels >= 0) & (slots >= 0)
    counts = np.zeros((slots.max() + 1, len(CLASSES), len(CLASSES)))
    np.add.at(counts, (slots[known], labels[known], chosen[known]), 1)
    return counts


def scored(
    counts: Mapping[str, Float[np.ndarray, "N C C"]], seed: int
) -> dict[str, Score]:
    """Macro-F1 and errors from the confusions of all slots.

    Slots are drawn in blocks that follow each other (Politis & Romano 1994), the same
    for everyone: labels overlap, and a wild minute is wild for all symbols.
    """
    random = np.random.default_rng(seed)
    drawn = stationary_rows(len(counts[LINEAR]), BLOCK, DRAWS, random)
    by_lag = student.of_blocks(len(counts[LINEAR]), BLOCK)
    share, degrees = student.trust(by_lag, counts[LINEAR].sum((1, 2)), overlap=1)
    f1 = {name: metrics.macro_f1(one.sum(0)) for name, one in counts.items()}
    again = {
        name: np.array([metrics.macro_f1(one[rows].sum(0)) for rows in drawn])
        for name, one in counts.items()
    }
    return {
        name: Score(
            macro_f1=f1[name],
            error=float(again[name].std(ddof=1) / sqrt(share)),
            above_linear=f1[name] - f1[LINEAR],
            above_linear_error=float(
                (again[name] - again[LINEAR]).std(ddof=1) / sqrt(share)
            ),
            degrees=degrees,
        )
        for name in counts
    }
