"""How many windows a second do nets learn from, ours and PyTorch's?

One update of the preset's LSTM: a chunk of bars of a group of symbols forwards and
backwards, the gradient clipped, one step of AdamW. A window is one symbol's chunk.
PyTorch starts from the same weights, and must end at the same loss and weights. The
floor is what the products of the update take at the best rate of the machine, measured
in the same turns.
"""

import time
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import msgspec
import numpy as np
from jaxtyping import Array

from benchmarks import floors, products
from benchmarks.contest import Entry, contest, expect_equal
from benchmarks.members import random_nets
from benchmarks.nets import lstm_alone, width
from benchmarks.peers import is_here
from benchmarks.result import Measured, Row
from benchmarks.timing import one, rate, rounded
from bot4jax.learn.schedule import Pace, Samples, pace
from bot4jax.learn.update import Form, begin, gradients, update
from bot4jax.modes.setting import net_sizes
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.schema.learning import Train
from bot4jax.state import copied
from bot4jax.types import CLASSES

TOLERANCE = 1e-4
"""Of losses: sums of thousands of products, in another order."""
UPDATES = 3
"""That are compared: the later ones depend on what the first have learnt."""


class Learner:
    """Our update, again and again on the same chunk."""

    def __init__(self, sizes: NetSizes, own: Train, batch: Samples, seed: int) -> None:
        bars, symbols, features = batch.features.shape
        self.flops = bars * symbols * floors.update_flops(sizes, features)
        self.batch = jax.tree.map(jnp.asarray, batch)
        self.pace, self.worth = peak(own), np.float32(batch.weights.sum())
        self.params = random_nets(sizes, features, seed)
        self.state = begin(copied(self.params))
        self.carry = zoo.init_carry(sizes, symbols)
        began = time.perf_counter()
        grade = partial(gradients, Form(sizes, own.parts, "float32"))
        learn = jax.jit(partial(update, sizes, grade), donate_argnums=(0,))
        self.update = learn.lower(*self._arguments()).compile()
        self.compile_s = round(time.perf_counter() - began, 4)

    def __call__(self) -> Array:
        """The loss before the update."""
        self.state, _, health = self.update(*self._arguments())
        return health.loss[0]

    def _arguments(self) -> tuple:
        return self.state, self.carry, self.batch, self.worth, self.pace


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """Updates in turns."""
    jax.config.update("jax_enable_compilation_cache", False)
    sizes, own = net_sizes(config), config.train
    lstm = lstm_alone(sizes, sizes.lstm.widths)
    batch = chunk(config)
    group = batch.labels.shape[1]
    ours = Learner(lstm, own, batch, config.run.seed)
    entries = [
        Entry("update", "bot4jax", ours),
        *pytorch_entries(lstm, own, batch, ours),
    ]
    shapes = (*floors.SQUARES, floors.layer_shape(lstm, group))
    rows = contest([*entries, *products.entries(shapes)], steps, warmup, report)
    gflops = products.best_gflops(rows, shapes)
    timed = _with_floor(rows, ours.flops / gflops / 1e6)
    updates = [row for row in timed if row.stage == "update"]
    rates = [rate(row, group, "windows/s") for row in updates]
    times = {row.impl: row.p50 for row in updates}
    ratios = {
        name: rounded(ms / times["bot4jax"])
        for name, ms in times.items()
        if name != "bot4jax"
    }
    machine = one("matrix_product", gflops, "GFLOP/s", "machine")
    return Measured([*rates, *timed, machine], ratios, {"update": ours.compile_s})


def _with_floor(rows: Sequence[Row], least_ms: float) -> list[Row]:
    """Beside our update what its products need at the best rate."""
    return [
        msgspec.structs.replace(row, floor=rounded(least_ms))
        if (row.stage, row.impl) == ("update", "bot4jax")
        else row
        for row in rows
    ]


def chunk(config: Config) -> Samples:
    """Random scores and classes of one chunk and group, all of weight 1."""
    random = np.random.default_rng(config.run.seed)
    symbols = min(config.train.symbols_per_batch, config.data.symbols)
    shape = (config.train.chunk, symbols)
    return Samples(
        random.normal(size=(*shape, width(config))).astype(np.float32),
        random.integers(0, len(CLASSES), shape).astype(np.int32),
        np.ones(shape, np.float32),
    )


def peak(own: Train) -> Pace:
    """The peak rate; no mean of weights is kept, for PyTorch keeps none."""
    return pace(own, own.learning_rate, averaging=0)


def pytorch_entries(
    sizes: NetSizes, own: Train, batch: Samples, ours: Learner
) -> list[Entry]:
    """The same update with PyTorch's own LSTM, which is not compiled further."""
    if not is_here("torch"):
        return []
    from benchmarks.pytorch_update import Update

    theirs = Update(sizes, own, batch, ours.params)
    for _ in range(UPDATES):
        expect_equal("pytorch's loss", ours(), theirs().cpu().numpy(), TOLERANCE)
    return [Entry("update", "pytorch", theirs)]
