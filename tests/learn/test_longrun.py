"""What memory does to the error of a mean: series whose memory and truth are known."""

import numpy as np
import pytest
from scipy import stats
from scipy.fft import dct
from scipy.signal import lfilter
from scipy.special import stdtr

from bot4jax.learn import longrun, student

MARKETS = 400


def remembering(memory, bars, seed=0):
    """Autoregressions of the first order about 0, decayed to 1/e after `memory`."""
    stay = np.exp(-1 / memory)
    noise = np.random.default_rng(seed).normal(size=(MARKETS, bars))
    noise[:, 1:] *= np.sqrt(1 - stay**2)
    return lfilter([1], [1, -stay], noise, axis=1)


def chances(series):
    """Of means as far below the truth, 0: uniform where errors are what they say."""
    mass = np.ones(series.shape[1])
    found = [longrun.spread(one, mass, 1) for one in series]
    error, degrees = np.array(found).T
    return stdtr(degrees, series.mean(1) / error)


def of_blocks(series, block):
    """The same by the error that the stationary bootstrap of such blocks has.

    Source: Politis & Romano (1994), lemma 1, made good as `student` does.
    """
    bars = series.shape[1]
    by_lag = student.of_blocks(bars, block)
    share, degrees = student.trust(by_lag, np.ones(bars), 5)
    apart = series - series.mean(1, keepdims=True)
    spectrum = np.abs(np.fft.rfft(apart, 2 * bars)) ** 2
    shared = np.fft.irfft(spectrum)[:, :bars]
    shared[:, 1:] *= 2
    error = np.sqrt(shared @ by_lag / share) / bars
    return stdtr(degrees, series.mean(1) / error)


def held(p):
    """Share of intervals of 95 % with the truth in them."""
    return np.mean((p > 0.025) & (p < 0.975))


@pytest.mark.parametrize("memory", [10, 60])
@pytest.mark.parametrize("times", [10, 20])
def test_an_interval_holds_the_truth_of_a_span_of_some_memories(memory, times):
    p = chances(remembering(memory, memory * times))
    sure = 3 * np.sqrt(0.05 * 0.95 / MARKETS)
    assert held(p) == pytest.approx(0.95, abs=0.02 + sure)
    for side in (p, 1 - p):
        assert np.mean(side < 0.05) == pytest.approx(0.05, abs=0.02 + sure)


def test_blocks_of_four_horizons_are_found_out():
    """Of 600 bars with a memory of 50, labels of five: what was told before."""
    series = remembering(50, 600)
    assert held(of_blocks(series, 20.0)) < 0.8
    assert held(chances(series)) > 0.92


def test_bars_without_memory_cost_little():
    series = np.random.default_rng(0).normal(size=(MARKETS, 300))
    found = [longrun.spread(one, np.ones(300), 1) for one in series]
    side = [student.reach(degrees) * error for error, degrees in found]
    best = 1.96 / np.sqrt(300)
    assert best < np.median(side) < 1.25 * best
    assert held(chances(series)) == pytest.approx(0.95, abs=0.04)


def test_cosines_of_even_mass_are_those_of_a_transform():
    series = np.random.default_rng(1).normal(size=50)
    expected = dct(series - series.mean())[1:9] / np.sqrt(2)
    found = longrun.cosines(series, np.ones(50), 8)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_cosines_forget_the_mean():
    random = np.random.default_rng(2)
    mass, values = random.random(90), random.normal(size=90)
    one, other = (longrun.cosines(mass * (values + x), mass, 9) for x in (0.0, 7.0))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_the_flat_shape_alone_is_the_test_of_equal_weights():
    """Lazarus, Lewis, Stock & Watson: the mean square of J cosines, J degrees."""
    lam = np.random.default_rng(3).normal(size=12)
    scales, _ = longrun.mixture(lam, longrun.shapes(12))
    assert scales[0] == pytest.approx(np.sqrt(np.mean(lam**2)))
    found = longrun.student_of(scales[:1], np.ones(1), 12)
    assert found == pytest.approx((scales[0], 12), rel=1e-6)


def test_a_mixture_is_told_by_its_own_quantiles():
    scales, weights = np.array([1.0, 3.0]), np.array([0.7, 0.3])
    error, degrees = longrun.student_of(scales, weights, 9)
    for share in (0.95, 0.975):
        far = error * stats.t.ppf(share, degrees)
        assert weights @ stats.t.cdf(far / scales, 9) == pytest.approx(share, abs=1e-7)


def test_sums_that_overlap_have_fejers_spectrum():
    """From the autocovariances of sums of five, added up."""
    lags, frequency = np.arange(-4, 5), np.array([0.1, 0.4])
    shared = 5 - np.abs(lags)
    expected = [(shared * np.cos(x * lags)).sum() / 25 for x in frequency]
    assert longrun.overlapping(frequency, 5) == pytest.approx(expected)


def test_the_same_forecast_has_no_error_and_one_bar_tells_nothing():
    assert longrun.spread(np.zeros(50), np.ones(50), 1).error == 0
    mass = np.zeros(50)
    assert np.isnan(longrun.spread(mass, mass, 1)).all()
    mass[3] = 1.0
    assert np.isnan(longrun.spread(mass, mass, 1)).all()
