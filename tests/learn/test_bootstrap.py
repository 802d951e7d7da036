"""Intervals against the truth of many markets, resampling against its authors."""

import numpy as np
import pytest
from scipy.stats import binom

from bot4jax.learn.bootstrap import (
    effective_size,
    mean,
    resampled_means,
    stationary_rows,
    sum_interval,
)


def spread_of(losses, weights, block, draws=500, seed=0):
    return resampled_means(losses, weights, block, draws, seed).std(ddof=1)


def overlapping_losses(bars: int = 240, symbols: int = 6):
    """Losses with a common factor and memory, as overlapping labels have."""
    rng = np.random.default_rng(1)
    common = np.convolve(rng.normal(size=bars + 4), np.ones(5) / 5, "valid")
    return 1 + common[:, None] + 0.3 * rng.normal(size=(bars, symbols))


def test_the_bootstrap_has_the_variance_that_its_authors_derive():
    """Politis & Romano (1994) give it exactly, without drawing anything."""
    losses, block = overlapping_losses(), 8.0
    series, count = losses.mean(1), len(losses)
    apart = series - series.mean()
    lags = np.arange(1, count)
    covariance = [apart[: count - i] @ apart[i:] / count for i in lags]
    stay = 1 - 1 / block
    kept = (1 - lags / count) * stay**lags + lags / count * stay ** (count - lags)
    expected = np.sqrt((apart @ apart / count + 2 * kept @ covariance) / count)
    found = spread_of(losses, np.ones_like(losses), block, 4000)
    assert found == pytest.approx(expected, rel=0.04)  # 3.5 sd of 4,000 draws
    naive = losses.std() / np.sqrt(losses.size)
    assert found > 2 * naive


def test_the_bootstrap_of_single_bars_is_the_plain_spread_of():
    losses = np.random.default_rng(5).normal(size=(300, 1))
    found = spread_of(losses, np.ones_like(losses), 1.0, 4000)
    assert found == pytest.approx(losses.std() / np.sqrt(300), rel=0.04)


def test_the_bootstrap_ignores_what_weighs_nothing():
    losses = overlapping_losses()
    weights = np.ones_like(losses)
    weights[:, -1] = 0
    expected = spread_of(losses[:, :-1], weights[:, :-1], 5.0)
    losses[:, -1] = np.nan
    assert spread_of(losses, weights, 5.0) == pytest.approx(expected)
    assert spread_of(losses, weights, 5.0, seed=1) != expected


def test_a_resample_without_a_label_is_drawn_again():
    """Two labels, 0 and 1, among 30 bars: of k that are drawn the mean is that of k
    coins, and k is binomial, but never 0."""
    losses, weights = np.full((30, 1), np.nan), np.zeros((30, 1))
    losses[[4, 20]], weights[[4, 20]] = [[0.0], [1.0]], 1.0
    means = resampled_means(losses, weights, block=1.0, draws=8_000, seed=3)
    assert len(means) == 8_000
    assert set(means[:50]) > {0.0, 1.0}
    k = np.arange(1, 31)
    chance = binom.pmf(k, 30, 2 / 30)
    expected = chance / chance.sum() @ (0.25 / k)
    # 3 sd of 8,000 squares, each between 0 and 1/4
    assert means.var() == pytest.approx(expected, abs=3 * 0.125 / 8_000**0.5)
    assert means.mean() == pytest.approx(0.5, abs=3 * (expected / 8_000) ** 0.5)


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
