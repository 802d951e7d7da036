"""The nets that `bench=peers` has in PyTorch are ours, bar after bar."""

import numpy as np
import pytest

from bot4jax.nets import zoo
from bot4jax.nets.sizes import NETS
from tests.small_nets import FEATURES, SMALL, SYMBOLS, by_steps, inputs, noisy

pytest.importorskip("torch", reason="the peers of .[bench] are missing")
from benchmarks import pytorch_zoo

BARS = 24
"""Every ring has been written over, most of them several times."""

CLOSE = 1e-5
"""Of log probabilities: sums of a dozen products, in another order, 24 bars long."""


@pytest.fixture(scope="module")
def params():
    return noisy(SMALL)


@pytest.fixture(scope="module")
def xs():
    return np.array(inputs(bars=BARS))


@pytest.fixture(scope="module")
def ours(params, xs):
    return np.asarray(by_steps(SMALL, params, zoo.init_carry(SMALL, SYMBOLS), xs)[1])


def said(net, way, xs):
    walk = pytorch_zoo.Walker(getattr(net, way), lambda: net.fresh(SYMBOLS))
    return np.array([walk(x) for x in xs])


def copied(params):
    return pytorch_zoo.copied(SMALL, FEATURES, params).eval()


@pytest.mark.parametrize("way", ["forward", "step"])
def test_says_what_ours_says_bar_after_bar(way, params, xs, ours):
    found = said(copied(params), way, xs)
    assert found.shape == (BARS, len(NETS), SYMBOLS, 3)
    np.testing.assert_allclose(found, ours, atol=CLOSE)
    assert np.ptp(ours, axis=(0, 2)).min() > 0.1, "silent nets would hide a difference"


def older_taps(net):
    layer = net.nets[NETS.index("cnn")].layers[1]
    layer.places = tuple(place + 1 for place in layer.places)


def biases_by_another_distance(net):
    bias = net.nets[NETS.index("transformer")].blocks[1].bias.data
    bias.copy_(bias.roll(1, 2))


def gates_in_another_order(net):
    weight = net.nets[NETS.index("gru")].layers[0].gates.weight_hh_l0.data
    weight.copy_(weight.roll(4, 0))


def no_shortcut(net):
    net.nets[NETS.index("lstm")].layers[1].shortcut.weight.data.zero_()


@pytest.mark.parametrize(
    ("spoil", "of"),
    [
        (older_taps, "cnn"),
        (biases_by_another_distance, "transformer"),
        (gates_in_another_order, "gru"),
        (no_shortcut, "lstm"),
    ],
)
def test_another_net_is_seen(spoil, of, params, xs, ours):
    net = copied(params)
    spoil(net)
    apart = np.abs(said(net, "step", xs) - ours).max((0, 2, 3))
    wrong = np.array([name == of for name in NETS])
    assert (apart[wrong] > 1e-3).all()
    assert (apart[~wrong] <= CLOSE).all()
