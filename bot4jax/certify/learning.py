"""What learning must keep: labels, scalers and spans, streamed and in hindsight."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.certify.records import bars_of
from bot4jax.certify.rows import (
    Kind,
    Row,
    Subject,
    broken,
    moved,
    relative_error,
    same_bits,
    within,
)
from bot4jax.kernels import outcome
from bot4jax.kernels.clean import NORMAL_IQR, Scaler
from bot4jax.kernels.history import Scales
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.labels import forward_returns, outcomes, sample_weights
from bot4jax.learn.novelty import Novelty, distance, live_rows, shrunk_covariance
from bot4jax.learn.params import Labels
from bot4jax.learn.splits import Split
from bot4jax.nets.fallback import FallbackParams
from bot4jax.types import Bar

EDGE = 1e-5
"""How near the edge of a class, relative to it, float32 may call a return otherwise."""

QUANTILE = 1e-6
"""Of centre and width: they are float64 quantiles, kept in float32."""


DISTANCE = 1e-3
"""Of a distance: whitening magnifies float32's rounding where scores hardly differ."""

VOLATILITY = 1e-5
"""Of the running volatility: a float32 mean that forgets, a rounding a bar. Each is at
most 6e-8 of it, and as many as it remembers, 1 / (1 − decay), may add up."""

Fitted = Scaler | Scales | Novelty | FallbackParams


class Hindsight(NamedTuple):
    """Labels of every bar, by looking ahead."""

    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    distance: Float[np.ndarray, "T S"]
    """of the return from the edge of its class, relative to the edge; with barriers of
    the nearest return on the way"""


class Streamed(NamedTuple):
    """Labels as they matured: row `t` holds what bar `t` made known."""

    classes: Int[np.ndarray, "T S"]
    counts: Bool[np.ndarray, "T S"]


def hindsight(
    data: Dataset, threshold: float, horizon: int, has_barriers: bool
) -> Hindsight:
    """Labels of a whole record, by the functions that make training data."""
    scale = data.volatility
    returns, classes = outcomes(
        data.entry, data.close, scale, threshold, horizon, has_barriers
    )
    weights = sample_weights(returns, scale, data.live, horizon, settled=data.settled)
    edge = threshold * scale.astype(np.float64) * horizon**0.5
    ends = range(1 if has_barriers else horizon, horizon + 1)
    moves = [forward_returns(data.entry, data.close, bars) for bars in ends]
    gap = np.min([np.abs(np.abs(one) - edge) for one in moves], axis=0)
    return Hindsight(classes, weights, gap / np.maximum(edge, 1e-300))


def streamed(
    record: BarRecord,
    volatility: Float[np.ndarray, "T S"],
    threshold: float,
    horizon: int,
    has_barriers: bool,
    resets: Bool[np.ndarray, "T S"] | None = None,
) -> Streamed:
    """Labels of a record, bar by bar, as the engine's own pending rows mature."""
    bars = bars_of(record)
    shape = bars.live.shape
    nobody = np.zeros(shape, bool) if resets is None else resets
    start = outcome.init_pending(horizon, 1, shape[1])
    step = partial(_mature, jnp.float32(threshold), has_barriers)
    walk = jax.jit(partial(jax.lax.scan, step))
    _, found = walk(start, (bars, jnp.asarray(volatility), nobody))
    return Streamed(*(np.asarray(one) for one in found))


def _mature(
    threshold: jax.Array,
    has_barriers: bool,
    pending: outcome.Pending,
    given: tuple[Bar, jax.Array, jax.Array],
) -> tuple[outcome.Pending, tuple[jax.Array, jax.Array]]:
    bar, scale, fresh = given
    pending = outcome.reset_pending(pending, fresh)
    learnt = outcome.mature(pending, bar, threshold, has_barriers)
    said = jnp.zeros(pending.log_probability.shape[1:], jnp.float32)
    pending = outcome.push_pending(pending, said, scale, bar)
    return pending, (learnt.label, learnt.counts)


def label_parity(found: Streamed, truth: Hindsight, horizon: int) -> Row:
    """A label that matures is the label that hindsight gives, and they are as many.

    Where the classes differ, the return must lie on an edge but for its rounding.
    """
    known, counts = truth.weights[:-horizon] > 0, found.counts[horizon:]
    differs = found.classes[horizon:] != truth.classes[:-horizon]
    error = np.where(differs, truth.distance[:-horizon], 0.0)
    error = np.where(known == counts, error, np.inf)
    kept = known | counts
    masked = int((~kept).sum())
    return within(Subject("class", "label", "parity"), error[kept], EDGE, masked)


def label_future(
    first: Hindsight, other: Hindsight, boundary: int, horizon: int
) -> Row:
    """A label reads `horizon` bars ahead, its weight the labels it overlaps with."""
    reach = {"classes": horizon, "weights": 2 * horizon - 1}
    pairs = [
        tuple(getattr(one, name)[: boundary - ahead] for one in (first, other))
        for name, ahead in reach.items()
    ]
    bites = moved(first.classes[boundary:], other.classes[boundary:])
    return same_bits(Subject("class", "label", "future"), pairs, sound=bites)


def label_warmup(found: Streamed, horizon: int) -> Row:
    """No label is known before its horizon has passed, and the first one then is."""
    early = found.counts[:horizon]
    late = not found.counts[horizon : 2 * horizon].any()
    breaks = np.append(early.ravel(), late)
    return broken(Subject("class", "label", "warmup"), breaks)


def label_slot(
    found: Streamed, fresh: Streamed, slots: Bool[np.ndarray, " S"], bar: int
) -> Row:
    """Nothing said about the former owner of a slot matures for the next."""
    one, other = (
        Streamed(*(column[bar:, slots] for column in own)) for own in (found, fresh)
    )
    pairs = [
        (one.counts, other.counts),
        (one.classes[other.counts], other.classes[other.counts]),
    ]
    masked = int((~other.counts).sum())
    return same_bits(Subject("class", "label", "slot"), pairs, masked)


def scaler_parity(
    raw: Dataset, scaler: Scaler, rows: tuple[np.ndarray, np.ndarray]
) -> Row:
    """Centre and width against quantiles by sorting, over the same rows."""
    values, usable = raw.features[rows], raw.usable[rows]
    truth = [_robust(values[usable[:, i], i]) for i in range(values.shape[1])]
    found = np.stack(scaler, 1).astype(np.float64)
    error = relative_error(found, np.array(truth))
    return within(Subject("scaler", "scaler", "parity"), error, QUANTILE)


def _robust(column: np.ndarray) -> tuple[float, float]:
    """Median, and interquartile range over the normal's, by sorting."""
    if not column.size:
        return 0.0, 1.0
    ordered = np.sort(column.astype(np.float64))

    def quantile(share: float) -> float:
        place = share * (len(ordered) - 1)
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    width = (quantile(0.75) - quantile(0.25)) / NORMAL_IQR or float(column.std())
    return quantile(0.5), width if width > 0 else 1.0


def scores_parity(served: Dataset, scored: Dataset) -> Row:
    """Scores of the serving executable, and those that members were fitted on."""
    rows = len(scored.features)
    pairs = [
        (served.features[:rows], scored.features),
        (served.usable[:rows], scored.usable),
    ]
    return same_bits(Subject("scores", "scaler", "parity"), pairs)


def scores_warmup(served: Dataset) -> Row:
    """What is not usable yet is 0, the centre of the training data."""
    hidden = served.features[~served.usable]
    shown = int(served.usable.sum())
    return broken(Subject("scores", "scaler", "warmup"), hidden != 0, shown)


def novelty_parity(fitted: Novelty, data: Dataset, span: range, seed: int) -> Row:
    """Distances against the quadratic form by a solver, in float64."""
    known = range(span.start, span.start + 2 * (len(span) // 4))
    rows = live_rows(data, known, seed).astype(np.float64)
    centred = rows - rows.mean(0)
    form = (np.linalg.solve(shrunk_covariance(centred), centred.T) * centred.T).sum(0)
    truth = np.sqrt(form / rows.shape[1])
    error = relative_error(distance(fitted, rows.astype(np.float32)), truth)
    return within(Subject("novelty", "scaler", "parity"), error, DISTANCE)


def refitted(name: str, first: Fitted, again: Fitted, kind: Kind = "scaler") -> Row:
    """What is fitted on the training span knows nothing of the bars behind it."""
    pairs = zip(first, again, strict=True)
    return same_bits(Subject(name, kind, "future"), pairs)


def volatility_slot(reset: Dataset, fresh: Dataset, slots: np.ndarray, bar: int) -> Row:
    """The running volatility of a slot handed on starts anew."""
    pair = tuple(one.volatility[bar:, slots] for one in (reset, fresh))
    return same_bits(Subject("volatility", "scaler", "slot"), [pair])


def volatility_parity(
    data: Dataset, record: BarRecord, scales: Scales, decay: float
) -> Row:
    """The running volatility against its recursion in float64."""
    price = record.price("mid_close")
    live = record.column("live") > 0
    variance = np.asarray(scales.returns, np.float64) ** 2
    begun, truth = np.zeros(live.shape[1], bool), np.empty(price.shape)
    for t in range(len(price)):
        with np.errstate(divide="ignore", invalid="ignore"):
            moved_by = np.where(begun, np.log(price[t] / price[t - 1]), 0.0)
        blend = decay * variance + (1 - decay) * moved_by**2
        variance = np.where(live[t], blend, variance)
        truth[t] = np.sqrt(variance)
        begun |= live[t]
    error = np.abs(data.volatility - truth) / truth
    return within(Subject("volatility", "scaler", "parity"), error, VOLATILITY)


def split_rows(split: Split, horizon: int, warm: int) -> list[Row]:
    """No bar belongs to two spans, and no label of one lives in bars of a later one."""
    decided = np.concatenate([np.asarray(span) for span in split])
    owner = np.repeat(np.arange(3), [len(span) for span in split])
    touched = decided[:, None] + np.arange(1, horizon + 1)[None]
    starts = np.array([*(span.start for span in split[1:]), np.inf])
    invades = (touched >= starts[owner][:, None]).any(1)
    twice = np.diff(np.sort(decided)) == 0
    return [
        broken(Subject("spans", "split", "parity"), np.append(invades, twice)),
        broken(Subject("spans", "split", "warmup"), decided < warm),
    ]


def split_future(first: Labels, again: Labels, span: slice) -> Row:
    """Labels and worth of the training span, with other bars behind its gap."""
    pairs = [
        (getattr(first, name)[span], getattr(again, name)[span])
        for name in ("classes", "weights")
    ]
    pairs += [
        (np.float64(first.threshold), np.float64(again.threshold)),
        (first.class_mean, again.class_mean),
        (first.class_square, again.class_square),
    ]
    return same_bits(Subject("spans", "split", "future"), pairs)
