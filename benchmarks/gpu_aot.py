"""`python -m benchmarks.gpu_aot`: compiled for sm_90 without a device.

The bank, the step of `preset=full` and one update of its nets, compiled by XLA for an
H100 that is not there: how many kernels and dispatches a call takes, how much memory,
and whether anything waits for the host. No numbers are computed and no time is known.
The last line is `result <path>`, or `skipped: <why>` where the plugin is missing. What
would wait for the host is `refused`, call by call: no result is written then.
"""

import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import msgspec

from benchmarks import gpu_plan, gpu_target, manifest
from benchmarks.result import RESULTS, Manifest, Result, Row, write
from benchmarks.stage import MIB, compile_alone, for_bench, shapes_of_calls
from benchmarks.timing import one
from benchmarks.train import chunk, peak
from bot4jax.config import load
from bot4jax.environment import GPU_FLAGS
from bot4jax.kernels import bank
from bot4jax.kernels.bars import unpack_bar
from bot4jax.learn.update import Form, begin, gradients, update
from bot4jax.modes.keeping import blank
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.nets import zoo
from bot4jax.schema import Config

WORDS = ("preset=full",)
SYMBOLS = 1024

WAITS = 1
"""Exit code where something would."""


class Call(NamedTuple):
    """A function, the shapes of its arguments, and which of them it may overwrite."""

    function: Any
    shapes: tuple[Any, ...]


class Compiled(NamedTuple):
    """What is known of one function without running it."""

    plan: gpu_plan.Plan
    peak_mib: float
    compile_s: float


def main(words: Sequence[str] | None = None) -> int:
    """Compile everything, refuse what would wait for the host, write the result."""
    words = list(sys.argv[1:] if words is None else words)
    why = gpu_target.missing()
    if why:
        print(f"skipped: {why}")
        return 0
    jax.config.update("jax_platforms", "cpu")
    os.environ["XLA_FLAGS"] = " ".join(GPU_FLAGS)
    begun = manifest.describe(load(WORDS), words)
    config = load([*WORDS, f"data.symbols={SYMBOLS}"])
    found = {name: compiled(call) for name, call in calls_of(config).items()}
    for name, own in found.items():
        print(told(name, own))
    if waiting := waits(found):
        print(f"refused: {', '.join(waiting)} would wait for the host")
        return WAITS
    path = write(result_of(config, begun, found), RESULTS)
    print(f"result {os.path.relpath(path)}")
    return 0


def result_of(config: Config, begun: Manifest, found: Mapping[str, Compiled]) -> Result:
    """Counts of all calls, as they are kept."""
    return Result(
        bench="gpu_aot",
        preset=config.preset,
        symbols=config.data.symbols,
        window=config.features.window,
        rows=tuple(row for name, own in found.items() for row in rows_of(name, own)),
        ratios={},
        manifest=msgspec.structs.replace(
            begun,
            command="python -m benchmarks.gpu_aot",
            device=f"compiled for {gpu_target.ARCHITECTURE} without a device",
            compile_s={name: own.compile_s for name, own in found.items()},
        ),
    )


def calls_of(config: Config) -> dict[str, Call]:
    """The engine's functions for one bar, its features alone, an update of its nets."""
    setting = set_stage(for_bench(config, 1))
    shapes = shapes_of_calls(setting, compile_alone(setting))
    alone = ("nets", "forest")  # which `conclude` holds
    calls = {name: Call(*one) for name, one in shapes.items() if name not in alone}
    return calls | {"bank": bank_call(setting), "update": update_call(setting)}


def bank_call(setting: Setting) -> Call:
    """All features of one bar, neither scored nor counted."""
    fitted, state, *_ = jax.eval_shape(lambda: blank(setting))
    _, *closed = jax.eval_shape(setting.engine.close, state.bars)
    bar = jax.eval_shape(unpack_bar, *closed)
    features = partial(bank.update, setting.settings.plan)
    shapes = fitted.units.scales, state.observing.bank, bar
    return Call(jax.jit(features, donate_argnums=1), shapes)


def update_call(setting: Setting) -> Call:
    """What learning does with one chunk of one group of symbols."""
    config, sizes = setting.config, setting.settings.sizes
    batch = chunk(config)
    _, symbols, features = batch.features.shape
    state, carry = jax.eval_shape(
        lambda: (
            begin(zoo.init(sizes, features, 0)),
            zoo.init_carry(sizes, symbols),
        )
    )
    form = Form(sizes, config.train.parts, config.hardware.products)
    learn = partial(update, form.sizes, partial(gradients, form))
    learn = jax.jit(learn, donate_argnums=(0, 1))
    worth = jnp.float32(batch.weights.sum())
    shapes = jax.eval_shape(lambda: (batch, worth, peak(config.train)))
    return Call(learn, (state, carry, *shapes))


def compiled(call: Call) -> Compiled:
    """Compile for the described GPU and read what XLA planned."""
    sharding = jax.sharding.SingleDeviceSharding(gpu_target.device())
    shapes = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        call.shapes,
    )
    with tempfile.TemporaryDirectory() as folder:
        dumps = {"xla_dump_to": folder, "xla_dump_hlo_as_text": True}
        began = time.perf_counter()
        executable = call.function.lower(*shapes).compile(compiler_options=dumps)
        seconds = round(time.perf_counter() - began, 4)
        thunks = gpu_plan.thunks_of(Path(folder))
    plan = gpu_plan.read_plan(thunks, executable.as_text())
    needs = executable.memory_analysis()
    return Compiled(plan, needs.peak_memory_in_bytes / MIB, seconds)


def waits(found: Mapping[str, Compiled]) -> list[str]:
    """Calls in which the GPU would have to ask the host how to go on."""
    return [
        name
        for name, (plan, *_) in found.items()
        if plan.host_markers > 0 or plan.data_dependent_loops > 0
    ]


def rows_of(name: str, found: Compiled) -> list[Row]:
    """Counts of one call."""
    plan = found.plan
    counts = {
        "kernels": plan.kernels,
        "dispatches": plan.dispatches,
        "data-dependent loops": plan.data_dependent_loops,
        "conditionals": plan.conditionals,
        "host markers": plan.host_markers,
        "MiB": found.peak_mib,
    }
    return [one(name, value, unit) for unit, value in counts.items()]


def told(name: str, found: Compiled) -> str:
    """One line, in the words that claim no more than was done."""
    plan = found.plan
    return (
        f"{name}: compiled for {gpu_target.ARCHITECTURE} without a device: "
        f"{plan.kernels:,} kernels, {plan.dispatches:,} dispatches, "
        f"{found.peak_mib * 1024:,.0f} KiB; {plan.data_dependent_loops} data-dependent "
        f"loops, {plan.host_markers} host markers"
    )


if __name__ == "__main__":
    sys.exit(main())
