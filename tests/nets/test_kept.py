"""Two nets of one name, in one process: each is what its own function makes."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from bot4jax import engine, registry
from bot4jax.certify import nets as certify_nets
from bot4jax.kernels import planning
from bot4jax.learn import fit
from bot4jax.nets import zoo
from bot4jax.nets.layers import Linear
from bot4jax.nets.recurrent import Recurrent
from bot4jax.nets.sizes import NetSizes
from bot4jax.state import Settings
from bot4jax.types import Layout
from tests.small_nets import BARS, SYMBOLS, inputs, noisy


class Fading(nnx.Module):
    """An average in which a bar loses some share of its weight."""

    def __init__(self, inputs, share, rng):
        self.width, self.memory, self.share = 4, (4,), share
        self.input = Linear(inputs, 4, rng)

    def step(self, memory, x):
        return self._turn(memory, jnp.tanh(self.input(x)))

    def unroll(self, memory, xs):
        return lax.scan(self._turn, memory, jnp.tanh(self.input(xs)))

    def _turn(self, memory, new):
        (mean,) = memory
        mean = mean + (new - mean) * self.share
        return (mean,), mean


def slow(inputs, rng):
    return Recurrent([Fading(inputs, 0.1, rng)])


def fast(inputs, rng):
    return Recurrent([Fading(inputs, 0.9, rng)])


def said(member: str) -> np.ndarray:
    """What a net of that name says, by what is compiled for its sizes."""
    sizes = NetSizes(stem=6, members=(member,))
    carry = zoo.init_carry(sizes, SYMBOLS)
    params = noisy(sizes)
    return fit.net_probabilities(sizes, params, inputs(), carry)[0]


@pytest.fixture
def twin(monkeypatch):
    """Registers a net by that name, in place of the one before."""
    return lambda maker: monkeypatch.setitem(registry.NETS, "twin", maker)


def test_a_net_says_what_its_own_function_makes_and_not_its_namesake(twin, monkeypatch):
    monkeypatch.setitem(registry.NETS, "alone", fast)
    twin(slow)
    first = said("twin")
    twin(fast)
    second = said("twin")
    np.testing.assert_array_equal(second, said("alone"))
    assert first.shape == (BARS, 1, SYMBOLS, 3)
    assert np.abs(first - second).max() > 0.01
    twin(slow)
    np.testing.assert_array_equal(said("twin"), first)


def test_engine_and_certificate_compile_a_namesake_anew(twin):
    sizes = NetSizes(stem=6, members=("twin",))
    layout = Layout(SYMBOLS, 8, 1, 2, 0, ("close",))
    settings = Settings(planning.plan(layout, ()), sizes, ("twin",))
    twin(slow)
    own, step = engine.compile_engine(settings), certify_nets._compiled_step(sizes)
    assert engine.compile_engine(replace(settings)) is own
    twin(fast)
    assert engine.compile_engine(settings) is not own
    assert certify_nets._compiled_step(sizes) is not step
    twin(slow)
    assert engine.compile_engine(settings) is own
