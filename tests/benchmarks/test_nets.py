"""`bench=nets`: what is measured, and that PyTorch's net is ours."""

import numpy as np
import pytest

from benchmarks import floors, nets, products
from benchmarks.contest import fastest
from benchmarks.peers import is_here
from bot4jax.config import load
from bot4jax.errors import Bot4JaxError
from bot4jax.nets.sizes import LSTMSizes, NetSizes

FEATURES = 5
SIZES = NetSizes(members=("lstm",), stem=6, lstm=LSTMSizes(widths=(8, 4)))


@pytest.fixture(scope="module")
def result(serve):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nets, "SINGLE", {"single_3": (8, 6, 4), "single_5": (8,) * 5})
        patch.setattr(nets, "LADDER", {"ladder_3": (8, 6, 4)})
        return serve("nets", "ensemble.members=[lstm,gru]")


def test_every_net_is_measured(result):
    ours = {row.stage for row in result.rows if row.impl == "bot4jax"}
    assert ours == {"lstm", "nets", "single_3", "single_5", "ladder_3"}
    assert set(result.manifest.compile_s) == ours
    assert all(row.floor for row in result.rows if row.impl == "bot4jax")


def test_the_ladder_is_that_of_the_experiments():
    names = {"ladder_3": "ladder_1_lstm3", "ladder_5": "ladder_2_lstm5"}
    widths = {
        name: tuple(load([f"experiment={own}"]).nets.lstm.widths)
        for name, own in names.items()
    }
    assert widths == nets.LADDER


def test_the_ratio_is_that_of_rates(result):
    own, gflops = (
        result.row("lstm", "ms"),
        result.row("matrix_product", "GFLOP/s", "machine"),
    )
    assert own.floor / own.p50 == pytest.approx(
        result.ratios["matrix_product"], rel=1e-4
    )
    shapes = ((64, 64, 64), (16, 16, 64))
    assert gflops.p50 == pytest.approx(products.best_gflops(result.rows, shapes), 1e-4)


def test_ratios_are_larger_when_better(result):
    expected = {"matrix_product"}
    if is_here("torch"):
        expected |= {"pytorch", "pytorch_compiled"}
        theirs = fastest(result.rows, "lstm", "pytorch", "pytorch_own").p50
        ratio = theirs / result.row("lstm", "ms").p50
        assert result.ratios["pytorch"] == pytest.approx(ratio, rel=1e-4)
    assert set(result.ratios) == expected


def test_the_largest_product_of_a_layer():
    assert floors.layer_shape(SIZES, 16) == (16, 8, 32)
    wide = NetSizes(stem=48, lstm=LSTMSizes(widths=(512, 256)))
    assert floors.layer_shape(wide, 1024) == (1024, 512, 2048)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # its compiler's own
class TestPyTorch:
    @pytest.fixture(autouse=True)
    def torch(self):
        return pytest.importorskip("torch", reason="the peers of .[bench] are missing")

    @pytest.fixture
    def ours(self):
        return nets.Walker(SIZES, 3, FEATURES, seed=1)

    def test_says_what_ours_says_bar_after_bar(self, ours, torch):
        from benchmarks import pytorch

        net = pytorch.copied(SIZES, FEATURES, ours.params)
        memory = pytorch.fresh(SIZES.lstm.widths, 3)
        x = torch.from_numpy(np.array(ours.x))
        walk = pytorch.Walker(lambda memory: net.step(x, memory), memory)
        for _ in range(4):
            said = np.asarray(ours())[0]
            np.testing.assert_allclose(walk().numpy(), said, atol=2e-6)
        assert np.ptp(said) > 0.01, "heads of zero would hide a difference"

    def test_its_own_lstm_says_the_same(self, ours, torch):
        from benchmarks import pytorch

        net = pytorch.copied(SIZES, FEATURES, ours.params)
        xs = torch.randn(6, 3, FEATURES, generator=torch.Generator().manual_seed(2))
        memory = pytorch.fresh(SIZES.lstm.widths, 3)
        with torch.inference_mode():
            whole, _ = net(xs, memory)
            for x, expected in zip(xs, whole, strict=True):
                said, memory = net.step(x, memory)
                np.testing.assert_allclose(said, expected, atol=2e-6)

    def test_other_weights_are_refused(self, ours, monkeypatch):
        from benchmarks import pytorch

        copied = pytorch.copied

        def spoilt(*arguments):
            net = copied(*arguments)
            net.head.bias.data[0] += 0.01
            return net

        monkeypatch.setattr(pytorch, "copied", spoilt)
        with pytest.raises(Bot4JaxError, match="differs from ours"):
            nets.pytorch_entries(SIZES, FEATURES, ours)
