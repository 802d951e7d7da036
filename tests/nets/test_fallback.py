"""The fallback against the softmax written out."""

import jax.numpy as jnp
import numpy as np

from bot4jax.nets.fallback import FallbackParams, blank, fallback

FEATURES = 10


def test_probabilities_are_the_softmax_of_its_features():
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(FEATURES, 3)), rng.normal(size=3)
    x = rng.normal(size=(20, FEATURES)).astype(np.float32)
    params = FallbackParams(
        jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32)
    )
    scores = np.exp(x @ weight + bias)
    expected = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(fallback(params, jnp.asarray(x)), expected, atol=1e-6)


def test_without_a_feature_it_says_its_shares():
    bias = jnp.log(jnp.asarray([0.2, 0.5, 0.3]))
    own = blank(0)._replace(bias=bias)
    found = fallback(own, jnp.ones((4, 0)))
    np.testing.assert_allclose(found, [[0.2, 0.5, 0.3]] * 4, atol=1e-6)


def test_a_blank_one_is_even():
    found = fallback(blank(FEATURES), jnp.ones((4, FEATURES)))
    np.testing.assert_allclose(found, 1 / 3, atol=1e-7)
