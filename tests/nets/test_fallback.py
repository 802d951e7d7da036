"""The fallback against the softmax written out."""

import jax.numpy as jnp
import numpy as np

from bot4jax.nets.fallback import FEATURES, FallbackParams, blank, fallback


def test_probabilities_are_the_softmax_of_the_chosen_features():
    rng = np.random.default_rng(0)
    chosen = rng.choice(30, FEATURES, replace=False)
    weight, bias = rng.normal(size=(FEATURES, 3)), rng.normal(size=3)
    x = rng.normal(size=(20, 30)).astype(np.float32)
    params = FallbackParams(
        jnp.asarray(chosen, jnp.int32),
        jnp.asarray(weight, jnp.float32),
        jnp.asarray(bias, jnp.float32),
    )
    scores = np.exp(x[:, chosen] @ weight + bias)
    expected = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(fallback(params, jnp.asarray(x)), expected, atol=1e-6)


def test_other_features_do_not_matter():
    params = blank()._replace(weight=jnp.ones((FEATURES, 3)) * jnp.arange(3.0)[None])
    x = np.random.default_rng(1).normal(size=(5, 30)).astype(np.float32)
    changed = x.copy()
    changed[:, FEATURES:] = np.nan
    one, other = (fallback(params, jnp.asarray(part)) for part in (x, changed))
    np.testing.assert_array_equal(one, other)


def test_a_blank_one_is_even():
    np.testing.assert_allclose(fallback(blank(), jnp.ones((4, 30))), 1 / 3, atol=1e-7)
