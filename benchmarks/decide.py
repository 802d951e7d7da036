"""How long from closed bars to decisions on the host, and how many a second?

Nothing but the device's part of a step, bar after bar: features, nets, forest, vote and
sizing of all symbols, and the decisions brought over. No ticks, no gate, no journal.
"""

import jax
import numpy as np

from benchmarks import least
from benchmarks.result import Measured
from benchmarks.stage import Stage, set_up
from benchmarks.timing import Laps, one, rate
from bot4jax.learn.dataset import BarRecord, record_bars
from bot4jax.modes.tapes import closed_bars
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.state import State, copied


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """Every bar's decisions, one step after the other."""
    stage = set_up(config, warmup + steps, report)
    record = recorded(stage, report)
    laps = walk(stage, record, report).since(warmup)
    known, machine = least.on_device(stage)
    rows = laps.rows(warmup, known)
    symbols = stage.setting.settings.layout.symbols
    rows.insert(1, rate(rows[0], symbols, "decisions/s"))
    needs = stage.compiled.temporaries
    rows += [one(name, needs[name], "MiB") for name in ("observe", "conclude")]
    return Measured(rows + machine, {}, stage.compiled.seconds)


def recorded(stage: Stage, report: Report) -> BarRecord:
    """The bars of the test span."""
    span = stage.span
    opened = copied(stage.kept.state.bars)
    _, closed = closed_bars(stage.setting, opened, span.start, span.stop)
    rows = []
    for bar in closed:
        rows.append((np.asarray(bar.ints), np.asarray(bar.floats)))
        report("bars to decide on", len(rows), len(span))
    return record_bars(span.start, rows)


def walk(stage: Stage, record: BarRecord, report: Report) -> Laps:
    """One call a bar, from the bar on the device to its decisions on the host."""
    laps, params, engine = Laps(), stage.kept.params, stage.setting.engine
    state: State = copied(stage.kept.state)
    held = jax.device_put(np.zeros(record.ints.shape[2], np.float32))

    def decide(bar: tuple[jax.Array, jax.Array]) -> np.ndarray:
        nonlocal state
        observing, seen = engine.observe(params.units, state.observing, *bar)
        deciding, packed = engine.conclude(params, state.deciding, seen, *bar, held)
        state = State(state.bars, observing, deciding)
        return np.asarray(packed)

    for done, bar in enumerate(zip(record.ints, record.floats, strict=True), 1):
        on_device = jax.block_until_ready(jax.device_put(bar))
        laps.call("decide", decide, on_device)
        report("deciding", done, len(record.ints))
    return laps
