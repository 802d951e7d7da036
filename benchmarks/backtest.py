"""How many bars a second does a backtest go through?

`exact` trades them as `backtest.fidelity=exact` does: source, engine, gate, journal and
paper venue in turns, every step on the disk. `research` scans recorded bars: features,
forecasts, holdings and what they earn. Members are random, and both ways must say the
same before their time counts. Fitting is `bench=train`'s and `bench=trees`'s.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from benchmarks.contest import expect_equal
from benchmarks.result import Measured, Row
from benchmarks.stage import Stage, set_up
from benchmarks.timing import Laps, rate
from bot4jax.learn import dataset, params, research
from bot4jax.learn.borrowing import Lending
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.room import room_of
from bot4jax.modes.tapes import closed_bars
from bot4jax.modes.trading import trade_here
from bot4jax.runtime.progress import Report
from bot4jax.schema import Config
from bot4jax.state import copied

BARS = 200
"""Of the span that is gone through."""

TOLERANCE = 1e-6
"""Of probabilities, as everywhere between two ways through the engine."""

Said = Float[np.ndarray, "T S C"]


def measure(config: Config, steps: int, warmup: int, report: Report) -> Measured:
    """The span again and again, both ways in turns; the first passes compile."""
    stage, laps = set_up(config, BARS, report), Laps()
    record = recorded(stage)
    ways: dict[str, Callable[[], Said]] = {
        "exact": lambda: exact(stage),
        "research": lambda: scanned(stage, record),
    }
    for done in range(warmup + steps):
        report("passes", done, warmup + steps)
        said = {name: timed(laps, name, way) for name, way in ways.items()}
        expect_equal("research", said["exact"], said["research"], TOLERANCE)
    report("passes", warmup + steps, warmup + steps)
    rows = laps.since(warmup).rows(warmup, {})
    return Measured(with_rates(rows, config.data.symbols), {}, stage.compiled.seconds)


def timed(laps: Laps, name: str, way: Callable[[], Said]) -> Said:
    """What a pass says; how long it takes, ms."""
    began = time.perf_counter()
    said = way()
    laps.add(name, (time.perf_counter() - began) * 1e3)
    return said


def with_rates(rows: list[Row], symbols: int) -> list[Row]:
    """The times of a pass, and what they are in bars and in decisions."""
    units = {"bars/s": BARS, "decisions/s": BARS * symbols}
    return rows + [rate(row, n, unit) for row in rows for unit, n in units.items()]


def recorded(stage: Stage) -> BarRecord:
    """The span's bars, closed once."""
    span, opened = stage.span, copied(stage.kept.state.bars)
    _, closed = closed_bars(stage.setting, opened, span.start, span.stop)
    bars = ((one.ints, one.floats) for one in closed)
    return dataset.record_bars(span.start, bars)


def exact(stage: Stage) -> Said:
    """Traded through gate, journal and venue."""
    kept = stage.kept._replace(state=copied(stage.kept.state))
    with tempfile.TemporaryDirectory() as folder:
        return trade_here(stage.setting, kept, Path(folder), silent).probability


def scanned(stage: Stage, record: BarRecord) -> Said:
    """Forecast from recorded bars, held and paid for without orders."""
    setting, kept = stage.setting, stage.kept
    state, fitted = copied(kept.state), kept.params
    engine, rows = setting.engine, range(len(record.ints))
    _, seen = dataset.observe_bars(
        engine.observe, fitted.units, state.observing, record, lambda done: None
    )
    _, decided = params.walk(
        setting.settings, engine, fitted, state.deciding, record, seen, rows, silent
    )
    said = np.stack([one.probability for one in decided])
    horizon, floor = setting.settings.layout.horizon, float(fitted.confidence_floor)
    sure = research.confidence(said)
    config, source = setting.config, setting.source
    room = room_of(record, source, config.venue.participation, config.strategy.capital)
    held = research.holdings(fitted.sizing, horizon, floor, seen, said, sure, room)
    fee = np.asarray(fitted.sizing.fee)
    free = Lending(np.zeros(len(fee)), np.zeros(len(rows), bool))
    research.book(held, seen, fee, free, room)
    return said


def silent(*told: object) -> None:
    """Nobody watches a pass."""
