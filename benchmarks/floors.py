"""What the machine needs at least: copies, matrix products, syncs, measured here.

A floor counts only what cannot be avoided: what must be read or written once, at the
speed of a copy of as many bytes, or multiplied, at the speed of the best product.
"""

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import least_ms
from bot4jax.kernels.bars import OpenBars
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.numerics import BLOCK
from bot4jax.state import Observing, Seen
from bot4jax.types import PACKED, TICK

REPETITIONS = 30
SQUARES = ((1024, 1024, 1024), (2048, 2048, 2048))
"""Products `[m, k] × [k, n]` that libraries are good at."""


def copy_ms(touched: int, repetitions: int = REPETITIONS) -> float:
    """Least time to read half of so many bytes and to write the other half."""
    source = np.ones(max(touched // 8, 1), np.float32)
    target, on_device = np.empty_like(source), jax.device_put(source)
    negative = jax.jit(jnp.negative)
    jax.block_until_ready(negative(on_device))
    return min(
        least_ms(lambda: np.copyto(target, source), repetitions),
        least_ms(lambda: negative(on_device), repetitions),
    )


def matrix_gflops(
    shapes: Sequence[tuple[int, int, int]], repetitions: int = 3
) -> float:
    """The best rate of JAX and NumPy over float32 products `[m, k] × [k, n]`."""
    product = jax.jit(jnp.matmul)
    best = 0.0
    for m, k, n in shapes:
        a, b = np.ones((m, k), np.float32), np.ones((k, n), np.float32)
        on_device = jax.device_put((a, b))
        jax.block_until_ready(product(*on_device))
        shortest = min(
            least_ms(lambda pair=on_device: product(*pair), repetitions),
            least_ms(lambda a=a, b=b: a @ b, repetitions),
        )
        best = max(best, 2 * m * k * n / shortest / 1e6)
    return best


def sync_ms(folder: Path, size: int, repetitions: int = REPETITIONS) -> float:
    """Least time to append so many bytes to a file and to wait for the disk."""
    path, content = folder / "sync", os.urandom(size)
    shortest = float("inf")
    with path.open("wb", buffering=0) as file:
        for _ in range(repetitions):
            began = time.perf_counter()
            file.write(content)
            os.fdatasync(file.fileno())
            shortest = min(shortest, time.perf_counter() - began)
    path.unlink()
    return shortest * 1e3


def size_of(tree: Any) -> int:
    """Bytes of all arrays in a tree, or of those that its shapes stand for."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def pack_bytes(ticks: float) -> int:
    """Read and written once a tick: its record, and its packed row."""
    return round(ticks * (TICK.itemsize + 4 * len(PACKED)))


def absorb_bytes(bars: OpenBars, capacity: int) -> int:
    """The packed rows, and the open bars they belong to, read and written."""
    symbols = bars.ints.shape[0]
    touched = size_of((bars.ints, bars.floats)) * min(capacity, symbols) // symbols
    return 4 * len(PACKED) * capacity + 2 * touched


def close_bytes(bars: OpenBars, closed: Any) -> int:
    """The open bars, read, written as they stand and at the opening, and the closed."""
    return size_of((bars.ints, bars.floats)) + size_of(bars) + size_of(closed)


def observe_bytes(state: Observing, seen: Seen, closed: Any) -> int:
    """What one bar must touch of the bank.

    Windows are read once (they are stored twice); of the sums the blocks and one open
    block; what is carried is read and written; the bar is read, the scores written.
    """
    sums = sum(
        size_of(one.blocks) + BLOCK * size_of(one.rows) // one.rows.shape[0]
        for one in state.bank.sums
    )
    carried = state.bank.past, state.bank.recursions, *state[1:]
    return (
        size_of(state.bank.windows) // 2
        + sums
        + 2 * size_of(carried)
        + size_of(closed)
        + size_of(seen)
    )


def net_flops(sizes: NetSizes, features: int) -> int:
    """Operations of all products of one symbol and bar; every matrix is met once.

    Attention multiplies each query with the keys of its context, and its weights with
    the values.
    """
    mask = zoo.decay_mask(sizes, features)
    entries = sum(int(leaf.sum()) for leaf in jax.tree.leaves(mask))
    if "transformer" not in sizes.members:
        return 2 * entries
    own = sizes.transformer
    return 2 * entries + 4 * own.blocks * own.width * own.context


def update_flops(sizes: NetSizes, features: int) -> int:
    """Operations of all products of one symbol and bar in one update.

    Each product has two more on the way back, for the gradients of either factor; the
    scores that the stem reads need none.
    """
    return 3 * net_flops(sizes, features) - 2 * features * sizes.stem


def stem_shape(sizes: NetSizes, symbols: int, features: int) -> tuple[int, int, int]:
    """The product that all nets share, as `[m, k] × [k, n]`."""
    return symbols, features, sizes.stem


def layer_shape(sizes: NetSizes, symbols: int) -> tuple[int, int, int]:
    """The largest product of the LSTM's layers, as `[m, k] × [k, n]`.

    A layer multiplies its input and its own hidden state, each with four gates.
    """
    widths = sizes.lstm.widths
    pairs = zip((sizes.stem, *widths), widths, strict=False)
    shapes = [(k, 4 * n) for inputs, n in pairs for k in (inputs, n)]
    return symbols, *max(shapes, key=lambda shape: shape[0] * shape[1])
