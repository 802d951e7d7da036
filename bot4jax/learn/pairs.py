"""Two forecasters on the same labels: what one loses more than the other, how surely.

Both meet the same market, so their difference is far surer than either's loss. Time
counts with all symbols together.
"""

from collections.abc import Mapping
from math import nan
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import bootstrap, metrics, student
from bot4jax.learn.labels import DOWN, FLAT, UP

TINY = 1e-12
"""Errors below it are rounding: two forecasters that say the same."""


LEAST_CHANCE = 0.002
"""Told in place of less: no span is long enough to know its own tail beyond that."""


class Paired(NamedTuple):
    """Mean loss above another's, nats; negative is ahead."""

    excess: float
    error: float
    """standard error over time, all symbols together"""
    degrees: float
    """of freedom of the error"""

    @property
    def p_value(self) -> float:
        """Chance of being as far ahead without being better; NaN for the same forecast.

        One-sided, of Student's distribution; nothing below `LEAST_CHANCE`, which means
        that or less.
        """
        if not self.error > TINY:
            return nan
        told = student.chance(-self.excess / self.error, self.degrees)
        return max(told, LEAST_CHANCE)


Verdict = Literal["better", "worse", "not told apart", "the same"]
"""On a forecaster beside another; the same: not one label differs."""


class Match(NamedTuple):
    """A forecaster beside another in a figure of which more is better."""

    own: float
    rival: float
    """the other's, on the same labels"""
    lead: float
    """mean difference; above zero is ahead"""
    error: float
    """standard error over time, all symbols together"""
    degrees: float
    """of freedom of the error"""

    @property
    def p_value(self) -> float:
        """Chance of being as far apart, either way, of two that are as good; NaN for
        the same forecast. Nothing below `LEAST_CHANCE`, as for `Paired`."""
        if not self.error > TINY:
            return nan
        far = abs(self.lead) / self.error
        return max(2 * student.chance(far, self.degrees), LEAST_CHANCE)


class Contest(NamedTuple):
    """Members and the ensemble beside the baseline that is best in one figure."""

    rivals: tuple[str, ...]
    """by fold, who had the most of it on its calibration span"""
    beside: dict[str, Match]
    p_values: dict[str, float]
    """two-sided, Holm's, of all who are asked and of all figures together"""

    def verdict(self, name: str, level: float) -> Verdict:
        """Plainly; what has no p value of the same forecast, or of no label, is told
        apart from nothing."""
        one, p = self.beside[name], self.p_values[name]
        if one.error <= TINY:
            return "the same"
        if not p <= level:
            return "not told apart"
        return "better" if one.lead > 0 else "worse"


class Ahead(NamedTuple):
    """Members and the ensemble beside the best baseline."""

    rivals: tuple[str, ...]
    """by fold, who was the best baseline on its calibration span"""
    beside: dict[str, Paired]
    p_values: dict[str, float]
    """Holm's, of all of them together; NaN for one who is the rival"""
    contests: Mapping[str, Contest] = MappingProxyType({})
    """by figure: order and direction, which a short span can tell (`matches`)"""


def paired(
    above: Float[np.ndarray, "T S"], weights: Float[np.ndarray, "T S"], horizon: int
) -> Paired:
    """Weighted mean of losses above another's, and its error."""
    return Paired(*bootstrap.mean(above, weights, horizon))


def knows_direction(
    probability: Float[np.ndarray, "T S C"],
    labels: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    folds: Int[np.ndarray, " T"],
    horizon: int,
) -> Paired:
    """Loss of telling up from down, once the price moves, above the own mean leaning's.

    Formula: mean over moves of −log q − (−log q̄), where q is what the way that came
    true has of the forecaster's chance of a move, and q̄ the mean of the same over the
    moves of a fold, in each of which another forecaster was fitted.

    Log loss is that of whether a price moves and, where it does, that of where to: who
    knows volatility alone is good at the first. The second is judged against the same
    forecaster, its chances of a move left as they are and split by its mean leaning. By
    Jensen's inequality, E log q ≤ log q̄, nobody without a sense of direction saves
    anything against that in the mean, whatever the share of ups turns out to be.
    Against another span's shares, a leaning that luck proved right would be skill.
    """
    moved = np.where(labels == FLAT, 0.0, weights)
    if not (moved > 0).any():
        return Paired(nan, nan, nan)
    chance = probability[..., [DOWN, UP]].astype(np.float64)
    split = chance / np.maximum(
        chance.sum(-1, keepdims=True), metrics.LEAST_PROBABILITY
    )
    level = np.empty_like(split)
    for one in np.unique(folds):
        own = folds == one
        leaning = metrics.weighted_mean(split[own, ..., 1], moved[own])
        level[own] = 1 - leaning, leaning
    came = (labels == UP).astype(np.int64)
    own, other = (metrics.sample_log_loss(one, came) for one in (split, level))
    return paired(own - other, moved, horizon)


def beside(
    said: Mapping[str, Float[np.ndarray, "T S C"]],
    rival: Float[np.ndarray, "T S C"],
    rivals: tuple[str, ...],
    labels: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    horizon: int,
) -> Ahead:
    """Everyone beside the rival, on the symbols that the rival forecasts."""
    counted = np.where(np.isfinite(rival).all(-1), weights, 0.0)
    least = metrics.sample_log_loss(rival, labels)
    found = {
        name: paired(metrics.sample_log_loss(one, labels) - least, counted, horizon)
        for name, one in said.items()
    }
    chances = {name: one.p_value for name, one in found.items()}
    return Ahead(rivals, found, holm(chances))


def holm(chances: Mapping[str, float]) -> dict[str, float]:
    """p values of several questions asked at once; NaN is none and stays so.

    Formula: the k-th smallest of n times n − k + 1, none below the one before, at most
    1. Source: Holm (1979), A Simple Sequentially Rejective Multiple Test Procedure.
    """
    asked = sorted((p, name) for name, p in chances.items() if p == p)
    found, most = dict.fromkeys(chances, nan), 0.0
    for k, (p, name) in enumerate(asked):
        most = max(most, min(1.0, (len(asked) - k) * p))
        found[name] = most
    return found
