"""Traps for leaks around what is fitted: what an honest pipeline cannot do.

Two cost nothing and are always laid: spans that overlap, and forecasts better than the
best possible one of a simulated market. Two go through the newest bars and are laid
where plugins bring something, for of our own code tests hold them: scores that change
with later bars, and features of plugins that are not their definition.
`backtest.traps=true` fits everything once more: skill on shuffled bars, and all
training rows beside another future.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax import plugins
from bot4jax.certify import features, records
from bot4jax.certify.columns import Columns
from bot4jax.data import bound
from bot4jax.data.bound import Bound, Excess
from bot4jax.data.simulator import Simulator
from bot4jax.learn import dataset, metrics, params, sentinels
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.folds import Fold, overlaps, pieces_of
from bot4jax.learn.labels import forward_returns, sample_weights
from bot4jax.learn.splits import Split
from bot4jax.modes.forecasters import Fitted
from bot4jax.modes.setting import Setting
from bot4jax.modes.spans import reach
from bot4jax.registry import FeatureSpec
from bot4jax.runtime.progress import Report

NEWEST = 64
"""Bars, behind those that features look back to, that what is always laid goes through:
half of them to fit units on, half as their future."""

DEFINED = 100
"""Values of a plugin's feature that are asked for by its definition."""


class Laid(NamedTuple):
    """What those traps hold that go through bars; None where one was not laid."""

    shuffled_t: float | None = None
    """of forecasts at the ends of shuffled blocks"""
    moved: int | None = None
    """values before a moment that the bars after it change"""
    strayed: tuple[str, ...] = ()
    """features of plugins that are not their definition"""


UNLAID = Laid()


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
    moved: int | None
    strayed: tuple[str, ...] = ()
    """these three as in `Laid`"""


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
    laid: Laid,
) -> Caught:
    """The traps of all folds together; `laid` are those that went through bars."""
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
    return Caught(shared, limit, found, *laid)


def lay(setting: Setting, record: BarRecord, report: Report) -> Laid:
    """Those that go through bars: the newest, where there are plugins, and, if asked
    for, all of training."""
    found = laid_on_the_newest(setting, record, report)
    if not setting.config.backtest.traps:
        return found
    return found._replace(
        shuffled_t=skill_in_shuffled(setting, record, report),
        moved=max(found.moved or 0, moved(setting, record, report)),
    )


def of_a_fit(setting: Setting, record: BarRecord, report: Report) -> Caught:
    """What is laid around a single fit, before anything was forecast."""
    horizon, split = setting.settings.layout.horizon, setting.split
    shared = overlaps(pieces_of(split), horizon, split.test.stop + horizon)
    laid = laid_on_the_newest(setting, record, report)
    return Caught(shared, None, {}, *laid)


def laid_on_the_newest(setting: Setting, record: BarRecord, report: Report) -> Laid:
    """Whether units and scores know later bars, and plugins do as they define.

    All is fitted as always, on a small span of the newest bars, if there are plugins.
    """
    if not setting.config.plugins:
        return UNLAID
    part, split = newest(setting, record)
    found = moved_in(setting, part, split, split.train.stop, report)
    return Laid(None, found, strayed(setting, part, split, report))


def newest(setting: Setting, record: BarRecord) -> tuple[BarRecord, Split]:
    """The record's newest bars, the first half of the warm ones as a training span."""
    warm, stop = reach(setting.config), record.first + len(record.ints)
    part = record.part(range(max(stop - warm - NEWEST, record.first), stop))
    middle = part.first + warm + (stop - part.first - warm) // 2
    train = range(part.first + warm, middle)
    return part, Split(train, range(middle, stop), range(stop, stop))


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
    before = record.part(range(split.test.start))
    return moved_in(setting, before, split, split.calibrate.start, report)


def moved_in(
    setting: Setting, record: BarRecord, split: Split, cut: int, report: Report
) -> int:
    """Feature scores before a bar that the record's bars from there on change."""

    def prepare(one: BarRecord) -> Float[np.ndarray, "T N"]:
        *_, data = params.prepare(
            setting.config, setting.settings, setting.engine, one, split, report
        )
        return data.features.reshape(len(data.features), -1)

    return sentinels.moved_by_the_future(prepare, record, cut - record.first)


def strayed(
    setting: Setting, record: BarRecord, split: Split, report: Report
) -> tuple[str, ...]:
    """Features of plugins that are not what they define of the bars up to each.

    A table of the whole market in a plugin's hand knows bars that no record brings, so
    no other future can move what is read from it. A definition is given its window
    alone.
    """
    settings, config = setting.settings, setting.config
    brought = [
        (i, spec)
        for i, spec in enumerate(settings.plan.specs)
        if spec.name not in settings.plan.absent
        and any(plugins.is_from(spec, one) for one in config.plugins)
    ]
    if not brought:
        return ()
    scales = dataset.fit_scales(record, split.train)
    units = records.raw_units(settings, scales, params.latency_of(config))
    stage = records.Stage(settings, setting.engine, units)
    data = records.observed(stage, record, report)
    columns = Columns(records.bars_of(record), *map(np.asarray, scales))
    return tuple(
        spec.name
        for i, spec in brought
        if is_strayed(setting, spec, records.said(data, i), columns)
    )


def is_strayed(
    setting: Setting, spec: FeatureSpec, said: features.Said, columns: Columns
) -> bool:
    """Whether some of a feature's values lie beyond what rounding explains."""
    random = np.random.default_rng(setting.config.run.seed)
    length = spec.reach(setting.settings.layout.window)
    row = features.parity(spec, said, columns, length, DEFINED, random)
    return row.worst is None or row.worst > row.tolerance


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
    said += [
        f"{name} is not what it defines of the bars up to then: it reads something "
        "else, as a table of the whole market, or one of its two forms is wrong. "
        "mode=certify says by how much."
        for name in found.strayed
    ]
    return said
