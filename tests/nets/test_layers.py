"""Linear and LayerNorm against Flax's, and how weights begin."""

import numpy as np
import pytest
from flax import nnx

from bot4jax.nets.layers import LayerNorm, Linear, orthogonal, scaled
from bot4jax.nets.stem import Stem
from tests.small_nets import inputs


@pytest.mark.parametrize("bars", [None, 4])
def test_layers_equal_those_of_flax(bars):
    rng = np.random.default_rng(0)
    linear, norm = Linear(7, 5, rng), LayerNorm(5)
    for leaf in (linear.bias, norm.scale, norm.bias):
        leaf[...] = rng.normal(size=5).astype(np.float32)
    their_linear = nnx.Linear(7, 5, rngs=nnx.Rngs(0))
    their_norm = nnx.LayerNorm(5, rngs=nnx.Rngs(0))
    their_linear.kernel[...], their_linear.bias[...] = (
        linear.kernel[...],
        linear.bias[...],
    )
    their_norm.scale[...], their_norm.bias[...] = norm.scale[...], norm.bias[...]
    x = inputs(bars=4)[:, 0]
    x = x if bars else x[0]
    expected = their_norm(their_linear(x))
    np.testing.assert_allclose(norm(linear(x)), expected, atol=2e-6)


def test_a_flat_vector_is_normalised_to_nothing():
    np.testing.assert_array_equal(LayerNorm(6)(np.full(6, 3.0, np.float32)), 0)


def test_first_weights_keep_the_size_of_what_passes():
    rng = np.random.default_rng(1)
    assert np.isclose(scaled(rng, 400, 300).std(), 1 / 20, rtol=0.02)
    turned = orthogonal(rng, 8, 24)
    np.testing.assert_allclose(turned @ turned.T, 3 * np.eye(8), atol=1e-5)


def test_the_stem_reads_a_symbol_that_is_not_live_as_nothing():
    """x = 0 leaves the bias alone, which starts at 0."""
    stem = Stem(7, 4, np.random.default_rng(0))
    np.testing.assert_array_equal(stem(np.zeros(7, np.float32)), 0)
