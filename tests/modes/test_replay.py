"""A replay repeats a run to the bit, and says so when it does not."""

import contextlib
import io
import json
from collections import deque
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from bot4jax.config import to_yaml
from bot4jax.errors import CheckpointError, ConfigError
from bot4jax.modes import tapes
from bot4jax.modes.regating import is_regated
from bot4jax.modes.replay import CERTIFICATE_VIOLATED, replay, told_of, voices_of
from bot4jax.modes.sockets import lateness, passed
from bot4jax.modes.trading import paper_venue, trade
from bot4jax.runtime.account import Account
from bot4jax.runtime.deadline import Voice
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.folder import write_text
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.lockstep import LockstepVenue
from bot4jax.runtime.messages import pack
from bot4jax.runtime.orders import Cancel
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.states import Cause, States
from bot4jax.runtime.ticks_record import TickRecord
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.types import Frame
from tests.modes.ways import silent
from tests.runtime.scene import CAPITAL, LIMITS, MEMBERS, RUN, UNIVERSE, Scene
from tests.sim.line import Faults, Line


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


def test_recorded_ticks_give_the_same_decisions_and_orders(run, again, setting):
    code, printed, found = again(run.folder)
    assert code == 0
    assert found["steps"] == len(setting.split.test)
    assert found["orders"] >= 100
    assert (found["decisions_differ"], found["orders_differ"]) == (0, 0)
    assert found["gated_again_differ"] == 0
    ticks, gate = printed.splitlines()[:2]
    assert ticks.endswith("orders are the same, bit by bit")
    assert gate.endswith("orders, denials and cancels are the same, bit by bit")


LATE = {30: Voice.FALLBACK, 45: Voice.NOBODY}
"""Steps whose decision came too late, and who decided them."""


class Beside(Line):
    """The line to a venue of its own process, which hears what the test lets it."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk, Faults(0, share=0.0), deque())

    def poll(self, timeout_ms: int) -> bool:
        if (report := self._desk.report()) is not None:
            self._inbox.append(pack(report))
        return super().poll(timeout_ms)


@pytest.fixture
def paced(run, setting, kept, tmp_path) -> Path:
    """A run at the clock's pace: some bars it closed, some ticks came after, two
    decisions were late. The venue hears the market for itself, sooner or later; it is
    so far away that orders meet the middle of the next bar."""
    live = msgspec.structs.replace(run.config.run, model=str(run.folder))
    runtime = msgspec.structs.replace(run.config.runtime, speed=1.0)
    far = msgspec.structs.replace(run.config.venue, latency_ms=700.0)
    own = {"run": live, "runtime": runtime, "venue": far}
    config = msgspec.structs.replace(run.config, mode="live", **own)
    setting, span = setting._replace(config=config), setting.split.test
    lateness_ns = lateness(setting)
    tape = tapes.tick_tape(setting, kept.state.bars, span.start, lateness_ns)
    came = list(tapes.taken_up(setting.source, span.start, span.stop))
    desk = Desk(paper_venue(setting), setting.source.universe.hash)
    venue, intake = SocketVenue(Beside(desk), 9.0), tapes.intake_of(setting)
    folder = tmp_path / "paced"
    folder.mkdir()

    def told(frame: Frame) -> None:
        desk.hear(*intake.take(frame))

    with TickRecord(folder / "ticks") as record:
        heard = record.heard(pausing(came, setting.source, lateness_ns, told))

        def bars(trader, _):
            trader.decider.voice = lambda step: LATE.get(step, Voice.MEMBERS)
            for closed in passed(tape.closed(heard), venue):
                if closed.bar == span.stop - 1:
                    desk.end()
                yield closed

        trade(setting, kept, tape, bars, venue, folder, silent)
    write_text(folder / "config.yaml", to_yaml(config))
    return folder


PAUSED = (10, 50, 70)
"""Of eighty bars those that the clock closes, and more behind them, before the engine
has any tick of them. By then the venue has none either, the first frame, or all and the
first of the bar after it."""


def pausing(came, source, lateness_ns, told):
    """The arrivals, with pauses; a venue is told of each in its turn."""

    def bar_of(one: Arrival) -> int:
        assert one.frame is not None
        event_ns = one.frame.records["event_ns"].max(initial=0) or one.frame.sent_ns
        return int(event_ns - source.start_ns) // source.bar_ns

    bars = [bar_of(one) for one in came]
    pause_ns = known = 0
    for at, one in enumerate(came):
        bar = bars[at]
        if bar % 80 in PAUSED and bars[at - 1] < bar:
            known = (at, at + 1, bars.index(bar + 1) + 1)[PAUSED.index(bar % 80)]
            for heard in came[at:known]:
                told(heard.frame)
            pause_ns += source.bar_ns + 2 * lateness_ns
            yield Arrival(None, 0.0, one.receive_ns + pause_ns)
        if at >= known:
            told(one.frame)
        yield one._replace(receive_ns=one.receive_ns + pause_ns)


def unlimited(venue, intake, frames, heard) -> LockstepVenue:
    """A venue that hears every bar whole, wherever the clock has closed one."""
    return LockstepVenue(venue, intake, frames, {})


def test_a_run_at_the_clocks_pace_is_repeated_with_its_closings_and_late_decisions(
    paced, setting, again, monkeypatch
):
    code, _, found = again(paced)
    steps, heard = told_of(paced)
    assert sum(one.closing.late > 0 for one in steps) == len(PAUSED)
    stalled = [one for one in steps if one.bar % 80 in PAUSED]
    told = {one.bar % 80: one.boundary_ns in heard for one in stalled}
    assert told == {10: True, 50: True, 70: False}, "it had heard of the next bar"
    voices = voices_of(setting, steps)
    assert voices == dict.fromkeys(voices, Voice.MEMBERS) | LATE
    assert found["orders"] >= 100
    assert code == 0
    monkeypatch.setattr("bot4jax.modes.replay.LockstepVenue", unlimited)
    code, _, found = again(paced)
    assert code == CERTIFICATE_VIOLATED
    assert found["decisions_differ"] > 0  # of what is held by then


def test_other_ticks_are_told_from_the_recorded_ones(copied, again):
    """Every trade in the middle of the recording loses a lot."""
    for path in (copied / "ticks").glob("*.ticks.parquet"):
        rows = pl.read_parquet(path)
        middle = pl.int_range(pl.len()).is_between(pl.len() // 3, pl.len() // 2)
        lighter = pl.when((pl.col("kind") == 1) & middle & (pl.col("b") > 1))
        changed = lighter.then(pl.col("b") - 1).otherwise("b")
        rows.with_columns(changed).write_parquet(path)
    code, printed, found = again(copied)
    assert code == CERTIFICATE_VIOLATED
    assert found["decisions_differ"] > 0
    assert found["worst"] > 0
    assert f"{found['decisions_differ']} differ in decisions" in printed


@pytest.fixture
def scene(tmp_path):
    """Four steps with orders, denials and a halt, their bars, and a fresh account."""
    wishes = {1: (0.02, -0.02, 0.0), 2: (0.01, np.nan, 0.3), 3: (-0.02, 0.01, 0.0)}
    scene = Scene(tmp_path, lambda step: wishes.get(step, (0.01, 0.01, 0.01)), size=300)
    scene.trader.start()
    bars = []
    for bar in range(4):
        if bar == 3:
            scene.states.hold(Cause.KILLED, "a person")
        bars.append(scene.closed(bar))
        scene.trader.step(bars[-1])
    with closing(scene.journal) as journal:
        steps = list(journal.read())
    states = States(lambda transition: None)
    fresh = Account(UNIVERSE, Portfolio(UNIVERSE, CAPITAL), LIMITS, RUN, states)
    return steps, bars, fresh


def regated(steps, bars, account) -> list[bool]:
    pairs = zip(bars, steps, strict=True)
    return [is_regated(account, closed, one, MEMBERS) for closed, one in pairs]


def test_the_gate_alone_makes_the_same_orders_of_journaled_decisions(scene):
    steps, bars, fresh = scene
    assert sum(len(one.orders) for one in steps) >= 5
    assert any(one.denied for one in steps)
    assert steps[-1].state == TradingState.HALTED
    assert regated(steps, bars, fresh) == [True] * 4


@pytest.mark.parametrize(
    "change",
    [
        {"orders": ()},
        {"denied": ()},
        {"requests": [Cancel("0" * 16, 1)]},
        {"state": TradingState.HALTED},
        {"boundary_ns": 1},
    ],
)
def test_a_step_that_the_gate_makes_otherwise_is_told(scene, change):
    steps, bars, fresh = scene
    steps[1] = msgspec.structs.replace(steps[1], **change)
    assert regated(steps[:2], bars[:2], fresh) == [True, False]


def test_who_judges_as_a_former_run_was_judged_sends_what_it_sent(tmp_path):
    """A kill and a pause in the middle, and nobody to say so the second time."""

    def wish(step: int) -> tuple[float, float, float]:
        return 0.01 * (step % 3), -0.01 * (step % 2), 0.0

    folders = [tmp_path / "then", tmp_path / "now", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    then, now, other = (Scene(folder, wish) for folder in folders)
    for one in (then, now, other):
        one.trader.start()
    for bar in range(8):
        for at, cause in ((2, Cause.PAUSED), (4, Cause.KILLED)):
            if bar == at:
                then.states.hold(cause, "a person")
            if bar == at + 2:
                then.states.lift(cause, "a person")
        then.step(bar)
    with closing(then.journal) as journal:
        steps = list(journal.read())
    states = {one.step: one.state for one in steps}
    assert len(set(states.values())) == 3
    now.trader.judged = lambda step, own: states[step]
    orders = [list(now.step(bar).orders) for bar in range(8)]
    assert orders == [list(one.orders) for one in steps]
    assert [list(other.step(bar).orders) for bar in range(8)] != orders


def test_another_quote_makes_other_orders(scene):
    steps, bars, fresh = scene
    market = bars[1].market._replace(ask=bars[1].market.ask + 1)
    assert not all(
        regated(steps[:2], [bars[0], bars[1]._replace(market=market)], fresh)
    )


def test_a_replay_of_nothing_is_refused(run, again, tmp_path):
    with pytest.raises((CheckpointError, ConfigError, FileNotFoundError)) as refused:
        again(tmp_path / "nowhere")
    assert "nowhere" in str(refused.value)
