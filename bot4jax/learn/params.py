"""From recorded bars to everything the engine needs to decide.

Units are frozen on training bars, members are fitted on them, calibration on bars
that no member saw, and the vote walks through those bars as it will walk on.
"""

from collections.abc import Callable
from itertools import pairwise, starmap
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float, Int

from bot4jax.data.universe import Universe
from bot4jax.decisions import Decided, unpack_decisions
from bot4jax.engine import Engine
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.sizing import SizingParams
from bot4jax.kernels.vote import VoteParams
from bot4jax.learn import ahead, crossfit, dataset, fit, regimes
from bot4jax.learn.boosting import fit_trees, seated
from bot4jax.learn.crossfit import Calibrations
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.fit import NOWHERE, Place
from bot4jax.learn.health import History
from bot4jax.learn.labelling import Labels, label_as_configured, rows_in, rows_of
from bot4jax.learn.labels import by_class
from bot4jax.learn.novelty import Novelty, fit_novelty
from bot4jax.learn.schedule import Samples
from bot4jax.learn.shelf import MEMORY, Shelf
from bot4jax.learn.splits import Split
from bot4jax.nets import zoo
from bot4jax.nets.fallback import FallbackParams
from bot4jax.schema import Config
from bot4jax.state import (
    Deciding,
    Observing,
    Params,
    Settings,
    Units,
    counting_anew,
    init_deciding,
    init_observing,
)
from bot4jax.trees import forest
from bot4jax.trees.forest import Forest
from bot4jax.types import FRACTION

Report = Callable[..., None]

UNCLIPPED = 3e38
"""Scores of the first pass are raw values, so that the scaler can be fitted."""


WARM_BARS = 256
"""Bars that nets run through before their forecasts count."""


class Members(NamedTuple):
    """What was fitted on the training span."""

    nets: zoo.NetParams
    booster: Any
    """`xgboost.Booster`, to be saved beside the checkpoint; None of one that was kept,
    and is damaged"""
    forest: Forest
    fallback: FallbackParams
    history: History | None
    """losses and gradient health of the nets' fit, by update; None where what was kept
    of them is lost"""


class Fitted(NamedTuple):
    """What is known of the record, and fitted on its training span; not calibrated."""

    units: Units
    observing: Observing
    data: Dataset
    labels: Labels
    members: Members


class Learned(NamedTuple):
    """The fitted engine where the record ends."""

    params: Params
    observing: Observing
    deciding: Deciding
    members: Members
    labels: Labels
    data: Dataset
    calibration: Calibrations
    """of each member and of the vote, before and after"""
    novelty: Novelty
    """distance from the training bars; reported, never read by a decision"""
    alarms: tuple[str, ...] = ()
    """of traps for leaks around the fit, in sentences"""


def learn(
    config: Config,
    settings: Settings,
    engine: Engine,
    universe: Universe,
    record: BarRecord,
    split: Split,
    report: Report,
    place: Place = NOWHERE,
) -> Learned:
    """Fit units, members, calibration and the vote on the record's spans."""
    shelf = shelf_of(config, place.folder)
    with ahead.compiled(ahead.for_members(config, settings)):
        units, observing, data = prepare(
            config, settings, engine, record, split, report, shelf
        )
    labels = label_as_configured(config, data, split.train, settings.layout.horizon)
    seams = seams_in(record, split.train)
    members = fit_members(config, settings, data, labels, split, report, place, seams)
    fitted = Fitted(units, observing, data, labels, members)
    return calibrated(config, settings, engine, universe, record, split, report, fitted)


def calibrated(
    config: Config,
    settings: Settings,
    engine: Engine,
    universe: Universe,
    record: BarRecord,
    split: Split,
    report: Report,
    fitted: Fitted,
) -> Learned:
    """What was fitted, calibrated on bars behind training, and the vote where they end.

    Regimes are parted on the training span, for all members and the vote alike.
    """
    units, observing, data, labels, members = fitted
    rows, first = rows_in(data, split.calibrate), first_asked(record, split)
    raw, carry = forecasts(settings, members, data, first, report, record.seams)
    edges = regimes.fit_edges(data, split.train, settings.regimes)
    regime = regimes.regimes_of(edges, data.volatility) if edges.size else None
    calibration = crossfit.calibrations(settings, raw, labels, first, rows, regime)
    params = assemble(
        config, settings, universe, units, members, labels, calibration, edges
    )
    deciding = init_deciding(settings)._replace(carry=carry)
    engine = seated(config, settings, engine, members.booster)
    crossed = crossfit.crossed(settings, raw, labels, first, rows, calibration, regime)
    deciding, voted = vote_on(
        settings, engine, params, crossed, deciding, record, data, (first, rows), report
    )
    calibration["ensemble"] = crossfit.calibration(
        settings, voted, labels, first, rows, regime
    )
    params = crossfit.calibrated(settings, params, calibration)
    return Learned(
        params,
        counting_anew(observing),
        deciding,
        members,
        labels,
        data,
        calibration,
        fit_novelty(data, split.train, config.run.seed),
    )


def prepare(
    config: Config,
    settings: Settings,
    engine: Engine,
    record: BarRecord,
    split: Split,
    report: Report,
    shelf: Shelf = MEMORY,
) -> tuple[Units, Observing, Dataset]:
    """Frozen units, the state after the record, and every bar's feature scores."""
    scales = dataset.fit_scales(record, split.train)
    latency = latency_of(config)
    features = len(settings.plan.specs)
    units = Units(scales, init_scaler(features), jnp.float32(UNCLIPPED), latency)
    total = len(record.ints)
    observing, raw = dataset.observe_bars(
        engine.observe,
        units,
        init_observing(settings, scales),
        record,
        lambda done: report("features", done, total),
        shelf,
    )
    scaler = dataset.fit_scores(raw, split.train, config.run.seed)
    clip = config.features.clip
    units = units._replace(scaler=scaler, clip=jnp.float32(clip))
    return units, observing, dataset.score(raw, scaler, clip)


def shelf_of(config: Config, folder: Path | None) -> Shelf:
    """Where bars and features wait until the nets read them."""
    if folder is None or config.train.samples == "memory":
        return MEMORY
    return Shelf(folder / "samples")


def latency_of(config: Config) -> Int[jax.Array, ""]:
    """Time from a boundary to the first executable price, in FRACTION units."""
    share = config.labels.latency_ms / 1e3 / config.data.bar_seconds
    return jnp.int32(round(share * FRACTION))


def fit_members(
    config: Config,
    settings: Settings,
    data: Dataset,
    labels: Labels,
    split: Split,
    report: Report,
    place: Place = NOWHERE,
    seams: tuple[int, ...] = (),
) -> Members:
    """Nets, forest and fallback, each on the training span alone."""
    samples = samples_of(config, data, labels, split.train)
    nets, history = fit.fit_nets(
        settings.sizes,
        samples,
        config.train,
        config.hardware,
        config.run.seed,
        report,
        place,
        seams,
    )
    booster, packed = fit_trees(config, settings, samples, report)
    report("fallback", 0, 1)
    fallback = fit.fit_fallback(samples, settings.reads, config.run.seed)
    report("fallback", 1, 1)
    return Members(nets, booster, packed, fallback, history)


def seams_in(record: BarRecord, span: range) -> tuple[int, ...]:
    """The record's seams within a span, counted from its first bar."""
    rows = (seam + record.first - span.start for seam in record.seams)
    return tuple(row for row in rows if 0 < row < len(span))


def first_asked(record: BarRecord, split: Split) -> int:
    """Row from which members speak: behind training, and what warms up behind it."""
    end = split.train.stop - record.first
    return end + record.warm * (end in record.seams)


def samples_of(config: Config, data: Dataset, labels: Labels, train: range) -> Samples:
    """What members are fitted on; classes weigh as they are configured."""
    rows = rows_of(data, train)
    classes, weights = labels.classes[rows], labels.weights[rows]
    weighed = by_class(weights, classes, config.labels.class_weights)
    return Samples(data.features[rows], classes, weighed)


def forecasts(
    settings: Settings,
    members: Members,
    data: Dataset,
    first: int,
    report: Report,
    seams: tuple[int, ...] = (),
) -> tuple[Float[np.ndarray, "M T S C"], zoo.NetCarry]:
    """Uncalibrated log probabilities from the row `first` on, and the carry there.

    The nets run through the `WARM_BARS` before it, no further back than the last seam:
    by then they have forgotten that they began with nothing.
    """
    since = max(first - WARM_BARS, *(seam for seam in seams if seam < first), 0)
    warm, rest = data.features[since:first], data.features[first:]
    carry = zoo.init_carry(settings.sizes, settings.layout.symbols)
    _, carry = fit.net_probabilities(settings.sizes, members.nets, warm, carry)
    by_nets, _ = fit.net_probabilities(settings.sizes, members.nets, rest, carry)
    named = {name: by_nets[:, i] for i, name in enumerate(settings.sizes.members)}
    if "trees" in settings.members:
        predict = jax.jit(forest.log_probability)
        named["trees"] = np.stack([predict(members.forest, bar) for bar in rest])
    report("forecasts", 1, 1)
    return np.stack([named[name] for name in settings.members]), carry


def vote_on(
    settings: Settings,
    engine: Engine,
    params: Params,
    crossed: tuple[Calibrations, Calibrations],
    deciding: Deciding,
    record: BarRecord,
    data: Dataset,
    spans: tuple[int, range],
    report: Report,
) -> tuple[Deciding, Float[np.ndarray, "T S C"]]:
    """The vote from a first row on, over the rows of calibration, to the data's end.

    Up to the middle of calibration members are as the second half calibrates them, from
    there on as the first does. Returns where it stands, and log probabilities.
    """
    first, rows = spans
    edges = (first, (rows.start + rows.stop) // 2, len(data.features))
    voted, total = [], edges[-1] - first

    def told(stage: str, done: int, of: int) -> None:
        report(stage, len(voted) + done, total)

    for own, part in zip(crossed, starmap(range, pairwise(edges)), strict=True):
        able = crossfit.calibrated(settings, params, own)
        deciding, decided = walk(
            settings, engine, able, deciding, record, data, part, told
        )
        voted += [one.probability for one in decided]
    return deciding, np.log(np.stack(voted))


def assemble(
    config: Config,
    settings: Settings,
    universe: Universe,
    units: Units,
    members: Members,
    labels: Labels,
    calibration: Calibrations,
    regime_edges: Float[np.ndarray, "S E"],
) -> Params:
    """The engine's parameters; the vote is not calibrated yet."""
    vote = config.ensemble
    return Params(
        units=units,
        nets=members.nets,
        forest=members.forest,
        fallback=members.fallback,
        regime_edges=jnp.asarray(regime_edges),
        temperature=crossfit.temperatures_of(settings, calibration),
        vote_temperature=jnp.ones(settings.regimes, jnp.float32),
        curves=crossfit.curves_of(settings, calibration),
        threshold=jnp.float32(labels.threshold),
        vote=VoteParams(
            *map(jnp.float32, (vote.decay, vote.learning_rate, vote.floor, vote.cap))
        ),
        sizing=sizing_params(config, universe, labels.class_mean, labels.class_square),
        confidence_floor=jnp.float32(config.strategy.confidence_floor),
    )


def sizing_params(
    config: Config,
    universe: Universe,
    class_mean: Float[ArrayLike, " C"],
    class_square: Float[ArrayLike, " C"],
) -> SizingParams:
    """What classes are worth, what trading costs and how much may be risked."""
    risk = config.risk
    fee = np.full(len(universe.instruments), config.venue.taker_fee_bps * 1e-4)
    return SizingParams(
        class_mean=jnp.asarray(class_mean, jnp.float32),
        class_square=jnp.asarray(class_square, jnp.float32),
        kelly=jnp.float32(config.strategy.kelly),
        fee=jnp.asarray(fee, jnp.float32),
        symbol_cap=jnp.float32(risk.max_position_share),
        gross_cap=jnp.float32(risk.max_gross),
        net_cap=jnp.float32(risk.max_net),
        volatility_cap=jnp.float32(config.strategy.volatility_cap),
    )


def walk(
    settings: Settings,
    engine: Engine,
    params: Params,
    deciding: Deciding,
    record: BarRecord,
    data: Dataset,
    rows: range,
    report: Report,
) -> tuple[Deciding, list[Decided]]:
    """Decisions over these rows without trading: nothing is ever held.

    Weights are learnt from labels as they mature, as in trading.
    """
    layout = settings.layout
    flat = jax.device_put(np.zeros(layout.symbols, np.float32))
    found = []
    for t, seen in zip(rows, dataset.seen_rows(data, rows.start), strict=False):
        bar = jax.device_put((record.ints[t], record.floats[t]))
        deciding, packed = engine.conclude(
            params, deciding, jax.device_put(seen), *bar, flat
        )
        found.append(
            unpack_decisions(np.asarray(packed), len(settings.members), layout.symbols)
        )
        report("vote", t - rows.start + 1, len(rows))
    return deciding, found
