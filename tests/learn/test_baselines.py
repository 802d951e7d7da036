"""Baselines against scikit-learn and counts by hand."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from bot4jax.errors import DataError
from bot4jax.learn.baselines import (
    OUTLIER,
    class_prior,
    fit_logistic,
    last_return,
    logistic_probability,
    logistic_regression,
    recent_prior,
    sampled_rows,
)
from bot4jax.learn.metrics import log_loss

BARS, SYMBOLS, FEATURES = 150, 8, 6


def panel(strength: float = 0.5, bars: int = BARS, seed: int = 0):
    """Features that tell the class a little; one is correlated, one is constant."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(bars, SYMBOLS, FEATURES))
    x[..., 1] = 0.9 * x[..., 0] + 0.4 * x[..., 1]
    x[..., 2] *= 50  # features need not have one scale
    x[..., 3] = 7.0
    tilt = strength * np.random.default_rng(9).normal(size=(FEATURES, 3))
    tilt[2:4] = 0
    labels = (x @ tilt + [0, 0.7, 0] + rng.gumbel(size=(bars, SYMBOLS, 3))).argmax(-1)
    weights = rng.uniform(0.1, 1, (bars, SYMBOLS)).astype(np.float32)
    return x.astype(np.float32), labels.astype(np.int8), weights


def test_the_class_prior_is_the_weighed_shares_of_training():
    labels = np.array([[0, 1], [1, 2], [2, 2]], np.int8)
    weights = np.array([[3, 1], [2, 5], [0, 6]], np.float32)
    found = class_prior(labels, weights, (4, 2))
    assert found.shape == (4, 2, 3)
    # one imagined sample of each class beside weights of 3, 3 and 11
    np.testing.assert_allclose(found[3, 1], np.array([4, 4, 12]) / 20)


def test_the_recent_prior_is_the_shares_of_the_calibration_span():
    """In that span itself each half is told of the other: nobody is told what came."""
    labels = np.array([[0, 0], [1, 0], [2, 2], [1, 2], [2, 2]], np.int8)
    weights = np.array([[3, 1], [2, 5], [1, 6], [4, 2], [1, 0]], np.float32)
    found = recent_prior(labels, weights, (9, 2))
    assert found.shape == (9, 2, 3)
    first, last, all_ = (
        np.array([10, 3, 1]),
        np.array([1, 5, 11]),
        np.array([10, 7, 11]),
    )
    np.testing.assert_allclose(found[:2] - last / last.sum(), 0, atol=1e-12)
    np.testing.assert_allclose(found[2:5] - first / first.sum(), 0, atol=1e-12)
    np.testing.assert_allclose(found[5:] - all_ / all_.sum(), 0, atol=1e-12)


def test_the_last_return_tells_what_followed_its_sign():
    seen = np.array([[-1.0, 2.0, 0.0, 3.0, np.nan, 5.0]])
    labels = np.array([[0, 2, 1, 0, 1, 2]], np.int8)
    weights = np.array([[4, 2, 1, 1, 2, 0]], np.float32)
    later = np.array([[9.0, -9.0, 0.0, np.nan]])
    found = last_return(seen, labels, weights, later)
    after_fall, after_none, after_rise = [5, 1, 1], [1, 4, 1], [2, 1, 3]
    rows = (after_rise, after_fall, after_none, after_none)
    expected = [np.array(row) / sum(row) for row in rows]
    np.testing.assert_allclose(found[0], expected)


@pytest.mark.parametrize("strength", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("penalty", [1.0, 100.0])
def test_logistic_regression_equals_scikit_learn(strength, penalty):
    x, labels, weights = (a.reshape(-1, *a.shape[2:]) for a in panel(strength))
    model = fit_logistic(x, labels, weights, penalty)
    score = np.clip((x - model.centre) / model.width, -OUTLIER, OUTLIER)
    fitted = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000)
    fitted.fit(score, labels, sample_weight=weights / weights.mean())
    found = logistic_probability(model, x)
    np.testing.assert_allclose(found, fitted.predict_proba(score), atol=2e-6)
    np.testing.assert_allclose(model.coefficients[:-1].T, fitted.coef_, atol=2e-5)


def test_it_learns_from_one_span_and_forecasts_another():
    x, labels, weights = panel()
    later, truth, _ = panel(bars=60, seed=1)
    found = logistic_regression(x, labels, weights, later)
    assert found.shape == (60, SYMBOLS, 3)
    np.testing.assert_allclose(found.sum(-1), 1)
    shares = np.bincount(labels.ravel()) / labels.size
    prior = log_loss(np.broadcast_to(shares, (*truth.shape, 3)), truth)
    assert log_loss(found, truth) < prior - 0.05


def test_features_without_meaning_leave_the_class_prior():
    x, labels, weights = panel(strength=0.0)
    nothing = np.full_like(x, np.nan)
    found = logistic_regression(nothing, labels, weights, nothing[:2])
    shares = np.bincount(labels.ravel(), weights.ravel()) / weights.sum()
    np.testing.assert_allclose(found[0, 0], shares, atol=1e-6)


def test_unknown_and_wild_values_change_nothing_more_than_they_must():
    x, labels, weights = panel()
    rows = x[0].copy()
    expected = logistic_regression(x, labels, weights, rows[None])[0]
    rows[0, 4] = np.nan
    rows[1] = 1e30
    found = logistic_regression(x, labels, weights, rows[None])[0]
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[2:], expected[2:])
    rows[0, 4] = x[..., 4].mean()
    again = logistic_regression(x, labels, weights, rows[None])[0]
    np.testing.assert_allclose(again[0], found[0], rtol=1e-5)


def test_rows_without_weight_teach_nothing():
    x, labels, weights = panel()
    weights[40:60] = 0
    expected = logistic_regression(x, labels, weights, x[:3])
    x[40:60], labels[40:60] = np.inf, 2
    np.testing.assert_array_equal(
        logistic_regression(x, labels, weights, x[:3]), expected
    )
    with pytest.raises(DataError, match="none of 1200 training rows has a weight"):
        logistic_regression(x, labels, 0 * weights, x)


def test_a_class_that_never_occurs_is_almost_impossible():
    x, labels, weights = panel()
    labels[labels == 2] = 1
    found = logistic_regression(x, labels, weights, x[:5])
    assert np.isfinite(found).all()
    assert found[..., 2].max() < 1e-3


def test_samples_are_drawn_by_seed_from_rows_that_weigh():
    _, _, weights = panel()
    weights[:50] = 0
    t, s = sampled_rows(weights, 200, seed=0)
    assert len(t) == len({*zip(t.tolist(), s.tolist(), strict=True)}) == 200
    assert t.min() >= 50
    np.testing.assert_array_equal(sampled_rows(weights, 200, 0), (t, s))
    assert (sampled_rows(weights, 200, 1)[0] != t).any()
    assert len(sampled_rows(weights, 10**9, 0)[0]) == 100 * SYMBOLS
