"""The machine's matrix-product rate: the best that JAX, NumPy and PyTorch reach."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contest import Entry
from benchmarks.peers import is_here
from benchmarks.result import Row

Shape = tuple[int, int, int]
"""`[m, k] × [k, n]`, float32"""

LIBRARIES = ("jax", "numpy", "pytorch")


def entries(shapes: Sequence[Shape]) -> list[Entry]:
    """Every library with every shape."""
    return [entry for shape in dict.fromkeys(shapes) for entry in _of_shape(shape)]


def best_gflops(rows: Sequence[Row], shapes: Sequence[Shape]) -> float:
    """The best median rate among the rows of `entries`."""
    flops = {_stage(shape): 2 * np.prod(shape, dtype=float) for shape in shapes}
    return max(
        float(flops[row.stage] / row.p50 / 1e6) for row in rows if row.stage in flops
    )


def _stage(shape: Shape) -> str:
    return "product_" + "x".join(map(str, shape))


def _of_shape(shape: Shape) -> list[Entry]:
    m, k, n = shape
    random = np.random.default_rng(0)
    a = random.normal(size=(m, k)).astype(np.float32)
    b = random.normal(size=(k, n)).astype(np.float32)
    product, on_device = jax.jit(jnp.matmul), jax.device_put((a, b))
    calls = {"jax": lambda: product(*on_device), "numpy": lambda: a @ b}
    if is_here("torch"):
        from benchmarks import pytorch

        x, y = pytorch.placed(a), pytorch.placed(b)
        calls["pytorch"] = lambda: pytorch.complete(x @ y)
    return [Entry(_stage(shape), name, call) for name, call in calls.items()]
