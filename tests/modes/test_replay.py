"""A replay repeats a run to the bit, and says so when it does not."""

import contextlib
import hashlib
import io
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain, count
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
import pytest

from bot4jax import durable
from bot4jax.config import to_yaml
from bot4jax.errors import CheckpointError, ConfigError, DataError
from bot4jax.modes import tapes
from bot4jax.modes.journal import reading
from bot4jax.modes.keeping import take_up
from bot4jax.modes.making import paper_venue
from bot4jax.modes.repeating import repeating_of
from bot4jax.modes.replay import CERTIFICATE_VIOLATED, replay
from bot4jax.modes.setting import Setting
from bot4jax.modes.sockets import lateness, passed
from bot4jax.modes.trading import trade
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.deadline import Voice, voice_of
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.inputs import AWOKEN, FILE, Inputs
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import pack
from bot4jax.runtime.orders import Cancel, Cancelled, Fill, Reject
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.states import Cause, Transition
from bot4jax.runtime.ticks_record import TickRecord
from bot4jax.runtime.tracking import OrderState
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_rules import Refusal
from bot4jax.types import BEGIN, Frame
from tests.modes.ways import journal_of, silent
from tests.runtime.scene import Scene, calm_bars, compared, repeating
from tests.sim.line import Exchange, Faults, Line


@pytest.fixture
def again(run, tmp_path):
    """Replays a folder: exit code, what was printed and what was found."""

    def replayed(folder):
        config = msgspec.structs.replace(
            run.config,
            mode="replay",
            run=msgspec.structs.replace(run.config.run, root=str(tmp_path), name="re"),
            replay=msgspec.structs.replace(run.config.replay, run=str(folder)),
        )
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            code = replay(config)
        found = json.loads((tmp_path / "re" / "replay.json").read_text())
        return code, printed.getvalue(), found

    return replayed


def test_recorded_ticks_give_the_same_decisions_and_orders(
    run, again, setting, tmp_path
):
    code, printed, found = again(run.folder)
    assert code == 0
    assert found["steps"] == len(setting.split.test)
    assert found["orders"] >= 100
    assert (found["decisions_differ"], found["orders_differ"]) == (0, 0)
    assert found["gated_again_differ"] == 0
    ticks, gate, summary, report = printed.splitlines()
    assert ticks.endswith("orders are the same, bit by bit")
    assert gate.endswith("orders, denials and cancels are the same, bit by bit")
    assert summary == f"summary {tmp_path / 're' / 'summary.json'}"
    assert report == f"report {tmp_path / 're' / 'report.html'}"
    then, now = (
        json.loads((folder / "summary.json").read_text())
        for folder in (run.folder, tmp_path / "re")
    )
    same = ("pnl", "orders", "fills", "partial_fills", "denials", "decisions", "ticks")
    for name in (*same, "masked", "silent", "state", "transitions"):
        assert now[name] == then[name], name
    assert now["ensemble"]["log_loss"] == then["ensemble"]["log_loss"]
    with (
        pytest.raises(CheckpointError, match="a replay has no journal of its own"),
        reading(tmp_path / "re"),
    ):
        pass


# A run in which everything happens that a venue alone knows of.

PAUSED = (10, 50, 70)
"""Of eighty bars those that the clock closes, and more behind them, before anybody has
any tick of them."""
LATE = {30: 0.0, 45: 0.0}
"""Steps whose decision has no time, seconds."""
KILLED, SWITCHED, STOPPED = "killed", "switched", "stopped"
FROM = {KILLED: 20, SWITCHED: 50, STOPPED: 60}
"""What befalls the first step from there on at which orders rest: before it a person
takes them back, or the dead-man's switch does, and within it, where some are at work, a
person."""
DIES = 39
"""Step after whose journaling the process dies; it is not sent."""
HALT = 3
"""Steps until a person lifts the kill switch."""


class Died(KeyboardInterrupt):
    """As if the process had been killed: nothing more is said to the venue."""


class Beside(Line):
    """The line to a venue that hears what the test lets it; once it can be slow."""

    is_slow = False

    def __init__(self, desk: Desk) -> None:
        none = Faults(0, share=0.0)
        super().__init__(Exchange(desk, none), none, b"engine")
        self._desk = desk

    def turn_to(self, desk: Desk) -> None:
        """To a venue that stands where the last one stood."""
        self._desk, self._exchange = desk, Exchange(desk, self._faults)
        self._exchange.line = self

    def poll(self, timeout_ms: int) -> bool:
        if self.is_slow:
            self.is_slow = False
            return False
        if (report := self._desk.report()) is not None:
            self._inbox.append(pack(report))
        return super().poll(timeout_ms)


class Ears:
    """A venue's: the second publisher's frames come late to it, and some never."""

    def __init__(self, setting: Setting, desk: Desk) -> None:
        source = setting.source
        self._intake = Intake(source.universe.hash, source.anchors, 0)
        self._desk, self._late, self.lost = desk, deque[Frame](), 0
        self._first, self._count = 0, count(1)

    def hear(self, frame: Frame) -> None:
        self._first = self._first or frame.publisher
        if frame.publisher == self._first:
            self._take(frame)
        elif len(self._late) and next(self._count) % 9 == 0:
            self.lost += 1
        else:
            self._late.append(frame)
        if len(self._late) > 2:
            self._take(self._late.popleft())

    def _take(self, frame: Frame) -> None:
        self._desk.hear(*self._intake.take(frame))


class Stormy(NamedTuple):
    """Where the run lies: as its first process left it, and whole."""

    cut_off: Path
    whole: Path
    befallen: dict[str, int]
    """steps at which it was what"""
    lost: int
    """frames that the venue has missed"""


@pytest.fixture(scope="module")
def stormy(run, setting, tmp_path_factory) -> Stormy:
    """Two publishers at the clock's pace; a venue that goes on while the engine thinks,
    hears them in another order, and misses some of it; people, a restart."""
    setting = setting._replace(config=config_of_the_storm(run))
    folder = tmp_path_factory.mktemp("root") / "stormy"
    desk = Desk(paper_venue(setting), setting.source.universe.hash, lockstep=False)
    span, ears = setting.split.test, Ears(setting, desk)
    came = of_two(tapes.taken_up(setting.source, span.start, span.stop))
    came = pausing(list(came), setting, ears.hear)
    folder.mkdir()
    durable.write(folder / "config.yaml", to_yaml(setting.config))
    befallen: dict[str, int] = {}
    with pytest.raises(Died):
        lived(setting, run.folder, folder, desk, came, befallen, dies=True)
    cut_off = tmp_path_factory.mktemp("cut") / "stormy"
    shutil.copytree(folder, cut_off)
    shutil.rmtree(cut_off / "ticks")  # what a process had not written went with it
    lived(setting, run.folder, folder, desk, came, befallen)
    return Stormy(cut_off, folder, befallen, ears.lost)


def config_of_the_storm(run):
    own = run.config
    return msgspec.structs.replace(
        own,
        mode="live",
        run=msgspec.structs.replace(own.run, model=str(run.folder)),
        runtime=msgspec.structs.replace(own.runtime, speed=1.0),
        venue=msgspec.structs.replace(own.venue, latency_ms=700.0, lockstep=False),
        execution=msgspec.structs.replace(own.execution, kind="limit", rest_bars=3),
    )


def of_two(came: Iterable[Arrival]) -> Iterator[Arrival]:
    """Every other symbol is told of by another publisher."""
    following = [0, 0]
    for one in came:
        frame = one.frame
        assert frame is not None
        for k in range(2):
            own = frame.records[frame.records["symbol"] % 2 == k]
            if len(frame.records) and not len(own):
                continue
            how = {"publisher": frame.publisher + k, "sequence": following[k]}
            flags = frame.flags & ~BEGIN | (0 if following[k] else BEGIN)
            yield one._replace(frame=frame._replace(records=own, flags=flags, **how))
            following[k] += len(own)


def pausing(
    came: Sequence[Arrival], setting: Setting, told: Callable[[Frame], None]
) -> Iterator[Arrival]:
    """The arrivals, with pauses; a venue is told of each frame in its turn."""
    source, late_ns = setting.source, lateness(setting)
    assert late_ns is not None
    pauses = {setting.split.test.start + bar for bar in PAUSED}
    pause_ns = 0
    for one in came:
        assert one.frame is not None
        event_ns = one.frame.records["event_ns"].max(initial=0) or one.frame.sent_ns
        bar = int(event_ns - source.start_ns) // source.bar_ns
        if bar in pauses:
            pauses.remove(bar)
            pause_ns += source.bar_ns + 2 * late_ns
            yield Arrival(None, 0.0, one.receive_ns + pause_ns)
        told(one.frame)
        yield one._replace(receive_ns=one.receive_ns + pause_ns)


def lived(
    setting: Setting,
    model: Path,
    folder: Path,
    desk: Desk,
    came: Iterator[Arrival],
    befallen: dict[str, int],
    dies: bool = False,
) -> None:
    """One process of the run: what a former one has heard, then what comes."""
    kept, span, line = take_up(model, setting), setting.split.test, Beside(desk)
    tape = tapes.tick_tape(setting, kept.state.bars, span.start, lateness(setting))
    venue = SocketVenue(line, 9.0)
    with TickRecord(folder / "ticks") as record, Inputs(folder) as inputs:

        def arrivals(journal: Journal) -> Iterator[Arrival]:
            last_ns = 0
            for one in inputs.again(journal.marks()):
                last_ns = one.receive_ns
                yield one
            woken = Arrival(AWOKEN._replace(sent_ns=last_ns), 0.0, last_ns)
            yield from inputs.heard(chain([woken] if last_ns else [], came))

        def bars(trader: Trader, journal: Journal) -> Iterator[Closed]:
            trader.mark, trader.decider.patience = inputs.mark, LATE.get
            if dies:
                trader.on_point = lambda name: die(name, trader.step_number, befallen)
            else:  # before anything is recovered: the last step's orders stay here
                trader.account.states.hold(Cause.KILLED, "a person")
            heard = record.heard(arrivals(journal))
            closed = passed(tape.closed(heard), venue)
            storm = Storm(trader, venue, line, desk, befallen)
            return storm.befalling(closed, span.stop - 1)

        trade(setting, kept, tape, bars, venue, folder, silent, resumes=True)


def die(name: str, step: int, befallen: dict[str, int]) -> None:
    if (name, step) == ("after_journal", DIES):
        befallen["died"] = step
        raise Died


class Storm:
    """What befalls one process of the run, step by step."""

    def __init__(
        self,
        trader: Trader,
        venue: SocketVenue,
        line: Beside,
        desk: Desk,
        befallen: dict[str, int],
    ) -> None:
        self._trader, self._venue, self._line = trader, venue, line
        self._desk, self._befallen = desk, befallen
        self._halted = DIES + 1 if DIES in befallen.values() else 0

    def befalling(self, bars: Iterable[Closed], last: int) -> Iterator[Closed]:
        """The same bars; before each one what befalls its step."""
        states = self._trader.account.states
        for closed in bars:
            step = self._trader.step_number + 1
            if not states.is_held(Cause.STARTING):
                self._befall(step)
            if closed.bar == last:
                self._desk.end()
            yield closed

    def _befall(self, step: int) -> None:
        trader = self._trader
        working = trader.account.portfolio.working.still_open()
        rests = [one for one in working if one.state >= OrderState.ACKNOWLEDGED]
        if self._halted and step == self._halted + HALT:
            self._venue.attend = lambda: None
            trader.account.states.lift(Cause.KILLED, "enough")
        new = (name for name, first in FROM.items() if step >= first)
        what = next((name for name in new if name not in self._befallen), None)
        if what is None or not (working if what == STOPPED else rests):
            return
        self._befallen[what] = step
        if what == SWITCHED:
            self._desk.take_back()
            return
        self._halted = step
        if what == KILLED:
            trader.halt(Cause.KILLED, "a person")
        else:
            self._line.is_slow = True
            self._venue.attend = lambda: trader.halt(Cause.KILLED, "a person")


def test_the_storm_has_happened(stormy, setting):
    """What is repeated below is in the journal, and in no record of the engine's."""
    steps = journal_of(stormy.whole, "stormy")
    members = len(setting.settings.members)
    assert len(steps) == len(setting.split.test)
    assert stormy.lost > 3
    assert sum(one.closing.late > 0 for one in steps) >= len(PAUSED)
    voices = {one.step: voice_of(unpacked(one, members).flags) for one in steps}
    late = {step for step, voice in voices.items() if voice is not Voice.MEMBERS}
    assert late == set(LATE)
    assert set(stormy.befallen) == {"died", *FROM}
    assert cancelled(steps[stormy.befallen[KILLED] - 1])
    halts = stormy.befallen[KILLED], DIES + 1, stormy.befallen[STOPPED]
    halted = {one.step for one in steps if one.state == TradingState.HALTED}
    assert halted == {first + n for first in halts for n in range(HALT)}
    refused = [one for one in steps[DIES].answers if isinstance(one, Reject)]
    held_back = {one.order for one in refused if one.reason == Refusal.UNKNOWN_ORDER}
    assert held_back == {one.id for one in steps[DIES - 1].orders} != set()
    fills = [one for step in steps for one in step.answers if isinstance(one, Fill)]
    assert len(fills) > 50


def cancelled(step: StepRecord) -> bool:
    return any(isinstance(one, Cancelled) for one in step.answers)


def test_a_run_is_repeated_whatever_its_venue_heard_and_whoever_took_back(
    stormy, again, setting
):
    code, printed, found = again(stormy.whole)
    assert code == 0, printed
    assert found["steps"] == len(setting.split.test)
    assert found["orders"] >= 100


def test_a_run_that_was_cut_off_is_repeated_as_far_as_it_came(stormy, again):
    """Of what came in, a killed process leaves what it kept for its next one."""
    inputs = (stormy.cut_off / FILE).read_bytes()
    code, printed, found = again(stormy.cut_off)
    assert code == 0, printed
    assert found["steps"] == DIES
    assert (stormy.cut_off / FILE).read_bytes() == inputs


# What differs is found, and stays one difference.


def altered(folder: Path, change: Callable[[StepRecord], StepRecord]) -> None:
    """The journal written anew with other steps, and chained as it should be."""
    with reading(folder) as before:
        steps, end, noted = list(before.read()), before.end, before.transitions()
    (folder / "journal.sqlite").unlink()
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        for one in noted:
            journal.note(one)
        for one in steps:
            journal.commit(change(one))
        if end is not None:
            journal.commit(end)


def test_what_was_changed_in_the_journal_is_found_step_by_step(copied, again, setting):
    """A wish in its last bit, an order's size, a denial: three steps, and no more."""
    members, steps = len(setting.settings.members), journal_of(copied, copied.name)
    ordered = [one.step for one in steps if one.orders and one.step > 20]
    wished, sized = ordered[0], ordered[5]
    denied = next(one.step for one in steps if one.denied and one.step > sized)

    def changed(one: StepRecord) -> StepRecord:
        if one.step == wished:
            own = bytearray(one.decisions)
            wishes = unpacked(msgspec.structs.replace(one, decisions=own), members)
            slot = np.flatnonzero(wishes.intent)[0]
            wishes.intent[slot] = np.nextafter(wishes.intent[slot], np.float32(9))
            return msgspec.structs.replace(one, decisions=bytes(own))
        if one.step == sized:
            first, *rest = one.orders
            first = msgspec.structs.replace(first, limit=first.limit + 1)
            return msgspec.structs.replace(one, orders=[first, *rest])
        return msgspec.structs.replace(one, denied=()) if one.step == denied else one

    altered(copied, changed)
    code, printed, found = again(copied)
    assert code == CERTIFICATE_VIOLATED
    assert found["decisions_differ"] == 1
    assert 0 < found["worst"] < 1e-6
    assert found["orders_differ"] == 1
    assert found["gated_again_differ"] in (2, 3), "the wish may ask for too little"
    assert "1 differ in decisions" in printed
    assert "1 in orders" in printed


def test_other_answers_are_found(copied, again):
    """One fill at another price: what is held is worth something else from then on."""
    steps = journal_of(copied, copied.name)
    at, fill = next(
        (one.step, answer)
        for one in steps
        for answer in one.answers
        if isinstance(answer, Fill) and one.step > 20
    )
    other = msgspec.structs.replace(fill, price=2 * fill.price)

    def changed(one: StepRecord) -> StepRecord:
        if one.step != at:
            return one
        answers = [other if answer == fill else answer for answer in one.answers]
        return msgspec.structs.replace(one, answers=answers)

    altered(copied, changed)
    code, _, found = again(copied)
    assert code == CERTIFICATE_VIOLATED
    assert 0 < found["decisions_differ"] <= len(steps) - at + 1


def test_other_ticks_are_told_from_the_recorded_ones(copied, again):
    """Every trade in the middle of the recording loses a lot, and the sums are those of
    what is there."""
    for path in (copied / "ticks").glob("*.ticks.parquet"):
        rows = pl.read_parquet(path)
        middle = pl.int_range(pl.len()).is_between(pl.len() // 3, pl.len() // 2)
        lighter = pl.when((pl.col("kind") == 1) & middle & (pl.col("b") > 1))
        changed = lighter.then(pl.col("b") - 1).otherwise("b")
        rows.with_columns(changed).write_parquet(path)
        both = path, path.with_name(path.name.replace("ticks", "frames"))
        sums = (hashlib.sha256(one.read_bytes()).hexdigest() for one in both)
        lines = [f"{one}  {of.name}\n" for one, of in zip(sums, both, strict=True)]
        path.with_name(f"{path.name[:6]}.sha256").write_text("".join(lines))
    code, printed, found = again(copied)
    assert code == CERTIFICATE_VIOLATED
    assert found["decisions_differ"] > 0
    assert found["worst"] > 0
    assert found["gated_again_differ"] == 0
    assert f"{found['decisions_differ']} differ in decisions" in printed


def test_a_replay_is_told_of_the_journals_resets(run, copied, setting):
    noted = Transition(3, 0, "NEWS", False, 0, "looked into it", is_reset=True)
    with closing(Journal.open(copied / "journal.sqlite", copied.name)) as journal:
        for step in (3, 7):
            journal.note(msgspec.structs.replace(noted, step=step))
        again = repeating_of(setting, take_up(run.folder, setting), journal)
    assert again.account.states.resets == {3, 7}
    assert again.account.states.causes == ()


@pytest.fixture
def scene(tmp_path):
    """Eight steps with orders and denials, a pause and a kill, and who wants what."""
    wishes = {1: (0.02, -0.02, 0.0), 2: (0.01, np.nan, 0.3), 3: (-0.02, 0.01, 0.0)}

    def wish(step: int) -> tuple[float, float, float]:
        return wishes.get(step, (0.01 * (step % 3), -0.01 * (step % 2), 0.01))

    scene = Scene(tmp_path, wish, size=300)
    scene.trader.start()
    for bar in range(8):
        for at, cause in ((2, Cause.PAUSED), (4, Cause.KILLED)):
            if bar == at:
                scene.states.hold(cause, "a person")
            if bar == at + 2:
                scene.states.lift(cause, "a person")
        scene.step(bar)
    with closing(scene.journal) as journal:
        return wish, list(journal.read())


def test_who_goes_through_a_journal_is_judged_as_it_was_then(scene):
    wish, steps = scene
    assert sum(len(one.orders) for one in steps) >= 5
    assert any(one.denied for one in steps)
    assert len({one.state for one in steps}) == 3
    found = compared(repeating(wish), calm_bars(300), steps)
    assert (found.steps, found.is_equal) == (8, True)


@pytest.mark.parametrize(
    ("change", "differ"),
    [
        ({"orders": ()}, (1, 1)),
        ({"denied": ()}, (0, 1)),
        ({"requests": [Cancel("0" * 16, 1)]}, (1, 1)),
        ({"state": TradingState.HALTED}, (1, 1)),
    ],
)
def test_a_step_that_the_gate_makes_otherwise_is_told(scene, change, differ):
    """Steps that differ in what leaves, and in what the gate says."""
    wish, steps = scene
    steps[1] = msgspec.structs.replace(steps[1], **change)
    found = compared(repeating(wish), calm_bars(300), steps[:2])
    assert (found.orders_differ, found.gated_again_differ) == differ
    assert found.decisions_differ == 0


def test_another_quote_makes_other_orders(scene):
    wish, steps = scene
    first, second = (one for one, _ in zip(calm_bars(300), range(2), strict=False))
    market = second.market._replace(ask=second.market.ask + 1)
    bars = [first, second._replace(market=market)]
    found = compared(repeating(wish), bars, steps[:2])
    assert found.gated_again_differ == 1


@pytest.mark.parametrize("what", ["bar", "boundary_ns", "ticks", "late"])
def test_bars_that_are_not_those_of_the_journal_are_refused(scene, what):
    wish, steps = scene
    bars = [one for one, _ in zip(calm_bars(300), range(3), strict=False)]
    bars[1] = bars[1]._replace(**{what: getattr(bars[1], what) + 1})
    with pytest.raises(DataError, match="Step 2 was decided on bar 1 with 3 ticks"):
        compared(repeating(wish), bars, steps)


def test_a_record_that_ends_before_its_journal_is_refused(scene):
    wish, steps = scene
    bars = [one for one, _ in zip(calm_bars(300), range(3), strict=False)]
    with pytest.raises(DataError, match=r"Step 4 was decided on bar 3, .* ends before"):
        compared(repeating(wish), bars, steps)


def test_an_answer_to_nothing_is_refused(scene):
    wish, steps = scene
    stray = Cancelled("0" * 16, 1, 5)
    steps[2] = msgspec.structs.replace(steps[2], answers=[stray])
    with pytest.raises(DataError, match=r"Step 3 of the journal: .* never sent"):
        compared(repeating(wish), calm_bars(300), steps)


def test_a_replay_of_nothing_is_refused(run, again, tmp_path):
    with pytest.raises((CheckpointError, ConfigError, FileNotFoundError)) as refused:
        again(tmp_path / "nowhere")
    assert "nowhere" in str(refused.value)
