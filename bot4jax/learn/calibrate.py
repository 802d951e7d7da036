"""Fitting what makes a member's confidence honest: a temperature, and curves."""

from collections.abc import Callable
from math import exp, log, sqrt
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.errors import DataError
from bot4jax.kernels.calibration import Curves, straighten
from bot4jax.learn import metrics
from bot4jax.learn.isotonic import LEAST_EFFECTIVE, fit_curves

COLDEST, HOTTEST = 0.05, 20.0
"""Bounds of the temperature: beyond them a forecast is a verdict or the class prior."""

FAINTEST = -80.0
"""Log-probabilities are floored here: one certain error must not decide the fit."""

GOLDEN = (sqrt(5) - 1) / 2


class OfRegime(NamedTuple):
    """What a regime's own labels do to the calibration of all."""

    temperature: float
    trust: float
    """what its own labels count against those of all, 0 … 1"""
    curves: Curves | None = None
    """behind its temperature; None: those of all, if there are any"""


class Calibration(NamedTuple):
    """What one number does to a member's forecasts, before and after it."""

    temperature: float
    """of all its samples"""
    log_loss: tuple[float, float]
    brier: tuple[float, float]
    ece: tuple[float, float]
    curves: Curves | None = None
    """isotonic, behind the temperature; None: not asked for, or too few labels"""
    by_regime: tuple[OfRegime, ...] = ()
    """each regime's, in place of the above; empty: all times are alike"""


def calibrate(
    log_probability: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
) -> Calibration:
    """Fit the temperature and measure what it changes on the same samples."""
    temperature = fit_temperature(log_probability, labels, weights)
    kept = usable(log_probability, weights)
    logs, labels, weights = log_probability[kept], labels[kept], weights[kept]
    pair = [softened(logs, 1.0), softened(logs, temperature)]

    def both(measure: Callable[..., float]) -> tuple[float, float]:
        before, after = (measure(p, labels, weights) for p in pair)
        return before, after

    measures = metrics.log_loss, metrics.brier, metrics.ece
    losses, squares, errors = map(both, measures)
    return Calibration(temperature, losses, squares, errors)


def straightened(
    before: Calibration,
    log_probability: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    least: float = LEAST_EFFECTIVE,
    worth: float | None = None,
) -> Calibration:
    """The same with isotonic curves behind the temperature, fitted on these samples.

    So what is measured behind them flatters, by as much as they bend.
    """
    kept = usable(log_probability, weights)
    logs, labels, weights = log_probability[kept], labels[kept], weights[kept]
    said = softened(logs, before.temperature).astype(np.float32)
    curves = fit_curves(said, labels, weights, least, worth)
    if curves is None:
        return before
    after = np.asarray(straighten(curves, jnp.asarray(said)[None])[0])
    return remeasured(before._replace(curves=curves), after, labels, weights)


def remeasured(
    before: Calibration,
    after: Float[np.ndarray, "*N C"],
    labels: Int[np.ndarray, "*N"],
    weights: Float[np.ndarray, "*N"],
) -> Calibration:
    """The same, measured after all that calibrates."""
    return before._replace(
        log_loss=(before.log_loss[0], metrics.log_loss(after, labels, weights)),
        brier=(before.brier[0], metrics.brier(after, labels, weights)),
        ece=(before.ece[0], metrics.ece(after, labels, weights)),
    )


def fit_temperature(
    log_probability: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
) -> float:
    """The temperature of the least weighted log loss, within its bounds.

    The loss is convex in 1/T, hence has one minimum in log T, which a golden section
    search encloses. Forecasts that are not numbers are left out.
    """
    kept = usable(log_probability, weights)
    if not kept.any():
        raise DataError(nothing_usable(weights))
    # A row a class: NumPy goes along rows of samples, not samples of three classes.
    logs = np.maximum(log_probability[kept].T.astype(np.float64, order="C"), FAINTEST)
    chosen, weight = labels[kept][None], weights[kept].astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = logs * exp(-log_temperature)
        peak = scaled.max(0)
        total = peak + np.log(np.exp(scaled - peak[None]).sum(0))
        of_label = np.take_along_axis(scaled, chosen, 0)[0]
        return float(np.average(total - of_label, weights=weight))

    return exp(golden_section(loss, log(COLDEST), log(HOTTEST)))


def nothing_usable(weights: Float[np.ndarray, " N"]) -> str:
    """Why there is nothing to fit a temperature on, and what to do."""
    labelled = int((weights > 0).sum())
    if labelled:
        return (
            f"none of {labelled:,} calibration samples that have a label has a "
            "forecast that is a number: lower train.learning_rate; events/ of the run "
            "tells from which update on its loss is none"
        )
    return (
        f"none of {len(weights):,} calibration samples has a label, for which its "
        "symbol must be live where it is decided, in the next bar and where it ends: "
        "lengthen spans.calibrate or move it by spans.train, or name more data"
    )


def golden_section(
    function: Callable[[float], float], low: float, high: float, tolerance: float = 1e-6
) -> float:
    """Where a function with one minimum has it (Kiefer 1953)."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > tolerance:
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = function(right)
    return (low + high) / 2


def softened(
    log_probability: Float[np.ndarray, "*N C"],
    temperature: float | Float[np.ndarray, "*#N #C"],
) -> Float[np.ndarray, "*N C"]:
    """Probabilities at a temperature, float64: `apply_temperature` on the host."""
    scaled = log_probability.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def usable(
    log_probability: Float[np.ndarray, "*N C"], weights: Float[np.ndarray, "*N"]
) -> Bool[np.ndarray, "*N"]:
    """Rows with a weight, no NaN, and some class that is possible."""
    peak = log_probability.max(axis=-1)
    return (weights > 0) & np.isfinite(peak)
