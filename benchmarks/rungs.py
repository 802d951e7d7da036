"""The ladder's steps: what each knows, beside how long its LSTM takes for a bar."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.markdown import table, told
from benchmarks.nets import LADDER, SINGLE
from benchmarks.origins import Runs, experiment
from benchmarks.result import RESULTS, Row, read
from benchmarks.skill import chance, less, order, saved

STAGES = {
    "ladder-1": "ladder_3",
    "ladder-2": "ladder_5",
    "ladder-3": "ladder_5",
    "ladder-4": "ladder_5",
}
"""Of `bench=nets`, in which the LSTM of each step is measured."""

TIMED = RESULTS / "nets" / "cpu-1024.json"
SYMBOLS = dict.fromkeys(LADDER, 1024) | dict.fromkeys(SINGLE, 1)
SHOWN = ("lstm", "ensemble")

TIMES_HEAD = ("LSTM", "layers", "symbols", "a bar, median", "p99")
HEAD = (
    "step",
    "seed",
    "its LSTM's bar of 1,024 symbols, median (p99)",
    "forecaster",
    "direction, 10⁻³ ± 95 %",
    "p",
    "IC (t)",
    "net of the ensemble, dollars of a million",
)


def section(runs: Runs, path: Path = TIMED) -> str:
    """How long the LSTMs take, and what each step of the ladder knows."""
    timed = times(path)
    shown = [row for name, run in runs.items() for row in rows(name, run, timed)]
    return f"{table(TIMES_HEAD, costs(timed))}\n\n{table(HEAD, shown)}"


def times(path: Path) -> dict[str, Row]:
    """What `bench=nets` measured of them, by stage."""
    found = read(path).rows
    return {one.stage: one for one in found if one.stage in SYMBOLS}


def costs(timed: Mapping[str, Row]) -> Iterable[tuple[str, ...]]:
    """Every LSTM that was timed."""
    for stage, widths in (LADDER | SINGLE).items():
        own = timed[stage]
        layers = f"{len(widths)}: {', '.join(map(str, widths))}"
        median, rare = told(own.p50, own.unit), told(own.p99, own.unit)
        yield f"`{stage}`", layers, f"{SYMBOLS[stage]:,}", median, rare


def rows(
    name: str, run: Mapping[str, Any], timed: Mapping[str, Row]
) -> Iterable[tuple[str, ...]]:
    """The LSTM and the ensemble of a step in one market."""
    step = experiment(name, run)
    if step not in STAGES:
        return
    own = timed[STAGES[step]]
    latency = f"{own.p50:.2f} ({own.p99:.2f}) {own.unit}"
    for who in SHOWN:
        one = run["forecasters"][who]
        yield (
            step,
            str(run["seed"]),
            latency,
            who,
            less(*saved(one, "direction")),
            chance(one["direction_p_value"]),
            order(one),
            money(run) if who == SHOWN[-1] else "",
        )


def money(run: Mapping[str, Any]) -> str:
    """What was left after costs, as configured and at other latencies to the venue."""
    late = (f"{one['net']:+,.0f} at {one['latency_ms']:g} ms" for one in run["latency"])
    return "; ".join([f"{run['pnl']['net']:+,.0f}", *late])
