"""Temperature against SciPy's softmax; what is not a number must stay visible."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from bot4jax.kernels.calibration import apply_temperature, temper


def forecasts(*shape: int) -> np.ndarray:
    scores = np.random.default_rng(0).normal(0, 4, (*shape, 3))
    return log_softmax(scores, axis=-1).astype(np.float32)


@pytest.mark.parametrize("temperature", [0.05, 0.7, 1.0, 3.0, 20.0])
def test_equals_the_softmax_of_the_scaled_scores(temperature):
    logs = forecasts(200)
    expected = softmax(logs.astype(np.float64) / temperature, axis=-1)
    found = jax.jit(apply_temperature)(logs, jnp.float32(temperature))
    # float32: half a unit in the last place of scores up to 20 / .05
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    np.testing.assert_array_equal(np.argmax(found, 1), logs.argmax(1))


def test_every_member_has_its_own_temperature():
    logs = jnp.asarray(forecasts(2, 5))
    both = apply_temperature(logs, jnp.array([0.5, 4.0])[:, None, None])
    each = [apply_temperature(logs[i], jnp.float32(t)) for i, t in enumerate((0.5, 4))]
    np.testing.assert_array_equal(both, jnp.stack(each))


def test_the_extremes_stay_finite():
    certain = jnp.array([[0.0, -jnp.inf, -jnp.inf], [-1e30, 0.0, -1e30]])
    for temperature in (0.05, 20.0):
        found = apply_temperature(certain, jnp.float32(temperature))
        np.testing.assert_array_equal(found, [[1, 0, 0], [0, 1, 0]])


def test_what_is_not_a_forecast_comes_out_as_nan():
    nan, inf = jnp.nan, jnp.inf
    bad = jnp.array([[nan, -1.0, -1.0], [inf, -1.0, -1.0], [-inf, -inf, -inf]])
    assert np.isnan(apply_temperature(bad, jnp.float32(2))).all()


def test_temper_is_its_logarithm():
    logs = jnp.asarray(forecasts(50))
    found = np.exp(temper(logs, jnp.float32(1.7)))
    expected = apply_temperature(logs, jnp.float32(1.7))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # NumPy's exp and XLA's
