"""The learning part of a run: record the bars before the test span, fit the engine."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bot4jax.kernels import bars
from bot4jax.kernels.bars import OpenBars
from bot4jax.learn import ahead, params
from bot4jax.learn.dataset import BarRecord, record_bars
from bot4jax.learn.params import Learned
from bot4jax.modes import traps
from bot4jax.modes.keeping import (
    TRAINING,
    Kept,
    anchors_of,
    kept_at,
    place_of,
    take_up,
)
from bot4jax.modes.recalling import recalled
from bot4jax.modes.setting import Setting
from bot4jax.modes.tapes import closed_bars
from bot4jax.runtime.closings import Closed, Tape
from bot4jax.runtime.progress import Report, prefixed
from bot4jax.state import State


def train(setting: Setting, report: Report, folder: Path) -> tuple[Learned, Kept]:
    """Record the bars before the test span and fit everything on them, among traps.

    A fit of this run that was cut off goes on from what it left in the folder.
    """
    with place_of(folder) as place:
        record, open_bars = _recorded(setting, report, folder / TRAINING)
        learned = params.learn(
            setting.config,
            setting.settings,
            setting.engine,
            setting.source.universe,
            record,
            setting.split,
            report,
            place,
        )
        laid = traps.of_a_fit(setting, record, prefixed(report, "trap"))
    state = State(open_bars, learned.observing, learned.deciding)
    learned = learned._replace(alarms=tuple(traps.alarms(laid)))
    return learned, kept_at(learned, state, setting.split.test.start)


def again(setting: Setting, report: Report, folder: Path) -> tuple[Learned, Kept]:
    """The same of a run that has kept its fit; refused where that is damaged."""
    kept = take_up(folder, setting)
    record, _ = _recorded(setting, report, folder / TRAINING)
    return recalled(setting, kept, record, folder, report), kept


def _recorded(
    setting: Setting, report: Report, folder: Path
) -> tuple[BarRecord, OpenBars]:
    """Every bar before the test span, and those that stand open behind them."""
    first_bars, stop = bars.init_bars(anchors_of(setting)), setting.split.test.start
    tape, closed = closed_bars(setting, first_bars, 0, stop)
    rows = ((one.ints, one.floats) for one in _counted(closed, stop, report))
    shelf = params.shelf_of(setting.config, folder)
    with ahead.compiled(ahead.for_features(setting.settings)):
        record = record_bars(0, rows, shelf, stop)
    return record, tape.open_bars if isinstance(tape, Tape) else first_bars


def _counted(closed: Iterable[Closed], total: int, report: Report) -> Iterator[Closed]:
    for done, one in enumerate(closed, 1):
        report("bars", done, total)
        yield one
