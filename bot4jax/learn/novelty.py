"""How unlike the training bars a feature vector is, taken whole.

Each score may be ordinary and their combination not: the distance is measured in how
scores vary together. It is reported, and nothing is decided by it.
"""

import itertools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from bot4jax.learn.dataset import Dataset

ROWS = 50_000
"""Rows that the distance is fitted on at most, and its edge on as many: windows overlap
and symbols move together, so that more say hardly more."""

ORDINARY = 0.99
"""Share of training rows within the edge."""

SEGMENTS = 10
"""Parts of a test span, equal in time, whose shares are shown."""


class Novelty(NamedTuple):
    """A distance from the training bars, and how far those themselves lie."""

    centre: Float[Array, " F"]
    whitening: Float[Array, "F F"]
    """scores less the centre, times this, have unit covariance in training"""
    edge: Float[Array, ""]
    """distance that `ORDINARY` of training rows do not exceed"""


class Segment(NamedTuple):
    """A part of a test span."""

    first: int
    """its first bar, counted from the span's"""
    bars: int
    rows: int
    """bars × live symbols"""
    beyond: float
    """share of them beyond the edge; NaN without any"""


def blank(features: int) -> Novelty:
    """Of the shapes and types of a fitted one."""
    return Novelty(jnp.zeros(features), jnp.zeros((features, features)), jnp.float32(0))


def fit_novelty(data: Dataset, span: range, seed: int) -> Novelty:
    """The distance from the first half of the span, the edge from its last quarter.

    Neighbouring windows share most of their bars, so a covariance lies the closer to
    its own rows the longer windows are. Rows a quarter later tell what a new row of the
    same market looks like, as in inductive conformal anomaly detection (Laxhammar &
    Falkman 2015).
    """
    quarter = len(span) // 4
    known = range(span.start, span.start + 2 * quarter)
    later = range(span.stop - quarter, span.stop)
    fitted = fit_distance(live_rows(data, known, seed))
    found = distance(fitted, live_rows(data, later, seed))
    edge = np.quantile(found, ORDINARY) if found.size else np.inf
    return fitted._replace(edge=jnp.float32(edge))


def live_rows(data: Dataset, span: range, seed: int) -> Float[np.ndarray, "N F"]:
    """Scores of live symbols in some bars, at most `ROWS` of them, drawn by seed."""
    part = data.part(span)
    rows = part.features[part.live]
    if len(rows) <= ROWS:
        return rows
    return np.random.default_rng(seed).choice(rows, ROWS, replace=False)


def fit_distance(rows: Float[np.ndarray, "N F"]) -> Novelty:
    """Mahalanobis's distance (1936) with a shrunk covariance; no edge yet."""
    wide = rows.astype(np.float64)
    centre = wide.mean(0) if len(wide) else np.zeros(wide.shape[1])
    factor = np.linalg.cholesky(shrunk_covariance(wide - centre))
    whitening = np.linalg.inv(factor).T
    return Novelty(
        jnp.asarray(centre, jnp.float32),
        jnp.asarray(whitening, jnp.float32),
        jnp.float32(np.inf),
    )


def shrunk_covariance(centred: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "F F"]:
    """Sample covariance drawn towards a multiple of the identity, so that it inverts.

    Source: Ledoit & Wolf (2004), A Well-Conditioned Estimator for Large-Dimensional
    Covariance Matrices. Rows without any variance give the identity.
    """
    count, features = centred.shape
    sample = centred.T @ centred / max(count, 1)
    target = np.trace(sample) / features * np.eye(features)
    if not target.any():
        return np.eye(features)
    apart = ((sample - target) ** 2).sum()
    fourth = ((centred**2).T @ centred**2 / count).sum()
    noise = (fourth - (sample**2).sum()) / count
    share = min(noise / apart, 1.0) if apart > 0 else 1.0
    return (1 - share) * sample + share * target


def distance(
    novelty: Novelty, rows: Float[np.ndarray, "... F"]
) -> Float[np.ndarray, "..."]:
    """Root mean square of the whitened scores: about 1 for a training row."""
    centre, whitening = np.asarray(novelty.centre), np.asarray(novelty.whitening)
    white = (rows - centre) @ whitening
    return np.sqrt(np.mean(white**2, axis=-1))


def beyond(
    novelty: Novelty,
    features: Float[np.ndarray, "T S F"],
    live: Bool[np.ndarray, "T S"],
) -> Float[np.ndarray, "T S"]:
    """1 where a row is farther than the edge, 0 where not, NaN where it is not live."""
    edge = float(novelty.edge)
    far = np.stack([distance(novelty, bar) > edge for bar in features])
    return np.where(live, far, np.nan)


def segments(found: Float[np.ndarray, "T S"]) -> list[Segment]:
    """The share beyond the edge in each part of the span."""
    edges = np.linspace(0, len(found), min(SEGMENTS, len(found)) + 1).astype(int)
    return [
        Segment(int(first), int(stop - first), *_share(found[first:stop]))
        for first, stop in itertools.pairwise(edges)
    ]


def _share(found: Float[np.ndarray, "T S"]) -> tuple[int, float]:
    known = found[np.isfinite(found)]
    return len(known), float(known.mean()) if known.size else float("nan")
