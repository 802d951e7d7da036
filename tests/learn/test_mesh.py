"""Many devices, many processes, many parts: the same losses and weights."""

import json
import os
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from bot4jax.errors import ConfigError
from bot4jax.learn import mesh
from tests.learn.small_fit import SIZES, fitted, hardware, settings, undisturbed
from tests.learn.small_mesh import flops

TOLERANCE = 2e-5
"""Of losses and weights: gradients add up in another order, and thirty steps of Adam
divide by the roots of small squares."""


FLAGS = "--xla_force_host_platform_device_count={} --xla_backend_optimization_level=0"
"""So many devices, and compiled in half the time."""


@pytest.fixture(scope="module")
def alone():
    return undisturbed()


def environment(**own):
    known = {k: v for k, v in os.environ.items() if not k.startswith(("JAX", "XLA"))}
    return known | {"JAX_PLATFORMS": "cpu"} | own


def started(*words, **own):
    command = [sys.executable, "-m", "tests.learn.small_mesh", *map(str, words)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment(**own)
    )


def told(process):
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def eight():
    """One process with eight devices."""
    return told(started(0, 1, "none", XLA_FLAGS=FLAGS.format(8)))


@pytest.fixture(scope="module")
def pair():
    """Two processes with two devices each, that talk through gloo."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    both = [started(k, 2, address, XLA_FLAGS=FLAGS.format(2)) for k in (0, 1)]
    return [told(process) for process in both]


def assert_close(found, expected):
    params, history = expected
    np.testing.assert_allclose(found["loss"], history.loss, atol=TOLERANCE)
    flat = np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])
    np.testing.assert_allclose(found["params"], flat, atol=10 * TOLERANCE)


def test_eight_devices_learn_what_one_learns(eight, alone):
    assert eight["devices"] == 8
    assert eight["lanes"] == 8  # four symbols a batch, filled up
    assert_close(eight, alone)


def test_devices_learn_the_same_in_parts(eight, alone):
    np.testing.assert_allclose(eight["loss_in_parts"], alone[1].loss, atol=TOLERANCE)


def test_each_device_computes_its_own_symbols_alone(eight):
    """And the step of AdamW, which all of them take."""
    assert 8 * eight["flops"] < 1.5 * flops(hardware())


def test_two_processes_learn_what_one_learns(pair, alone):
    assert [one["process"] for one in pair] == [0, 1]
    assert [one["devices"] for one in pair] == [4, 4]
    for one in pair:
        assert_close(one, alone)


def test_two_processes_end_with_the_same_bits(pair):
    assert pair[0]["params"] == pair[1]["params"]


def test_parts_add_up_to_the_whole_batch(alone):
    """Losses of the first updates to rounding; later ones as far as Adam carries it."""
    params, history = fitted(own=settings(parts=2))
    np.testing.assert_allclose(history.loss[:3], alone[1].loss[:3], atol=1e-6)
    np.testing.assert_allclose(history.norm[:3], alone[1].norm[:3], rtol=1e-5)
    np.testing.assert_allclose(history.loss, alone[1].loss, atol=TOLERANCE)
    pairs = zip(*map(jax.tree.leaves, (params, alone[0])), strict=True)
    for one, other in pairs:
        np.testing.assert_allclose(one, other, atol=10 * TOLERANCE)


def test_products_in_bfloat16_learn_nearly_the_same(alone):
    """Rounded products, not rounded weights: the losses are near and not equal."""
    params, history = fitted(on=hardware(products="bfloat16"))
    apart = np.abs(history.loss - alone[1].loss)
    assert 1e-5 < apart.max() < 2e-2
    assert history.loss[-6:].mean() < history.loss[:6].mean()
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))


def test_devices_that_are_not_there_are_refused():
    """Fewer would be taken without a word, by a configuration that says otherwise."""
    known = len(jax.devices())
    assert mesh.mesh_of(known).size == known
    with pytest.raises(ConfigError, match=f"at most {known},.* found {known + 1}"):
        mesh.mesh_of(known + 1)


def test_batches_are_filled_up_to_whole_devices_and_parts():
    own = mesh.mesh_of(1)
    assert [mesh.lanes_of(own, 10, parts) for parts in (1, 2, 4)] == [10, 10, 12]
    assert SIZES.members
