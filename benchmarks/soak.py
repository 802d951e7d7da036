"""Does an engine that goes on for long stay as it was?

Bars of a stream, as fast as they are taken: 86,400 of them are a day of bars of a
second, of which four are sent again and again; orders are filled by a venue in this
very process. `memory` is what the system says this process holds, `device` what arrays
on the device need; `growth` and `device growth` are the slopes of lines through them
after the first quarter, over the whole span. Nothing may be compiled once the first
step begins, no tick may be lost, both must stay flat, and orders must still leave in
the last quarter: what does not ends the benchmark.
"""

import resource
from pathlib import Path

import jax
import numpy as np

from benchmarks.result import Measured
from benchmarks.stage import set_up
from benchmarks.step import journal_folder
from benchmarks.streamed import streamed
from benchmarks.timing import one, quantiles
from bot4jax.errors import Bot4JaxError
from bot4jax.modes.trading import settling
from bot4jax.runtime.compiles import Compilations
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config

PAGES = Path("/proc/self/statm")
MIB = 1 << 20
SAMPLES = 200
"""Times that memory is looked at."""

FLAT = 0.05
"""Growth over the span that is none, of what is held: the newest orders fill up to
their bound (`runtime.portfolio`), and pages are kept that were needed once."""


UNDER_WAY_MIB = 1.0
"""Growth of less is that of a step which was looked at elsewhere on its way."""


class Recompiled(Bot4JaxError):
    """Something was compiled while an engine ran."""

    exit_code = 3


class Idle(Bot4JaxError):
    """An engine that does not trade any more shows little."""

    exit_code = 3


class Grown(Bot4JaxError):
    """An engine holds more and more memory."""

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
        on_device: list[tuple[int, float]] = []
        orders: list[int] = []
        trader = stream.trader
        settled = settling(stream.bars, lambda: trader.is_asleep, compiled)
        steady = stream._replace(bars=settled)
        for done, stepped in enumerate(steady.steps(bars), 1):
            orders.append(len(stepped.orders))
            if done > warmup and done % max(1, steps // SAMPLES) == 0:
                held.append((done, resident_mib()))
                on_device.append((done, device_mib()))
                report("bars of a long stream", done, bars, f"{held[-1][1]:,.0f} MiB")
        if compiled.late:
            raise Recompiled(
                f"{compiled.late} functions were compiled after the first step began."
            )
        if not any(orders[-bars // 4 :]):
            raise Idle(f"Of {sum(orders):,} orders none left in the last quarter.")
        decision = stream.trader.stages.ms["decision"].since(warmup).tolist()
        ticks = stream.tape.feed.counters.absorbed
    device_grown, grown = flat(on_device, steps, "device"), flat(held, steps)
    rows = [
        quantiles([mib for _, mib in held], "memory", "MiB", warmup),
        one("growth", grown, "MiB"),
        quantiles([mib for _, mib in on_device], "device", "MiB", warmup),
        one("device at first", on_device[0][1], "MiB"),
        one("device at last", on_device[-1][1], "MiB"),
        one("device growth", device_grown, "MiB"),
        quantiles(decision, "decision", "ms", warmup),
        one("ticks", ticks, "ticks"),
        one("orders", sum(orders), "orders"),
        one("recompiles", compiled.late, "compilations"),
    ]
    return Measured(rows, {}, stage.compiled.seconds)


def flat(held: list[tuple[int, float]], steps: int, name: str = "memory") -> float:
    """MiB that `steps` bars add; raises `Grown` where that is more than `FLAT`."""
    grown, most = growth(held) * steps, max(FLAT * held[0][1], UNDER_WAY_MIB)
    if grown > most:
        raise Grown(
            f"The {name} grew by {grown:.3g} MiB over {steps} bars; expected at most "
            f"{most:.3g} MiB. Look for what keeps every step."
        )
    return grown


def growth(held: list[tuple[int, float]]) -> float:
    """MiB a bar after the first quarter: least squares."""
    later = np.array(held[len(held) // 4 :])
    slope, _ = np.polyfit(later[:, 0], later[:, 1], 1)
    return float(slope)


def resident_mib() -> float:
    """What this process holds now."""
    return int(PAGES.read_text().split()[1]) * resource.getpagesize() / MIB


def device_mib() -> float:
    """What arrays on the device hold now: as the device counts it, else their bytes."""
    stats = jax.devices()[0].memory_stats()
    if stats:
        return stats["bytes_in_use"] / MIB
    live = (one for one in jax.live_arrays() if not one.is_deleted())
    return sum(one.nbytes for one in live) / MIB
