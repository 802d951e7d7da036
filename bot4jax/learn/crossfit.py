"""Calibration of members and vote on one span, none of it judged by what fitted it.

A curve flatters the labels it was fitted on, the more the more it bends: a vote that
learnt from those would listen to whom it flatters most. So the vote walks through each
half of the calibration span with members that were calibrated on the other one, and is
calibrated by what it said there. What serves later was fitted on both.

Source: Chernozhukov et al. (2018), Double/Debiased Machine Learning: cross-fitting.
"""

from math import inf

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bot4jax.errors import DataError
from bot4jax.kernels.calibration import Curves
from bot4jax.learn import isotonic, regimes
from bot4jax.learn.calibrate import Calibration, calibrate, straightened, usable
from bot4jax.learn.isotonic import LEAST_EFFECTIVE
from bot4jax.learn.labelling import Labels
from bot4jax.learn.splits import purge_gap
from bot4jax.state import Params, Settings
from bot4jax.types import CLASSES

Calibrations = dict[str, Calibration]
"""By member; of the vote under `ensemble`."""

Regimes = Int[np.ndarray, "T S"] | None
"""Of every row of the data; None: all times are alike."""

Least = tuple[float, ...]
"""Labels without overlap below which there are no curves: of all, then by regime."""


def halves(span: range, horizon: int) -> tuple[range, range]:
    """The span's two halves, each without the bars next to the other.

    What is fitted on one shares no bar of a label with any decision of the other.
    """
    middle, gap = (span.start + span.stop) // 2, purge_gap(horizon, latency_bars=1)
    return range(span.start, middle - gap), range(middle + gap, span.stop)


def crossed(
    settings: Settings,
    log_probability: Float[np.ndarray, "M T S C"],
    labels: Labels,
    first: int,
    rows: range,
    whole: Calibrations,
    regime: Regimes = None,
) -> tuple[Calibrations, Calibrations]:
    """For the first half of the rows and the second, each fitted on the other.

    There are curves where the `whole` has them, that the vote may learn from what it
    will hear. A half in which some class never occurs would make members as sure as
    they can be of the others: in its place stands the whole.
    """
    given = settings, log_probability, labels, first
    least = as_the_whole(whole)
    early, late = (
        calibrations(*given, half, regime, least)
        if has_all_classes(labels, half)
        else whole
        for half in halves(rows, settings.layout.horizon)
    )
    return late, early


def as_the_whole(whole: Calibrations) -> Least:
    """Labels that curves need, so that they are where those of the whole are."""
    found = [
        (one.curves, *(own.curves for own in one.by_regime)) for one in whole.values()
    ]
    return tuple(
        inf if all(one is None for one in column) else 0.0
        for column in zip(*found, strict=True)
    )


def has_all_classes(labels: Labels, rows: range) -> bool:
    """Whether each class has a label that weighs something in these rows."""
    own = slice(rows.start, rows.stop)
    classes, weights = labels.classes[own], labels.weights[own]
    return len(np.unique(classes[weights > 0])) == len(CLASSES)


def calibrations(
    settings: Settings,
    log_probability: Float[np.ndarray, "M T S C"],
    labels: Labels,
    first: int,
    rows: range,
    regime: Regimes = None,
    least: Least | None = None,
) -> Calibrations:
    """Each member's calibration from some rows of the data.

    Forecasts begin with the row `first`.
    """
    found = {}
    for i, name in enumerate(settings.members):
        try:
            found[name] = calibration(
                settings, log_probability[i], labels, first, rows, regime, least
            )
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    return found


def calibration(
    settings: Settings,
    log_probability: Float[np.ndarray, "T S C"],
    labels: Labels,
    first: int,
    rows: range,
    regime: Regimes = None,
    least: Least | None = None,
) -> Calibration:
    """One forecaster's; curves only where labels are worth at least so many.

    Where regimes are told apart, the regime of every row is given.
    """
    own = slice(rows.start, rows.stop)
    said = log_probability[own.start - first : own.stop - first]
    samples = (
        said.reshape(-1, len(CLASSES)),
        labels.classes[own].ravel(),
        labels.weights[own].ravel(),
    )
    horizon, count = settings.layout.horizon, settings.regimes
    enough = (LEAST_EFFECTIVE,) * (1 + count) if least is None else least
    found = calibrate(*samples)
    if regime is not None:
        weights = np.where(usable(said, labels.weights[own]), labels.weights[own], 0)
        known = regimes.Labelled(said, labels.classes[own], weights, regime[own])
        found = regimes.by_regime(found, known, count, horizon)
        return (
            regimes.bent(found, known, enough, horizon)
            if settings.is_isotonic
            else found
        )
    if not settings.is_isotonic:
        return found
    worth = isotonic.independent(labels.classes[own], labels.weights[own], horizon)
    return straightened(found, *samples, enough[0], worth)


def calibrated(settings: Settings, params: Params, found: Calibrations) -> Params:
    """The parameters with these calibrations; a vote without one is left as it is."""
    voting = params.vote_temperature
    if "ensemble" in found:
        voting = jnp.array(temperatures(found["ensemble"]), jnp.float32)
    return params._replace(
        temperature=temperatures_of(settings, found),
        vote_temperature=voting,
        curves=curves_of(settings, found),
    )


def temperatures(found: Calibration) -> list[float]:
    """Of each regime; of all times, where those are alike."""
    return [one.temperature for one in found.by_regime] or [found.temperature]


def temperatures_of(settings: Settings, found: Calibrations) -> Float[Array, "M R"]:
    """Every member's, by regime."""
    each = [temperatures(found[name]) for name in settings.members]
    return jnp.array(each, jnp.float32)


def curves_of(settings: Settings, found: Calibrations) -> Curves:
    """Of every member, then of the vote, by regime; who has none keeps its own."""
    names = (*settings.members, "ensemble")
    columns = [
        curves(found[name]) if name in found else [None] * settings.regimes
        for name in names
    ]
    rows = zip(*columns, strict=True)
    return isotonic.stacked([isotonic.joined(list(row), len(CLASSES)) for row in rows])


def curves(found: Calibration) -> list[Curves | None]:
    """Of each regime: its own, else those of all, if there are any."""
    if not found.by_regime:
        return [found.curves]
    return [one.curves or found.curves for one in found.by_regime]
