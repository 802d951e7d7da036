"""What others would have used: Qlib's features with boosting, one model a symbol.

Both boost with the same settings as the ensemble's own forest, on the same labels and
spans, and each model stops as it does: once its own last training bars, behind the same
gap, are forecast no better. They are bounded, so that a baseline never costs more than
what it is compared with: Alpha158 on `ALPHA_SYMBOLS` symbols, one model each for
`OWN_SYMBOLS`, spread evenly over the universe. The others are NaN, and nobody is judged
on them.
"""

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn.alpha158 import FEATURES, WINDOWS, Candles, alpha158
from bot4jax.learn.baselines import class_prior, sampled_rows
from bot4jax.learn.boosting import Stopping, fit_alone
from bot4jax.learn.evaluate import Outcome
from bot4jax.trees import fit as tree_fit
from bot4jax.trees.fit import Rows

ALPHA_SYMBOLS = 64
ALPHA_SAMPLES = 20_000
"""Training rows of the model on Alpha158."""

PIECE = 512
"""Bars whose features are held at a time."""

OWN_SYMBOLS = 16
LEAST_ROWS = 50
"""Training rows that a symbol needs for a model of its own; others get the classes'
shares."""


def spread_symbols(symbols: int, most: int) -> Int[np.ndarray, " N"]:
    """At most `most` of the symbols, evenly over their order."""
    count = min(symbols, most)
    return np.arange(count) * symbols // count


def alpha_boosting(
    candles: Candles,
    trained: Outcome,
    train: slice,
    test: slice,
    settings: tree_fit.Settings,
    stopping: Stopping,
) -> Float[np.ndarray, "U S C"]:
    """Gradient boosting on Alpha158 features.

    `candles` are all bars up to the end of the test span, of all symbols; `trained` is
    what the rows `train` of them turned into. Labels that share bars with another are
    left out, as for the ensemble's forest.
    """
    symbols = candles.close.shape[1]
    chosen = spread_symbols(symbols, ALPHA_SYMBOLS)
    own = Candles(*(column[:, chosen] for column in candles))
    every = slice(None, None, trained.horizon)
    labels = trained.classes[every, chosen]
    weights = trained.weights[every, chosen]
    t, s = sampled_rows(weights, ALPHA_SAMPLES, settings.seed)
    at = trained.horizon * t
    features = _usable(drawn_features(own, train.start + at, s))
    rows = Rows(features, labels[t, s], weights[t, s])
    booster = fit_alone(rows, at, len(trained.classes), settings, stopping)
    before = max(test.start - max(WINDOWS) - 1, 0)
    later = alpha158(Candles(*(c[before : test.stop] for c in own)))
    asked = _usable(later[test.start - before :])
    forecast = booster.inplace_predict(asked.reshape(-1, asked.shape[-1]))
    return _placed(forecast.reshape(*asked.shape[:2], -1), chosen, symbols)


def drawn_features(
    candles: Candles, bars: Int[np.ndarray, " N"], symbols: Int[np.ndarray, " N"]
) -> Float[np.ndarray, "N F"]:
    """Alpha158 of single bars and symbols, computed in pieces of time.

    Features of all bars at once would fill the memory for the few rows that are drawn.
    """
    found = np.empty((len(bars), FEATURES), np.float32)
    for first in range(0, int(bars.max()) + 1, PIECE):
        own = (bars >= first) & (bars < first + PIECE)
        before = max(first - max(WINDOWS) - 1, 0)
        piece = Candles(*(column[before : first + PIECE] for column in candles))
        found[own] = alpha158(piece)[bars[own] - before, symbols[own]]
    return found


def own_boosting(
    features: Float[np.ndarray, "T S F"],
    trained: Outcome,
    later: Float[np.ndarray, "U S F"],
    settings: tree_fit.Settings,
    stopping: Stopping,
) -> Float[np.ndarray, "U S C"]:
    """A model of each symbol's own rows, all of them, as FreqAI trains one a pair."""
    symbols = features.shape[1]
    chosen = spread_symbols(symbols, OWN_SYMBOLS)
    alone = settings._replace(threads=1)  # so few rows: threads would only wait
    bars, shape = np.arange(len(features)), (len(later), 1)
    forecasts = []
    for one in chosen.tolist():
        labels, weights = trained.classes[:, one], trained.weights[:, one]
        if (weights > 0).sum() < LEAST_ROWS:
            prior = class_prior(trained.classes, trained.weights, shape)
            forecasts.append(prior[:, 0])
            continue
        rows = Rows(features[:, one], labels, weights)
        booster = fit_alone(rows, bars, len(bars), alone, stopping)
        forecasts.append(booster.inplace_predict(np.ascontiguousarray(later[:, one])))
    return _placed(np.stack(forecasts, axis=1), chosen, symbols)


def _placed(
    forecast: np.ndarray, chosen: np.ndarray, symbols: int
) -> Float[np.ndarray, "U S C"]:
    """The forecasts at their symbols' places, NaN at all others."""
    bars, _, classes = forecast.shape
    probability = np.full((bars, symbols, classes), np.nan, np.float32)
    probability[:, chosen] = forecast
    return probability


def _usable(features: np.ndarray) -> np.ndarray:
    """Ratios to nothing are missing values."""
    return np.where(np.isfinite(features), features, np.nan)
