"""Does a calibration for each regime forecast better than one for all times?

    python -m benchmarks.regimes experiment=NAME … [run.seed=SEED] [KEY=VALUE …]

Members are fitted once on the training span of the market that the keys describe, and
calibrated in both ways on the bars behind it (`ensemble.regimes`, `none` and
`volatility`). Both decide on the same test span, which nothing was fitted on. A row of
the table is a forecaster: its log loss with one calibration, what regimes add to it
(below zero they are better) with the interval of the pair, and its temperatures.

Both are looks at the test span: each enters a line in the ledger of `run.root`, and one
in `docs/experiments/looks.jsonl`, by which the page of experiments charges its market.
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from jaxtyping import Float

from benchmarks import looks
from benchmarks.looks import Look
from benchmarks.markdown import table
from bot4jax.config import load
from bot4jax.decisions import Decided
from bot4jax.kernels import bars
from bot4jax.learn import bootstrap, dataset, metrics, params
from bot4jax.learn.bootstrap import Mean
from bot4jax.learn.dataset import BarRecord, Dataset, record_bars
from bot4jax.learn.labelling import label_as_configured
from bot4jax.learn.labels import bars_lived, outcomes, sample_weights
from bot4jax.learn.params import Fitted, Learned
from bot4jax.modes import trials
from bot4jax.modes.keeping import anchors_of
from bot4jax.modes.report_skill import temperatures
from bot4jax.modes.setting import Setting, set_stage, stage_on
from bot4jax.modes.tapes import closed_bars
from bot4jax.runtime.folder import RunFolder
from bot4jax.schema import Config
from bot4jax.state import copied

FOUND = Path(__file__).resolve().parent.parent / "docs" / "experiments"

WAYS = ("none", "volatility")
ENSEMBLE = "ensemble"


class Told(NamedTuple):
    """What one way of calibrating made of the test span."""

    learned: Learned
    losses: dict[str, Float[np.ndarray, "T S"]]
    """by member, and the ensemble's"""
    weights: Float[np.ndarray, "T S"]


def silent(*told: object) -> None:
    """No progress."""


def recorded(setting: Setting) -> BarRecord:
    """Every bar up to the end of the test span."""
    first = bars.init_bars(anchors_of(setting))
    _, closed = closed_bars(setting, first, 0, setting.split.test.stop)
    return record_bars(0, ((one.ints, one.floats) for one in closed))


def fitted(setting: Setting, before: BarRecord) -> Fitted:
    """Members fitted as every run fits them."""
    own = setting.config, setting.settings
    units, observing, data = params.prepare(
        *own, setting.engine, before, setting.split, silent
    )
    horizon = setting.settings.layout.horizon
    labels = label_as_configured(setting.config, data, setting.split.train, horizon)
    members = params.fit_members(*own, data, labels, setting.split, silent)
    return Fitted(units, observing, data, labels, members)


def told(setting: Setting, record: BarRecord, common: Fitted, way: str) -> Told:
    """The test span as it is decided on with one way of calibrating."""
    config = calibrated_as(setting.config, way)
    own, split = stage_on(config, setting.source, setting.split), setting.split
    learned = params.calibrated(
        config,
        own.settings,
        own.engine,
        setting.source.universe,
        record.part(range(split.test.start)),
        split,
        silent,
        common._replace(observing=copied(common.observing)),
    )
    test = record.part(split.test)
    _, seen = dataset.observe_bars(
        own.engine.observe, learned.params.units, learned.observing, test, silent
    )
    _, decided = params.walk(
        own.settings,
        own.engine,
        learned.params,
        learned.deciding,
        test,
        seen,
        range(len(seen.features)),
        silent,
    )
    return judged(own, learned, seen, decided)


def calibrated_as(config: Config, way: str) -> Config:
    """The same run with one way of calibrating."""
    ensemble = msgspec.structs.replace(config.ensemble, regimes=way)
    return msgspec.structs.replace(config, ensemble=ensemble)


def enter(config: Config, losses: Mapping[str, float], bars: int, found: Path) -> None:
    """Write down that the test span was looked at, by the ensemble's log loss each way.

    In the ledger of its root, and among the looks that are published; nothing was
    traded, so neither has a ratio.
    """
    known = looks.read(found)
    for way, loss in losses.items():
        own = calibrated_as(config, way)
        folder = RunFolder(own)
        trials.written(folder, own, bars // own.labels.horizon)
        run = {"data": own.data.source, "seed": own.run.seed}
        known.append(Look(looks.market_of(run), folder.hash, (loss,), None, None))
    looks.write(found, sorted(set(known), key=repr))


def judged(
    setting: Setting, learned: Learned, seen: Dataset, decided: list[Decided]
) -> Told:
    """Everyone's log loss, label by label."""
    horizon, barriers = setting.settings.layout.horizon, setting.settings.has_barriers
    edge = float(learned.params.threshold)
    terms = seen.entry, seen.close, seen.volatility, edge, horizon, barriers
    moved, classes = outcomes(*terms)
    lived = bars_lived(*terms)
    weights = sample_weights(
        moved, seen.volatility, seen.live, horizon, lived, seen.settled
    )
    said = np.stack([one.member_probability for one in decided], axis=1)
    spoken = dict(zip(setting.settings.members, said, strict=True))
    spoken[ENSEMBLE] = np.stack([one.probability for one in decided])
    losses = {
        name: metrics.sample_log_loss(one, classes) for name, one in spoken.items()
    }
    return Told(learned, losses, weights)


def main(words: list[str]) -> None:
    setting = set_stage(load(words))
    record, horizon = recorded(setting), setting.settings.layout.horizon
    common = fitted(setting, record.part(range(setting.split.test.start)))
    one, apart = (told(setting, record, common, way) for way in WAYS)
    losses = {
        way: metrics.weighted_mean(own.losses[ENSEMBLE], own.weights)
        for way, own in zip(WAYS, (one, apart), strict=True)
    }
    enter(setting.config, losses, len(setting.split.test), FOUND)
    rows = [
        (
            name,
            f"{metrics.weighted_mean(loss, one.weights):.4f}",
            shown(bootstrap.mean(apart.losses[name] - loss, one.weights, horizon)),
            temperatures(apart.learned.calibration[name]),
        )
        for name, loss in one.losses.items()
    ]
    effective = float(one.weights.sum())
    print(" ".join(words), f"({effective:,.0f} labels of the test without overlap)\n")
    trusts = [
        f"{own.trust:.2f}" for own in apart.learned.calibration[ENSEMBLE].by_regime
    ]
    print("What own labels of the regimes count:", ", ".join(trusts), end="\n\n")
    heads = ("", "log loss", "regimes add, 10⁻³", "temperatures")
    print(table(heads, rows))


def shown(added: Mean) -> str:
    """A difference with its interval, 10⁻³."""
    value, low, high = (1e3 * x for x in added.interval)
    return f"{value:+.2f} ({low:+.2f} … {high:+.2f})"


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    main(sys.argv[1:])
