"""How good forecasts were, beside what anyone could have said without them."""

from collections.abc import Mapping
from math import isnan, nan
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import baselines, bootstrap, metrics, pairs
from bot4jax.learn.calibrate import fit_temperature, softened
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.labelling import Labels, rows_of
from bot4jax.learn.pairs import Paired
from bot4jax.learn.splits import Split

PRIOR = "class_prior"
"""Always flat: the shares of the training classes, whatever happens."""

RECENT = "recent_prior"
"""Always flat: the shares of the calibration classes, whatever happens."""

FLAT = (PRIOR, RECENT)
"""Those who know nothing, and never trade."""


LEAST_BARS = 4_800
"""Test bars below which nothing is said of how sure saved log loss is.

Bars are counted, and nothing is asked of what they show: a span without a storm looks
sure of itself, and its independent bars many (docs/findings.md).
"""


class Judged(NamedTuple):
    """One forecaster on the test span."""

    log_loss: float
    log_loss_error: float
    """standard error, as long as the bars' memory asks (`longrun`)"""
    excess: float
    """log loss less the class prior's; negative is skill, NaN without a prior"""
    excess_error: float
    """standard error, of the same labels' differences"""
    recent_excess: float
    """log loss less the recent prior's, likewise"""
    recent_excess_error: float
    recent_degrees: float
    """of freedom of its error"""
    direction: float
    """log loss of up or down, given a move, less that of the own mean leaning; negative
    is skill in direction"""
    direction_error: float
    """standard error, as above"""
    log_loss_degrees: float
    """of freedom of the error of log loss"""
    degrees: float
    """of freedom of the error of excess"""
    direction_degrees: float
    brier: float
    ece: float
    macro_f1: float
    mcc: float
    hit_rate: float
    information_coefficient: float
    information_t: float
    """Newey–West's, Student's of few bars"""
    information_p_value: float
    """one-sided"""
    rank_coefficient: float
    rank_t: float
    rank_p_value: float
    bars: int
    """of the test in which any label counts"""
    effective_bars: float
    """independent ones that its saved log loss is worth; NaN without a prior"""

    @property
    def is_too_short(self) -> bool:
        """Whether errors and p values of log loss, and of what is saved, mean little:
        those of the IC and of direction are not meant."""
        return self.bars < LEAST_BARS

    @property
    def p_value(self) -> float:
        """Chance of saving as much log loss against always flat without skill.

        The larger of two: against the shares of training and of the calibration span.
        Where the base rate drifts between them, whoever was brought up to date saves
        against the first by the drift alone; so who is called better must be better
        than both. Nobody chooses between the two, before the test or in it: of two
        hypotheses that must both fall, the larger p is a test of the level that it says
        (Berger 1982, Multiparameter Hypothesis Testing and Acceptance Sampling).

        NaN where one of them is none, as for the priors themselves.
        """
        chances = self.prior_p_value, self.recent_p_value
        return nan if any(map(isnan, chances)) else max(chances)

    @property
    def prior_p_value(self) -> float:
        """The same against the shares of training alone."""
        return Paired(self.excess, self.excess_error, self.degrees).p_value

    @property
    def recent_p_value(self) -> float:
        """The same against the shares of the calibration span alone."""
        own = self.recent_excess, self.recent_excess_error, self.recent_degrees
        return Paired(*own).p_value

    @property
    def direction_p_value(self) -> float:
        """Chance of telling up from down as well without a sense of direction."""
        own = Paired(self.direction, self.direction_error, self.direction_degrees)
        return own.p_value


class Outcome(NamedTuple):
    """What happened on the test span; bars × symbols."""

    returns: Float[np.ndarray, "T S"]
    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    horizon: int
    folds: Int[np.ndarray, " T"]
    """by number, each with forecasters of its own; all 0 where there is but one"""

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
    moved, classes, weights = (
        column[rows] for column in (labels.returns, labels.classes, labels.weights)
    )
    return Outcome(moved, classes, weights, horizon, one_fold(moved))


def one_fold(moved: Float[np.ndarray, "T S"]) -> Int[np.ndarray, " T"]:
    """The folds of bars that are forecast by the same fit."""
    return np.zeros(len(moved), np.int64)


def bar_returns(close: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Log return of each bar; 0 for the first."""
    moved = np.zeros_like(close)
    moved[1:] = np.diff(np.log(np.maximum(close, 1e-9)), axis=0)
    return moved


def judge(
    probability: Float[np.ndarray, "T S C"],
    outcome: Outcome,
    prior: Float[np.ndarray, "T S C"] | None = None,
    recent: Float[np.ndarray, "T S C"] | None = None,
) -> Judged:
    """Every figure of one forecaster; `prior` and `recent` are what it must beat.

    Both meet the same market, so their difference is far surer than either loss.
    """
    returns, classes, weights, horizon, folds = outcome
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
    excess, later = (
        pairs.paired(above(loss, one, classes), weights, horizon)
        for one in (prior, recent)
    )
    leaning = pairs.knows_direction(probability, classes, weights, folds, horizon)
    whole = bootstrap.mean(loss, weights, horizon)
    return Judged(
        log_loss=whole.value,
        log_loss_error=whole.error,
        excess=excess.excess,
        excess_error=excess.error,
        recent_excess=later.excess,
        recent_excess_error=later.error,
        recent_degrees=later.degrees,
        direction=leaning.excess,
        direction_error=leaning.error,
        log_loss_degrees=whole.degrees,
        degrees=excess.degrees,
        direction_degrees=leaning.degrees,
        brier=metrics.brier(probability, classes, weights),
        ece=metrics.ece(probability, classes, weights),
        macro_f1=metrics.macro_f1(confusion),
        mcc=metrics.mcc(confusion),
        hit_rate=metrics.hit_rate(forecast, returns, weights),
        information_coefficient=plain.mean,
        information_t=plain.t,
        information_p_value=plain.p_value,
        rank_coefficient=ranked.mean,
        rank_t=ranked.t,
        rank_p_value=ranked.p_value,
        bars=int(counted.any(1).sum()),
        effective_bars=independent_bars(above(loss, prior, classes), weights, horizon),
    )


def independent_bars(
    excess: Float[np.ndarray, "T S"], weights: Float[np.ndarray, "T S"], horizon: int
) -> float:
    """Bars without memory that would tell as much of a mean over these.

    Autocovariances count over an eighth of the span, twice the horizon at least. A span
    without a storm looks worth more than it is: what has not happened has no memory.
    """
    sums = np.where(weights > 0, excess * weights, 0.0).sum(1)
    if not np.isfinite(sums).all():
        return nan
    return bootstrap.effective_size(sums, max(2 * horizon, len(sums) // 8))


def above(
    loss: Float[np.ndarray, "T S"],
    constant: Float[np.ndarray, "T S C"] | None,
    classes: Int[np.ndarray, "T S"],
) -> Float[np.ndarray, "T S"]:
    """Losses less those of whoever always says the same; NaN where there is nobody."""
    if constant is None:
        return np.full_like(loss, np.nan)
    return loss - metrics.sample_log_loss(constant, classes)


def baseline_forecasts(
    features: Float[np.ndarray, "T S F"],
    last_returns: Float[np.ndarray, "T S"],
    trained: Outcome,
    asked: Asked,
    seed: int,
) -> dict[str, Float[np.ndarray, "U S C"]]:
    """What simple forecasters, fitted on the training span, say of the bars asked."""
    labels, weights, known = trained.classes, trained.weights, asked.known
    line = baselines.logistic_regression(
        features, labels, weights, asked.features, seed=seed
    )
    return {
        PRIOR: baselines.class_prior(labels, weights, asked.returns.shape),
        RECENT: baselines.recent_prior(
            known.classes, known.weights, asked.returns.shape
        ),
        "last_return": baselines.last_return(
            last_returns, labels, weights, asked.returns
        ),
        "logistic_regression": tempered(line, known),
    }


def tempered(
    probability: Float[np.ndarray, "U S C"], known: Outcome
) -> Float[np.ndarray, "U S C"]:
    """A forecast at the temperature that suits its first bars.

    Those are the calibration span, whose outcome is `known`: every member has its own
    temperature from there, and so has who is compared with them.
    """
    logs = np.log(np.maximum(probability, np.finfo(np.float32).tiny))
    first = logs[: len(known.classes)].reshape(-1, logs.shape[-1])
    one = fit_temperature(first, known.classes.ravel(), known.weights.ravel())
    return softened(logs, one).astype(np.float32)


def best_baseline(
    said: Mapping[str, Float[np.ndarray, "U S C"]], known: Outcome
) -> str:
    """Who saves the most against the prior on the calibration span, the first bars.

    Some leave symbols out: each is asked on its own. The test says nothing here, so
    that who is compared with the best one is not compared with the luckiest.
    """
    bars = len(known.classes)
    losses = {
        name: metrics.sample_log_loss(one[:bars], known.classes)
        for name, one in said.items()
    }
    above = {name: loss - losses[PRIOR] for name, loss in losses.items()}
    means = {
        name: metrics.weighted_mean(one, np.where(np.isfinite(one), known.weights, 0.0))
        for name, one in above.items()
    }
    return min(means, key=lambda name: np.nan_to_num(means[name], nan=np.inf))
