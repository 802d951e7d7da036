"""Novelty: an outside truth of its distance, and what it sees and does not see."""

import numpy as np
import pytest
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import ledoit_wolf

from bot4jax.learn import novelty
from bot4jax.learn.dataset import Dataset

BARS, SYMBOLS, FEATURES = 800, 12, 8
TRAIN = range(100, 500)
"""Numbers of the training bars; the data begin at 100 and go on after them."""


def mixed(random, bars):
    """Correlated features: four causes behind eight, and a little noise of each."""
    causes = random.normal(0, 1, (bars, SYMBOLS, 4))
    loading = np.random.default_rng(9).normal(0, 1, (4, FEATURES))
    noise = random.normal(0, 0.3, (bars, SYMBOLS, FEATURES))
    return (causes @ loading + noise).astype(np.float32)


def data_of(features, live=None) -> Dataset:
    shape = features.shape[:2]
    rest = dict.fromkeys(Dataset._fields[2:], np.zeros(shape, np.float32))
    rest |= {"live": np.ones(shape, bool) if live is None else live}
    return Dataset(**(rest | {"first": TRAIN.start, "features": features}))


@pytest.fixture(scope="module")
def features():
    return mixed(np.random.default_rng(1), BARS)


@pytest.fixture(scope="module")
def fitted(features):
    return novelty.fit_novelty(data_of(features), TRAIN, 0)


def share(fitted, features):
    live = np.ones(features.shape[:2], bool)
    return np.nanmean(novelty.beyond(fitted, features, live))


def test_the_covariance_is_scikit_learns(features):
    rows = features[:40].reshape(-1, FEATURES).astype(np.float64)
    truth, _ = ledoit_wolf(rows, assume_centered=True)
    np.testing.assert_allclose(novelty.shrunk_covariance(rows), truth, rtol=1e-9)


def test_the_distance_is_mahalanobis(features, fitted):
    known = features[: len(TRAIN) // 2].reshape(-1, FEATURES).astype(np.float64)
    covariance, _ = ledoit_wolf(known - known.mean(0), assume_centered=True)
    inverse = np.linalg.inv(covariance)
    rows = features[600, :5]
    truth = [mahalanobis(row, known.mean(0), inverse) for row in rows]
    found = novelty.distance(fitted, rows) * np.sqrt(FEATURES)
    np.testing.assert_allclose(found, truth, rtol=1e-4)


def test_the_same_market_is_ordinary(features, fitted):
    """3,600 independent rows: 1 % give or take three standard errors of share and edge.

    The edge is a quantile of 1,200 rows, which adds half again to the error.
    """
    assert 0.003 < share(fitted, features[500:]) < 0.02


def test_a_shifted_market_is_seen(fitted):
    later = mixed(np.random.default_rng(2), 300)
    assert share(fitted, later + np.float32(2.0)) > 0.2


def test_a_combination_that_never_was_is_seen(features, fitted):
    """Each feature by itself is as ever; only what went together does no longer."""
    later = features[500:].copy()
    np.random.default_rng(3).shuffle(later[:, :, 0], axis=0)
    assert share(fitted, later) > 0.2


def test_it_is_fitted_on_training_alone(features, fitted):
    other = features.copy()
    other[len(TRAIN) :] += 5
    again = novelty.fit_novelty(data_of(other), TRAIN, 0)
    for one, two in zip(fitted, again, strict=True):
        np.testing.assert_array_equal(one, two)
    longer = range(TRAIN.start, TRAIN.stop + 100)
    peeked = novelty.fit_novelty(data_of(other), longer, 0)
    assert peeked.edge != fitted.edge


def test_the_dead_are_not_counted(features):
    """Neither in training nor in the test."""
    live = np.ones(features.shape[:2], bool)
    live[:, 0] = False
    spoilt = features.copy()
    spoilt[:, 0] = 1e3
    fitted = novelty.fit_novelty(data_of(spoilt, live), TRAIN, 0)
    found = novelty.beyond(fitted, spoilt[500:], live[500:])
    assert np.isnan(found[:, 0]).all()
    assert np.nanmean(found) < 0.02


def test_what_never_varies_is_no_obstacle(features):
    """An absent feature is zero for ever; once it moves, that is new."""
    silent = features.copy()
    silent[:, :, 3] = 0
    fitted = novelty.fit_novelty(data_of(silent), TRAIN, 0)
    assert share(fitted, silent[500:]) < 0.02
    silent[500:, :, 3] = 1
    assert share(fitted, silent[500:]) > 0.99


def test_segments_cover_the_span_once(features, fitted):
    live = np.ones(features.shape[:2], bool)
    live[:40] = False
    found = novelty.segments(novelty.beyond(fitted, features[:396], live[:396]))
    assert [one.first for one in found[1:]] == list(np.cumsum([p.bars for p in found]))[
        :-1
    ]
    assert sum(one.bars for one in found) == 396
    assert sum(one.rows for one in found) == 356 * SYMBOLS
    assert np.isnan(found[0].beyond)
