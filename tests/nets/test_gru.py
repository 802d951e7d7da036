"""The GRU against its equations in NumPy."""

import numpy as np
import pytest

from bot4jax.nets.gru import GRULayer, gru
from bot4jax.nets.sizes import GRUSizes
from tests.small_nets import inputs, module_unroll, nothing

BARS, INPUTS, WIDTH = 12, 5, 4


@pytest.fixture(scope="module")
def layer():
    rng = np.random.default_rng(3)
    made = GRULayer(INPUTS, WIDTH, rng)
    for bias in (made.input.bias, made.hidden.bias, made.norm.bias):
        bias[...] = rng.normal(size=bias[...].shape).astype(np.float32)
    return made


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(layer, xs):
    """The equations of the docstring, float64, one symbol and bar at a time."""
    w, b, u, c, scale, bias = (
        np.asarray(leaf[...], np.float64)
        for leaf in (
            layer.input.kernel,
            layer.input.bias,
            layer.hidden.kernel,
            layer.hidden.bias,
            layer.norm.scale,
            layer.norm.bias,
        )
    )
    h, said = np.zeros(WIDTH), []
    for x in np.asarray(xs, np.float64):
        x_r, x_z, x_n = (x @ w + b).reshape(3, WIDTH)
        h_r, h_z, h_n = (h @ u + c).reshape(3, WIDTH)
        n = np.tanh(x_n + sigmoid(x_r + h_r) * h_n)
        z = sigmoid(x_z + h_z)
        h = (1 - z) * n + z * h
        said.append((h - h.mean()) / np.sqrt(h.var() + 1e-6) * scale + bias)
    return h, np.array(said)


def test_unroll_is_the_equations(layer):
    xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    (end,), found = module_unroll(layer, nothing(layer), xs)
    expected_end, expected = by_hand(layer, xs)
    np.testing.assert_allclose(end, expected_end, atol=1e-6)
    np.testing.assert_allclose(found, expected, atol=5e-6)


def test_an_open_update_gate_remembers_for_ever(layer):
    layer.input.bias[...] = np.repeat(np.float32([0, 40, 0]), WIDTH)
    start = np.linspace(-0.5, 0.5, WIDTH, dtype=np.float32)
    xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    (end,), _ = module_unroll(layer, (start,), xs)
    np.testing.assert_allclose(end, start, atol=1e-6)


def test_layers_follow_each_other():
    net = gru(GRUSizes(widths=(6, WIDTH)), INPUTS, np.random.default_rng(1))
    xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    _, found = module_unroll(net, net.init_state(), xs)
    first, second = net.layers
    _, between = module_unroll(first, nothing(first), xs)
    _, expected = module_unroll(second, nothing(second), between)
    np.testing.assert_allclose(found, expected, atol=1e-6)
