"""The CNN against XLA's own convolution, padded on the left."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from bot4jax.nets.cnn import CNN
from bot4jax.nets.sizes import CNNSizes
from tests.small_nets import inputs, module_unroll

BARS, INPUTS = 20, 5


def convolved(layer, xs, kernel, dilation):
    """Σ over taps by the library, whose kernel runs from the oldest tap to now."""
    weights = layer.taps.kernel[...].reshape(kernel, layer.inputs, layer.width)
    (out,) = lax.conv_general_dilated(
        xs[None],
        weights,
        window_strides=(1,),
        padding=[((kernel - 1) * dilation, 0)],
        rhs_dilation=(dilation,),
        dimension_numbers=("NTC", "TIO", "NTC"),
    )
    out = np.asarray(out + layer.taps.bias[...][None], np.float64)
    out = out - out.mean(1, keepdims=True)
    out = out / np.sqrt((out**2).mean(1, keepdims=True) + 1e-6)
    direct = xs if layer.shortcut is None else xs @ layer.shortcut.kernel[...]
    return jnp.maximum(out, 0).astype(jnp.float32) + direct


@pytest.mark.parametrize(
    ("kernel", "dilations"), [(3, (1, 2, 4)), (2, (3, 1)), (1, (1,)), (3, (8,))]
)
def test_unroll_is_a_causal_dilated_convolution(kernel, dilations):
    channels = (6, 6, 4)[: len(dilations)]
    sizes = CNNSizes(channels=channels, dilations=dilations, kernel=kernel)
    net = CNN(sizes, INPUTS, np.random.default_rng(4))
    expected = xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    for layer, dilation in zip(net.layers, dilations, strict=True):
        expected = convolved(layer, expected, kernel, dilation)
    _, found = module_unroll(net, net.init_state(), xs)
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_the_past_reaches_exactly_as_far_as_the_taps():
    net = CNN(CNNSizes(), INPUTS, np.random.default_rng(5))
    reach = 2 * (1 + 2 + 4)
    xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    _, one = module_unroll(net, net.init_state(), xs)
    _, other = module_unroll(net, net.init_state(), xs.at[0].add(5.0))
    changed = np.flatnonzero(np.abs(np.asarray(one - other)).max(1) > 0)
    assert changed.max() == reach


def test_a_ring_has_a_slot_for_each_bar_within_reach_and_the_present_one():
    net = CNN(CNNSizes(), 48, np.random.default_rng(5))
    assert net.ring == 3 * 48 + 5 * 32 + 9 * 32
    assert net.period == 45
