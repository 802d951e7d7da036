"""Weights stay within their bounds, follow the better member, and ignore the sick."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from bot4jax.kernels import vote
from bot4jax.kernels.outcome import Matured

PARAMS = vote.VoteParams(*(jnp.float32(value) for value in (0.99, 1.0, 0.05, 0.5)))
SYMBOLS = 8

weights = jax.jit(vote.weights)


def state(log_weight):
    return vote.VoteState(jnp.asarray(log_weight, jnp.float32), jnp.int32(0))


def matured(log_probability, label):
    return Matured(
        jnp.asarray(log_probability, jnp.float32),
        jnp.asarray(label, jnp.int32),
        jnp.ones(len(label), bool),
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(-1e30, 0), min_size=5, max_size=5),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_weights_keep_floor_cap_and_sum_over_the_healthy(log_weight, healthy):
    found = np.asarray(weights(PARAMS, state(log_weight), jnp.array(healthy)))
    alive = np.array(healthy)
    assert np.isfinite(found).all()
    assert (found[~alive] == 0).all()
    assert found.sum() == pytest.approx(min(1.0, 0.5 * alive.sum()), abs=1e-5)
    assert (found[alive] >= 0.05 - 1e-5).all()
    assert (found[alive] <= 0.5 + 1e-5).all()


def test_weights_are_the_nearest_in_relative_entropy():
    raw = np.array([0.7, 0.2, 0.06, 0.03, 0.01])
    found = weights(PARAMS, state(np.log(raw)), jnp.ones(5, bool))
    best = minimize(
        lambda w: (w * np.log(w / raw)).sum(),
        np.full(5, 0.2),
        bounds=[(0.05, 0.5)] * 5,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
        tol=1e-12,
    )
    np.testing.assert_allclose(found, best.x, atol=1e-4)


def test_the_better_forecaster_gains_weight_on_due_bars_only():
    label = np.zeros(SYMBOLS, int)
    good, bad = np.log([0.6, 0.2, 0.2]), np.log([0.2, 0.2, 0.6])
    forecasts = np.stack([np.tile(good, (SYMBOLS, 1)), np.tile(bad, (SYMBOLS, 1))])
    now, seen = vote.init_vote(2), []
    for _ in range(7):
        now = vote.learn(PARAMS, now, matured(forecasts, label), horizon=5)
        seen.append(np.asarray(now.log_weight))
    np.testing.assert_allclose(seen[0], [0, np.log(0.2 / 0.6)], rtol=1e-5)
    np.testing.assert_array_equal(seen[4], seen[0])
    np.testing.assert_allclose(seen[5], [0, 1.99 * np.log(0.2 / 0.6)], rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3.0])
def test_a_member_that_returns_nonsense_is_not_healthy(bad):
    forecasts = np.log(np.full((2, SYMBOLS, 3), 1 / 3, np.float32))
    forecasts[1, 3, 0] = bad
    live = jnp.ones(SYMBOLS, bool)
    assert vote.is_healthy(jnp.asarray(forecasts), live).tolist() == [True, False]
    asleep = live.at[3].set(False)
    assert vote.is_healthy(jnp.asarray(forecasts), asleep).tolist() == [True, True]


def test_pool_is_the_weighted_mean_and_gives_the_rest_to_the_fallback():
    rng = np.random.default_rng(0)
    members = rng.dirichlet(np.ones(3), (2, SYMBOLS)).astype(np.float32)
    rest = rng.dirichlet(np.ones(3), SYMBOLS).astype(np.float32)
    members[1, 0] = np.nan
    found = vote.pool(
        jnp.array([0.5, 0.0]), jnp.asarray(members), jnp.asarray(rest), jnp.float32(1)
    )
    expected = 0.5 * members[0] + 0.5 * rest
    np.testing.assert_allclose(found.probability, expected, rtol=1e-5)
    assert float(found.fallback_weight) == 0.5


def test_disagreement_is_the_jensen_shannon_divergence_over_its_largest_value():
    certain = np.eye(3, dtype=np.float32)[[0, 2]][:, None].repeat(SYMBOLS, 1)
    rest = np.full((SYMBOLS, 3), 1 / 3, np.float32)
    weight = jnp.array([0.5, 0.5])
    apart = vote.pool(weight, jnp.asarray(certain), jnp.asarray(rest), jnp.float32(1))
    same = vote.pool(
        weight, jnp.asarray(certain[[0, 0]]), jnp.asarray(rest), jnp.float32(1)
    )
    np.testing.assert_allclose(apart.disagreement, 1, atol=1e-5)
    np.testing.assert_allclose(same.disagreement, 0, atol=1e-5)
