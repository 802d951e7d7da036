"""How fast are forests: ours in the step, XGBoost's own predictors, compiled trees?

One booster, fitted on rows with values missing here and there, is read by everyone, and
all must say the same before their time counts. So is one of deeper trees, whose tables
of nodes our rows walk down. Then the first is fitted again and again.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xgboost
from jaxtyping import Array, Float, Int

from benchmarks.contest import Entry, contest, expect_equal, fastest, milliseconds
from benchmarks.nets import width
from benchmarks.peers import is_here
from benchmarks.result import Measured, Row
from benchmarks.timing import quantiles, rounded
from bot4jax.learn.boosting import tree_settings
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.trees import fit, forest, predict

SAMPLES = 10_000
"""Rows that the forest is fitted on."""
HUNDRED = 100
FITS = 3

DEEP = 12
"""Levels of the trees that are walked down; as many trees, fitted alike."""

MISSING = 0.05
"""Share of the values that are NaN."""
UNITS = 8
"""Files that the trees of one forest are compiled in."""

TOLERANCE = 1e-6
"""Of probabilities: what the product promises of its own forest."""

Rows = Float[np.ndarray, "N F"]


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """Predictors in turns, of deep trees too, then fitting."""
    jax.config.update("jax_enable_compilation_cache", False)
    seed, features = config.run.seed, width(config)
    own = tree_settings(config)
    rows, (x, y) = (
        scores(config.data.symbols, features, seed + 1),
        samples(features, seed),
    )
    booster, deep = (fitted(x, y, one) for one in (own, deeper(own)))
    with tempfile.TemporaryDirectory() as folder:
        compiled = compiled_entries(booster, rows, own.threads, Path(folder))
        entries, seconds = entries_of("forest", booster, own, rows, compiled)
        walking, walking_s = entries_of("deep", deep, deeper(own), rows)
        found = contest([*entries, *walking], steps, warmup, report)
    fits = [milliseconds(lambda: fitted(x, y, own)) for _ in range(FITS)]
    each = [ms * HUNDRED / len(x) for ms in fits]
    fitting = quantiles(each, "fit", "ms of 100 samples", 0)
    compile_s = {"forest": seconds, "deep": walking_s}
    return Measured([*found, fitting], ratios(found), compile_s)


def deeper(own: fit.Settings) -> fit.Settings:
    return own._replace(depth=DEEP)


def entries_of(
    stage: str,
    booster: xgboost.Booster,
    own: fit.Settings,
    rows: Rows,
    others: Sequence[Entry] = (),
) -> tuple[list[Entry], float]:
    """Ours, and others that say the same; what compiling ours took, seconds."""
    ours, seconds = fused(booster, own, rows)
    others = [*xgboost_entries(stage, booster, rows, own.threads, own.device), *others]
    for entry in others:
        said = np.asarray(entry.call()).reshape(len(rows), own.classes)
        expect_equal(entry.impl, ours(), said, TOLERANCE)
    return [Entry(stage, "bot4jax", ours), *others], seconds


def scores(count: int, features: int, seed: int) -> Rows:
    """Normal, some of them missing."""
    random = np.random.default_rng(seed)
    rows = random.normal(size=(count, features)).astype(np.float32)
    rows[random.random(rows.shape) < MISSING] = np.nan
    return rows


def samples(features: int, seed: int) -> tuple[Rows, Int[np.ndarray, " N"]]:
    """Rows whose first score says a little about their class."""
    x = scores(SAMPLES, features, seed)
    noise = np.random.default_rng(seed + 2).normal(size=SAMPLES)
    lean = np.nan_to_num(x[:, 0]) + 3 * noise
    return x, np.digitize(lean, np.quantile(lean, [0.25, 0.75])).astype(np.int32)


def fitted(x: Rows, y: Int[np.ndarray, " N"], own: fit.Settings) -> xgboost.Booster:
    return fit.fit_forest(x, y, np.ones(len(x), np.float32), own)


def fused(
    booster: xgboost.Booster, own: fit.Settings, rows: Rows
) -> tuple[Callable[[], Array], float]:
    """The forest as the step has it, and what compiling it took, seconds."""
    capacity = own.rounds * own.classes
    packed = forest.pack(booster, capacity, own.depth, own.classes)
    on_device = jnp.asarray(rows)
    began = time.perf_counter()
    predict = jax.jit(forest.predict).lower(packed, on_device).compile()
    seconds = round(time.perf_counter() - began, 4)
    return lambda: predict(packed, on_device), seconds


def xgboost_entries(
    stage: str, booster: xgboost.Booster, rows: Rows, threads: int, device: str
) -> list[Entry]:
    """In place, where the product's own predictor reads them; and by way of a matrix.

    On a GPU the first is log odds, made into probabilities where they are.
    """

    def by_matrix() -> np.ndarray:
        return booster.predict(xgboost.DMatrix(rows, nthread=threads))

    booster.set_param({"nthread": threads, "device": device})
    if device == "cpu":
        in_place = partial(booster.inplace_predict, rows)
    else:
        in_place = on_device(predict.asker(booster, threads, device), rows)
    entries = [Entry(stage, "xgboost", in_place)]
    return [*entries, Entry(stage, "xgboost_dmatrix", by_matrix)]


def on_device(margins: predict.Margins, rows: Rows) -> Callable[[], Array]:
    """Probabilities of rows that lie on the device, by log odds that stay there."""
    lying, shares = jnp.asarray(rows), jax.jit(partial(jax.nn.softmax, axis=1))
    return lambda: shares(margins(lying))


def compiled_entries(
    booster: xgboost.Booster, rows: Rows, threads: int, folder: Path
) -> list[Entry]:
    """The trees as C, compiled by TL2cgen; its matrix is made beforehand."""
    if not is_here("treelite", "tl2cgen"):
        return []
    import tl2cgen  # pyright: ignore[reportMissingImports]
    import treelite  # pyright: ignore[reportMissingImports]

    library = folder / "forest.so"
    tl2cgen.export_lib(
        treelite.frontend.from_xgboost(booster),
        toolchain="gcc",
        libpath=library,
        params={"parallel_comp": UNITS},
    )
    predictor: Any = tl2cgen.Predictor(library, nthread=threads)
    matrix = tl2cgen.DMatrix(rows, dtype="float32")
    return [Entry("forest", "tl2cgen", lambda: predictor.predict(matrix))]


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """Our forest's speed over that of the others."""
    ours = fastest(rows, "forest", "bot4jax").p50
    rivals = {
        "xgboost": ("xgboost", "xgboost_dmatrix"),
        "compiled_trees": ("tl2cgen",),
    }
    return {
        name: rounded(fastest(rows, "forest", *impls).p50 / ours)
        for name, impls in rivals.items()
        if any(row.impl in impls for row in rows)
    }
