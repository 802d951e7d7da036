"""How good forecasts were, beside what anyone could have said without them."""

from math import erfc, nan, sqrt
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import baselines, bootstrap, metrics
from bot4jax.learn.calibrate import fit_temperature, softened
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.labelling import Labels, rows_of
from bot4jax.learn.splits import Split


class Judged(NamedTuple):
    """One forecaster on the test span."""

    log_loss: float
    log_loss_error: float
    """standard error, stationary block bootstrap over time"""
    excess: float
    """log loss less the class prior's; negative is skill, NaN without a prior"""
    excess_error: float
    """standard error, of the same labels' differences"""
    brier: float
    ece: float
    macro_f1: float
    mcc: float
    hit_rate: float
    information_coefficient: float
    information_t: float
    """Newey–West"""
    rank_coefficient: float
    rank_t: float

    @property
    def p_value(self) -> float:
        """Chance of saving as much log loss against the prior without skill.

        One-sided, of a normal distribution with the error of the bootstrap; NaN
        without a prior, and for a forecast that is the prior.
        """
        if not self.excess_error > 0:
            return nan
        return 0.5 * erfc(-self.excess / self.excess_error / sqrt(2))


class Outcome(NamedTuple):
    """What happened on the test span; bars × symbols."""

    returns: Float[np.ndarray, "T S"]
    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    horizon: int

    @property
    def counted(self) -> int:
        """Labels that weigh something."""
        return int((self.weights > 0).sum())

    @property
    def effective(self) -> int:
        """Labels that share no bar with another of the same symbol."""
        return round(float(self.weights.sum()))


class Asked(NamedTuple):
    """The bars that are forecast: the calibration span, a gap, and the test span."""

    features: Float[np.ndarray, "U S F"]
    returns: Float[np.ndarray, "U S"]
    """of each bar by itself"""
    known: Outcome
    """what the calibration span, the first bars, turned into"""
    bars: int
    """of the test, the last ones"""


def asked_of(
    before: Dataset,
    labels: Labels,
    split: Split,
    horizon: int,
    features: Float[np.ndarray, "V S F"],
    close: Float[np.ndarray, "V S"],
) -> Asked:
    """From what was seen before a test, and the test's own features and prices."""
    own, end = rows_of(before, split.calibrate), split.test.start - before.first
    prices = np.concatenate([before.close[own.start : end], close])
    return Asked(
        np.concatenate([before.features[own.start : end], features]),
        bar_returns(prices),
        outcome_of(labels, own, horizon),
        len(close),
    )


def outcome_of(labels: Labels, rows: slice, horizon: int) -> Outcome:
    """What the decisions of some rows turned into."""
    return Outcome(
        labels.returns[rows], labels.classes[rows], labels.weights[rows], horizon
    )


def bar_returns(close: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Log return of each bar; 0 for the first."""
    moved = np.zeros_like(close)
    moved[1:] = np.diff(np.log(np.maximum(close, 1e-9)), axis=0)
    return moved


def judge(
    probability: Float[np.ndarray, "T S C"],
    outcome: Outcome,
    prior: Float[np.ndarray, "T S C"] | None = None,
) -> Judged:
    """Every figure of one forecaster; `prior` is what it must beat.

    Both meet the same market, so their difference is far surer than either loss.
    """
    returns, classes, weights, horizon = outcome
    forecast = metrics.direction(probability)
    counted = weights > 0
    confusion = metrics.confusion(
        classes[counted], probability[counted].argmax(-1), weights[counted]
    )
    plain, ranked = (
        metrics.information_coefficient(forecast, returns, weights, horizon, ranks)
        for ranks in (False, True)
    )
    loss = metrics.sample_log_loss(probability, classes)
    above = np.full_like(loss, np.nan)
    if prior is not None:
        above = loss - metrics.sample_log_loss(prior, classes)
    return Judged(
        log_loss=metrics.log_loss(probability, classes, weights),
        log_loss_error=bootstrap.standard_error(loss, weights, block=4 * horizon),
        excess=metrics.weighted_mean(above, weights),
        excess_error=bootstrap.standard_error(above, weights, block=4 * horizon),
        brier=metrics.brier(probability, classes, weights),
        ece=metrics.ece(probability, classes, weights),
        macro_f1=metrics.macro_f1(confusion),
        mcc=metrics.mcc(confusion),
        hit_rate=metrics.hit_rate(forecast, returns, weights),
        information_coefficient=plain.mean,
        information_t=plain.t,
        rank_coefficient=ranked.mean,
        rank_t=ranked.t,
    )


def baseline_forecasts(
    features: Float[np.ndarray, "T S F"],
    last_returns: Float[np.ndarray, "T S"],
    trained: Outcome,
    asked: Asked,
    seed: int,
) -> dict[str, Float[np.ndarray, "V S C"]]:
    """What simple forecasters, fitted on the training span, say of the test span."""
    labels, weights = trained.classes, trained.weights
    shape = asked.bars, labels.shape[1]
    line = baselines.logistic_regression(
        features, labels, weights, asked.features, seed=seed
    )
    return {
        "class_prior": baselines.class_prior(labels, weights, shape),
        "last_return": baselines.last_return(
            last_returns, labels, weights, asked.returns[-asked.bars :]
        ),
        "logistic_regression": tempered(line, asked.known, asked.bars),
    }


def tempered(
    probability: Float[np.ndarray, "U S C"], known: Outcome, bars: int
) -> Float[np.ndarray, "V S C"]:
    """The last `bars` of a forecast at the temperature that suits the first ones.

    Those are the calibration span, whose outcome is `known`: every member has its own
    temperature from there, and so has who is compared with them.
    """
    logs = np.log(np.maximum(probability, np.finfo(np.float32).tiny))
    first = logs[: len(known.classes)].reshape(-1, logs.shape[-1])
    one = fit_temperature(first, known.classes.ravel(), known.weights.ravel())
    return softened(logs[len(logs) - bars :], one).astype(np.float32)
