"""How fast is one bar through the nets, beside the machine's products and PyTorch?

The LSTM of the preset by itself for all symbols, all nets of the preset together, the
two LSTMs whose skill the experiments of the ladder compare, and one symbol alone
through an LSTM of three and of five layers. PyTorch has the same weights, and must
say the same before its time counts.
"""

import time
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jaxtyping import Array, Float

from benchmarks import floors, products
from benchmarks.contest import Entry, contest, expect_equal, fastest
from benchmarks.members import chosen, random_nets
from benchmarks.peers import is_here
from benchmarks.result import Measured, Row
from benchmarks.timing import one, rounded
from bot4jax.modes.setting import net_sizes
from bot4jax.nets import zoo
from bot4jax.nets.sizes import LSTMSizes, NetSizes
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config

SINGLE = {"single_3": (512, 256, 128), "single_5": (512, 256, 128, 64, 32)}
"""Widths of the LSTMs that one symbol goes through alone."""

LADDER = {"ladder_3": (64, 48, 32), "ladder_5": (64, 48, 48, 32, 32)}
"""Widths of the LSTMs of the experiments `ladder_1_lstm3` and `ladder_2_lstm5`."""

TOLERANCE = 1e-4
"""Of log probabilities: sums of hundreds of products, in another order."""

BARS = 3
"""That are compared: the later ones depend on what is carried."""


class Walker:
    """Compiled nets that remember, called bar after bar with the same scores."""

    def __init__(self, sizes: NetSizes, symbols: int, features: int, seed: int) -> None:
        scores = np.random.default_rng(seed).normal(size=(symbols, features))
        self.x: Float[Array, "S F"] = jnp.asarray(scores, jnp.float32)
        self.params = random_nets(sizes, features, seed)
        self.carry = zoo.init_carry(sizes, symbols)
        began = time.perf_counter()
        step = jax.jit(partial(zoo.step, sizes), donate_argnums=1)
        self.step = step.lower(self.params, self.carry, self.x).compile()
        self.compile_s = round(time.perf_counter() - began, 4)
        self.flops = symbols * floors.net_flops(sizes, features)

    def __call__(self) -> Array:
        self.carry, said = self.step(self.params, self.carry, self.x)
        return said


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """Everyone in turns, the machine's products too."""
    jax.config.update("jax_enable_compilation_cache", False)
    sizes, symbols, features = net_sizes(config), config.data.symbols, width(config)
    lstm = lstm_alone(sizes, sizes.lstm.widths)
    seed = config.run.seed
    walkers = {
        "lstm": Walker(lstm, symbols, features, seed),
        "nets": Walker(sizes, symbols, features, seed),
    }
    for many, named in ((1, SINGLE), (symbols, LADDER)):
        walkers |= {
            name: Walker(lstm_alone(sizes, widths), many, features, seed)
            for name, widths in named.items()
        }
    shapes = (*floors.SQUARES, floors.layer_shape(lstm, symbols))
    entries = [Entry(name, "bot4jax", one) for name, one in walkers.items()]
    entries += pytorch_entries(lstm, features, walkers["lstm"])
    rows = contest([*entries, *products.entries(shapes)], steps, warmup, report)
    gflops = products.best_gflops(rows, shapes)
    machine = one("matrix_product", gflops, "GFLOP/s", "machine")
    return Measured(
        [*with_floors(rows, walkers, gflops), machine],
        ratios(rows, walkers["lstm"].flops, gflops),
        {name: walker.compile_s for name, walker in walkers.items()},
    )


def width(config: Config) -> int:
    """Features that the nets read."""
    return len(chosen(config))


def lstm_alone(sizes: NetSizes, widths: Sequence[int]) -> NetSizes:
    """A net of the same stem that is an LSTM of these widths and nothing else."""
    return msgspec.structs.replace(
        sizes, members=("lstm",), lstm=LSTMSizes(widths=tuple(widths))
    )


def pytorch_entries(sizes: NetSizes, features: int, ours: Walker) -> list[Entry]:
    """PyTorch's own LSTM, the layers written out, and those compiled."""
    if not is_here("torch"):
        return []
    import torch  # pyright: ignore[reportMissingImports]

    from benchmarks import pytorch

    net = pytorch.copied(sizes, features, ours.params).eval()
    x = pytorch.placed(np.array(ours.x))
    ways = {
        "pytorch_own": lambda memory: net(x[None], memory),
        "pytorch": lambda memory: net.step(x, memory),
        "pytorch_compiled": partial(torch.compile(net.step), x),
    }
    walks = {
        name: pytorch.Walker(way, pytorch.fresh(sizes.lstm.widths, len(x)))
        for name, way in ways.items()
    }
    for _ in range(BARS):
        said = np.asarray(ours())[0]
        for name, walk in walks.items():
            theirs = walk().cpu().numpy().reshape(said.shape)
            expect_equal(name, said, theirs, TOLERANCE)
    return [Entry("lstm", name, walk) for name, walk in walks.items()]


def with_floors(
    rows: Sequence[Row], walkers: dict[str, Walker], gflops: float
) -> list[Row]:
    """Beside our rows what the products of the step need at the best rate."""
    least = {name: rounded(w.flops / gflops / 1e6) for name, w in walkers.items()}
    return [
        msgspec.structs.replace(row, floor=least[row.stage])
        if row.impl == "bot4jax"
        else row
        for row in rows
    ]


def ratios(rows: Sequence[Row], flops: int, gflops: float) -> dict[str, float]:
    """Our LSTM's rate over that of products, and over PyTorch's."""
    ours = fastest(rows, "lstm", "bot4jax").p50
    found = {"matrix_product": flops / ours / 1e6 / gflops}
    rivals = {
        "pytorch": ("pytorch", "pytorch_own"),
        "pytorch_compiled": ("pytorch_compiled",),
    }
    for name, impls in rivals.items():
        if any(row.impl in impls for row in rows if row.stage == "lstm"):
            found[name] = fastest(rows, "lstm", *impls).p50 / ours
    return {name: rounded(value) for name, value in found.items()}
