"""Fitting the nets and the fallback; every training sample is seen in every epoch.

Truncated back-propagation with carried state: a group of symbols walks through the
training span chunk by chunk, and each chunk starts from the state the last one ended
in. So training sees the states that serving will.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int

from bot4jax.learn import baselines
from bot4jax.nets import zoo
from bot4jax.nets.fallback import FEATURES, FallbackParams
from bot4jax.nets.sizes import NetSizes
from bot4jax.schema import Train
from bot4jax.types import CLASSES

Report = Callable[..., None]

AVERAGING = 0.98
"""Decay of the running mean of the weights: it is the mean that is kept, since the last
steps of a weak signal are mostly noise (Polyak & Juditsky 1992)."""

PASS_BARS = 64
"""Bars of one call when forecasts of a long span are made."""


class Samples(NamedTuple):
    """One span: feature scores, labels and what each sample is worth."""

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
    clipped: Float[Array, ""]
    skipped: Float[Array, ""]


def fit_nets(
    sizes: NetSizes, samples: Samples, settings: Train, seed: int, report: Report
) -> tuple[zoo.NetParams, History]:
    """All nets at once, by the sum of their losses; all of them teach the stem."""
    bars, symbols, features = samples.features.shape
    group = min(settings.symbols_per_batch, symbols)
    total = settings.epochs * -(-symbols // group) * -(-bars // settings.chunk)
    optimiser = make_optimiser(sizes, features, settings, total)
    prior = class_prior(samples)
    params = zoo.init(sizes, features, seed, prior)
    mean = jax.tree.map(jnp.zeros_like, params)
    state = Fitting(params, mean, optimiser.init(params))
    step = jax.jit(
        partial(update, sizes, optimiser, settings.clip_norm), donate_argnums=(0, 1)
    )
    rows: list[Health] = []
    for fresh, *batch in batches(samples, group, settings.chunk, settings.epochs, seed):
        if fresh:
            carry = zoo.init_carry(sizes, group)
        state, carry, health = step(state, carry, *batch)
        rows.append(health)
        report("nets", len(rows), total)
    fitted = unbiased(state.mean, len(rows))
    return fitted, history(sizes, jax.device_get(rows))


def class_prior(samples: Samples) -> tuple[float, ...]:
    """Weighted class shares, none of them zero."""
    count = np.bincount(
        samples.labels.ravel(), samples.weights.ravel().astype(float), len(CLASSES)
    )
    share = (count + 1) / (count + 1).sum()
    return tuple(share.tolist())


def make_optimiser(
    sizes: NetSizes, features: int, settings: Train, updates: int
) -> optax.GradientTransformation:
    """AdamW under a warm-up and a cosine; matrices decay, biases and norms do not."""
    warm = max(1, round(settings.warmup * updates))
    rate = optax.warmup_cosine_decay_schedule(
        0.0, settings.learning_rate, warm, max(updates, warm + 1)
    )
    mask = zoo.decay_mask(sizes, features)
    decayed = optax.stateless(
        lambda updates, params: jax.tree.map(
            lambda u, p, m: u + settings.weight_decay * m * p, updates, params, mask
        )
    )
    return optax.chain(
        optax.clip_by_global_norm(settings.clip_norm),
        optax.scale_by_adam(),
        decayed,
        optax.scale_by_learning_rate(rate),
    )


def batches(
    samples: Samples, group: int, chunk: int, epochs: int, seed: int
) -> Iterator[tuple[bool, np.ndarray, np.ndarray, np.ndarray]]:
    """(a new walk begins, features, labels, weights), chunks of a group in order.

    Symbols are dealt anew in every epoch. The last group and the last chunk are filled
    up with samples of weight 0, so that all batches have one shape.
    """
    bars, symbols, _ = samples.features.shape
    random = np.random.default_rng(seed)
    for _ in range(epochs):
        order = random.permutation(symbols)
        for at in range(0, symbols, group):
            own = order[at : at + group]
            for start in range(0, bars, chunk):
                rows = slice(start, start + chunk)
                x, y, w = (
                    padded(column[rows][:, own], chunk, group) for column in samples
                )
                yield start == 0, x, y, w


def padded(part: np.ndarray, bars: int, symbols: int) -> np.ndarray:
    """The part, filled up with zeros to `[bars, symbols, …]`."""
    missing = [(0, bars - part.shape[0]), (0, symbols - part.shape[1])]
    missing += [(0, 0)] * (part.ndim - 2)
    return np.pad(part, missing) if any(m for _, m in missing) else part


def update(
    sizes: NetSizes,
    optimiser: optax.GradientTransformation,
    clip_norm: float,
    state: Fitting,
    carry: zoo.NetCarry,
    features: Float[Array, "T S F"],
    labels: Int[Array, "T S"],
    weights: Float[Array, "T S"],
) -> tuple[Fitting, zoo.NetCarry, Health]:
    """One step of descent; nothing is learnt from a gradient that is not finite."""
    grade = jax.value_and_grad(partial(losses, sizes), has_aux=True)
    (_, (each, after)), gradient = grade(state.params, carry, features, labels, weights)
    norm = optax.tree.norm(gradient)
    is_sane = jnp.isfinite(norm)
    safe = jax.tree.map(lambda g: jnp.where(is_sane, g, 0), gradient)
    with jax.numpy_dtype_promotion("standard"):  # Optax counts in integers
        change, moved = optimiser.update(safe, state.optimiser, state.params)
    change = jax.tree.map(lambda u: jnp.where(is_sane, u, 0), change)
    params: Any = optax.apply_updates(state.params, change)
    mean = jax.tree.map(
        lambda old, new: AVERAGING * old + (1 - AVERAGING) * new, state.mean, params
    )
    optimised = jax.tree.map(
        lambda new, old: jnp.where(is_sane, new, old), moved, state.optimiser
    )
    after = jax.tree.map(lambda new: jnp.where(jnp.isfinite(new), new, 0), after)
    health = Health(
        each,
        norms(gradient),
        norms(change) / jnp.maximum(norms(params), 1e-12),
        (norm > clip_norm).astype(jnp.float32),
        (~is_sane).astype(jnp.float32),
    )
    return Fitting(params, mean, optimised), after, health


def losses(
    sizes: NetSizes,
    params: zoo.NetParams,
    carry: zoo.NetCarry,
    features: Float[Array, "T S F"],
    labels: Int[Array, "T S"],
    weights: Float[Array, "T S"],
) -> tuple[Float[Array, ""], tuple[Float[Array, " M"], zoo.NetCarry]]:
    """Sum over nets of the weighted mean log loss; each net's own beside it."""
    after, forecast = zoo.unroll(sizes, params, carry, features)
    asked = jnp.broadcast_to(
        labels[:, None, :, None].astype(jnp.int32), (*forecast.shape[:3], 1)
    )
    chosen = jnp.take_along_axis(forecast, asked, 3)[..., 0]
    total = jnp.maximum(weights.sum(), 1e-6)
    each = -(chosen * weights[:, None]).sum((0, 2)) / total
    return each.sum(), (each, after)


def norms(tree: Any) -> Float[Array, " M"]:
    """Euclidean norm of each net's own vector, in a tree like `NetParams`."""
    return jnp.stack([jnp.linalg.norm(flat) for flat in tree.nets])


def unbiased(mean: zoo.NetParams, updates: int) -> zoo.NetParams:
    """The running mean without the zeros that it started from."""
    return jax.tree.map(lambda m: m / (1 - AVERAGING**updates), mean)


def history(sizes: NetSizes, rows: list[Health]) -> History:
    columns = (np.stack(column) for column in zip(*rows, strict=True))
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
    walk = jax.jit(partial(zoo.unroll, sizes))
    step = jax.jit(partial(zoo.step, sizes))
    whole = len(features) - len(features) % PASS_BARS
    found = []
    for start in range(0, whole, PASS_BARS):
        carry, part = walk(params, carry, features[start : start + PASS_BARS])
        found.append(np.asarray(part))
    for bar in features[whole:]:
        carry, one = step(params, carry, bar)
        found.append(np.asarray(one)[None])
    return np.concatenate(found), carry


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
