"""The LSTM against its equations in NumPy and against Flax's own cell."""

import numpy as np
import pytest
from flax import nnx

from bot4jax.nets.lstm import LSTMLayer, lstm
from bot4jax.nets.sizes import LSTMSizes
from tests.small_nets import inputs, module_unroll, nothing, quick

BARS, INPUTS, WIDTH = 12, 5, 4


@pytest.fixture(scope="module")
def layer():
    made = LSTMLayer(INPUTS, WIDTH, np.random.default_rng(2))
    made.norm.scale[...] = np.linspace(0.5, 2, WIDTH, dtype=np.float32)
    return made


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def by_hand(layer, xs):
    """The equations of the docstring, float64, gate by gate."""
    w, b, u, p, scale, bias = (
        np.asarray(leaf[...], np.float64)
        for leaf in (
            layer.input.kernel,
            layer.input.bias,
            layer.hidden.kernel,
            layer.shortcut.kernel,
            layer.norm.scale,
            layer.norm.bias,
        )
    )
    hidden, cell, said = np.zeros(WIDTH), np.zeros(WIDTH), []
    for x in np.asarray(xs, np.float64):
        i, f, o, g = (x @ w + b + hidden @ u).reshape(4, WIDTH)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        y = hidden + x @ p
        said.append((y - y.mean()) / np.sqrt(y.var() + 1e-6) * scale + bias)
    return np.array(said)


def test_unroll_is_the_equations(layer):
    xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    _, found = module_unroll(layer, nothing(layer), xs)
    np.testing.assert_allclose(found, by_hand(layer, xs), atol=2e-6)


def test_the_states_are_those_of_the_cell_of_flax(layer):
    cell = nnx.OptimizedLSTMCell(INPUTS, WIDTH, rngs=nnx.Rngs(0))
    order = [0, 1, 3, 2]  # theirs is i, f, g, o
    for ours, theirs in ((layer.input, cell.dense_i), (layer.hidden, cell.dense_h)):
        kernel = np.asarray(ours.kernel[...]).reshape(-1, 4, WIDTH)[:, order]
        theirs.kernel[...] = kernel.reshape(-1, 4 * WIDTH)
    bias = np.asarray(layer.input.bias[...]).reshape(4, WIDTH)[order]
    cell.dense_h.bias[...] = bias.reshape(-1)
    memory, theirs = nothing(layer), (np.zeros(WIDTH, np.float32),) * 2
    step, their_step = quick(LSTMLayer.step), quick(nnx.OptimizedLSTMCell.__call__)
    for x in inputs(bars=BARS, features=INPUTS)[:, 0]:
        memory, _ = step(layer, memory, x)
        theirs, _ = their_step(cell, theirs, x)
    hidden, remembered = memory
    np.testing.assert_allclose(hidden, theirs[1], atol=1e-6)
    np.testing.assert_allclose(remembered, theirs[0], atol=1e-6)


def test_a_fresh_forget_gate_keeps():
    fresh = LSTMLayer(INPUTS, WIDTH, np.random.default_rng(0))
    i, f, o, g = np.asarray(fresh.input.bias[...]).reshape(4, WIDTH)
    np.testing.assert_array_equal(f, 1)
    np.testing.assert_array_equal(np.stack([i, o, g]), 0)


def test_a_fresh_gate_turns_without_stretching():
    fresh = LSTMLayer(INPUTS, WIDTH, np.random.default_rng(0))
    for block in np.split(np.asarray(fresh.hidden.kernel[...]), 4, axis=1):
        np.testing.assert_allclose(block @ block.T, np.eye(WIDTH), atol=1e-6)


def test_layers_follow_each_other():
    """Two layers are the second reading what the first says."""
    net = lstm(LSTMSizes(widths=(6, WIDTH)), INPUTS, np.random.default_rng(1))
    xs = inputs(bars=BARS, features=INPUTS)[:, 0]
    _, found = module_unroll(net, net.init_state(), xs)
    first, second = net.layers
    _, between = module_unroll(first, nothing(first), xs)
    _, expected = module_unroll(second, nothing(second), between)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert net.width == WIDTH
    lengths = [len(one) for one in net.init_state().memory]
    assert lengths == [6, 6, WIDTH, WIDTH]
