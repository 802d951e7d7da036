"""`mode=replay`: a run once more, and compared.

Two comparisons: recorded ticks to decisions and orders, by the engine; and journaled
decisions to orders, by the gate alone.
"""

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from bot4jax.config import from_yaml
from bot4jax.errors import ConfigError, DataError
from bot4jax.modes import lines, tapes
from bot4jax.modes.journal import reading
from bot4jax.modes.keeping import Kept, seat, take_up
from bot4jax.modes.leavings import Leavings
from bot4jax.modes.repeating import Comparison, repeating_of
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.sockets import lateness
from bot4jax.modes.summary import finite
from bot4jax.modes.telling import Played, tell
from bot4jax.modes.trading import Report, Traded, collect, settling
from bot4jax.runtime.closings import BarTape, Closed, Tape
from bot4jax.runtime.compiles import Compilations
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.inputs import FILE, came_in
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.progress import progress
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.states import TOLD
from bot4jax.runtime.ticks_record import recorded
from bot4jax.schema import Config

CERTIFICATE_VIOLATED = 4


def replay(config: Config) -> int:
    """Repeat `replay.run` and say whether decisions and orders are the same."""
    if config.replay.run is None:
        raise ConfigError(["replay.run: mode=replay needs replay.run=FOLDER of a run"])
    former = Path(config.replay.run)
    before = from_yaml(former / "config.yaml")
    with reading(former) as journal, RunFolder(config) as folder:
        folder.open(is_anew=True)
        began = time.perf_counter()
        with progress() as report:
            setting = set_stage(before)
            model = Path(before.run.model or former)
            kept = take_up(model, setting)
            setting = seat(model, setting, kept)
            traded, found = repeated(setting, kept, former, journal, report)
        folder.write_json("replay.json", finite(found._asdict()))
        print(sentence(found))
        print(gate_sentence(found))
        seconds = {"replaying": round(time.perf_counter() - began, 3)}
        tell(folder, setting, Played(None, kept, traded, former.name, seconds))
        lines.finished(folder.path)
        return 0 if found.is_equal else CERTIFICATE_VIOLATED


def repeated(
    setting: Setting, kept: Kept, former: Path, journal: Journal, report: Report
) -> tuple[Traded, Comparison]:
    """All that the journal holds, gone through once more.

    What is told of it has our own forecasts, and the run's orders, fills and states.
    """
    config, steps = setting.config, journal.last_step - journal.is_finished
    if steps < 1:
        raise DataError(f"{former} has journaled no step: there is nothing to repeat.")
    newest = config.runtime.judged_bars if config.mode == "live" else None
    left = Leavings(len(setting.settings.members), newest)
    tape, bars = bars_of(setting, kept, former)
    again = repeating_of(setting, kept, journal)
    with Compilations() as compiled:
        again.decider.rehearse(tape.rehearsed())
        bars = settling(bars, lambda: False, compiled)
        for one in again.through(bars, journal.read()):
            left.add(one)
            report("replaying", again.found.steps, steps)
    if (end := journal.end) is not None:
        left.totals.hear(end.answers)
        again.account.end(end.step, end.boundary_ns, end.answers)
    traded = collect(left, again.decider, again.account, tape, compiled.late)
    transitions = journal.transitions()
    return traded._replace(
        state=TradingState(transitions[-1].state), transitions=transitions[-TOLD:]
    ), again.found


def bars_of(
    setting: Setting, kept: Kept, former: Path
) -> tuple[Tape | BarTape, Iterator[Closed]]:
    """The bars that the former run closed, or those of its source where it had no
    ticks."""
    span = setting.split.test
    if not setting.source.has_ticks:
        return tapes.closed_bars(setting, kept.state.bars, span.start, span.stop)
    tape = tapes.tick_tape(setting, kept.state.bars, span.start, lateness(setting))
    return tape, tape.closed(heard(former))


def heard(former: Path) -> Iterable[Arrival]:
    """What the former run heard: recorded, or, where it was cut off, kept for a
    restart that has not come."""
    inputs = former / FILE
    return came_in(inputs) if inputs.is_file() else recorded(former / "ticks")


def sentence(found: Comparison) -> str:
    """What a person wants to know of a comparison."""
    if not (found.decisions_differ or found.orders_differ):
        return (
            f"replay: {found.steps} steps and {found.orders} orders are the same, "
            "bit by bit"
        )
    return (
        f"replay: of {found.steps} steps {found.decisions_differ} differ in decisions "
        f"(by {found.worst:.2g} at most) and {found.orders_differ} in orders"
    )


def gate_sentence(found: Comparison) -> str:
    """The same of the gate, which has seen no forecast but the journal's."""
    what = f"journaled decisions of {found.steps} steps through the gate alone"
    if not found.gated_again_differ:
        return f"replay: {what}: orders, denials and cancels are the same, bit by bit"
    differ = found.gated_again_differ
    return f"replay: {what}: {differ} steps differ in orders, denials or cancels"
