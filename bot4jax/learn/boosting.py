"""The ensemble's forest: which rows it is fitted on, for how long, and who asks it."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.engine import Engine, asking
from bot4jax.errors import DataError
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


class Stopping(NamedTuple):
    """When enough has been boosted."""

    patience: int
    """rounds without a better loss on the watched bars; 0: all rounds"""
    watched: float
    """share of the training bars, the last ones"""
    horizon: int


def stopping_of(config: Config, horizon: int) -> Stopping:
    """What the configuration says of it."""
    return Stopping(config.trees.patience, config.trees.watched, horizon)


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
    Raises `DataError` where either part holds nothing that weighs.
    """
    seed, stopping = config.run.seed, stopping_of(config, horizon)
    bars = len(samples.labels)
    first, last = (
        Samples(*(column[rows] for column in samples)) for rows in tail(bars, stopping)
    )
    for part, use in ((first, "fit on"), (last, "watch")):
        if not part.weights[::horizon].any():
            raise _no_label(use, bars, stopping)
    return tree_fit.best_rounds(
        drawn(first, horizon, seed),
        drawn(last, horizon, seed),
        tree_settings(config),
        stopping.patience,
    )


def _no_label(use: str, bars: int, stopping: Stopping) -> DataError:
    return DataError(
        f"trees.watched: {stopping.watched:g} of {bars} training bars, behind a gap "
        f"for a horizon of {stopping.horizon}, leaves no label to {use}: lengthen "
        "spans.train, or boost all rounds with trees.patience=0"
    )


def tail(bars: int, stopping: Stopping) -> tuple[slice, slice]:
    """Training bars that are fitted on and watched, to tell what rounds are enough."""
    cut = round((1 - stopping.watched) * bars)
    begin = cut + purge_gap(stopping.horizon, latency_bars=1)
    first, last = (max(end - stopping.horizon, 0) for end in (cut, bars))
    return slice(first), slice(begin, last)


def fit_alone(
    rows: Rows,
    at: Int[np.ndarray, " N"],
    bars: int,
    settings: tree_fit.Settings,
    stopping: Stopping,
) -> Any:
    """A forest of its own, of as many rounds as its own last rows say are enough.

    `at` are the rows' bars among the `bars` of training. The spans are those of the
    ensemble's forest. Where a span holds no row that weighs anything, nothing tells
    when to stop, and all rounds are boosted.
    """
    if stopping.patience:
        first, last = (
            Rows(*(column[_within(at, own)] for column in rows))
            for own in tail(bars, stopping)
        )
        if first.weights.any() and last.weights.any():
            enough = tree_fit.best_rounds(first, last, settings, stopping.patience)
            settings = settings._replace(rounds=enough)
    return tree_fit.fit_forest(*rows, settings)


def _within(at: np.ndarray, own: slice) -> np.ndarray:
    return (at >= (own.start or 0)) & (at < own.stop)


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
    if not is_asked(config, settings):
        return engine
    own = config.hardware
    asked = predict.asker(booster, threads=threads_of(own), device=own.platform)
    return asking(engine, asked)


def is_asked(config: Config, settings: Settings) -> bool:
    """Whether the forest is asked by itself, beside the nets."""
    return config.trees.predictor != "fused" and "trees" in settings.members


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
