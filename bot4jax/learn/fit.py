"""Fitting the nets and the fallback; every training sample is seen in every epoch.

Truncated back-propagation with carried state: each chunk of bars starts from the state
its symbols ended the last one in, so training sees the states that serving will.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from bot4jax.learn import baselines, gates, mesh, resume
from bot4jax.learn.checkpoint import Identity
from bot4jax.learn.health import (
    History,
    Names,
    Row,
    history,
    names_of,
    require_learning,
    values_of,
    warnings,
)
from bot4jax.learn.resume import Progress
from bot4jax.learn.schedule import (
    Pace,
    Samples,
    Visit,
    batch_of,
    class_prior,
    group_size,
    paces,
    visits,
)
from bot4jax.learn.update import Fitting, Form, begin, gradients, update
from bot4jax.nets import zoo
from bot4jax.nets.fallback import FallbackParams
from bot4jax.nets.kept import kept_for_nets
from bot4jax.nets.sizes import NetSizes
from bot4jax.schema.learning import Train
from bot4jax.schema.process import Hardware

Report = Callable[..., None]
Log = Callable[[int, Mapping[str, float]], None]
"""`log(update, values)`: what a logger of training hears"""

logger = logging.getLogger(__name__)

PASS_BARS = 64
"""Bars of one call when forecasts of a long span are made."""


class Place(NamedTuple):
    """Where a fit keeps what it needs to go on, and who hears of its updates."""

    folder: Path | None
    """None: nothing is kept, a fit that is cut off begins anew"""
    log: Log


NOWHERE = Place(None, lambda update, values: None)


class Fit(NamedTuple):
    """What stays the same from the first update to the last."""

    form: Form
    settings: Train
    seed: int
    mesh: Mesh
    lanes: int
    """symbols of a batch, those included that fill it up"""
    names: Names
    samples: Samples
    seams: tuple[int, ...]
    """bars at which another time begins, which nets remember nothing of"""


def fit_nets(
    sizes: NetSizes,
    samples: Samples,
    settings: Train,
    hardware: Hardware,
    seed: int,
    report: Report,
    place: Place = NOWHERE,
    seams: tuple[int, ...] = (),
) -> tuple[zoo.NetParams, History]:
    """All nets at once, by the sum of their losses; all of them teach the stem.

    Goes on from the newest checkpoint in the place's folder, if there is one.
    """
    symbols, names = samples.labels.shape[1], names_of(sizes)
    form, devices, lanes = laid_out(sizes, symbols, settings, hardware)
    own = Fit(form, settings, seed, devices, lanes, names, samples, seams)
    mean, rows = descend(own, report, place)
    told = history(sizes, rows)
    for sentence in warnings(told):
        logger.warning("%s.", sentence)
    return jax.tree.map(jnp.asarray, mean), told


def laid_out(
    sizes: NetSizes, symbols: int, settings: Train, hardware: Hardware
) -> tuple[Form, Mesh, int]:
    """What an update is compiled for, over which devices, for how many symbols."""
    form = Form(sizes, settings.parts, hardware.products)
    devices, group = mesh.mesh_of(hardware.devices), group_size(symbols, settings)
    return form, devices, mesh.lanes_of(devices, group, settings.parts)


def descend(own: Fit, report: Report, place: Place) -> tuple[zoo.NetParams, list[Row]]:
    """Update after update, from where it was cut off; the mean of the last weights."""
    plan = plan_of(own)
    devices = own.mesh.size
    name = resume.identity(own.form, own.samples, devices, own.settings, own.seed)
    state, carries, rows = taken_up(own, len(plan), place, name)
    learn, look = compiled_update(own.mesh, own.form), glance(own.mesh, own.form)
    worth = worth_of(own.samples, own.settings)
    unseen = np.full(len(own.names.gated), np.nan, np.float32)
    for pace, turn in plan[len(rows) :]:
        batch = batch_of(own.samples, turn, own.settings.chunk, own.lanes)
        batch = mesh.batch_by_symbol(own.mesh, batch)
        carry = fresh_carry(own) if turn.is_fresh else carries[turn.group]
        shares = unseen  # the glance comes first: an update overwrites what it is given
        if gates.is_due(len(rows), len(plan)):
            shares = look(state.params, carry, batch)
        state, carries[turn.group], found = learn(state, carry, batch, worth, pace)
        hear(own, rows, place)  # of the update before, while this one runs
        rows.append(Row(found, shares))
        report("nets", len(rows), len(plan))
        if is_due(len(rows), len(plan), own.settings):
            keep(place, name, state, carries, rows, len(plan))
    hear(own, rows, place)
    return mesh.on_host(state.mean), rows


@kept_for_nets(4)
def compiled_update(devices: Mesh, form: Form) -> Callable:
    """The update over a mesh; one compilation for all spans."""
    carry = jax.eval_shape(lambda: zoo.init_carry(form.sizes, devices.size))
    grade = mesh.added_up(devices, partial(gradients, form), carry)
    return mesh.compiled(devices, partial(update, form.sizes, grade), carry)


@kept_for_nets(4)
def glance(devices: Mesh, form: Form) -> Callable:
    """The share of saturated gates over a mesh."""
    return mesh.looking(devices, partial(gates.saturated, form))


def plan_of(own: Fit) -> list[tuple[Pace, Visit]]:
    """Every update, in order."""
    bars, symbols, _ = own.samples.features.shape
    turns = visits(bars, symbols, own.settings, own.seed, own.seams)
    return list(zip(paces(own.settings, len(turns)), turns, strict=True))


def worth_of(samples: Samples, settings: Train) -> np.float32:
    """The weight of an ordinary batch."""
    group = group_size(samples.labels.shape[1], settings)
    return np.float32(samples.weights.mean(dtype=float) * group * settings.chunk)


def fresh_carry(own: Fit) -> zoo.NetCarry:
    """Nothing remembered of any symbol of a batch."""
    return mesh.carry_by_symbol(own.mesh, zoo.init_carry(own.form.sizes, own.lanes))


def taken_up(
    own: Fit, updates: int, place: Place, name: Identity
) -> tuple[Fitting, list[zoo.NetCarry], list[Row]]:
    """Where the newest checkpoint left off, else before the first update."""
    sizes, (_, symbols, features) = own.form.sizes, own.samples.features.shape
    groups = -(-symbols // group_size(symbols, own.settings))
    state = begin(zoo.init(sizes, features, own.seed, class_prior(own.samples)))
    carries, rows = [fresh_carry(own)] * groups, []
    if place.folder is not None:
        like = resume.blank(own.form, features, own.lanes, groups, updates)
        found = resume.restore(place.folder, like, name)
        if found is not None:
            state, rows = found.fitting, resume.unstacked(found.rows, int(found.done))
            carries = [mesh.carry_by_symbol(own.mesh, one) for one in found.carries]
    return mesh.on_all(own.mesh, state), carries, rows


def hear(own: Fit, rows: list[Row], place: Place) -> None:
    """Bring the newest row to the host, tell it, and stop if it is one too many."""
    if not rows:
        return
    rows[-1] = jax.device_get(rows[-1])
    place.log(len(rows), values_of(own.names, rows[-1]))
    last = [row.health for row in rows[-own.settings.most_skipped :]]
    require_learning(own.names.layers, last, own.settings.most_skipped)


def is_due(done: int, updates: int, settings: Train) -> bool:
    """Whether a checkpoint is written after so many updates; always after the last."""
    every = settings.checkpoint_every
    return every > 0 and (done % every == 0 or done == updates)


def keep(
    place: Place,
    name: Identity,
    state: Fitting,
    carries: list[zoo.NetCarry],
    rows: list[Row],
    updates: int,
) -> None:
    """All that a fit needs to go on from here."""
    if place.folder is None:
        return
    told = resume.stacked(jax.device_get(rows), updates)
    fitting, held = mesh.on_host((state, tuple(carries)))
    done = np.array(len(rows), np.int32)
    resume.save(place.folder, Progress(done, fitting, held, told), name)


def net_probabilities(
    sizes: NetSizes,
    params: zoo.NetParams,
    features: Float[np.ndarray, "T S F"],
    carry: zoo.NetCarry,
) -> tuple[Float[np.ndarray, "T M S C"], zoo.NetCarry]:
    """Log probabilities of a span and the carry behind it, as serving would have them.

    Whole passes are unrolled; the bars left over are served one by one.
    """
    walk, step = (compiled_form(form, sizes) for form in (zoo.unroll, zoo.step))
    whole = len(features) - len(features) % PASS_BARS
    found = []
    for start in range(0, whole, PASS_BARS):
        carry, part = walk(params, carry, features[start : start + PASS_BARS])
        found.append(np.asarray(part))
    for bar in features[whole:]:
        carry, one = step(params, carry, bar)
        found.append(np.asarray(one)[None])
    return np.concatenate(found), carry


@kept_for_nets(16)
def compiled_form(form: Callable, sizes: NetSizes) -> Callable:
    """One compilation for all spans."""
    return jax.jit(partial(form, sizes))


def fit_fallback(
    samples: Samples, reads: Int[np.ndarray, " K"], seed: int
) -> FallbackParams:
    """Logistic regression on the features that the fallback reads."""
    t, s = baselines.sampled_rows(samples.weights, baselines.SAMPLES, seed)
    x = samples.features[t, s][:, reads]
    model = baselines.fit_logistic(x, samples.labels[t, s], samples.weights[t, s])
    weight = model.coefficients[:-1] / model.width[:, None]
    bias = model.coefficients[-1] - model.centre @ weight
    return FallbackParams(
        jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32)
    )
