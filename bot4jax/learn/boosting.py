"""The ensemble's forest: which rows it is fitted on, for how long, and who asks it."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from bot4jax.engine import Engine, asking
from bot4jax.learn.baselines import sampled_rows
from bot4jax.learn.schedule import Samples
from bot4jax.learn.splits import purge_gap
from bot4jax.schema import Config
from bot4jax.schema.process import Hardware
from bot4jax.state import Settings
from bot4jax.trees import fit as tree_fit
from bot4jax.trees import forest, predict
from bot4jax.trees.fit import Rows
from bot4jax.trees.forest import Forest
from bot4jax.types import CLASSES

Report = Callable[..., None]

TREE_SAMPLES = 100_000
"""Rows that the forest is fitted on at most: leaves of a forest of depth 4 hold
thousands of them, and more teach it nothing."""

EXPLAINED = 2_000
"""Rows whose forecasts are taken apart into contributions: shares of families settle
within a per cent."""


def fit_trees(
    config: Config, settings: Settings, samples: Samples, report: Report
) -> tuple[Any, Forest]:
    """The forest of every `horizon`-th bar: labels between share most of their bars."""
    chosen, seed = tree_settings(config), config.run.seed
    horizon = settings.layout.horizon
    if config.trees.patience:
        chosen = chosen._replace(rounds=enough_rounds(config, samples, horizon))
    booster = tree_fit.fit_forest(
        *drawn(samples, horizon, seed),
        chosen,
        lambda done, total: report("trees", done, total),
    )
    own = config.trees
    capacity = own.rounds * len(CLASSES)
    return booster, forest.pack(booster, capacity, own.depth, len(CLASSES))


def enough_rounds(config: Config, samples: Samples, horizon: int) -> int:
    """Rounds after which the last part of training is forecast best by the first.

    Between the two lies the gap of any two spans: no label reaches into the other.
    """
    own, seed = config.trees, config.run.seed
    bars = len(samples.labels)
    cut = round((1 - own.watched) * bars)
    begin = cut + purge_gap(horizon, latency_bars=1)
    first, last = (
        Samples(*(column[rows] for column in samples))
        for rows in (slice(cut - horizon), slice(begin, bars - horizon))
    )
    return tree_fit.best_rounds(
        drawn(first, horizon, seed),
        drawn(last, horizon, seed),
        tree_settings(config),
        own.patience,
    )


def drawn(samples: Samples, horizon: int, seed: int) -> Rows:
    """Rows of every `horizon`-th bar that weigh something, at most `TREE_SAMPLES`."""
    x, y, w = (column[::horizon] for column in samples)
    t, s = sampled_rows(w, TREE_SAMPLES, seed)
    return Rows(x[t, s], y[t, s], w[t, s])


def tree_settings(config: Config) -> tree_fit.Settings:
    """What the configuration says of boosting, in the words of `trees`."""
    own = config.trees
    return tree_fit.Settings(
        rounds=own.rounds,
        depth=own.depth,
        learning_rate=own.learning_rate,
        min_child_weight=own.min_child_weight,
        gamma=own.gamma,
        subsample=own.subsample,
        colsample=own.colsample,
        reg_lambda=own.reg_lambda,
        seed=config.run.seed,
        threads=threads_of(config.hardware),
        device=config.hardware.platform,
    )


def threads_of(hardware: Hardware) -> int:
    """Threads that boosting takes: as many as are configured, or every allowed core."""
    return hardware.threads or len(os.sched_getaffinity(0))


def seated(config: Config, settings: Settings, engine: Engine, booster: Any) -> Engine:
    """The engine with the predictor that is configured; the fused one needs nobody."""
    if config.trees.predictor == "fused" or "trees" not in settings.members:
        return engine
    own = config.hardware
    asked = predict.asker(booster, threads=threads_of(own), device=own.platform)
    return asking(engine, asked)


def explained(
    booster: Any,
    features: Float[np.ndarray, "T S F"],
    weights: Float[np.ndarray, "T S"],
    names: tuple[str, ...],
    seed: int,
) -> dict[str, float]:
    """Each feature's share of what moves the forest, on rows that weigh something."""
    t, s = sampled_rows(weights, EXPLAINED, seed)
    return predict.contributions(booster, features[t, s], names)
