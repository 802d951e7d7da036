"""The learning part of a run: record the bars before the test span, fit the engine."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from bot4jax.kernels import bars
from bot4jax.learn import ahead, params
from bot4jax.learn.dataset import record_bars
from bot4jax.learn.params import Learned
from bot4jax.modes import traps
from bot4jax.modes.keeping import Kept, anchors_of, kept_at, place_of
from bot4jax.modes.setting import Setting
from bot4jax.modes.tapes import closed_bars
from bot4jax.runtime.closings import Closed, Tape
from bot4jax.runtime.progress import Report, prefixed
from bot4jax.state import State


def train(setting: Setting, report: Report, folder: Path) -> tuple[Learned, Kept]:
    """Record the bars before the test span and fit everything on them, among traps.

    A fit of this run that was cut off goes on from what it left in the folder.
    """
    source, split = setting.source, setting.split
    first_bars = bars.init_bars(anchors_of(setting))
    tape, closed = closed_bars(setting, first_bars, 0, split.test.start)
    counted = _counted(closed, split.test.start, report)
    rows = ((one.ints, one.floats) for one in counted)
    with place_of(folder) as place:
        shelf = params.shelf_of(setting.config, place.folder)
        with ahead.compiled(ahead.for_features(setting.settings)):
            record = record_bars(0, rows, shelf, split.test.start)
        learned = params.learn(
            setting.config,
            setting.settings,
            setting.engine,
            source.universe,
            record,
            split,
            report,
            place,
        )
        laid = traps.of_a_fit(setting, record, prefixed(report, "trap"))
    open_bars = tape.open_bars if isinstance(tape, Tape) else first_bars
    state = State(open_bars, learned.observing, learned.deciding)
    learned = learned._replace(alarms=tuple(traps.alarms(laid)))
    return learned, kept_at(learned, state, split.test.start)


def _counted(closed: Iterable[Closed], total: int, report: Report) -> Iterator[Closed]:
    for done, one in enumerate(closed, 1):
        report("bars", done, total)
        yield one
