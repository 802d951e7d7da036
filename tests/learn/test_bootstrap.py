"""Intervals against the truth of many markets, and drawn rows against counts."""

import numpy as np
import pytest

from bot4jax.learn.bootstrap import (
    effective_size,
    mean,
    stationary_rows,
    sum_interval,
)


def test_of_a_span_without_a_label_nothing_is_known():
    losses, weights = np.full((30, 2), np.nan), np.zeros((30, 2))
    assert np.isnan(mean(losses, weights, 5).interval).all()


def test_blocks_have_the_mean_length_that_was_asked_for():
    rows = stationary_rows(400, 10.0, 200, np.random.default_rng(0))
    assert rows.min() == 0
    assert rows.max() == 399
    follows = (rows[:, 1:] - rows[:, :-1]) % 400 == 1
    # a new block begins right after the old one by chance once in 400
    assert 1 - follows.mean() == pytest.approx(0.1 * 399 / 400, abs=0.004)
    counts = np.bincount(rows.ravel(), minlength=400) / 200
    assert counts.std() < 0.5  # every row is as likely as any other


@pytest.mark.parametrize("bars", [84, 200, 600])
def test_an_interval_holds_the_truth_as_often_as_it_says(bars):
    """A thousand markets of overlapping labels, short ones too."""
    rng, markets, held = np.random.default_rng(bars), 1_000, 0
    for _ in range(markets):
        noise = rng.normal(size=(bars + 4, 1))
        losses = sum(noise[k : k + bars] for k in range(5)) / 5
        found = mean(losses, np.ones_like(losses), 5).interval
        assert found.low < found.value < found.high
        held += found.low <= 0 <= found.high
    assert held / markets == pytest.approx(0.95, abs=0.021)  # 3 sd of a thousand


def test_an_interval_of_few_moves_knows_how_few_they_are():
    """Eight labels in a span of 400 bars are worth no more than eight."""
    rng, markets, held = np.random.default_rng(8), 1_000, 0
    weights = np.zeros((400, 1))
    weights[25::50] = 1.0
    for _ in range(markets):
        losses = rng.normal(size=(400, 1))
        found = mean(losses, weights, 1)
        assert found.degrees < 8
        held += found.interval.low <= 0 <= found.interval.high
    assert held / markets == pytest.approx(0.95, abs=0.03)


def test_a_sum_is_the_mean_times_the_bars():
    gains = np.random.default_rng(1).normal(size=80)
    total = sum_interval(gains, 5)
    one = mean(gains[:, None], np.ones((80, 1)), 5, overlap=1).interval
    np.testing.assert_allclose(total, 80 * np.array(one))
    assert total.value == pytest.approx(gains.sum())


def test_effective_size_of_an_autoregression_is_the_closed_form():
    """T·(1 − φ)/(1 + φ) for an AR(1) process."""
    noise = np.random.default_rng(0).normal(size=40_000)
    series = np.zeros_like(noise)
    for t in range(1, len(series)):
        series[t] = 0.5 * series[t - 1] + noise[t]
    found = effective_size(series, lag=100)
    assert found == pytest.approx(40_000 / 3, rel=0.1)  # 2 sd of 100 lags
    assert effective_size(noise, lag=0) == pytest.approx(40_000)
    assert effective_size(np.ones(7), lag=2) == 7
