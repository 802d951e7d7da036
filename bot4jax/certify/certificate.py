"""The certificate: one market learnt twice, served six ways, and compared.

The members are fitted as always; then once more on a record whose bars behind the
training span are others. What was fitted, and all that was said before that bar, must
be the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from bot4jax.certify import features, learning, nets, records, vote
from bot4jax.certify.columns import Columns
from bot4jax.certify.nets import Nets, Trees
from bot4jax.certify.records import Stage
from bot4jax.certify.rows import Check, Row
from bot4jax.certify.vote import Spoken
from bot4jax.data.universe import Universe
from bot4jax.engine import Engine
from bot4jax.kernels.outcome import DECAY
from bot4jax.learn import dataset, labelling, params
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.labelling import Labels
from bot4jax.learn.novelty import Novelty, fit_novelty
from bot4jax.learn.params import Learned, Members
from bot4jax.learn.splits import Split
from bot4jax.registry import catalogue_hash
from bot4jax.schema import Config
from bot4jax.state import (
    Deciding,
    Settings,
    Units,
    copied,
    init_deciding,
    reset_deciding,
)

SCHEMA = "bot4jax.certify/1"

CHECKS: tuple[Check, ...] = ("parity", "future", "warmup", "slot")

Report = Callable[..., None]


class Case(NamedTuple):
    """What is certified, and on which bars."""

    config: Config
    settings: Settings
    engine: Engine
    universe: Universe
    record: BarRecord
    """all bars of all spans"""
    split: Split

    @property
    def horizon(self) -> int:
        return self.settings.layout.horizon

    @property
    def slots(self) -> Bool[np.ndarray, " S"]:
        """Every other slot changes hands."""
        return np.arange(self.settings.layout.symbols) % 2 == 0

    @property
    def handover(self) -> int:
        """The bar at which they do: most features must become usable once more."""
        return len(self.record.ints) // 4

    @property
    def turn(self) -> int:
        """The bar from which all is another market, for what is fitted in training."""
        return self.split.calibrate.start

    @property
    def late_turn(self) -> int:
        """The same, for decisions on bars that nothing was fitted on."""
        return (self.split.test.start + self.split.test.stop) // 2


class Refitted(NamedTuple):
    """What is fitted on the training span, with another future behind it."""

    units: Units
    labels: Labels
    members: Members
    novelty: Novelty


def document(case: Case, rows: Sequence[Row]) -> dict[str, Any]:
    """The certificate as it is written."""
    plan = case.settings.plan
    return {
        "schema": SCHEMA,
        "passed": all(one.passed for one in rows),
        "data": case.config.data.source,
        "symbols": case.settings.layout.symbols,
        "bars": len(case.record.ints),
        "catalogue_hash": catalogue_hash(plan.specs),
        "values": sum(one.compared for one in rows),
        "absent": {name: list(columns) for name, columns in plan.absent.items()},
        "rows": [one._asdict() for one in rows],
    }


class Views(NamedTuple):
    """The record and its variants through the executable that serves."""

    plain: Dataset
    """features as they are defined"""
    turned: Dataset
    """the same, another market from `Case.turn` on"""
    reset: Dataset
    """the same, slots reset at `Case.handover`"""
    fresh: Dataset
    """the same, those slots empty until then"""
    served: Dataset
    """scores, as members see them"""


def rows(case: Case, report: Report) -> Iterator[Row]:
    """Every row, features first."""
    before = records.cut(case.record, 0, case.split.test.start)
    learned = params.learn(
        *(case.config, case.settings, case.engine, case.universe),
        *(before, case.split, report),
    )
    again = refit(case, report)
    views = seen(case, learned.params.units, report)
    yield from feature_rows(case, learned.params.units, views, report)
    yield from net_rows(case, learned, again, views.served)
    yield from label_rows(case, learned, views)
    yield from scaler_rows(case, learned, again, views)
    yield from split_rows(case, learned, again)
    yield learning.refitted(
        "fallback", learned.params.fallback, again.members.fallback, "vote"
    )
    yield from vote_rows(case, learned, views.served, report)


def refit(case: Case, report: Report) -> Refitted:
    """The learning of a record that ends in another way than this one."""
    other = records.perturbed(case.record, case.turn, case.config.run.seed)
    other = records.cut(other, 0, case.split.test.start)
    units, _, data = params.prepare(
        case.config, case.settings, case.engine, other, case.split, report
    )
    labels = labelling.label_as_configured(
        case.config, data, case.split.train, case.horizon
    )
    members = params.fit_members(
        case.config, case.settings, data, labels, case.split, report
    )
    novelty = fit_novelty(data, case.split.train, case.config.run.seed)
    return Refitted(units, labels, members, novelty)


def seen(case: Case, units: Units, report: Report) -> Views:
    """Five passes of the engine over the record and what was made of it."""
    record, slots, bar = case.record, case.slots, case.handover
    stage = stage_of(case, units)
    other = records.perturbed(record, case.turn, case.config.run.seed)
    silenced = records.silenced(record, slots, bar)
    return Views(
        plain=records.observed(stage, record, report),
        turned=records.observed(stage, other, report),
        reset=records.handed_on(stage, record, slots, bar, report),
        fresh=records.observed(stage, silenced, report),
        served=records.observed(stage._replace(units=units), record, report),
    )


def stage_of(case: Case, units: Units) -> Stage:
    """Where scores are the features' own values."""
    raw = records.raw_units(case.settings, units.scales, units.latency)
    return Stage(case.settings, case.engine, raw)


def columns_of(case: Case, units: Units) -> Columns:
    """The record's columns in float64."""
    scales = (np.asarray(one) for one in units.scales)
    return Columns(records.bars_of(case.record), *scales)


def feature_rows(
    case: Case, units: Units, views: Views, report: Report
) -> Iterator[Row]:
    """Each feature's own checks; absent ones must be silent."""
    columns = columns_of(case, units)
    plan, random = case.settings.plan, np.random.default_rng(case.config.run.seed)
    for i, spec in enumerate(plan.specs):
        report("definitions", i + 1, len(plan.specs))
        plain, turned, reset, fresh = (records.said(data, i) for data in views[:4])
        if spec.name in plan.absent:
            yield from (features.absent(spec, plain, one) for one in CHECKS)
            continue
        length = spec.reach(plan.layout.window)
        count = case.config.certify.values
        yield features.parity(spec, plain, columns, length, count, random)
        yield features.future(spec, plain, turned, case.turn)
        yield features.warmup(spec, plain, columns, length)
        pair = reset.of(case.slots), fresh.of(case.slots)
        yield features.slot(spec, *pair, start=case.handover)


def net_rows(
    case: Case, learned: Learned, again: Refitted, served: Dataset
) -> Iterator[Row]:
    """Nets and forest."""
    own = Nets(
        case.settings.sizes,
        learned.params.nets,
        again.members.nets,
        served.features,
    )
    yield from nets.rows(own, case.turn, case.slots)
    if "trees" in case.settings.members:
        trees = Trees(
            learned.members.booster,
            learned.params.forest,
            again.members.forest,
            served.features,
        )
        yield from nets.forest_rows(trees)


def label_rows(case: Case, learned: Learned, views: Views) -> Iterator[Row]:
    """Labels in hindsight, and as they mature."""
    edge, horizon = learned.labels.threshold, case.horizon
    bar, slots, volatility = case.handover, case.slots, views.served.volatility
    label = edge, horizon, case.settings.has_barriers
    truth, turned = (
        learning.hindsight(one, *label) for one in (views.plain, views.turned)
    )
    found = learning.streamed(case.record, volatility, *label)
    yield learning.label_parity(found, truth, horizon)
    yield learning.label_future(truth, turned, case.turn, horizon)
    yield learning.label_warmup(found, horizon)
    resets = np.zeros(volatility.shape, bool)
    resets[bar] = slots
    reset = learning.streamed(case.record, volatility, *label, resets)
    silenced = records.silenced(case.record, slots, bar)
    fresh = learning.streamed(silenced, volatility, *label)
    yield learning.label_slot(reset, fresh, slots, bar)


def split_rows(case: Case, learned: Learned, again: Refitted) -> Iterator[Row]:
    """Spans, and what they keep from each other."""
    plan = case.settings.plan
    longest = max(one.reach(plan.layout.window) for one in plan.specs)
    yield from learning.split_rows(case.split, case.horizon, longest)
    rows = labelling.rows_of(learned.data, case.split.train)
    yield learning.split_future(learned.labels, again.labels, rows)


def scaler_rows(
    case: Case, learned: Learned, again: Refitted, views: Views
) -> Iterator[Row]:
    """Scales, scaler, scores and the volatility that is carried."""
    units, served = learned.params.units, views.served
    rows = dataset.scaler_rows(views.plain, case.split.train, case.config.run.seed)
    yield learning.scaler_parity(views.plain, units.scaler, rows)
    yield learning.refitted("scaler", units.scaler, again.units.scaler)
    yield learning.refitted("scales", units.scales, again.units.scales)
    yield learning.refitted("novelty", learned.novelty, again.novelty)
    yield learning.novelty_parity(
        learned.novelty, learned.data, case.split.train, case.config.run.seed
    )
    yield learning.scores_parity(served, learned.data)
    yield learning.scores_warmup(served)
    yield learning.volatility_parity(served, case.record, units.scales, DECAY)
    yield learning.volatility_slot(views.reset, views.fresh, case.slots, case.handover)


def vote_rows(
    case: Case, learned: Learned, served: Dataset, report: Report
) -> Iterator[Row]:
    """The vote from the end of training on, as the engine decides."""
    first, bar, end = case.split.train.stop, case.split.test.start, len(served.features)
    stage = Stage(case.settings, case.engine, learned.params.units)
    other = records.perturbed(case.record, case.late_turn, case.config.run.seed)
    turned = records.observed(stage, other, report)

    def walk(state: Deciding, span: range, record=case.record, data=served):
        return records.decided(stage, learned.params, state, record, data, span, report)

    blank = init_deciding(case.settings)
    middle, early = walk(copied(blank), range(first, bar))
    _, late = walk(copied(middle), range(bar, end))
    _, otherwise = walk(copied(blank), range(first, end), other, turned)
    edge, has_barriers = learned.labels.threshold, case.settings.has_barriers
    truth = learning.hindsight(served, edge, case.horizon, has_barriers)
    scores, classes = served.features[first:], truth.classes[first:]
    counts, volatility = truth.weights[first:] > 0, served.volatility[first:]
    spoken = Spoken([*early, *late], scores, classes, counts, volatility)
    yield from vote.rows(
        spoken, otherwise, learned.params, case.settings, case.late_turn - first
    )
    reset = reset_deciding(copied(middle), jnp.asarray(case.slots))
    fresh = records.swapped(middle, blank, case.slots)
    said = [walk(one, range(bar, end))[1] for one in (reset, fresh)]
    yield vote.slot(said[0], said[1], case.slots)
