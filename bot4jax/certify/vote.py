"""The vote once more in float64: what its weights and its forecast should have been."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.certify.rows import Row, Subject, broken, moved, same_bits, within
from bot4jax.decisions import Decided
from bot4jax.kernels.calibration import Curves
from bot4jax.kernels.vote import FAINTEST, LEAST_SCORE
from bot4jax.learn.regimes import regimes_of
from bot4jax.state import Params, Settings

TOLERANCE = 1e-6
"""Of a probability; before its curves, where a vote has some."""

WEIGHT_TOLERANCE = 1e-5
"""Of a weight: it is the exponential of a sum of float32 scores of up to 40."""


class Interval(NamedTuple):
    """Where a probability must lie."""

    low: Float[np.ndarray, "T S C"]
    high: Float[np.ndarray, "T S C"]


class Spoken(NamedTuple):
    """What was decided over a span, and what was known of it afterwards."""

    decided: list[Decided]
    scores: Float[np.ndarray, "T S F"]
    classes: Int[np.ndarray, "T S"]
    counts: Bool[np.ndarray, "T S"]
    """labels that count, at the bar of the decision"""
    volatility: Float[np.ndarray, "T S"]


def rows(
    spoken: Spoken,
    other: list[Decided],
    params: Params,
    settings: Settings,
    boundary: int,
) -> list[Row]:
    """Every check of the vote but for its slots."""
    return [
        *parity(spoken, params, settings),
        future(spoken.decided, other, boundary),
        warmup(spoken.decided, settings.layout.horizon),
    ]


def parity(spoken: Spoken, params: Params, settings: Settings) -> list[Row]:
    """Weights and forecasts of a whole span, from its labels in hindsight."""
    said = np.stack([one.member_probability for one in spoken.decided])
    found = np.stack([one.weight for one in spoken.decided])
    horizon = settings.layout.horizon
    weight = weights(said.astype(np.float64), spoken, params, horizon)
    read = spoken.scores[:, :, settings.reads]
    regime = regimes_of(np.asarray(params.regime_edges), spoken.volatility)
    forecast = pooled(said.astype(np.float64), weight, read, params, regime)
    own = params.curves if settings.is_isotonic else None
    probability = np.stack([one.probability for one in spoken.decided])
    return [
        within(
            Subject("weights", "vote", "parity"),
            np.abs(found[:, :-1] - weight),
            WEIGHT_TOLERANCE,
        ),
        within(
            Subject("probability", "vote", "parity"),
            outside(probability, meant(forecast, own, regime)),
            TOLERANCE,
        ),
    ]


def future(first: list[Decided], other: list[Decided], boundary: int) -> Row:
    """Decisions before a bar are the same bits, whatever comes after it."""
    fields = ("probability", "weight", "intent", "confidence", "flags")

    def column(decided: list[Decided], name: str) -> np.ndarray:
        return np.stack([getattr(one, name) for one in decided])

    pairs = [
        (column(first[:boundary], name), column(other[:boundary], name))
        for name in fields
    ]
    bites = moved(
        column(first[boundary:], "probability"), column(other[boundary:], "probability")
    )
    return same_bits(Subject("decision", "vote", "future"), pairs, sound=bites)


def warmup(decided: list[Decided], horizon: int) -> Row:
    """Weights rest until the first label has matured."""
    found = np.stack([one.weight for one in decided[:horizon]])
    return broken(Subject("weights", "vote", "warmup"), found != found[:1])


def slot(
    reset: list[Decided], fresh: list[Decided], slots: Bool[np.ndarray, " S"]
) -> Row:
    """After a slot has changed hands every decision is as if it had been empty."""
    pairs = [
        (getattr(a, name)[slots], getattr(b, name)[slots])
        for a, b in zip(reset, fresh, strict=True)
        for name in ("probability", "confidence", "intent", "flags")
    ]
    pairs += [(a.weight, b.weight) for a, b in zip(reset, fresh, strict=True)]
    return same_bits(Subject("decision", "vote", "slot"), pairs)


def weights(
    said: Float[np.ndarray, "T M S C"], spoken: Spoken, params: Params, horizon: int
) -> Float[np.ndarray, "T M"]:
    """log w ← decay · log w + rate · mean log score, once every `horizon` bars."""
    decay, rate = float(params.vote.decay), float(params.vote.rate)
    log_weight, matured = np.zeros(said.shape[1]), 0
    found = np.empty(said.shape[:2])
    for t in range(len(said)):
        made = t - horizon
        counted = spoken.counts[made] if made >= 0 else np.zeros(said.shape[2], bool)
        if counted.any():
            if matured % horizon == 0:
                own = spoken.classes[made][None, :, None].astype(int)
                own = np.broadcast_to(own, (*said.shape[1:3], 1))
                likely = np.take_along_axis(said[made], own, 2)[:, counted, 0]
                score = np.log(np.maximum(likely, np.exp(LEAST_SCORE))).mean(1)
                log_weight = decay * log_weight + rate * score
            matured += 1
        raw = np.exp(np.maximum(log_weight - log_weight.max(), FAINTEST))
        found[t] = projected(raw, float(params.vote.floor), float(params.vote.cap))
    return found


def projected(
    raw: Float[np.ndarray, " M"], floor: float, cap: float
) -> Float[np.ndarray, " M"]:
    """The one `clip(c · raw, floor, cap)` of the right sum, found piece by piece.

    The sum rises with c in straight pieces; they change where a weight meets a bound.
    """
    total = min(1.0, cap * len(raw))
    edges = np.sort(np.concatenate([floor / raw, cap / raw]))
    sums = np.array([np.clip(c * raw, floor, cap).sum() for c in edges])
    at = int(np.searchsorted(sums, total))
    if at == 0 or at == len(edges):
        scale = edges[min(at, len(edges) - 1)]
    else:
        share = (total - sums[at - 1]) / (sums[at] - sums[at - 1])
        scale = edges[at - 1] + share * (edges[at] - edges[at - 1])
    found = np.clip(scale * raw, floor, cap)
    return found * total / found.sum()


def pooled(
    said: Float[np.ndarray, "T M S C"],
    weight: Float[np.ndarray, "T M"],
    scores: Float[np.ndarray, "T S K"],
    params: Params,
    regime: Int[np.ndarray, "T S"],
) -> Float[np.ndarray, "T S C"]:
    """The weighted mean, the rest being the fallback's, sharpened by a temperature.

    `scores` are of the features that the fallback reads; each regime has a temperature.
    """
    own = params.fallback
    weighed = scores.astype(np.float64) @ np.asarray(own.weight, np.float64)
    margin = weighed + np.asarray(own.bias)
    rest = np.maximum(1 - weight.sum(1), 0)[:, None, None]
    mean = np.einsum("tm,tmsc->tsc", weight, said) + rest * _softmax(margin)
    temperature = np.asarray(params.vote_temperature, np.float64)[regime]
    return _softmax(np.log(mean) / temperature[..., None])


def meant(
    forecast: Float[np.ndarray, "T S C"],
    curves: Curves | None,
    regime: Int[np.ndarray, "T S"],
) -> Interval:
    """What the vote's own curves, the last ones of each regime, make of a forecast.

    A curve may rise as steeply as a step, so that it makes anything of a rounding: all
    that it makes of a forecast within `TOLERANCE` is right.
    """
    if curves is None:
        return Interval(forecast, forecast)
    own = forecast - TOLERANCE, forecast + TOLERANCE
    low, high = (_bent(one, curves, regime) for one in own)
    most, least = (bent.sum(2, keepdims=True) - bent for bent in (high, low))
    floor = _least(curves, regime)
    low, high = (
        np.maximum(share, floor) - floor
        for share in (low / (low + most), high / (high + least))
    )
    left = 1 - low.shape[2] * floor
    fewest, most = (left / above.sum(2, keepdims=True) for above in (high, low))
    return Interval(floor + low * fewest, floor + high * most)


def outside(
    probability: Float[np.ndarray, "T S C"], interval: Interval
) -> Float[np.ndarray, "T S C"]:
    """How far a probability lies beyond where it must lie."""
    beyond = np.maximum(interval.low - probability, probability - interval.high)
    return np.maximum(beyond, 0.0)


def _least(
    curves: Curves, regime: Int[np.ndarray, "T S"]
) -> Float[np.ndarray, "T S 1"]:
    return np.asarray(curves.least, np.float64)[regime, -1][..., None]


def _bent(
    forecast: Float[np.ndarray, "T S C"],
    curves: Curves,
    regime: Int[np.ndarray, "T S"],
) -> Float[np.ndarray, "T S C"]:
    given, told = (np.asarray(one)[:, -1] for one in (curves.given, curves.meant))
    found = np.empty(forecast.shape)
    for r, c in np.ndindex(given.shape[:2]):
        own = regime == r
        found[own, c] = np.interp(forecast[own, c], given[r, c], told[r, c])
    return np.maximum(found, _least(curves, regime))


def _softmax(margin: Float[np.ndarray, "T S C"]) -> Float[np.ndarray, "T S C"]:
    raised = np.exp(margin - margin.max(2, keepdims=True))
    return raised / raised.sum(2, keepdims=True)
