"""Features that say the same: pairs whose scores move together."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

TWINS = 0.95
"""Absolute correlation above which two features are reported as a pair."""

IDENTITIES = {
    ("macd", "ema_ratio"): "the same difference, over the close or the slow average",
    ("autocorrelation_1", "complexity_estimate"): "the root of 2W(1 − ρ), ends apart",
}
"""Pairs that are tied by their definitions, both in the catalogue on purpose."""

ROWS = 20_000
"""Rows that correlations are measured on, drawn by seed: their error is below .01."""


class Pair(NamedTuple):
    """Two features that move together."""

    first: str
    second: str
    correlation: float
    identity: str
    """why their definitions tie them; empty where nothing does"""


def twins(
    scores: Float[np.ndarray, "T S F"], names: Sequence[str], seed: int
) -> list[Pair]:
    """Pairs above `TWINS`, the closest first, in the scores as members see them."""
    rows = scores.reshape(-1, scores.shape[2])
    if len(rows) > ROWS:
        rows = np.random.default_rng(seed).choice(rows, ROWS, replace=False)
    found = np.triu(correlations(rows), 1)
    places = zip(*np.nonzero(np.abs(found) > TWINS), strict=True)
    pairs = [
        paired(str(names[i]), str(names[j]), float(found[i, j])) for i, j in places
    ]
    return sorted(pairs, key=lambda pair: -abs(pair.correlation))


def paired(first: str, second: str, correlation: float) -> Pair:
    """A pair, with the identity that exempts it in whichever order it is named."""
    identity = IDENTITIES.get((first, second)) or IDENTITIES.get((second, first), "")
    return Pair(first, second, correlation, identity)


def correlations(rows: Float[np.ndarray, "N F"]) -> Float[np.ndarray, "F F"]:
    """Pearson's; 0 where a feature never varies."""
    centred = rows.astype(np.float64) - rows.mean(0, dtype=np.float64)
    length = np.sqrt((centred**2).sum(0))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return unit.T @ unit
