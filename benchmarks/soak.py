"""Does an engine that goes on for long stay as it was?

Bars of a stream, as fast as they are taken: 86,400 of them are a day of bars of a
second. Memory is what the system says this process holds; `growth` is the slope of a
line through it after the first quarter, over the whole span. Nothing may be compiled
after the first steps and nothing may be lost: that ends the benchmark.
"""

import resource
from pathlib import Path

import numpy as np

from benchmarks.result import Measured
from benchmarks.stage import set_up
from benchmarks.step import journal_folder
from benchmarks.streamed import streamed
from benchmarks.timing import one, quantiles
from bot4jax.errors import Bot4JaxError
from bot4jax.modes.trading import COMPILING_STEPS
from bot4jax.runtime.compiles import Compilations
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config

PAGES = Path("/proc/self/statm")
MIB = 1 << 20
SAMPLES = 200
"""Times that memory is looked at."""


class Recompiled(Bot4JaxError):
    """Something was compiled while an engine ran."""

    exit_code = 3


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """`steps` bars after those that warm up."""
    bars = warmup + steps
    stage = set_up(config, bars, report)
    with (
        journal_folder(stage.setting.config) as folder,
        Compilations() as compiled,
        streamed(stage, 0.0, folder, bars) as stream,
    ):
        held: list[tuple[int, float]] = []
        for done, _ in enumerate(stream.steps(bars), 1):
            if done == COMPILING_STEPS:
                compiled.settle()
            if done > warmup and done % max(1, steps // SAMPLES) == 0:
                held.append((done, resident_mib()))
                report("bars of a long stream", done, bars)
        if compiled.late:
            raise Recompiled(
                f"{compiled.late} functions were compiled after the start."
            )
        decision = list(stream.trader.stages.ms["decision"])[warmup:]
        ticks = stream.tape.feed.counters.absorbed
    rows = [
        quantiles([mib for _, mib in held], "memory", "MiB", warmup),
        one("growth", growth(held) * steps, "MiB"),
        quantiles(decision, "decision", "ms", warmup),
        one("ticks", ticks, "ticks"),
        one("recompiles", compiled.late, "compilations"),
    ]
    return Measured(rows, {}, stage.compiled.seconds)


def growth(held: list[tuple[int, float]]) -> float:
    """MiB a bar after the first quarter: least squares."""
    later = np.array(held[len(held) // 4 :])
    slope, _ = np.polyfit(later[:, 0], later[:, 1], 1)
    return float(slope)


def resident_mib() -> float:
    """What this process holds now."""
    return int(PAGES.read_text().split()[1]) * resource.getpagesize() / MIB
