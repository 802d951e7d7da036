"""Forecasts that any model must beat: the class prior, the last return, a line.

Each is fitted on the training span and gives probabilities `[T, S, C]` of another. A
rule that only names a class is given the probabilities that its naming has earned in
training; so stated, "always flat" is the class prior. The base rate drifts, and whoever
has a temperature knows the calibration span's: so does the recent prior. Gradient
boosting alone is the ensemble's own member.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.errors import DataError

PRIOR_COUNT = 1.0
"""Samples of each class that are imagined, so that nothing is impossible."""

SAMPLES = 100_000
"""Training rows of the logistic regression. Estimating p coefficients from n rows costs
p/2n of log loss, .0013 for 130 features."""

PENALTY = 100.0
"""Stands for coefficients that are expected within ±.1 a standard deviation."""

OUTLIER = 5.0
"""Standard deviations at which a feature of the logistic regression is clamped."""

MOST_STEPS = 100

TOLERANCE = 1e-7
"""Of the gradient of the mean loss, where the logistic regression stops."""


class Logistic(NamedTuple):
    """Multinomial logistic regression on standardised features."""

    centre: Float[np.ndarray, " F"]
    width: Float[np.ndarray, " F"]
    coefficients: Float[np.ndarray, "P C"]
    """of the features, then the intercept"""


def class_prior(
    labels: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    shape: tuple[int, int],
    classes: int = 3,
) -> Float[np.ndarray, "U S C"]:
    """The training classes' shares, for every decision of a span of this shape."""
    shares = _shares(_class_weight(labels, weights, classes))
    return np.broadcast_to(shares, (*shape, classes))


def recent_prior(
    labels: Int[np.ndarray, "V S"],
    weights: Float[np.ndarray, "V S"],
    shape: tuple[int, int],
    classes: int = 3,
) -> Float[np.ndarray, "U S C"]:
    """The calibration classes' shares, for the bars asked, of which it is the first.

    Each half of the calibration span is told the shares of the other, so that who is
    asked how good it was there has not seen what came; whatever is later, all of them.
    """
    said = class_prior(labels, weights, shape, classes).copy()
    middle = len(labels) // 2
    halves = slice(middle), slice(middle, len(labels))
    for one, other in (halves, halves[::-1]):
        own = labels[other], weights[other]
        said[one] = class_prior(*own, said[one].shape[:2], classes)
    return said


def last_return(
    seen: Float[np.ndarray, "T S"],
    labels: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    later: Float[np.ndarray, "U S"],
    classes: int = 3,
) -> Float[np.ndarray, "U S C"]:
    """What followed in training when the last bar fell, stood or rose.

    `seen` and `later` are the last bar's returns of the training span and of the span
    to forecast, in any positive unit; an unknown one counts as standing.
    """
    trained, asked = _sign(seen), _sign(later)
    table = np.stack(
        [
            _class_weight(labels, np.where(trained == sign, weights, 0), classes)
            for sign in (-1, 0, 1)
        ]
    )
    return _shares(table)[asked + 1]


def logistic_regression(
    features: Float[np.ndarray, "T S F"],
    labels: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    later: Float[np.ndarray, "U S F"],
    penalty: float = PENALTY,
    seed: int = 0,
    classes: int = 3,
) -> Float[np.ndarray, "U S C"]:
    """Multinomial logistic regression on all features, of a sample of the rows."""
    t, s = sampled_rows(weights, SAMPLES, seed)
    model = fit_logistic(features[t, s], labels[t, s], weights[t, s], penalty, classes)
    # bar by bar: the whole span in float64 would double the memory of the run
    return np.stack([logistic_probability(model, bar) for bar in later])


def sampled_rows(
    weights: Float[np.ndarray, "T S"], most: int, seed: int
) -> tuple[Int[np.ndarray, " N"], Int[np.ndarray, " N"]]:
    """Bars and symbols of rows that weigh something, at most `most`, in order."""
    rows = np.flatnonzero(weights > 0)
    if not rows.size:
        raise DataError(
            f"none of {weights.size} training rows has a weight: lengthen spans.train"
        )
    if len(rows) > most:
        random = np.random.default_rng(seed)
        rows = np.sort(random.choice(rows, most, replace=False))
    t, s = np.unravel_index(rows, weights.shape)
    return t, s


def fit_logistic(
    x: Float[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    penalty: float = PENALTY,
    classes: int = 3,
) -> Logistic:
    """The minimum of Σ w·log loss + ½·penalty·Σ coefficients², intercepts unpenalised.

    Weights are scaled to a mean of 1. Newton's method, each step solved by conjugate
    gradients: the Hessian of 130 features and three classes is never formed, and its
    bound ½·XᵀWX (Böhning 1992), factorised once, is so good a preconditioner that a few
    passes over the data make a step.
    """
    usable = np.where(np.isfinite(x), x, np.nan)
    centre, width = _moments(usable)
    design = _design(usable, centre, width)
    weight = (weights / weights.mean(dtype=np.float64))[:, None]
    ridge = np.full((design.shape[1], 1), penalty)
    ridge[-1] = 0
    bound = (design * weight).T @ design / 2 + np.diag(ridge[:, 0])
    problem = _Problem(design, np.eye(classes)[labels], weight, ridge)
    fitted = _newton(problem, np.linalg.inv(bound))
    return Logistic(centre, width, fitted)


def logistic_probability(
    model: Logistic, x: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "N C"]:
    """Class probabilities; features that are unknown count as their mean."""
    return _softmax(_design(x, model.centre, model.width) @ model.coefficients)


class _Problem(NamedTuple):
    """The penalised loss of multinomial logistic regression and its derivatives."""

    design: Float[np.ndarray, "N P"]
    target: Float[np.ndarray, "N C"]
    weight: Float[np.ndarray, "N 1"]
    ridge: Float[np.ndarray, "P 1"]

    def loss(self, fitted: np.ndarray) -> float:
        scores = self.design @ fitted
        peak = scores.max(1, keepdims=True)
        total = peak + np.log(np.exp(scores - peak).sum(1, keepdims=True))
        misfit = self.weight * (total - (scores * self.target).sum(1, keepdims=True))
        return float(misfit.sum() + (self.ridge * fitted**2).sum() / 2)

    def gradient(self, fitted: np.ndarray, p: np.ndarray) -> np.ndarray:
        error = self.weight * (p - self.target)
        return self.design.T @ error + self.ridge * fitted

    def curved(self, p: np.ndarray, along: np.ndarray) -> np.ndarray:
        """The Hessian at probabilities `p` times a direction."""
        moved = p * (self.design @ along)
        moved -= p * moved.sum(1, keepdims=True)
        return self.design.T @ (self.weight * moved) + self.ridge * along


def _newton(problem: _Problem, inverse: np.ndarray) -> Float[np.ndarray, "P C"]:
    """The minimum, from coefficients of zero; steps that overshoot are halved."""
    fitted = np.zeros((len(inverse), problem.target.shape[1]))
    loss = problem.loss(fitted)
    for _ in range(MOST_STEPS):
        p = _softmax(problem.design @ fitted)
        gradient = problem.gradient(fitted, p)
        if np.abs(gradient).max() < TOLERANCE * len(problem.design):
            break
        step = _conjugate_gradients(problem, p, gradient, inverse)
        halvings = 0.5 ** np.arange(20)
        tried = ((problem.loss(fitted - size * step), size) for size in halvings)
        lower = next((pair for pair in tried if pair[0] < loss), None)
        if lower is None:  # rounding: nothing near is lower
            break
        loss, fitted = lower[0], fitted - lower[1] * step
    return fitted


def _conjugate_gradients(
    problem: _Problem, p: np.ndarray, gradient: np.ndarray, inverse: np.ndarray
) -> Float[np.ndarray, "P C"]:
    """Hessian⁻¹·gradient to a thousandth (Hestenes & Stiefel 1952)."""
    solved, rest = np.zeros_like(gradient), gradient
    along = better = inverse @ rest
    size = first = (rest * better).sum()
    for _ in range(MOST_STEPS):
        curved = problem.curved(p, along)
        length = size / (along * curved).sum()
        solved, rest = solved + length * along, rest - length * curved
        better = inverse @ rest
        size, previous = (rest * better).sum(), size
        if size < 1e-6 * first:
            break
        along = better + size / previous * along
    return solved


def _class_weight(labels: np.ndarray, weights: np.ndarray, classes: int) -> np.ndarray:
    return np.bincount(labels.ravel(), weights.ravel().astype(float), classes)


def _shares(class_weight: np.ndarray) -> np.ndarray:
    """Probabilities from the weight of each class, with `PRIOR_COUNT` of each added."""
    counted = class_weight + PRIOR_COUNT
    return counted / counted.sum(-1, keepdims=True)


def _sign(returns: np.ndarray) -> Int[np.ndarray, "T S"]:
    return np.sign(np.nan_to_num(returns, nan=0.0)).astype(np.int64)


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the known values; 0 and 1 where none vary."""
    known = np.isfinite(x)
    count = np.maximum(known.sum(0), 1)
    centre = np.where(known, x, 0).sum(0, dtype=np.float64) / count
    apart = np.where(known, x - centre, 0)
    width = np.sqrt((apart**2).sum(0) / count)
    return centre, np.where(width > 1e-12 * (1 + np.abs(centre)), width, 1.0)


def _design(x: np.ndarray, centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Standardised features and a column of ones, float64."""
    score = (x.astype(np.float64) - centre) / width
    score = np.clip(np.nan_to_num(score, nan=0.0), -OUTLIER, OUTLIER)
    return np.concatenate([score, np.ones((len(x), 1))], axis=1)


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    return raised / raised.sum(axis=1, keepdims=True)
