"""`mode=replay`: a run once more, and compared.

Two comparisons: recorded ticks to decisions and orders, by the engine; and journaled
decisions to orders, by the gate alone.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bot4jax.config import from_yaml
from bot4jax.errors import ConfigError
from bot4jax.modes import lines, tapes
from bot4jax.modes.journal import journal_run, reading
from bot4jax.modes.keeping import Kept, seat, take_up
from bot4jax.modes.regating import Regated, Regating
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.sockets import lateness
from bot4jax.modes.telling import Played, tell
from bot4jax.modes.trading import Report, Traded, paper_venue, trade
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import Voice, voice_of
from bot4jax.runtime.folder import RunFolder
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.lockstep import LockstepVenue
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.progress import progress
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.ticks_record import recorded
from bot4jax.runtime.venue_messages import Place
from bot4jax.schema import Config
from bot4jax.types import Frame

CERTIFICATE_VIOLATED = 4


class Comparison(NamedTuple):
    """Two runs of the same ticks, step by step."""

    steps: int
    decisions_differ: int
    """steps whose decisions are not the same bits"""
    worst: float
    """largest difference of any number in them"""
    orders: int
    orders_differ: int
    """steps whose orders are not the same"""

    @property
    def is_equal(self) -> bool:
        return not (self.decisions_differ or self.orders_differ)


def replay(config: Config) -> int:
    """Repeat `replay.run` and say whether decisions and orders are the same."""
    if config.replay.run is None:
        raise ConfigError(["replay.run: mode=replay needs replay.run=FOLDER of a run"])
    former = Path(config.replay.run)
    before = from_yaml(former / "config.yaml")
    with RunFolder(config) as folder:
        folder.open()
        began = time.perf_counter()
        with progress() as report:
            setting = set_stage(before)
            model = Path(before.run.model or former)
            kept = take_up(model, setting)
            setting = seat(model, setting)
            regating = Regating(setting, journal_run(former), steps_of(former))
            traded = again(setting, kept, former, folder.path, report, regating.watched)
            seconds = {"trading": round(time.perf_counter() - began, 3)}
            tell(folder, setting, Played(None, kept, traded, former.name, seconds))
        found = compare(steps_of(former), steps_of(folder.path))
        gated = regating.found
        told = found._asdict() | {"gated_again_differ": gated.differ}
        folder.write_json("replay.json", told)
        print(sentence(found))
        print(gate_sentence(gated))
        lines.finished(folder.path)
        return 0 if found.is_equal and not gated.differ else CERTIFICATE_VIOLATED


def again(
    setting: Setting,
    kept: Kept,
    former: Path,
    folder: Path,
    report: Report,
    watched: Callable[[Iterable[Closed]], Iterable[Closed]],
) -> Traded:
    """The former run's ticks, or its source where it had none, traded once more."""
    span, paper = setting.split.test, paper_venue(setting)
    steps, heard = told_of(former)
    if setting.source.has_ticks:
        lateness_ns = lateness(setting)
        tape = tapes.tick_tape(setting, kept.state.bars, span.start, lateness_ns)
        bars = tape.closed(played(former))
        intake = tapes.intake_of(setting)
        venue = LockstepVenue(paper, intake, shown(former), heard)
    else:
        venue = LocalVenue(paper)
        tape, bars = tapes.closed_bars(
            setting, kept.state.bars, span.start, span.stop, venue.hear
        )
    states = {one.step: one.state for one in steps}
    voices = voices_of(setting, steps)

    def judged_alike(trader: Trader, _: Journal) -> Iterable[Closed]:
        """What people stopped or paused then, and what was decided too late, is so
        again, at the same steps."""
        trader.judged = lambda step, own: states.get(step, own)
        trader.decider.voice = lambda step: voices.get(step, Voice.MEMBERS)
        return watched(bars)

    return trade(
        setting,
        kept,
        tape,
        judged_alike,
        venue,
        folder,
        report,
        run=former.name,
    )


def played(former: Path) -> Iterable[Arrival]:
    """What the former run heard; the timer is now, for nothing was received."""
    for one in recorded(former / "ticks"):
        yield one._replace(timer_s=time.perf_counter())


def shown(former: Path) -> Iterator[Frame]:
    """The same to a venue, which knows no silence."""
    for one in recorded(former / "ticks"):
        if one.frame is not None:
            yield one.frame


def voices_of(setting: Setting, steps: Iterable[StepRecord]) -> dict[int, Voice]:
    """Who has decided each step: not all members where their decision came too late."""
    members = len(setting.settings.members)
    return {one.step: voice_of(unpacked(one, members).flags) for one in steps}


def steps_of(folder: Path) -> list[StepRecord]:
    """Every step that a run's journal holds."""
    return told_of(folder)[0]


def told_of(folder: Path) -> tuple[list[StepRecord], Mapping[int, Sequence[Place]]]:
    """The steps of a journal, and how far its venue had heard when it answered them;
    the answers after the last one are among these."""
    with reading(folder) as found:
        steps = list(found.read())
        every = [*steps, *([found.end] if found.end else [])]
    return steps, {one.boundary_ns: one.heard for one in every if one.heard is not None}


def compare(before: list[StepRecord], now: list[StepRecord]) -> Comparison:
    """Step by step; a step that one of them lacks differs."""
    pairs = list(zip(before, now, strict=False))
    missing = abs(len(before) - len(now))
    decided = [[np.frombuffer(one.decisions, "<f4") for one in pair] for pair in pairs]
    gaps = [float(np.nanmax(np.abs(a - b), initial=0.0)) for a, b in decided]
    return Comparison(
        steps=len(before),
        decisions_differ=missing + sum(a.decisions != b.decisions for a, b in pairs),
        worst=max(gaps, default=0.0),
        orders=sum(len(one.orders) for one in before),
        orders_differ=missing + sum(list(a.orders) != list(b.orders) for a, b in pairs),
    )


def sentence(found: Comparison) -> str:
    """What a person wants to know of a comparison."""
    if found.is_equal:
        return (
            f"replay: {found.steps} steps and {found.orders} orders are the same, "
            "bit by bit"
        )
    return (
        f"replay: of {found.steps} steps {found.decisions_differ} differ in decisions "
        f"(by {found.worst:.2g} at most) and {found.orders_differ} in orders"
    )


def gate_sentence(found: Regated) -> str:
    """The same of the gate, which has seen no forecast but the journal's."""
    what = f"journaled decisions of {found.steps} steps through the gate alone"
    if not found.differ:
        return f"replay: {what}: orders, denials and cancels are the same, bit by bit"
    return f"replay: {what}: {found.differ} steps differ in orders, denials or cancels"
