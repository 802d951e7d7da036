"""Traps for leaks around a backtest: what an honest pipeline cannot do.

Two cost nothing and are always laid: spans that overlap, and forecasts better than the
best possible one of a simulated market. Two fit everything once more and are laid by
`backtest.traps=true`: skill on shuffled bars, and rows that change with the future.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data import bound
from bot4jax.data.bound import Bound, Excess
from bot4jax.data.simulator import Simulator
from bot4jax.learn import dataset, metrics, params, sentinels
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.folds import Fold, overlaps
from bot4jax.learn.labels import forward_returns, sample_weights
from bot4jax.modes.forecasters import Fitted
from bot4jax.modes.setting import Setting
from bot4jax.runtime.progress import Report

UNLAID = None, None
"""In place of what the costly traps hold."""


class Best(NamedTuple):
    """The best possible forecast of a test span's labels."""

    chances: Float[np.ndarray, "T S C"]
    known: Bool[np.ndarray, "T S"]
    """the label has an entry and an end within the span"""


class Caught(NamedTuple):
    """What the traps hold; None where one was not laid."""

    overlaps: tuple[str, ...]
    """pairs of spans whose labels share a bar, by fold"""
    bound: Bound | None
    """expected log loss of the best forecast: simulated markets only"""
    excess: dict[str, Excess]
    """of each forecaster over the best one, on the same labels"""
    shuffled_t: float | None
    """of forecasts at the ends of shuffled blocks"""
    moved: int | None
    """values before a moment that the bars after it change"""


def best_of(setting: Setting, fold: Fitted) -> Best | None:
    """What only a simulator knows, of labels that end with their horizon."""
    if not isinstance(setting.source, Simulator) or setting.settings.has_barriers:
        return None
    layout, span = setting.settings.layout, fold.split.test
    counted = len(span) - layout.horizon
    edge = float(fold.params.threshold) * fold.test.volatility * layout.horizon**0.5
    truth = bound.truth(
        setting.source,
        span.start,
        span.stop - layout.horizon,
        layout.horizon,
        layout.latency / 2**20,
        edge[:counted],
    )
    missing = ((0, layout.horizon), (0, 0))
    chances = np.pad(truth.chances, (*missing, (0, 0)), constant_values=1 / 3)
    return Best(chances, np.pad(truth.known, missing))


def caught(
    setting: Setting,
    cut: Sequence[Fold],
    best: Best | None,
    classes: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    said: Mapping[str, Float[np.ndarray, "T S C"]],
    costly: tuple[float | None, int | None],
) -> Caught:
    """The traps of all folds together; `costly` are those laid by configuration."""
    horizon, found = setting.settings.layout.horizon, {}
    bars = horizon + max(one.stop for fold in cut for span in fold for one in span)
    shared = tuple(
        f"fold {number}: {pair}"
        for number, fold in enumerate(cut, 1)
        for pair in overlaps(fold, horizon, bars)
    )
    limit = None
    if best is not None:
        truth = bound.Truth(best.chances, classes.astype(int), best.known, horizon)
        rows = weights > 0
        limit = bound.bound_of(truth, rows)
        found = {
            name: bound.excess_log_loss(truth, one, rows & np.isfinite(one).all(-1))
            for name, one in said.items()
        }
    return Caught(shared, limit, found, *costly)


def lay(
    setting: Setting, record: BarRecord, report: Report
) -> tuple[float | None, int | None]:
    """The traps that fit everything once more, on the setting's spans, if asked for."""
    if not setting.config.backtest.traps:
        return UNLAID
    return skill_in_shuffled(setting, record, report), moved(setting, record, report)


def skill_in_shuffled(setting: Setting, record: BarRecord, report: Report) -> float:
    """t of the whole pipeline, fitted and asked on shuffled bars."""
    split, settings, engine = setting.split, setting.settings, setting.engine
    horizon = settings.layout.horizon
    own = record.part(range(split.test.stop))
    turned = sentinels.shuffled(own, horizon, setting.config.run.seed)
    before, test = (turned.part(s) for s in (range(split.test.start), split.test))
    universe = setting.source.universe
    learned = params.learn(
        setting.config, settings, engine, universe, before, split, report
    )
    _, seen = dataset.observe_bars(
        engine.observe, learned.params.units, learned.observing, test, lambda done: None
    )
    _, decided = params.walk(
        settings,
        engine,
        learned.params,
        jax.device_put(learned.deciding),
        test,
        seen,
        range(len(seen.features)),
        report,
    )
    forecast = metrics.direction(np.stack([one.probability for one in decided]))
    returns = forward_returns(seen.entry, seen.close, horizon)
    weights = sample_weights(
        returns, seen.volatility, seen.live, horizon, settled=seen.settled
    )
    ends = sentinels.ends_of_blocks(split.test.stop, horizon)[split.test.start :]
    return sentinels.shuffled_skill(forecast, returns, weights, ends)


def moved(setting: Setting, record: BarRecord, report: Report) -> int:
    """Feature scores of training that the bars behind it change."""
    split = setting.split

    def prepare(one: BarRecord) -> Float[np.ndarray, "T N"]:
        *_, data = params.prepare(
            setting.config, setting.settings, setting.engine, one, split, report
        )
        return data.features.reshape(len(data.features), -1)

    before = record.part(range(split.test.start))
    return sentinels.moved_by_the_future(prepare, before, split.calibrate.start)


def alarms(found: Caught) -> list[str]:
    """Sentences about the traps that went off; none for an honest backtest."""
    said = [f"Labels of two spans share a bar: {one}." for one in found.overlaps]
    for name, one in found.excess.items():
        if sentinels.beats_the_bound(one):
            said.append(
                f"{name.replace('_', ' ')} beats the best possible forecast by "
                f"{-1e3 * one.log_loss:.3f} ± {1e3 * one.standard_error:.3f} · 10⁻³: "
                "it reads the future."
            )
    if found.shuffled_t is not None and found.shuffled_t > sentinels.ERRORS:
        said.append(
            f"Shuffled bars are forecast with t = {found.shuffled_t:.1f}: something "
            "knows what comes."
        )
    if found.moved:
        said.append(f"{found.moved:,} values of training change with later bars.")
    return said
