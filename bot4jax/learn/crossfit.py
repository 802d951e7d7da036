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
from jaxtyping import Float

from bot4jax.kernels.calibration import Curves
from bot4jax.learn import isotonic
from bot4jax.learn.calibrate import Calibration, calibrate, straightened
from bot4jax.learn.isotonic import LEAST_EFFECTIVE
from bot4jax.learn.labelling import Labels
from bot4jax.learn.splits import purge_gap
from bot4jax.state import Params, Settings
from bot4jax.types import CLASSES

Calibrations = dict[str, Calibration]
"""By member; of the vote under `ensemble`."""


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
) -> tuple[Calibrations, Calibrations]:
    """For the first half of the rows and the second, each fitted on the other.

    There are curves where the `whole` has them, that the vote may learn from what it
    will hear. A half in which some class never occurs would make members as sure as
    they can be of the others: in its place stands the whole.
    """
    is_bent = any(one.curves is not None for one in whole.values())
    least = 0.0 if is_bent else inf
    early, late = (
        calibrations(settings, log_probability, labels, first, half, least)
        if has_all_classes(labels, half)
        else whole
        for half in halves(rows, settings.layout.horizon)
    )
    return late, early


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
    least: float = LEAST_EFFECTIVE,
) -> Calibrations:
    """Each member's calibration from some rows of the data.

    Forecasts begin with the row `first`.
    """
    return {
        name: calibration(settings, log_probability[i], labels, first, rows, least)
        for i, name in enumerate(settings.members)
    }


def calibration(
    settings: Settings,
    log_probability: Float[np.ndarray, "T S C"],
    labels: Labels,
    first: int,
    rows: range,
    least: float = LEAST_EFFECTIVE,
) -> Calibration:
    """One forecaster's; curves only where labels are worth at least so many."""
    own = slice(rows.start, rows.stop)
    said = log_probability[own.start - first : own.stop - first]
    samples = (
        said.reshape(-1, len(CLASSES)),
        labels.classes[own].ravel(),
        labels.weights[own].ravel(),
    )
    found = calibrate(*samples)
    if not settings.is_isotonic:
        return found
    worth = isotonic.independent(
        labels.classes[own], labels.weights[own], settings.layout.horizon
    )
    return straightened(found, *samples, least, worth)


def calibrated(settings: Settings, params: Params, found: Calibrations) -> Params:
    """The parameters with these calibrations; a vote without one is left as it is."""
    members = [found[name].temperature for name in settings.members]
    voting = params.vote_temperature
    if "ensemble" in found:
        voting = jnp.float32(found["ensemble"].temperature)
    return params._replace(
        temperature=jnp.array(members, jnp.float32),
        vote_temperature=voting,
        curves=curves_of(settings, found),
    )


def curves_of(settings: Settings, found: Calibrations) -> Curves:
    """Of every member, then of the vote; whoever has none keeps what was said."""
    rows = [
        found[name].curves if name in found else None
        for name in (*settings.members, "ensemble")
    ]
    return isotonic.joined(rows, len(CLASSES))
