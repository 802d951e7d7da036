"""A data set's labels: their edge and worth from the training span, then all bars."""

import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.errors import DataError
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.labels import (
    bars_lived,
    class_shares,
    cost_threshold,
    farthest_returns,
    fit_threshold,
    forward_returns,
    is_tradable,
    outcomes,
    paying_horizon,
    sample_weights,
)
from bot4jax.schema import Config
from bot4jax.types import CLASSES

LEAST_SHARE = 0.02
"""Of a class in training, below which there is nothing to learn it from."""

MOST_UNLABELLED = 1 / 3
"""Of the decisions in training that can be without a label and without a word."""

logger = logging.getLogger(__name__)


class Labels(NamedTuple):
    """What became of each bar's decision; bars × symbols of the record."""

    returns: Float[np.ndarray, "T S"]
    """forward log return; NaN where it reaches past the record"""
    classes: Int[np.ndarray, "T S"]
    weights: Float[np.ndarray, "T S"]
    threshold: float
    """class edge in units of σ √h, from the training span"""
    shares: Float[np.ndarray, " C"]
    """of the training span's weight"""
    class_mean: Float[np.ndarray, " C"]
    """mean return of each class in training, in units of σ √h"""
    class_square: Float[np.ndarray, " C"]


def label_as_configured(
    config: Config, data: Dataset, train: range, horizon: int
) -> Labels:
    """Labels by `labels.threshold`; refused where cost leaves a class nearly empty."""
    tell_unlabelled(data, train, horizon)
    own, has_barriers = config.labels, config.labels.ends == "barriers"
    cost = None
    if own.threshold == "cost":
        cost = 2 * (data.half_spread + np.float32(config.venue.taker_fee_bps * 1e-4))
    found = label_bars(data, train, horizon, own.flat_share, cost, has_barriers)
    if cost is None:
        require_all_classes(found, train)
        return found
    require_classes(found, data, train, cost)
    return found


def tell_unlabelled(data: Dataset, train: range, horizon: int) -> None:
    """Warn where many decisions of the training span meet a bar that is not live.

    So it is of daily bars that count weekends: a label of five bars is then known of
    Wednesdays and Thursdays alone.
    """
    own = rows_of(data, train)
    live, settled = data.live[own], data.settled[own]
    decided = live[: max(len(live) - horizon, 0)]
    lost = decided & ~is_tradable(live, horizon, settled)[: len(decided)]
    if lost.sum() > MOST_UNLABELLED * decided.sum():
        logger.warning(
            "%.0f %% of the %s decisions in training have no label: their symbol is "
            "not live in the next bar, or not %d bars on. They teach nothing, and "
            "their like are not judged. Bars of days should be numbered without "
            "weekends, as data=daily does; of who trades seldom, make data.bar_seconds "
            "longer.",
            100 * lost.sum() / decided.sum(),
            f"{decided.sum():,}",
            horizon,
        )


def require_all_classes(labels: Labels, train: range) -> None:
    """Refuse training without a single label of some class, naming it."""
    never = [name for name, n in zip(CLASSES, labels.shares, strict=True) if not n > 0]
    if never:
        raise DataError(
            f"{' and '.join(never)} never occurs in the {len(train):,} bars of "
            "training: prices stand still there, or move one way. Lengthen "
            "spans.train, add symbols, or lower labels.flat_share."
        )


def require_classes(
    labels: Labels, data: Dataset, train: range, cost: Float[np.ndarray, "T S"]
) -> None:
    """Refuse classes of under 2 %, naming a horizon that moves twice the cost."""
    if (labels.shares >= LEAST_SHARE).all():
        return
    rows = rows_of(data, train)
    typical = float(np.median(cost[rows][data.live[rows]]))
    longest = len(train) // 4
    pays = paying_horizon(
        data.entry[rows], data.close[rows], data.live[rows], typical, longest
    )
    shares = " / ".join(f"{100 * share:.1f}" for share in labels.shares)
    advice = (
        f"set labels.horizon={pays}, where the mean absolute return is twice that"
        if pays
        else f"no horizon up to {longest} bars moves twice that"
    )
    raise DataError(
        f"labels.threshold=cost: down / flat / up are {shares} % in training, under "
        f"{100 * LEAST_SHARE:g} % in one; a round trip costs {1e4 * typical:.2f} bps: "
        f"{advice}; or use labels.threshold=quantile"
    )


def label_bars(
    data: Dataset,
    train: range,
    horizon: int,
    flat_share: float,
    cost: Float[np.ndarray, "T S"] | None = None,
    has_barriers: bool = False,
) -> Labels:
    """Labels of all bars, their edge and worth fitted on the training span alone.

    A training label that would end outside the span is not used. With a `cost`, share
    of the price a round trip, it is the edge, and `flat_share` does not matter.
    """
    counted = _weighed(data, train, horizon)
    rows = rows_of(data, range(train.start, train.stop - horizon))
    scale, own = data.volatility[rows], counted[rows]
    moved = farthest_returns if has_barriers else forward_returns
    if cost is None:
        worth = moved(data.entry, data.close, horizon)[rows]
        edge = fit_threshold(worth, scale, horizon, flat_share, own)
    else:
        edge = cost_threshold(cost[rows], scale, horizon, own)
    # as the engine keeps it: the edge lies on a return, which must not change sides
    held = float(np.float32(edge))
    return labels_at(data, train, horizon, held, has_barriers)


def labels_at(
    data: Dataset,
    train: range,
    horizon: int,
    edge: float,
    has_barriers: bool = False,
) -> Labels:
    """Labels of all bars at a given edge, what classes are worth from training."""
    scale = data.volatility
    terms = data.entry, data.close, scale, edge, horizon, has_barriers
    returns, classes = outcomes(*terms)
    counted = _weighed(data, train, horizon, bars_lived(*terms))
    rows = rows_of(data, range(train.start, train.stop - horizon))
    own = counted[rows]
    units = returns[rows] / np.maximum(scale[rows], 1e-12) / np.sqrt(horizon)
    mean, square = _class_moments(units, classes[rows], own)
    shares = class_shares(classes[rows], own)
    return Labels(returns, classes, counted, edge, shares, mean, square)


def _weighed(
    data: Dataset,
    train: range,
    horizon: int,
    lived: Int[np.ndarray, "T S"] | None = None,
) -> Float[np.ndarray, "T S"]:
    """What every bar's label weighs; all live the whole horizon before k is known.

    A weight depends on the labels that overlap: those behind the training span must not
    count within it.
    """
    returns = forward_returns(data.entry, data.close, horizon)
    scale, own = data.volatility, rows_of(data, train)
    weights = sample_weights(
        returns, scale, data.live, horizon, lived, settled=data.settled
    )
    weights[own] = sample_weights(
        returns[own],
        scale[own],
        data.live[own],
        horizon,
        None if lived is None else lived[own],
        data.settled[own],
    )
    return weights


def _class_moments(
    units: np.ndarray, classes: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean and mean square of each class; 0 for one that never occurs."""
    mean, square = np.zeros((2, len(CLASSES)))
    for c in range(len(CLASSES)):
        chosen = (classes == c) & (weights > 0)
        if chosen.any():
            own = weights[chosen]
            mean[c] = np.average(units[chosen], weights=own)
            square[c] = np.average(units[chosen] ** 2, weights=own)
    return mean, square


def rows_in(data: Dataset, span: range) -> range:
    """A span's rows in the data, counted."""
    return range(span.start - data.first, span.stop - data.first)


def rows_of(data: Dataset | BarRecord, span: range) -> slice:
    """A span's rows in the data."""
    return slice(span.start - data.first, span.stop - data.first)
