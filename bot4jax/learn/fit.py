"""Fitting the nets and the fallback; every training sample is seen in every epoch.

Truncated back-propagation with carried state: each chunk of bars starts from the state
its symbols ended the last one in, so training sees the states that serving will.

Time is the outer loop: every group of symbols learns from a chunk before any goes on.
Symbols share the market's noise, and a group that walks through the whole span alone
teaches it to the nets once more: of simulated returns with a common factor, forecasts
were worse than the class prior by .001 to .002 of log loss where they are now better by
as much.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.learn import baselines
from bot4jax.nets import zoo
from bot4jax.nets.fallback import FEATURES, FallbackParams
from bot4jax.nets.sizes import NetSizes
from bot4jax.schema import Train
from bot4jax.types import CLASSES

Report = Callable[..., None]

AVERAGED = 0.3
"""Share of the updates, the last ones, whose weights are averaged: their mean is kept,
since single steps on a weak signal are mostly noise (Polyak & Juditsky 1992)."""

PASS_BARS = 64
"""Bars of one call when forecasts of a long span are made."""


class Samples(NamedTuple):
    """Feature scores, labels and what each sample is worth."""

    features: Float[np.ndarray, "T S F"]
    labels: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]


class History(NamedTuple):
    """What each update did; one row an update, one column a net."""

    members: tuple[str, ...]
    loss: Float[np.ndarray, "U M"]
    gradient_norm: Float[np.ndarray, "U M"]
    update_ratio: Float[np.ndarray, "U M"]
    """norm of the update over the norm of the weights"""
    clipped: Float[np.ndarray, " U"]
    """1 where the gradient was longer than the norm it is clipped to"""
    skipped: Float[np.ndarray, " U"]
    """1 where it was not finite and nothing was learnt from it"""


class Step(NamedTuple):
    """One chunk of bars of one group of symbols."""

    bar: int
    """of the span, where the chunk starts; at 0 nothing is remembered yet"""
    group: int
    batch: Samples


class Pace(NamedTuple):
    """How far one update goes: numbers, so that other settings do not recompile."""

    rate: np.float32
    """learning rate"""
    decay: np.float32
    """share of a matrix that an update at rate 1 takes away"""
    averaging: np.float32
    """how far the mean moves to the weights: not at all at first, then by 1, ½, ⅓ …"""
    clip_norm: np.float32
    """longest gradient, all weights together"""


class Fitting(NamedTuple):
    """What one update hands to the next."""

    params: zoo.NetParams
    mean: zoo.NetParams
    optimiser: Any


class Health(NamedTuple):
    """What one update says of itself."""

    loss: Float[Array, " M"]
    gradient_norm: Float[Array, " M"]
    update_ratio: Float[Array, " M"]
    is_clipped: Bool[Array, ""]
    is_skipped: Bool[Array, ""]


def fit_nets(
    sizes: NetSizes, samples: Samples, settings: Train, seed: int, report: Report
) -> tuple[zoo.NetParams, History]:
    """All nets at once, by the sum of their losses; all of them teach the stem."""
    _, symbols, features = samples.features.shape
    group = min(settings.symbols_per_batch, symbols)
    state = begin(zoo.init(sizes, features, seed, class_prior(samples)))
    worth = np.float32(samples.weights.mean(dtype=float) * group * settings.chunk)
    learn = jax.jit(partial(update, sizes), donate_argnums=(0, 1))
    plan = paces(settings, updates_of(samples, settings))
    carries: dict[int, zoo.NetCarry] = {}
    rows: list[Health] = []
    for pace, step in zip(plan, steps(samples, group, settings, seed), strict=True):
        carry = carries[step.group] if step.bar else zoo.init_carry(sizes, group)
        state, carries[step.group], health = learn(
            state, carry, step.batch, worth, pace
        )
        jax.block_until_ready(rows[-1:])  # the next batch is cut while this one runs
        rows.append(health)
        report("nets", len(rows), len(plan))
    return state.mean, history(sizes, jax.device_get(rows))


def class_prior(samples: Samples) -> tuple[float, ...]:
    """Weighted class shares, none of them zero."""
    count = np.bincount(
        samples.labels.ravel(), samples.weights.ravel().astype(float), len(CLASSES)
    )
    if not count.sum() > 0:
        raise ValueError(
            f"none of {samples.weights.size} training samples has a weight: lengthen "
            "spans.train"
        )
    share = (count + 1) / (count + 1).sum()
    return tuple(share.tolist())


def updates_of(samples: Samples, settings: Train) -> int:
    """How many updates fitting takes."""
    bars, symbols, _ = samples.features.shape
    group = min(settings.symbols_per_batch, symbols)
    return settings.epochs * -(-symbols // group) * -(-bars // settings.chunk)


def paces(settings: Train, updates: int) -> list[Pace]:
    """Rates rise in a line and fall in a cosine (Loshchilov & Hutter 2017)."""
    warm = max(1, round(settings.warmup * updates))
    done = np.arange(1, updates + 1)
    fall = np.clip((done - warm) / max(updates - warm, 1), 0, 1)
    rates = settings.learning_rate * np.minimum(
        done / warm, (1 + np.cos(np.pi * fall)) / 2
    )
    counted = np.maximum(done - int((1 - AVERAGED) * updates), 0)
    moves = np.divide(1, counted, out=np.zeros(updates), where=counted > 0)
    decay, clip_norm = np.float32(settings.weight_decay), np.float32(settings.clip_norm)
    return [
        Pace(np.float32(rate), decay, np.float32(move), clip_norm)
        for rate, move in zip(rates, moves, strict=True)
    ]


def steps(samples: Samples, group: int, settings: Train, seed: int) -> Iterator[Step]:
    """Chunks in the order of time; each of all groups, in an order drawn anew.

    Symbols are dealt anew in every epoch. The last group and the last chunk are filled
    up with samples of weight 0, so that all batches have one shape.
    """
    bars, symbols, _ = samples.features.shape
    random = np.random.default_rng(seed)
    for _ in range(settings.epochs):
        order = random.permutation(symbols)
        groups = [order[at : at + group] for at in range(0, symbols, group)]
        for bar in range(0, bars, settings.chunk):
            rows = [column[bar : bar + settings.chunk] for column in samples]
            for own in random.permutation(len(groups)).tolist():
                x, y, w = (
                    padded(r[:, groups[own]], settings.chunk, group) for r in rows
                )
                yield Step(bar, own, Samples(x, y, w))


def padded(part: np.ndarray, bars: int, symbols: int) -> np.ndarray:
    """The part, filled up with zeros to `[bars, symbols, …]`."""
    missing = [(0, bars - part.shape[0]), (0, symbols - part.shape[1])]
    missing += [(0, 0)] * (part.ndim - 2)
    return np.pad(part, missing) if any(m for _, m in missing) else part


def begin(params: zoo.NetParams) -> Fitting:
    """Before the first update."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return Fitting(params, zeros, optax.scale_by_adam().init(params))  # type: ignore


def update(
    sizes: NetSizes,
    state: Fitting,
    carry: zoo.NetCarry,
    batch: Samples,
    worth: Float[Array, ""],
    pace: Pace,
) -> tuple[Fitting, zoo.NetCarry, Health]:
    """One step of AdamW (Loshchilov & Hutter 2019); matrices decay, the rest does not.

    `worth` is the weight of an ordinary batch: a poorer one moves the nets less.
    Nothing is learnt from a gradient that is not finite, and what it did to the states
    is forgotten.
    """
    grade = jax.value_and_grad(partial(losses, sizes), has_aux=True)
    (_, (each, after)), gradient = grade(state.params, carry, batch, worth)
    norm = optax.tree.norm(gradient)
    is_sane = jnp.isfinite(norm)
    shrink = jnp.minimum(1.0, pace.clip_norm / jnp.maximum(norm, 1e-12))
    clipped = jax.tree.map(lambda g: jnp.where(is_sane, g * shrink, 0), gradient)
    with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
        direction, moved = optax.scale_by_adam().update(clipped, state.optimiser)
    mask = zoo.decay_mask(sizes, batch.features.shape[2])
    rate = jnp.where(is_sane, pace.rate, 0)
    change = jax.tree.map(
        lambda d, p, m: -rate * (d + pace.decay * m * p), direction, state.params, mask
    )
    params = jax.tree.map(jnp.add, state.params, change)
    mean = jax.tree.map(
        lambda old, new: old + pace.averaging * (new - old), state.mean, params
    )
    moved = jax.tree.map(
        lambda new, old: jnp.where(is_sane, new, old), moved, state.optimiser
    )
    after = jax.tree.map(lambda new: jnp.where(jnp.isfinite(new), new, 0), after)
    ratio = norms(change) / jnp.maximum(norms(params), 1e-12)
    health = Health(each, norms(gradient), ratio, norm > pace.clip_norm, ~is_sane)
    return Fitting(params, mean, moved), after, health


def losses(
    sizes: NetSizes,
    params: zoo.NetParams,
    carry: zoo.NetCarry,
    batch: Samples,
    worth: Float[Array, ""],
) -> tuple[Float[Array, ""], tuple[Float[Array, " M"], zoo.NetCarry]]:
    """Sum over nets of the weighted log loss; beside it each net's own mean."""
    after, forecast = zoo.unroll(sizes, params, carry, jnp.asarray(batch.features))
    asked = batch.labels[:, None, :, None].astype(jnp.int32)
    asked = jnp.broadcast_to(asked, (*forecast.shape[:3], 1))
    chosen = jnp.take_along_axis(forecast, asked, 3)[..., 0]
    each = -(chosen * batch.weights[:, None]).sum((0, 2))
    mean = each / jnp.maximum(batch.weights.sum(), 1e-6)
    return each.sum() / worth, (mean, after)


def norms(tree: Any) -> Float[Array, " M"]:
    """Euclidean norm of each net's own vector, in a tree like `NetParams`."""
    return jnp.stack([jnp.linalg.norm(flat) for flat in tree.nets])


def history(sizes: NetSizes, rows: list[Health]) -> History:
    columns = (
        np.stack(column).astype(np.float32) for column in zip(*rows, strict=True)
    )
    return History(tuple(sizes.members), *columns)


def net_probabilities(
    sizes: NetSizes,
    params: zoo.NetParams,
    features: Float[np.ndarray, "T S F"],
    carry: zoo.NetCarry,
) -> tuple[Float[np.ndarray, "T M S C"], zoo.NetCarry]:
    """Log probabilities of a span and the carry behind it, as serving would have them.

    Whole passes are unrolled; the bars left over are served one by one.
    """
    walk, step = (_compiled(form, sizes) for form in (zoo.unroll, zoo.step))
    whole = len(features) - len(features) % PASS_BARS
    found = []
    for start in range(0, whole, PASS_BARS):
        carry, part = walk(params, carry, features[start : start + PASS_BARS])
        found.append(np.asarray(part))
    for bar in features[whole:]:
        carry, one = step(params, carry, bar)
        found.append(np.asarray(one)[None])
    return np.concatenate(found), carry


@lru_cache(maxsize=16)
def _compiled(form: Callable, sizes: NetSizes) -> Callable:
    """One compilation for all spans."""
    return jax.jit(partial(form, sizes))


def fit_fallback(samples: Samples, seed: int) -> FallbackParams:
    """Logistic regression on the features that lean most with the label."""
    t, s = baselines.sampled_rows(samples.weights, baselines.SAMPLES, seed)
    x = samples.features[t, s]
    labels, weights = samples.labels[t, s], samples.weights[t, s]
    chosen = leaning(x, labels, weights)
    model = baselines.fit_logistic(x[:, chosen], labels, weights)
    weight = model.coefficients[:-1] / model.width[:, None]
    bias = model.coefficients[-1] - model.centre @ weight
    return FallbackParams(
        jnp.asarray(chosen, jnp.int32),
        jnp.asarray(weight, jnp.float32),
        jnp.asarray(bias, jnp.float32),
    )


def leaning(
    x: Float[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
) -> Int[np.ndarray, " K"]:
    """The `FEATURES` features of the largest correlation with the label's sign."""
    sign = labels.astype(np.float64) - 1
    sign -= np.average(sign, weights=weights)
    centred = x - np.average(x, axis=0, weights=weights)
    spread = np.sqrt(np.average(centred**2, axis=0, weights=weights))
    lean = np.abs(np.average(centred * sign[:, None], axis=0, weights=weights))
    score = np.divide(lean, spread, out=np.zeros_like(lean), where=spread > 1e-9)
    return np.sort(np.argsort(-score, kind="stable")[:FEATURES])
