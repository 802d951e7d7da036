"""What each stage needs at least on this machine, measured in the run it stands beside.

Copies are measured at the stage's own number of bytes, so a floor lies in the same
cache as the stage; a product is measured at the sizes that libraries like best.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from benchmarks import floors
from benchmarks.result import Row
from benchmarks.stage import Stage, shapes_of_calls
from benchmarks.timing import one
from bot4jax.state import Seen


class Least(NamedTuple):
    """Floors by stage, ms, and the machine's speeds that they rest on."""

    ms: dict[str, float]
    machine: list[Row]


class Between(NamedTuple):
    """Shapes of what one function hands to the next."""

    ints: Array
    floats: Array
    seen: Seen
    decisions: Array


def on_device(stage: Stage) -> Least:
    """Of features by copying, of the nets by multiplying; of `conclude` the nets'."""
    settings, observing = stage.setting.settings, stage.kept.state.observing
    symbols, features = settings.layout.symbols, len(settings.plan.specs)
    ints, floats, seen, _ = shapes_between(stage)
    touched = floors.observe_bytes(observing, seen, (ints, floats))
    observe = floors.copy_ms(touched)
    shape = floors.stem_shape(settings.sizes, symbols, features)
    gflops = floors.matrix_gflops((*floors.SQUARES, shape))
    nets = symbols * floors.net_flops(settings.sizes, features) / gflops / 1e6
    return Least(
        {"observe": observe, "nets": nets, "conclude": nets, "decide": observe + nets},
        [
            one("copy", touched / observe / 1e6, "GB/s", "machine"),
            one("matrix_product", gflops, "GFLOP/s", "machine"),
        ],
    )


def of_step(stage: Stage, ticks: float, folder: Path) -> Least:
    """Of every stage that has one; `ticks` a bar, `folder` is the journal's.

    A decision needs at least what its parts need one after the other.
    """
    capacity, open_bars = stage.setting.settings.layout.capacity, stage.kept.state.bars
    ints, floats, _, decisions = shapes_between(stage)
    device = on_device(stage)
    batch = floors.copy_ms(floors.absorb_bytes(open_bars, capacity))
    ms = device.ms | {
        "pack": floors.copy_ms(floors.pack_bytes(ticks)),
        "absorb_batch": batch,
        "absorb": batch * np.ceil(ticks / capacity).item(),
        "close": floors.copy_ms(floors.close_bytes(open_bars, (ints, floats))),
        "journal": floors.sync_ms(folder, floors.size_of(decisions)),
    }
    parts = ("close", "observe", "conclude", "journal")
    ms["decision"] = sum(ms[name] for name in parts)
    sync = one("sync", ms["journal"], "ms", "machine")
    return Least(ms, [*device.machine, sync])


def shapes_between(stage: Stage) -> Between:
    """Shapes of the closed bar, of what is seen in it, and of the decisions."""
    calls = shapes_of_calls(stage.setting, stage.alone)
    observe, observing = calls["observe"]
    conclude, concluding = calls["conclude"]
    _, seen = jax.eval_shape(observe, *observing)
    _, decisions = jax.eval_shape(conclude, *concluding)
    ints, floats = observing[2:]
    return Between(ints, floats, seen, decisions)
