"""Paths of a combinatorial backtest: each tests every bar once, by other fits.

A part of time is left out by several folds, so what a forecaster earns is not one
figure but a distribution: how much of it hangs on which bars it was fitted on.

Source: López de Prado (2018), Advances in Financial Machine Learning, 12.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from bot4jax.learn.evaluate import FLAT
from bot4jax.learn.selection import (
    Overfit,
    overfitting,
    period_profits,
    period_sharpe,
)
from bot4jax.modes.evaluation import Scored, joined, mean_gain


class Figures(NamedTuple):
    """One forecaster on one path."""

    saved: float
    """log loss, nats: the less of what is saved against the two constants"""
    net: float
    """profit by the scan, share of the capital"""
    sharpe: float
    """of a period as long as labels look ahead; NaN for one who never trades"""


class Path(NamedTuple):
    """Every part of time once."""

    figures: dict[str, Figures]
    overfit: Overfit | None


def paths_of(parts: Sequence[Sequence[Scored]], horizon: int) -> tuple[Path, ...]:
    """Path j takes of every part what the j-th fold that left it out said there.

    `parts` are in the order of time; each was left out by as many folds.
    """
    return tuple(path_of(scored, horizon) for scored in zip(*parts, strict=True))


def path_of(scored: Sequence[Scored], horizon: int) -> Path:
    """Every forecaster over one path."""
    whole = joined(scored)
    nets = {name: one[0].net() for name, one in whole.books.items()}
    figures = {
        name: Figures(
            min(mean_gain(whole, name, one) for one in FLAT),
            float(net.sum()),
            period_sharpe(period_profits(net, horizon)),
        )
        for name, net in nets.items()
    }
    return Path(figures, overfitting(np.stack(list(nets.values()), axis=1)))
