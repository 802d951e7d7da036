"""How the members' forecasts become one, with weights learnt from matured labels."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels.outcome import Matured
from bot4jax.numerics import safe_divide, safe_log

LEAST_SCORE = -6.907755
"""log .001: one absurd forecast cannot ruin a member for good."""

BISECTIONS = 40

FAINTEST = -40.0
"""Log of the smallest weight told apart: below it the floor or the cap decides."""


class VoteParams(NamedTuple):
    """How fast weights move and how far."""

    decay: Float[Array, ""]
    """of past log scores, per matured, non-overlapping bar"""
    rate: Float[Array, ""]
    """independent observations that one bar's mean over symbols stands for"""
    floor: Float[Array, ""]
    cap: Float[Array, ""]


class VoteState(NamedTuple):
    """Log weights, unnormalised, and how many bars have matured."""

    log_weight: Float[Array, " M"]
    matured: Int[Array, ""]


class Vote(NamedTuple):
    """One forecast for every symbol."""

    probability: Float[Array, "S C"]
    weight: Float[Array, " M"]
    fallback_weight: Float[Array, ""]
    disagreement: Float[Array, " S"]
    """Jensen–Shannon divergence of the members over its largest value, 0 … 1"""


def init_vote(members: int) -> VoteState:
    return VoteState(jnp.zeros(members, jnp.float32), jnp.int32(0))


def learn(
    params: VoteParams, state: VoteState, matured: Matured, horizon: int
) -> VoteState:
    """Weights after one more bar's labels: log w ← decay · log w + rate · score.

    Labels of neighbouring bars share `horizon − 1` of their bars, so only every
    `horizon`-th bar counts as an observation (Raftery et al. 2010, dynamic model
    averaging with forgetting).
    """
    members = state.log_weight.shape[0]
    own = matured.log_probability[:members]
    label = jnp.broadcast_to(matured.label[None, :, None], (*own.shape[:2], 1))
    score = jnp.take_along_axis(own, label, 2)[..., 0]
    score = jnp.where(jnp.isfinite(score), score, LEAST_SCORE)
    score = jnp.maximum(score, LEAST_SCORE)
    counts = matured.counts.astype(jnp.float32)
    mean = safe_divide((score * counts[None]).sum(1), counts.sum())
    is_due = (counts.sum() > 0) & (jnp.mod(state.matured, horizon) == 0)
    moved = params.decay * state.log_weight + params.rate * mean
    # Only differences between members matter: keep the numbers small.
    moved = moved - moved.max()
    return VoteState(
        jnp.where(is_due, moved, state.log_weight),
        state.matured + (counts.sum() > 0).astype(jnp.int32),
    )


def is_healthy(
    log_probability: Float[Array, "M S C"], live: Bool[Array, " S"]
) -> Bool[Array, " M"]:
    """Members whose forecasts of every live symbol are probabilities."""
    total = jnp.exp(log_probability).sum(2)
    sane = jnp.isfinite(log_probability).all(2) & (jnp.abs(total - 1) <= 1e-3)
    return (sane | ~live[None]).all(1)


def weights(
    params: VoteParams, state: VoteState, healthy: Bool[Array, " M"]
) -> Float[Array, " M"]:
    """The nearest weights, in relative entropy, within floor and cap.

    They are `clip(c · w, floor, cap)` with the one `c` that makes them sum to 1. They
    sum to less where too few members are healthy: the rest is the fallback's.
    """
    best = jnp.where(healthy, state.log_weight, -jnp.inf).max()
    raw = jnp.exp(jnp.clip(state.log_weight - best, FAINTEST, 0.0))
    count = healthy.sum().astype(jnp.float32)
    total = jnp.minimum(1.0, params.cap * count)

    def bounded(log_scale: Array) -> Array:
        inside = jnp.clip(jnp.exp(log_scale) * raw, params.floor, params.cap)
        return jnp.where(healthy, inside, 0.0)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds
        middle = (low + high) / 2
        is_small = bounded(middle).sum() < total
        return jnp.where(is_small, middle, low), jnp.where(is_small, high, middle)

    edges = (jnp.float32(-80.0), jnp.float32(80.0))
    low, high = lax.fori_loop(0, BISECTIONS, halve, edges)
    found = bounded((low + high) / 2)
    return found * safe_divide(total, found.sum())


def pool(
    weight: Float[Array, " M"],
    probability: Float[Array, "M S C"],
    fallback: Float[Array, "S C"],
    temperature: Float[Array, "*#S #C"],
) -> Vote:
    """The weighted mean of the forecasts, sharpened by the vote's own temperature.

    A linear pool of calibrated forecasts is under-confident (Ranjan & Gneiting 2010),
    so the mean is calibrated again.
    """
    rest = jnp.maximum(1.0 - weight.sum(), 0.0)
    counted = weight[:, None, None] > 0
    safe = jnp.where(counted, probability, fallback[None])
    mean = (weight[:, None, None] * safe).sum(0) + rest * fallback
    sharp = safe_log(mean) / temperature
    sharp = jnp.exp(sharp - sharp.max(1, keepdims=True))
    return Vote(
        probability=sharp / sharp.sum(1, keepdims=True),
        weight=weight,
        fallback_weight=rest,
        disagreement=_disagreement(weight, safe, mean),
    )


def entropy(probability: Float[Array, "... C"]) -> Float[Array, "..."]:
    """Shannon entropy, nats."""
    return -(probability * safe_log(probability)).sum(-1)


def _disagreement(weight: Array, probability: Array, mean: Array) -> Array:
    """Entropy of the mean less the mean entropy, over that of the weights."""
    share = safe_divide(weight, weight.sum())
    within = (share[:, None] * entropy(probability)).sum(0)
    most = jnp.maximum(entropy(share), 1e-6)
    return jnp.clip((entropy(mean) - within) / most, 0.0, 1.0)
