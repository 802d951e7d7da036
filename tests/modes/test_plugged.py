"""Nets of plugins that are none, or that serve otherwise than they train: refused
before anything is fitted, with what was found."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from bot4jax.config import load
from bot4jax.errors import ConfigError
from bot4jax.learn.evaluate import FLAT
from bot4jax.modes import backtest, demo, plugged
from bot4jax.modes.forecasters import ENSEMBLE, FITTED
from bot4jax.modes.report_skill import NETS as PARTS
from bot4jax.modes.setting import set_stage
from bot4jax.nets.cnn import CNN
from bot4jax.nets.gru import gru
from bot4jax.nets.layers import Linear
from bot4jax.nets.lstm import lstm
from bot4jax.nets.recurrent import Recurrent
from bot4jax.nets.transformer import Transformer
from bot4jax.registry import NETS, TAKEN, member
from tests.small_nets import SMALL

INPUTS = 16


class Fading(nnx.Module):
    """An average in which a bar loses a quarter of its weight."""

    def __init__(self, inputs, rng):
        self.width, self.memory = 4, (4,)
        self.input = Linear(inputs, 4, rng)

    def step(self, memory, x):
        return self._turn(memory, jnp.tanh(self.input(x)))

    def unroll(self, memory, xs):
        return lax.scan(self._turn, memory, jnp.tanh(self.input(xs)))

    @staticmethod
    def _turn(memory, new):
        mean = memory[0] + (new - memory[0]) / 4
        return (mean,), mean


class Ahead(Fading):
    """Trains on the next bar, as a convolution that is centred does."""

    def unroll(self, memory, xs):
        memory, said = super().unroll(memory, xs)
        return memory, jnp.roll(said, -1, axis=0)


class Forgetful(Fading):
    """Begins every pass of training as if nothing had been before."""

    def unroll(self, memory, xs):
        return super().unroll((jnp.zeros(4),), xs)


class Wide(Fading):
    """Says less than its width."""

    def step(self, memory, x):
        memory, said = super().step(memory, x)
        return memory, said[:2]


class Faint(Fading):
    """Takes a logarithm of what may be negative."""

    @staticmethod
    def _turn(memory, new):
        return memory, jnp.log(new)


class Mixing(Fading):
    """Takes all symbols side by side, and hears their mean."""

    def unroll(self, memory, xs):
        mixed = xs.mean(1, keepdims=True) if xs.ndim == 3 else xs
        return super().unroll(memory, jnp.broadcast_to(mixed, xs.shape))


class Weightless(Fading):
    def __init__(self, inputs, rng):
        self.width, self.memory, self.input = inputs, (inputs,), lambda x: x


class Plain(nnx.Module):
    """What a net of another library looks like."""

    def __init__(self, inputs, rng):
        self.width, self.layer = 4, Linear(inputs, 4, rng)

    def __call__(self, x):
        return self.layer(x)


def of_layer(layer):
    return lambda inputs, rng: Recurrent([layer(inputs, rng)])


def fault_of(monkeypatch, maker):
    monkeypatch.setitem(NETS, "mine", maker)
    return plugged.fault("mine", INPUTS, seed=0)


@pytest.mark.parametrize(
    "maker",
    [
        of_layer(Fading),
        lambda inputs, rng: Recurrent([Fading(inputs, rng)], takes_many=True),
        lambda inputs, rng: lstm(SMALL.lstm, inputs, rng),
        lambda inputs, rng: gru(SMALL.gru, inputs, rng),
        lambda inputs, rng: CNN(SMALL.cnn, inputs, rng),
        lambda inputs, rng: Transformer(SMALL.transformer, inputs, rng),
    ],
    ids=["guide's", "many", "lstm", "gru", "cnn", "transformer"],
)
def test_a_sound_net_is_none(monkeypatch, maker):
    assert fault_of(monkeypatch, maker) is None


@pytest.mark.parametrize(
    ("maker", "told"),
    [
        (of_layer(Ahead), "serves otherwise than it trains"),
        (of_layer(Forgetful), "of 64 bars, first in bar 32, and 0.0001 was allowed"),
        (of_layer(Wide), r"says (64, 2) numbers of 64 bars by step and (64, 4) by"),
        (
            lambda inputs, rng: Recurrent([Mixing(inputs, rng)], takes_many=True),
            "serves otherwise than it trains",
        ),
        (of_layer(Faint), "says what is no finite number"),
        (of_layer(Weightless), "makes a Recurrent without any weight"),
        (Plain, "makes a Plain without period, init_state, step, unroll; a net is"),
        (lambda inputs, rng: None, "makes a NoneType without width, period"),
    ],
    ids=[
        "ahead",
        "forgetful",
        "wide",
        "mixing",
        "faint",
        "weightless",
        "plain",
        "nothing",
    ],
)
def test_what_is_wrong_with_a_net_is_told(monkeypatch, maker, told):
    found = fault_of(monkeypatch, maker)
    assert found is not None
    assert found.startswith("ensemble.members: the plugin's 'mine' ")
    assert told in found


def test_how_far_a_net_that_reads_ahead_is_off(monkeypatch):
    """By another route: its layer alone, in NumPy."""
    found = fault_of(monkeypatch, of_layer(Ahead))
    assert found is not None
    rng = np.random.default_rng(0)
    weights, bias = (np.asarray(one[...]) for one in parts(Ahead(INPUTS, rng)))
    rows = np.random.default_rng(0).normal(size=(64, INPUTS)).astype(np.float32)
    mean, served = np.zeros(4), []
    for new in np.tanh(rows @ weights + bias):
        mean = mean + (new - mean) / 4
        served.append(mean)
    halves = np.split(np.array(served), 2)
    trained = np.concatenate([np.roll(half, -1, 0) for half in halves])
    worst = np.abs(np.array(served) - trained).max()
    assert f"differ by up to {worst:.3g} in 64 of 64 bars, first in bar 0" in found


def parts(layer):
    return layer.input.kernel, layer.input.bias


PLUGIN = """
from bot4jax.registry import member
from tests.modes.test_plugged import Ahead, of_layer


@member("mine")
def mine(inputs, rng):
    return of_layer(Ahead)(inputs, rng)
"""


@pytest.mark.parametrize("mode", [demo.demo, demo.train, backtest.backtest])
def test_what_fits_refuses_such_a_member(module, tmp_path, mode):
    """A certificate, a replay and a live run, which fit nothing, set their stage."""
    words = ["debug=tiny", "data.symbols=2", "ensemble.members=[gru,mine,trees]"]
    words += [f"plugins=[{module('ahead', PLUGIN)}]", f"run.root={tmp_path}"]
    config = load([*words, "backtest.refit=true", f"mode={mode.__name__}"])
    with pytest.raises(ConfigError, match="serves otherwise than it trains"):
        mode(config)
    assert set_stage(config).settings.members[1] == "mine"


@pytest.mark.parametrize("name", ["gru", "trees", "ensemble", "recent_prior"])
def test_a_name_that_is_ours_is_refused(name):
    """Regression: a plugin's 'gru' took the place of ours without a word."""
    with pytest.raises(ValueError, match=f"Member '{name}' is the name of one of ours"):
        member(name)
    assert name not in NETS


def test_whoever_stands_beside_members_keeps_the_name():
    assert {ENSEMBLE, *FLAT, *FITTED, *PARTS} <= set(TAKEN)
