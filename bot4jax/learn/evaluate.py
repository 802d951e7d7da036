"""How good forecasts were, beside what anyone could have said without them."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import baselines, bootstrap, metrics


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
    later: Float[np.ndarray, "U S F"],
    later_returns: Float[np.ndarray, "U S"],
    seed: int,
) -> dict[str, Float[np.ndarray, "U S C"]]:
    """What simple forecasters, fitted on the training span, say of the test span."""
    labels, weights = trained.classes, trained.weights
    shape = later.shape[0], later.shape[1]
    return {
        "class_prior": baselines.class_prior(labels, weights, shape),
        "last_return": baselines.last_return(
            last_returns, labels, weights, later_returns
        ),
        "logistic_regression": baselines.logistic_regression(
            features, labels, weights, later, seed=seed
        ),
    }
