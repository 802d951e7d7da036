"""The bound no honest forecast of the simulator's labels beats: a detector of leaks.

The label at decision bar t is the class of r = log(mid close[t+h] / mid entry[t+1]): up
above the threshold, down below its negative, else flat. The best forecast (`bayes`)
knows the hidden state at the end of bar t and the law of motion, more than anyone can
observe.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.bayes import PATHS, bayes_probabilities, check
from bot4jax.data.simulator import Simulator


class Truth(NamedTuple):
    """The best forecast of some labels, and what came true."""

    chances: Float[np.ndarray, "T S C"]
    classes: Int[np.ndarray, "T S"]
    known: Bool[np.ndarray, "T S"]
    """the label has an entry and a closing"""
    horizon: int


class Bound(NamedTuple):
    """Nats a row; compare a forecast of the *same rows* with it."""

    log_loss: float
    """expected, of the best forecast"""
    standard_error: float
    """of the best forecast's loss on outcomes as few and as dependent as these"""


class Excess(NamedTuple):
    """Loss of a forecast less the best forecast's on the same outcomes; nats a row."""

    log_loss: float
    """below zero by several standard errors: a leak"""
    standard_error: float


def bayes_log_loss(
    simulator: Simulator,
    first: int,
    stop: int,
    horizon: int,
    latency_fraction: float,
    threshold: Float[np.ndarray, "T S"],
    rows: Bool[np.ndarray, "T S"] | None = None,
    paths: int = PATHS,
) -> Bound:
    """Expected log loss of the best forecast of the labels of bars `first … stop − 1`.

    Args:
      threshold: class boundary ± of the label, log return, a row a decision bar.
      rows: which labels count; those without an entry or a closing never do.
    """
    labels = truth(simulator, first, stop, horizon, latency_fraction, threshold, paths)
    return bound_of(labels, rows)


def truth(
    simulator: Simulator,
    first: int,
    stop: int,
    horizon: int,
    latency_fraction: float,
    threshold: Float[np.ndarray, "T S"],
    paths: int = PATHS,
) -> Truth:
    """What can be known, and what came true, of the labels of `first … stop − 1`."""
    arguments = simulator, first, stop, horizon, latency_fraction, threshold
    chances = bayes_probabilities(*arguments, paths)
    return Truth(chances, *outcomes(*arguments), horizon)


def bound_of(labels: Truth, rows: Bool[np.ndarray, "T S"] | None = None) -> Bound:
    """Expected log loss of the best forecast of these labels."""
    counted = labels.known if rows is None else labels.known & rows
    surprise = entropy(labels.chances)
    error = log_loss(labels.chances, labels.classes) - surprise
    standard_error = clustered_error(error, counted, labels.horizon)
    return Bound(float(surprise[counted].mean()), standard_error)


def excess_log_loss(
    labels: Truth,
    probabilities: Float[np.ndarray, "T S C"],
    rows: Bool[np.ndarray, "T S"] | None = None,
) -> Excess:
    """How much a forecast loses to the best one: the sharpest test for a leak.

    Both face the same outcomes, so that the luck they share cancels.
    """
    counted = labels.known if rows is None else labels.known & rows
    gap = log_loss(probabilities, labels.classes)
    gap -= log_loss(labels.chances, labels.classes)
    mean = float(gap[counted].mean())
    return Excess(mean, clustered_error(gap - mean, counted, labels.horizon))


def outcomes(
    simulator: Simulator,
    first: int,
    stop: int,
    horizon: int,
    latency_fraction: float,
    threshold: Float[np.ndarray, "T S"],
) -> tuple[Int[np.ndarray, "T S"], Bool[np.ndarray, "T S"]]:
    """Classes that came true, and where: the symbol trades at t, t + 1 and t + h."""
    check(simulator, first, stop, horizon, latency_fraction, threshold)
    entries = [
        simulator.entry_mids(t + 1, latency_fraction) for t in range(first, stop)
    ]
    entry = np.array([mids for mids, _ in entries])
    known = np.array([quoted for _, quoted in entries])
    close = simulator.mids[first + horizon + 1 : stop + horizon + 1]
    known &= ~simulator.halted[first:stop]
    known &= ~simulator.halted[first + horizon : stop + horizon]
    change = np.log(close / np.where(known, entry, close))
    up, down = change > threshold, change < -threshold
    return 1 + up.astype(int) - down.astype(int), known


def entropy(probabilities: Float[np.ndarray, "T S C"]) -> Float[np.ndarray, "T S"]:
    """Expected log loss of a forecast that is right, nats."""
    return -(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=-1)


def log_loss(
    probabilities: Float[np.ndarray, "T S C"], classes: Int[np.ndarray, "T S"]
) -> Float[np.ndarray, "T S"]:
    """−log of the probability given to what came true, nats."""
    chosen = np.take_along_axis(probabilities, classes[..., None], axis=-1)[..., 0]
    return -np.log(np.maximum(chosen, 1e-12))


def clustered_error(
    error: Float[np.ndarray, "T S"], counted: Bool[np.ndarray, "T S"], horizon: int
) -> float:
    """Standard error of the mean of what is centred at zero.

    Symbols move together and labels overlap: the bars' sums are the observations, with
    Bartlett weights over twice the horizon (Newey & West, 1987).
    """
    sums = np.where(counted, error, 0).sum(axis=1)
    lags = min(2 * horizon, len(sums) - 1)
    weights = 1 - np.arange(1, lags + 1) / (lags + 1)
    products = [sums[lag:] @ sums[:-lag] for lag in range(1, lags + 1)]
    variance = sums @ sums + 2 * weights @ np.array(products)
    return float(np.sqrt(max(variance, 0.0)) / counted.sum())
