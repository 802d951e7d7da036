"""The rivals' features by plain loops; their models find what is planted for them."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from bot4jax.learn.alpha158 import FEATURES, WINDOWS, Candles, alpha158
from bot4jax.learn.boosting import Stopping
from bot4jax.learn.evaluate import Outcome
from bot4jax.learn.metrics import log_loss
from bot4jax.learn.rivals import (
    alpha_boosting,
    drawn_features,
    own_boosting,
    spread_symbols,
)
from bot4jax.trees.fit import Settings

PER_WINDOW = 29


def candles(bars: int = 140, symbols: int = 3) -> Candles:
    rng = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, (bars, symbols)), axis=0))
    start = close * np.exp(rng.normal(0, 0.004, close.shape))
    top = np.maximum(start, close) * (1 + rng.uniform(0, 0.003, close.shape))
    bottom = np.minimum(start, close) * (1 - rng.uniform(0, 0.003, close.shape))
    volume = rng.gamma(2.0, 50.0, close.shape)
    volume[70, 0] = 0.0
    return Candles(start, top, bottom, close, volume)


def by_hand(bar: Candles, t: int, s: int, d: int) -> list[Any]:
    """One window's features as their names say, from the last `d` bars."""
    rows = slice(t - d + 1, t + 1)
    close, high, low = bar.close[rows, s], bar.high[rows, s], bar.low[rows, s]
    volume, now = bar.volume[rows, s], bar.close[t, s]
    before = slice(t - d, t)
    change = close - bar.close[before, s]
    flow = volume - bar.volume[before, s]
    line: Any = stats.linregress(np.arange(d), close)
    span = high.max() - low.min() + 1e-12
    ratio = close / bar.close[before, s]
    growth = np.log(volume / (bar.volume[before, s] + 1e-12) + 1)
    weighed = np.abs(ratio - 1) * volume
    found = [
        bar.close[t - d, s] / now,
        close.mean() / now,
        close.std(ddof=1) / now,
        line.slope / now,
        line.rvalue**2,
        (close[-1] - line.intercept - line.slope * (d - 1)) / now,
        high.max() / now,
        low.min() / now,
        np.quantile(close, 0.8) / now,
        np.quantile(close, 0.2) / now,
        stats.percentileofscore(close, now, kind="mean") / 100 + 0.5 / d,
        (now - low.min()) / span,
        (high.argmax() + 1) / d,
        (low.argmin() + 1) / d,
        (high.argmax() - low.argmin()) / d,
        (change > 0).mean(),
        (change < 0).mean(),
        (change > 0).mean() - (change < 0).mean(),
    ]
    for moved in (change, flow):
        size = np.abs(moved).sum() + 1e-12
        gain, loss = moved[moved > 0].sum() / size, -moved[moved < 0].sum() / size
        found += [gain, loss, gain - loss]
    return [
        *found,
        stats.pearsonr(close, np.log(volume + 1))[0],
        stats.pearsonr(ratio, growth)[0],
        volume.mean() / (volume[-1] + 1e-12),
        volume.std(ddof=1) / (volume[-1] + 1e-12),
        weighed.std(ddof=1) / (weighed.mean() + 1e-12),
    ]


@pytest.mark.parametrize("window", WINDOWS)
def test_features_equal_their_names(window):
    bars = candles()
    found = alpha158(bars)
    assert found.shape == (140, 3, FEATURES)
    first = 13 + WINDOWS.index(window) * PER_WINDOW
    own = found[..., first : first + PER_WINDOW]
    for t, s in ((75, 0), (139, 2), (100, 1)):
        expected = by_hand(bars, t, s, window)
        np.testing.assert_allclose(own[t, s], expected, rtol=2e-5, atol=2e-6)


def test_the_candle_by_hand():
    bar = Candles(*(np.array([[x]]) for x in (10.0, 13.0, 9.0, 12.0, 5.0)))
    expected = [2 / 10, 2 / 4, 1 / 10, 1 / 4, 1 / 10, 1 / 4, 2 / 10, 2 / 4, 4 / 10]
    expected += [10 / 12, 13 / 12, 9 / 12, 11 / 12]
    np.testing.assert_allclose(alpha158(bar)[0, 0, :13], expected, rtol=1e-6)


def test_features_ignore_the_future():
    bars = candles()
    shorter = alpha158(Candles(*(column[:100] for column in bars)))
    np.testing.assert_array_equal(alpha158(bars)[:100], shorter)


def test_drawn_rows_are_those_of_all_bars():
    bars = candles(bars=1100, symbols=2)
    t, s = np.array([3, 511, 512, 513, 700, 1099]), np.array([0, 1, 0, 1, 1, 0])
    np.testing.assert_array_equal(drawn_features(bars, t, s), alpha158(bars)[t, s])


SETTINGS = Settings(20, 2, 0.3, 1.0, 0.0, 1.0, 1.0, 1.0, seed=0, threads=1)
ALL = Stopping(patience=0, watched=0.2, horizon=1)
"""Every round is boosted."""


def planted(bars, symbols, sign, seed):
    """Classes that follow the sign of one signal: upwards or, by symbol, downwards."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(bars, symbols))
    classes = np.where(signal * sign > 0.6, 2, np.where(signal * sign < -0.6, 0, 1))
    ones = np.ones(classes.shape, np.float32)
    return signal, Outcome(
        ones * 0, classes.astype(np.int8), ones, 1, np.zeros(bars, int)
    )


def test_a_model_of_its_own_learns_what_a_shared_one_cannot():
    sign = np.array([1.0, -1.0, 1.0])
    signal, trained = planted(400, 3, sign, 0)
    later, truth = planted(200, 3, sign, 1)
    trained.weights[20:, 2] = 0  # too few rows for a model of its own
    found = own_boosting(signal[..., None], trained, later[..., None], SETTINGS, ALL)
    loss = [log_loss(found[:, s], truth.classes[:, s]) for s in range(3)]
    assert max(loss[:2]) < 0.2
    assert loss[2] > 1.0
    assert (found[:, 2] == found[0, 2]).all()


def test_alpha_boosting_finds_momentum_that_is_planted():
    rng = np.random.default_rng(3)
    side = rng.choice([-1.0, 1.0], (60, 70)).repeat(10, axis=0)  # runs of ten bars
    moved = 0.01 * side + rng.normal(0, 0.002, side.shape)
    close = 100 * np.exp(np.cumsum(moved, axis=0))
    bars = Candles(close, close * 1.001, close * 0.999, close, np.ones_like(close))
    classes = np.where(moved[1:] > 0, 2, 0).astype(np.int8)
    weights = np.ones(classes.shape, np.float32)
    train, test = slice(61, 400), slice(420, 599)
    own = classes[train]
    trained = Outcome(
        0 * weights[train], own, weights[train], 1, np.zeros(len(own), int)
    )
    found = alpha_boosting(bars, trained, train, test, SETTINGS, ALL)
    covered = np.isfinite(found).all((0, 2))
    assert covered.sum() == 64
    own = found[:, covered]
    assert own.shape == (179, 64, 3)
    right = own.argmax(-1) == classes[test][:, covered]
    # a run goes on nine times of ten, and begins anew with even odds
    assert right.mean() > 0.9


MANY = SETTINGS._replace(rounds=120, depth=4)


@pytest.mark.parametrize("rival", ["alpha", "own"])
def test_rivals_stop_before_they_learn_by_heart(rival):
    """Regression: where nothing can be known they boosted on, and lost to anybody.

    Each rival's own last training bars end it, as they end the ensemble's forest.
    """
    bars, train, test = candles(bars=700), slice(61, 461), slice(470, 700)
    rng = np.random.default_rng(5)
    classes = rng.integers(0, 3, bars.close.shape).astype(np.int8)
    ones = np.ones(classes.shape, np.float32)
    trained = Outcome(
        *(0 * ones[train], classes[train], ones[train], 1, np.zeros(400, int))
    )
    noise = rng.normal(size=(700, 3, 4))

    def loss(stopping: Stopping) -> float:
        if rival == "alpha":
            said = alpha_boosting(bars, trained, train, test, MANY, stopping)
        else:
            said = own_boosting(noise[train], trained, noise[test], MANY, stopping)
        return log_loss(said, classes[test])

    # ln 3 is what a forecaster without a clue loses; one round is of three trees
    assert loss(ALL) > np.log(3) + 0.2
    assert loss(ALL._replace(patience=10)) < np.log(3) + 0.1


def test_symbols_are_spread_evenly():
    np.testing.assert_array_equal(spread_symbols(10, 4), [0, 2, 5, 7])
    np.testing.assert_array_equal(spread_symbols(3, 16), [0, 1, 2])
