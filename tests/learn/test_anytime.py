"""Intervals that may be looked at again and again."""

import math

import numpy as np
import pytest

from bot4jax.learn.anytime import LARGEST_STAKE, Mean, interval, observe

ALPHA = 0.1


def after(values, alpha=ALPHA):
    """The interval after each of the values."""
    mean, found = Mean(), []
    for x in values:
        mean = observe(mean, float(x), alpha)
        found.append(interval(mean, alpha))
    return np.array(found)


def written_out(x, alpha=ALPHA):
    """Theorem 2 of the source, over whole series at once."""
    t = np.arange(1, len(x) + 1)
    centre = (0.5 + np.cumsum(x)) / (t + 1)
    variance = (0.25 + np.cumsum((x - centre) ** 2)) / (t + 1)
    before = np.concatenate([[0.25], variance[:-1]])
    stake = np.sqrt(2 * np.log(2 / alpha) / (before * t * np.log(t + 1)))
    stake = np.minimum(stake, LARGEST_STAKE)
    v = 4 * (x - np.concatenate([[0.5], centre[:-1]])) ** 2
    psi = (-np.log(1 - stake) - stake) / 4
    middle = np.cumsum(stake * x) / np.cumsum(stake)
    radius = (np.log(2 / alpha) + np.cumsum(v * psi)) / np.cumsum(stake)
    return middle - radius, middle + radius


SERIES = {
    "coin": lambda rng, n: (rng.random(n) < 0.1).astype(float),
    "beta": lambda rng, n: rng.beta(2, 18, n),
    "even": lambda rng, n: rng.random(n) * 0.2,
    # calm and wild in turns, which the values so far decide; the mean is always .1
    "moody": lambda rng, n: moody(rng, n),
}


def moody(rng, n):
    found, is_wild = np.empty(n), False
    for i in range(n):
        found[i] = 2 * 0.1 * (rng.random() < 0.5) if is_wild else 0.1
        is_wild = found[i] > 0
    return found


@pytest.mark.parametrize("kind", SERIES)
def test_it_is_the_source_s_formula(kind):
    x = SERIES[kind](np.random.default_rng(3), 500)
    found = after(x)
    np.testing.assert_allclose(found[:, 1:].T, written_out(x), rtol=1e-10)
    np.testing.assert_allclose(found[:, 0], np.cumsum(x) / np.arange(1, 501))


@pytest.mark.parametrize("kind", SERIES)
def test_hardly_ever_a_series_leaves_it_at_any_time(kind):
    rng, series = np.random.default_rng(7), 200
    missed = 0
    for _ in range(series):
        _, low, high = after(SERIES[kind](rng, 300)).T
        missed += bool(((low > 0.1) | (high < 0.1)).any())
    assert missed <= ALPHA * series


def test_a_usual_interval_would_be_left():
    """What is looked at once is not for those who look always: the test above finds
    that out."""
    rng, missed = np.random.default_rng(7), 0
    for _ in range(200):
        x, t = SERIES["coin"](rng, 300), np.arange(1, 301)
        mean = np.cumsum(x) / t
        radius = 1.645 * np.sqrt(np.maximum(mean * (1 - mean), 1e-9) / t)
        missed += bool((np.abs(mean - 0.1) > radius)[30:].any())
    assert missed > ALPHA * 200


def test_it_narrows_as_more_is_seen():
    """With so many values of no spread, the radius is what the stakes make of it."""
    _, low, high = after(np.full(2_000, 0.3))[-1]
    assert low < 0.3 < high
    assert (high - low) / 2 < 1.1 * math.log(2 / ALPHA) / (LARGEST_STAKE * 2_000)


def test_of_nothing_nothing_is_known():
    value, low, high = interval(Mean(), ALPHA)
    assert math.isnan(value)
    assert (low, high) == (-math.inf, math.inf)


@pytest.mark.parametrize("value", [-0.01, 1.01, math.nan, math.inf])
def test_what_is_no_share_is_refused(value):
    with pytest.raises(ValueError, match="from 0 to 1"):
        observe(Mean(), value, ALPHA)
