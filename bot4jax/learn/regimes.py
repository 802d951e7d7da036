"""A calibration for each regime, shrunk to that of all by how little it has seen.

What n labels of a regime say counts n / (n + κ) and what all say the rest, with n as
many labels that share nothing as tell as much. Source: Bühlmann (1967), Experience
Rating and Credibility.
"""

from math import exp, log
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bot4jax.kernels.calibration import Curves, straighten_by
from bot4jax.learn import isotonic
from bot4jax.learn.calibrate import (
    Calibration,
    OfRegime,
    fit_temperature,
    remeasured,
    softened,
)
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.labelling import rows_of
from bot4jax.types import CLASSES

SHRINKAGE = 500.0
"""κ: labels at which a regime's own are believed as much as those of all."""


class Labelled(NamedTuple):
    """What was said of some bars, what became of it, and in which regime."""

    log_probability: Float[np.ndarray, "T S C"]
    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    regime: Int[np.ndarray, "T S"]
    """0 … R − 1"""

    def within(self, regime: int) -> Float[np.ndarray, "T S"]:
        """Weights of the labels of a regime, all others 0."""
        return self.weights * (self.regime == regime)


def fit_edges(data: Dataset, train: range, count: int) -> Float[np.ndarray, "S E"]:
    """What parts each symbol's training bars by volatility into `count` equal parts.

    A symbol that was never live there has no edge, and is in the calmest regime.
    """
    own, shares = rows_of(data, train), np.arange(1, count) / count
    found = np.full((data.volatility.shape[1], count - 1), np.inf, np.float32)
    for symbol, live in enumerate(data.live[own].T):
        if live.any():
            found[symbol] = np.quantile(data.volatility[own][live, symbol], shares)
    return found


def regimes_of(
    edges: Float[np.ndarray, "S E"], volatility: Float[np.ndarray, "T S"]
) -> Int[np.ndarray, "T S"]:
    """The regime at every bar, as `kernels.regime.by_volatility` finds it."""
    return (volatility[:, :, None] > edges).sum(2, dtype=np.int32)


def credibility(own: Labelled, regime: int, horizon: int) -> float:
    """What the own labels of a regime count against those of all, 0 … 1.

    Nothing where one of the classes never came: a temperature would end at its bound.
    """
    weights = own.within(regime)
    if len(np.unique(own.classes[weights > 0])) < len(CLASSES):
        return 0.0
    worth = isotonic.independent(own.classes, weights, horizon)
    return worth / (worth + SHRINKAGE)


def by_regime(
    whole: Calibration, own: Labelled, count: int, horizon: int
) -> Calibration:
    """The same with a temperature for each regime: log T = w log T_own + (1 − w) log T.

    What is told `after` is with these.
    """
    said = own.log_probability.reshape(-1, len(CLASSES))
    found = []
    for regime in range(count):
        trust = credibility(own, regime, horizon)
        moved = 0.0
        if trust > 0:
            weights = own.within(regime).ravel()
            fitted = fit_temperature(said, own.classes.ravel(), weights)
            moved = trust * log(fitted / whole.temperature)
        found.append(OfRegime(whole.temperature * exp(moved), trust))
    after = whole._replace(by_regime=tuple(found))
    return remeasured(after, tempered(after, own), own.classes, own.weights)


def bent(
    before: Calibration, own: Labelled, least: tuple[float, ...], horizon: int
) -> Calibration:
    """The same with isotonic curves behind the temperatures.

    `least` is of labels without overlap: of all, then of each regime, below which there
    are no curves. A regime without its own takes those of all.
    """
    said = tempered(before, own).astype(np.float32)
    rows, classes = said.reshape(-1, len(CLASSES)), own.classes.ravel()

    def curves(weights: Float[np.ndarray, "T S"], enough: float) -> Curves | None:
        worth = isotonic.independent(own.classes, weights, horizon)
        return isotonic.fit_curves(rows, classes, weights.ravel(), enough, worth)

    whole = curves(own.weights, least[0])
    if whole is None:
        return before
    found = []
    for regime, (one, enough) in enumerate(
        zip(before.by_regime, least[1:], strict=True)
    ):
        fitted = curves(own.within(regime), enough) if one.trust > 0 else None
        if fitted is not None:
            fitted = isotonic.shrunk(fitted, whole, one.trust)
        found.append(one._replace(curves=fitted))
    after = before._replace(curves=whole, by_regime=tuple(found))
    each = isotonic.stacked([one.curves or whole for one in found])
    meant = straighten_by(
        each, jnp.asarray(rows)[None], jnp.asarray(own.regime.ravel())
    )
    return remeasured(
        after, np.asarray(meant).reshape(said.shape), own.classes, own.weights
    )


def tempered(found: Calibration, own: Labelled) -> Float[np.ndarray, "T S C"]:
    """What was said, at the temperature of its regime."""
    each = np.array([one.temperature for one in found.by_regime])
    return softened(own.log_probability, each[own.regime][..., None])
