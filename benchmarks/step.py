"""What does each stage of a step cost, from simulated ticks to orders?

Every bar is walked through twice. *Apart*: each stage alone, its completion awaited
before the next begins. *Together*: the trading loop as a run has it, where the device
works while the host does.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array

from benchmarks import least
from benchmarks.loop import together
from benchmarks.result import Measured
from benchmarks.stage import Stage, set_up
from benchmarks.timing import Laps, one
from bot4jax.kernels.bars import OpenBars
from bot4jax.learn.params import latency_of
from bot4jax.modes.tapes import tick_tape
from bot4jax.nets.zoo import NetCarry
from bot4jax.runtime.batches import Batch, Reopen
from bot4jax.runtime.closings import Tape
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.state import Observing, State, copied


@dataclass
class Walk:
    """Where the engine stands, and where it is noted how long things took."""

    stage: Stage
    tape: Tape
    """for its feed and quotes; batches are absorbed here"""
    state: State
    glancing: Observing
    """what the fallback remembers"""
    nets: NetCarry
    """of the nets by themselves"""
    laps: Laps


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """Both walks, and what the machine needs at least."""
    stage = set_up(config, warmup + steps, report)
    laps = apart(stage, copied(stage.kept.state), warmup, report)
    with journal_folder(config) as folder:
        own = copied(stage.kept.state)
        loop = together(stage, own, warmup, folder, report)
        ticks = float(np.mean(laps.values["absorb", "ticks"]))
        known, machine = least.of_step(stage, ticks, folder)
    rows = laps.rows(warmup, known) + loop.rows(warmup, known)
    needs = stage.compiled.temporaries.items()
    rows += [one(name, mib, "MiB") for name, mib in needs]
    return Measured(rows + machine, {}, stage.compiled.seconds)


def apart(stage: Stage, state: State, warmup: int, report: Report) -> Laps:
    """Every stage by itself, bar after bar."""
    span = stage.span
    tape = tick_tape(stage.setting, state.bars, span.start)
    glancing = stage.setting.engine.apart(state.observing)
    walk = Walk(stage, tape, state, glancing, copied(state.deciding.carry), Laps())
    for done, bar in enumerate(span, 1):
        closed = bar_of_ticks(walk, bar)
        decisions_of_bar(walk, *closed)
        if done == warmup:
            walk.laps = Laps()
        report("stages apart", done, len(span))
    return walk.laps


def bar_of_ticks(walk: Walk, bar: int) -> tuple[Array, Array]:
    """Ticks made, packed and absorbed, and their bar closed."""
    laps, feed, engine = walk.laps, walk.tape.feed, walk.stage.setting.engine
    source = walk.stage.setting.source
    frames = list(laps.each("simulate", source.frames(bar, bar + 1)))
    ticks, ms = 0, []
    pushed = (event for frame in frames for event in feed.push(frame))
    for event in laps.each("pack", pushed):
        if isinstance(event, Reopen):
            raise RuntimeError("the simulator's ticks are out of order")
        if isinstance(event, Batch):
            laps.call("quotes_batch", walk.tape.quotes.absorb, event.records)
            absorb(walk, event)
            ms.append(laps.last("absorb_batch"))
            ticks += event.count
    laps.add("absorb", sum(ms))
    laps.add("absorb", ticks, "ticks")
    left, *closed = laps.call("close", engine.close, walk.state.bars)
    walk.state = walk.state._replace(bars=left)
    return closed[0], closed[1]


def absorb(walk: Walk, batch: Batch) -> None:
    """One batch onto the device and into the open bars, as the tape does it."""
    setting = walk.stage.setting
    latency = latency_of(setting.config)

    def absorbed() -> OpenBars:
        packed = jax.device_put(batch.packed.copy())
        return setting.engine.absorb(walk.state.bars, packed, latency)

    walk.state = walk.state._replace(bars=walk.laps.call("absorb_batch", absorbed))


def decisions_of_bar(walk: Walk, ints: Array, floats: Array) -> None:
    """Fallback, features, members and sizing of a closed bar; nets and forest alone."""
    laps, (setting, alone, _, kept, _) = walk.laps, walk.stage
    engine, params, state = setting.engine, kept.params, walk.state
    held = jax.device_put(np.zeros(ints.shape[1], np.float32))
    walk.glancing, glanced = laps.call(
        "glance", engine.glance, params.units, walk.glancing, ints, floats
    )
    laps.call("fall_back", engine.fall_back, params.rules, glanced, ints, floats, held)
    observing, seen = laps.call(
        "observe", engine.observe, params.units, state.observing, ints, floats
    )
    deciding, packed = laps.call(
        "conclude", engine.conclude, params, state.deciding, seen, ints, floats, held
    )
    laps.call("pull", np.asarray, packed)
    walk.state = State(state.bars, observing, deciding)
    walk.nets, _ = laps.call("nets", alone.nets, params.nets, walk.nets, seen.values)
    if "trees" in setting.settings.members:
        laps.call("forest", alone.forest, params.forest, seen.values)


@contextmanager
def journal_folder(config: Config) -> Iterator[Path]:
    """A folder where runs keep their journals, and on the same disk; gone after."""
    root = Path(config.run.root)
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=root) as name:
        yield Path(name)
