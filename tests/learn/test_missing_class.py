"""Labels that are none, and a class that nobody ever meets: finite, or told why not.

The engine refuses to learn without a class (`test_labelling`); what it is made of must
stand one all the same, for a span of calibration or a test may lack what training has.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.errors import DataError
from bot4jax.kernels import vote
from bot4jax.kernels.calibration import straighten
from bot4jax.kernels.outcome import Matured
from bot4jax.learn import evaluate, fit
from bot4jax.learn.calibrate import calibrate, straightened
from bot4jax.learn.evaluate import Outcome
from bot4jax.nets import zoo
from bot4jax.nets.fallback import fallback
from tests.learn.small_fit import SIZES, SYMBOLS, fitted, samples

FLAT, UP = 1, 2


@pytest.fixture(scope="module")
def without_ups():
    found = samples()
    return found._replace(labels=np.where(found.labels == UP, FLAT, found.labels))


@pytest.fixture(scope="module")
def said(without_ups):
    """Log probabilities of both nets, fitted where nothing ever rose."""
    nets, history = fitted(data=without_ups)
    assert not history.skipped.any()
    carry = zoo.init_carry(SIZES, SYMBOLS)
    found, _ = fit.net_probabilities(SIZES, nets, without_ups.features, carry)
    return found


def test_nets_and_fallback_hardly_believe_in_it(said, without_ups):
    assert np.isfinite(said).all()
    reads = np.arange(2)
    line = fit.fit_fallback(without_ups, reads, seed=0)
    newest = jnp.asarray(without_ups.features[-1][:, reads])
    by_line = np.asarray(fallback(line, newest))
    for probability in (np.exp(said[-10:]), by_line):
        np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-5)
        assert 0 < probability[..., UP].max() < 0.05


def test_what_calibrates_stays_finite(said, without_ups):
    """A temperature, and curves of which one has nothing to rise to."""
    flat = said[:, 0].reshape(-1, 3)
    labels, weights = without_ups.labels.ravel(), without_ups.weights.ravel()
    found = straightened(calibrate(flat, labels, weights), flat, labels, weights, 0)
    assert found.curves is not None
    after = straighten(found.curves, jnp.asarray(np.exp(flat))[None])[0]
    assert np.isfinite(np.asarray(after)).all()
    np.testing.assert_allclose(np.asarray(after).sum(-1), 1, atol=1e-5)
    assert np.isfinite([*found.log_loss, *found.ece, found.temperature]).all()


def test_the_vote_bears_who_called_it_certain():
    """A member that was sure of ups alone, where none came, ten bars long."""
    bounds = vote.VoteParams(*map(jnp.float32, (0.99, 1.0, 0.05, 0.5)))
    log = np.log(np.array([[0.3, 0.6, 0.1], [1e-30, 1e-30, 1.0], [0.2, 0.5, 0.3]]))
    forecasts = jnp.asarray(np.repeat(log[:, None], SYMBOLS, 1), jnp.float32)
    labels = jnp.full(SYMBOLS, FLAT)
    known = Matured(forecasts, labels, jnp.ones(SYMBOLS, bool))
    state = vote.init_vote(3)
    for _ in range(10):
        state = vote.learn(bounds, state, known, horizon=1)
    weights = np.asarray(vote.weights(bounds, state, jnp.ones(3, bool)))
    assert np.isfinite(weights).all()
    assert weights[1] == pytest.approx(0.05, abs=1e-4)


def test_who_is_judged_without_it_gets_figures(said, without_ups):
    probability = np.exp(said[:, 0])
    labels, weights = without_ups.labels, without_ups.weights
    moved = (labels - 1.0) * 1e-3 + 1e-5 * np.arange(SYMBOLS)
    bars = np.zeros(len(labels), np.int64)
    prior = np.broadcast_to(np.float32([0.3, 0.69, 0.01]), probability.shape)
    asked = Outcome(moved, labels, weights, 1, bars)
    found = evaluate.judge(probability, asked, prior, prior)
    assert np.isfinite(found).all()


def test_weights_that_are_none_are_refused_by_nets(without_ups):
    weights = without_ups.weights.copy()
    weights[3, 2] = np.nan
    with pytest.raises(DataError, match="1 of 300 training weights"):
        fitted(data=without_ups._replace(weights=weights))
