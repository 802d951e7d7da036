"""Recordings that are tampered with, and what the serving engine says of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from bot4jax.certify.features import Said
from bot4jax.decisions import Decided, unpack_decisions
from bot4jax.engine import Engine
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.history import Scales
from bot4jax.learn import dataset
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.params import UNCLIPPED
from bot4jax.state import (
    Deciding,
    Observing,
    Params,
    Settings,
    Units,
    copied,
    init_observing,
    reset_observing,
)
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar

KEPT = ("anchor", "adjustment")
"""Columns that say what the others are measured from."""

Report = Callable[..., None]


class Stage(NamedTuple):
    """What records are played on."""

    settings: Settings
    engine: Engine
    units: Units
    """with a scaler that changes nothing"""


def raw_units(settings: Settings, scales: Scales, latency: jax.Array) -> Units:
    """Units under which scores are the features' own values."""
    scaler = init_scaler(len(settings.plan.specs))
    return Units(scales, scaler, jnp.float32(UNCLIPPED), latency)


def bars_of(record: BarRecord) -> Bar:
    """The record by column, `[T, S]`."""
    columns: list[Any] = [record.column(name) for name in (*BAR_INTS, *BAR_FLOATS)]
    return Bar(*columns)


def cut(record: BarRecord, start: int, stop: int) -> BarRecord:
    """Some of its bars."""
    ints, floats = record.ints[start:stop], record.floats[start:stop]
    return BarRecord(record.first + start, ints, floats)


def perturbed(record: BarRecord, boundary: int, seed: int) -> BarRecord:
    """The same past, another future: every column but `KEPT` of every later bar.

    Later bars are drawn anew from among themselves, symbols die and revive, prices are
    moved apart and amounts multiplied. Anchors and adjustments stay: they say what
    prices are counted from, and another anchor would be another recording's.
    """
    random = np.random.default_rng(seed)
    ints, floats = record.ints.copy(), record.floats.copy()
    later = len(ints) - boundary
    order = boundary + random.integers(later, size=later)
    ints[boundary:], floats[boundary:] = record.ints[order], record.floats[order]
    live = BAR_INTS.index("live")
    ints[boundary:] += random.integers(0, 7, (later, *ints.shape[1:]), np.int32)
    ints[boundary:, live] = random.random((later, ints.shape[2])) < 0.5
    factor = random.lognormal(0, 1, (later, *floats.shape[1:])).astype(np.float32)
    for name in KEPT:
        factor[:, BAR_FLOATS.index(name)] = 1
        floats[boundary:, BAR_FLOATS.index(name)] = record.floats[
            boundary:, BAR_FLOATS.index(name)
        ]
    floats[boundary:] *= factor
    return BarRecord(record.first, ints, floats)


def silenced(record: BarRecord, slots: Bool[np.ndarray, " S"], stop: int) -> BarRecord:
    """The record in which some slots have not begun before bar `stop`."""
    ints, floats = record.ints.copy(), record.floats.copy()
    kept = [BAR_FLOATS.index(name) for name in KEPT]
    others = np.setdiff1d(np.arange(len(BAR_FLOATS)), kept)
    ints[:stop, :, slots] = 0
    floats[np.ix_(np.arange(stop), others, np.flatnonzero(slots))] = 0
    return BarRecord(record.first, ints, floats)


def observed(stage: Stage, record: BarRecord, report: Report) -> Dataset:
    """Every bar through the executable that serves, from the beginning."""
    state = init_observing(stage.settings, stage.units.scales)
    _, data = onward(stage, state, record, report)
    return data


def handed_on(
    stage: Stage,
    record: BarRecord,
    slots: Bool[np.ndarray, " S"],
    bar: int,
    report: Report,
) -> Dataset:
    """The same, with some slots reset before a bar."""
    state = init_observing(stage.settings, stage.units.scales)
    state, before = onward(stage, state, cut(record, 0, bar), report)
    state = reset_observing(
        stage.settings, stage.units.scales, state, jnp.asarray(slots)
    )
    _, after = onward(stage, state, cut(record, bar, len(record.ints)), report)
    joined = (np.concatenate(p) for p in zip(before[1:], after[1:], strict=True))
    return Dataset(record.first, *joined)


def onward(
    stage: Stage, state: Observing, record: BarRecord, report: Report
) -> tuple[Observing, Dataset]:
    """Every bar from a state on."""
    total = len(record.ints)
    return dataset.observe_bars(
        stage.engine.observe,
        stage.units,
        state,
        record,
        lambda done: report("observed", done, total),
    )


def said(data: Dataset, feature: int) -> Said:
    """What was said of one feature."""
    return Said(data.features[:, :, feature], data.usable[:, :, feature])


def decided(
    stage: Stage,
    params: Params,
    state: Deciding,
    record: BarRecord,
    data: Dataset,
    span: range,
    report: Report,
) -> tuple[Deciding, list[Decided]]:
    """Decisions on every bar of a span, nothing being held."""
    layout, members = stage.settings.layout, len(stage.settings.members)
    flat, found = jnp.zeros(layout.symbols), []
    for t, seen in zip(span, dataset.seen_rows(data, span.start), strict=False):
        state, packed = stage.engine.conclude(
            params, state, seen, record.ints[t], record.floats[t], flat
        )
        found.append(unpack_decisions(np.asarray(packed), members, layout.symbols))
        report("decided", len(found), len(span))
    return state, found


def swapped(
    state: Deciding, fresh: Deciding, slots: Bool[np.ndarray, " S"]
) -> Deciding:
    """A state with some slots taken from another, leaf by leaf, without `reset`."""

    def taken(own: jax.Array, other: jax.Array, axis: int) -> jax.Array:
        shape = [1] * own.ndim
        shape[axis] = len(slots)
        return jnp.where(jnp.asarray(slots).reshape(shape), other, own)

    carry, new = state.carry, fresh.carry
    memory = zip(carry.memory, new.memory, strict=True)
    rings = zip(carry.rings, new.rings, strict=True)
    pending, blank = state.pending, fresh.pending
    return Deciding(
        carry._replace(
            memory=tuple(taken(one, other, 0) for one, other in memory),
            rings=tuple(taken(one, other, 0) for one, other in rings),
            age=taken(carry.age, new.age, 0),
        ),
        copied(state.vote),
        pending._replace(
            log_probability=taken(pending.log_probability, blank.log_probability, 2),
            scale=taken(pending.scale, blank.scale, 1),
            entry=taken(pending.entry, blank.entry, 1),
            live=taken(pending.live, blank.live, 1),
        ),
    )
