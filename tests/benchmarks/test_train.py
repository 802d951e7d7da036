"""`bench=train`: one update, ours and PyTorch's."""

import jax
import numpy as np
import pytest

from benchmarks import train
from benchmarks.nets import lstm_alone
from benchmarks.peers import is_here
from bot4jax.config import load
from bot4jax.modes.setting import net_sizes

FEATURES = "features.names=[mean,skewness,rsi_14]"


@pytest.fixture(scope="module")
def config():
    return load(["debug=tiny", "train.chunk=6", "data.symbols=5", FEATURES])


@pytest.fixture(scope="module")
def sizes(config):
    return lstm_alone(net_sizes(config), (8, 4))


def test_windows_a_second(serve):
    result = serve("train", "train.chunk=5")
    rate, ms = result.row("update", "windows/s"), result.row("update", "ms")
    assert rate.p50 == pytest.approx(16 / ms.p50 * 1e3, rel=1e-4)
    assert 0 < ms.floor < ms.p50
    assert rate.floor == pytest.approx(16 / ms.floor * 1e3, rel=1e-4)
    assert set(result.ratios) == ({"pytorch"} if is_here("torch") else set())


def test_a_chunk_has_a_group_of_symbols(config):
    batch = train.chunk(config)
    assert batch.features.shape == (6, 5, 3)
    assert set(np.unique(batch.labels)) == {0, 1, 2}


def test_pytorch_learns_the_same(config, sizes):
    """The loss at every update, and the weights after all of them."""
    torch = pytest.importorskip("torch", reason="the peers of .[bench] are missing")
    from benchmarks import pytorch
    from benchmarks.pytorch_update import Update

    batch = train.chunk(config)
    ours = train.Learner(sizes, config.train, batch, seed=3)
    theirs = Update(sizes, config.train, batch, ours.params)
    losses = [(float(ours()), float(theirs())) for _ in range(4)]
    mine, others = np.array(losses).T
    np.testing.assert_allclose(mine, others, atol=1e-5)
    assert mine[-1] < mine[0]
    copied = pytorch.copied(sizes, 3, jax.tree.map(np.asarray, ours.state.params))
    with torch.no_grad():
        for own, other in zip(
            copied.parameters(), theirs.net.parameters(), strict=True
        ):
            # Adam divides by the root of tiny squares: rounding is magnified
            np.testing.assert_allclose(own, other, atol=2e-4)
