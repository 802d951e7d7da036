"""Members beside the best baseline in what a short span can tell: order and direction.

Saved log loss is decided by rare storms; the order that symbols are put in, and the way
that prices go, are told bar by bar. Both forecasters meet the same labels, so what is
asked of is their difference, label by label. Who the best baseline is, the calibration
span has said, figure by figure: the best of the test would be the luckiest one.
"""

from collections.abc import Callable, Mapping
from math import nan
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.learn import bootstrap, metrics
from bot4jax.learn.evaluate import Outcome
from bot4jax.learn.pairs import Contest, Match, holm

LEVEL = 0.05
"""Chance, at most, of telling two apart that are as good as each other."""

SPLIT = 0.5
"""Of a hit: what who leans neither way is counted."""


class Series(NamedTuple):
    """What each label or bar adds to a figure, its weighted mean."""

    values: Float[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]

    @property
    def mean(self) -> float:
        """The figure; NaN where nothing counts."""
        return metrics.weighted_mean(self.values, self.weights)


Measure = Callable[
    [Float[np.ndarray, "T S C"], Outcome, Bool[np.ndarray, "T S"]], Series
]
"""`measure(said, outcome, counted)`: a figure of which more is better."""


class Rival(NamedTuple):
    """The best baseline in a figure."""

    names: tuple[str, ...]
    """by fold"""
    probability: Float[np.ndarray, "T S C"]


def order(
    said: Float[np.ndarray, "T S C"],
    outcome: Outcome,
    counted: Bool[np.ndarray, "T S"],
) -> Series:
    """The information coefficient, bar by bar; who says the same of all symbols has 0.

    Of few symbols it is taken over all bars of a fold, in which one fit has spoken.
    """
    returns = outcome.returns
    usable = np.isfinite(_correlations(returns, returns, counted, outcome.folds))
    forecast = metrics.direction(said)
    found = _correlations(forecast, returns, counted, outcome.folds)
    values = np.where(np.isfinite(found), found, 0.0)
    return Series(values[:, None], usable[:, None].astype(np.float64))


def hits(
    said: Float[np.ndarray, "T S C"],
    outcome: Outcome,
    counted: Bool[np.ndarray, "T S"],
) -> Series:
    """Whether the likelier of up and down came true, where the price moved at all."""
    lean, came = np.sign(metrics.direction(said)), np.sign(outcome.returns)
    values = np.where(lean == 0, SPLIT, lean == came)
    weights = np.where(counted & (came != 0), outcome.weights, 0.0)
    return Series(values, weights.astype(np.float64))


MEASURES: dict[str, Measure] = {"information_coefficient": order, "hit_rate": hits}


def best_by_figure(
    said: Mapping[str, Float[np.ndarray, "U S C"]], known: Outcome
) -> dict[str, str]:
    """Who has the most of each figure on the calibration span, the first bars.

    Some leave symbols out: each is asked on its own.
    """
    bars = len(known.classes)
    return {
        name: max(said, key=lambda who: _told(measure, said[who][:bars], known))
        for name, measure in MEASURES.items()
    }


def contests(
    said: Mapping[str, Float[np.ndarray, "T S C"]],
    rivals: Mapping[str, Rival],
    outcome: Outcome,
) -> dict[str, Contest]:
    """Everyone beside the rival of each figure, on the symbols that it forecasts.

    Holm's p values are of all figures and forecasters together.
    """
    found = {
        figure: {
            name: match(measure, one, rivals[figure].probability, outcome)
            for name, one in said.items()
        }
        for figure, measure in MEASURES.items()
    }
    together = holm(
        {
            f"{figure} {who}": one.p_value
            for figure, own in found.items()
            for who, one in own.items()
        }
    )
    return {
        figure: Contest(
            rivals[figure].names,
            own,
            {name: together[f"{figure} {name}"] for name in own},
        )
        for figure, own in found.items()
    }


def match(
    measure: Measure,
    own: Float[np.ndarray, "T S C"],
    rival: Float[np.ndarray, "T S C"],
    outcome: Outcome,
) -> Match:
    """One forecaster beside another, on the labels that both speak of."""
    counted = outcome.weights > 0
    counted &= np.isfinite(own).all(-1) & np.isfinite(rival).all(-1)
    one, other = (measure(said, outcome, counted) for said in (own, rival))
    lead = bootstrap.mean(one.values - other.values, one.weights, outcome.horizon)
    return Match(one.mean, other.mean, *lead)


def _told(measure: Measure, said: np.ndarray, known: Outcome) -> float:
    """A figure to be compared; what has none is the least."""
    counted = (known.weights > 0) & np.isfinite(said).all(-1)
    return np.nan_to_num(measure(said, known, counted).mean, nan=-np.inf)


def _correlations(
    forecast: Float[np.ndarray, "T S"],
    returns: Float[np.ndarray, "T S"],
    counted: Bool[np.ndarray, "T S"],
    folds: Int[np.ndarray, " T"],
) -> Float[np.ndarray, " T"]:
    """What each bar adds to the coefficient of its fold; NaN where nothing."""
    found = np.full(len(folds), nan)
    for one in np.unique(folds):
        own = folds == one
        found[own] = metrics.information_series(
            forecast[own], returns[own], counted[own]
        )
    return found
