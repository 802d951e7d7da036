"""A decision that comes too late does not count, then or after a restart.

What stalls stands still until the test lets it go on: two steps later.
"""

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from benchmarks import stage
from bot4jax.config import load
from bot4jax.engine import Engine, asking
from bot4jax.errors import Halted
from bot4jax.learn import boosting
from bot4jax.modes import tapes
from bot4jax.modes.keeping import Kept
from bot4jax.modes.making import make_trader, paper_venue
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.sockets import trade_over_sockets
from bot4jax.modes.trading import opened_journal, stepping, trade
from bot4jax.runtime.closings import Bars, Closed
from bot4jax.runtime.control import KillFile
from bot4jax.runtime.control_line import line
from bot4jax.runtime.deadline import Voice, voice_of
from bot4jax.runtime.decider import Decider
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import Control, Reference
from bot4jax.runtime.stepped import Stepped
from bot4jax.state import copied
from bot4jax.trees import predict
from bot4jax.trees.fit import Rows, fit_forest
from tests.modes.ways import silent
from tests.small_stage import SMALL_STAGE

STEPS, STALLED = 16, 8
RUN = "late"
PATIENCE_S = {STALLED - 1: 60.0, STALLED: 2.0, STALLED + 1: 2.0}
"""In the first of them the fallback is compiled; then it is there soon, however loaded
the machine."""

WEIGHT = {
    Voice.MEMBERS: [0.5, 0.5, 0],
    Voice.FALLBACK: [0, 0, 1],
    Voice.NOBODY: [0, 0, 0],
}
"""Of the two members and the fallback."""


class Stall:
    """Stands still where it is passed for the n-th time, until it is let go."""

    def __init__(self, at: int) -> None:
        self._at, self._go_on = at, threading.Event()

    def place(self) -> Callable[[Any], Any]:
        """One of the places where it stands still."""
        passed = itertools.count(1)

        def gate(value):
            if next(passed) == self._at:
                assert self._go_on.wait(60)
            return value

        return gate

    def end(self) -> None:
        self._go_on.set()


class Scene(NamedTuple):
    """A small market, and the engines that go through it."""

    setting: Setting
    kept: Kept
    asked: Engine
    """XGBoost says what the forest says"""
    margins: Callable[[jax.Array], np.ndarray]


@pytest.fixture(scope="module")
def scene(endpoints) -> Scene:
    setting = set_stage(stage.for_bench(load([*SMALL_STAGE, *endpoints]), STEPS))
    rng = np.random.default_rng(1)
    x = rng.standard_normal((300, 3), np.float32)
    rows = Rows(x, rng.integers(3, size=300), np.ones(300, np.float32))
    booster = fit_forest(*rows, boosting.tree_settings(setting.config))
    margins = predict.asker(booster)
    kept = stage.warmed(setting, silent)
    return Scene(setting, kept, asking(setting.engine, margins), margins)


def on_the_device(stall: Stall) -> Callable[[jax.Array], jax.Array]:
    """The same array, once the host has answered from within an executable."""
    gate = stall.place()

    @jax.jit
    def passed(array):
        return jax.pure_callback(gate, jax.typeof(array), array)

    return passed


def in_the_features(name: str, scene: Scene, stall: Stall) -> Engine:
    """`glance` or `observe` stalls."""
    pause, engine = on_the_device(stall), scene.setting.engine
    given = getattr(engine, name)

    def stalling(units, state, ints, floats):
        return given(units, state, pause(ints), floats)

    return engine._replace(**{name: stalling})


def in_both(scene: Scene, stall: Stall) -> Engine:
    """Neither fallback nor members answer."""
    conclude = in_the_nets(scene, stall).conclude
    return in_the_features("glance", scene, stall)._replace(conclude=conclude)


def in_the_nets(scene: Scene, stall: Stall) -> Engine:
    pause, engine = on_the_device(stall), scene.setting.engine
    return engine._replace(
        conclude=lambda params, state, seen, *rest: engine.conclude(
            params, state, seen._replace(values=pause(seen.values)), *rest
        )
    )


def in_xgboost(scene: Scene, stall: Stall) -> Engine:
    gate = stall.place()
    return asking(scene.setting.engine, lambda values: gate(scene.margins(values)))


PLACES = {
    "both": (in_both, [Voice.NOBODY, Voice.NOBODY]),
    "glance": (partial(in_the_features, "glance"), [Voice.MEMBERS, Voice.MEMBERS]),
    "observe": (partial(in_the_features, "observe"), [Voice.FALLBACK, Voice.FALLBACK]),
    "nets": (in_the_nets, [Voice.FALLBACK, Voice.FALLBACK]),
    "xgboost": (in_xgboost, [Voice.FALLBACK, Voice.FALLBACK]),
}
"""Where it stalls, and who decides the two steps until it goes on."""


class Listener:
    """A venue that hears of each moment once, though the engine begins again."""

    def __init__(self, scene: Scene) -> None:
        self.venue = LocalVenue(paper_venue(scene.setting))
        self._newest_ns = 0

    def hear(self, records: np.ndarray, events: Sequence[Reference] = ()) -> None:
        news = records[records["event_ns"] > self._newest_ns]
        self.venue.hear(news, events)
        self._newest_ns = max(self._newest_ns, int(records["event_ns"].max(initial=0)))


def trading(
    scene: Scene, folder: Path, engine: Engine, listener: Listener
) -> Iterator[tuple[Trader, Iterator[Stepped]]]:
    setting = scene.setting._replace(engine=engine)
    kept = scene.kept._replace(state=copied(scene.kept.state))
    span = setting.split.test
    _, bars = tapes.closed_bars(
        setting, kept.state.bars, span.start, span.stop, listener.hear
    )
    folder.mkdir(parents=True, exist_ok=True)
    with closing(opened_journal(folder, RUN, resumes=True)) as journal:
        trader = make_trader(setting, kept, listener.venue, journal, silent)
        yield trader, stepping(trader, journal, bars)


def walked(
    scene: Scene,
    folder: Path,
    engine: Engine,
    listener: Listener,
    stall: Stall | None = None,
) -> list[Stepped]:
    """All steps; with a stall two more than it lasts, as if killed."""
    found = []
    for trader, steps in trading(scene, folder, engine, listener):
        if stall is not None:
            trader.decider.patience = PATIENCE_S.get
        for stepped in steps:
            found.append(stepped)
            if stall is not None and len(found) == STALLED + 1:
                assert trader.decider.lag() == 2
                stall.end()
            if stall is not None and len(found) == STALLED + 3:
                break
    return found


@pytest.mark.parametrize("place", PLACES)
def test_whatever_stalls_the_host_acts_in_time_and_a_restart_repeats_it(
    scene, tmp_path, place
):
    plant, voices = PLACES[place]
    calm_engine = scene.asked if place == "xgboost" else scene.setting.engine
    calm = walked(scene, tmp_path / "calm", calm_engine, Listener(scene))
    stall, folder, listener = Stall(STALLED), tmp_path / "stalled", Listener(scene)
    stalled = walked(scene, folder, plant(scene, stall), listener, stall)
    first, last = STALLED - 1, STALLED + 1
    said = [voice_of(one.decided.flags) for one in stalled]
    assert said[first:last] == voices
    assert set(said[:first] + said[last:]) == {Voice.MEMBERS}
    assert {voice_of(one.decided.flags) for one in calm} == {Voice.MEMBERS}
    assert sum(len(one.orders) for one in stalled) > 0
    for one in stalled[first:last]:
        spoken = voice_of(one.decided.flags)
        assert spoken is Voice.MEMBERS or all(o.reduce_only for o in one.orders)
        assert spoken is not Voice.NOBODY or one.orders == []
        np.testing.assert_allclose(one.decided.weight, WEIGHT[spoken], atol=1e-6)
    # Nobody has read what came late, but the members remember the bars.
    again = walked(scene, folder, calm_engine, listener)
    assert len(again) == STEPS
    for found in (stalled, again):
        for step in [*range(first), *range(last, len(found))]:
            np.testing.assert_array_equal(
                found[step].decided.member_probability,
                calm[step].decided.member_probability,
            )
    for one, other in zip(stalled, again, strict=False):
        for name in ("probability", "intent", "flags", "weight"):
            np.testing.assert_array_equal(
                getattr(one.decided, name), getattr(other.decided, name)
            )
        np.testing.assert_array_equal(one.values, other.values)


def test_a_run_whose_device_stalls_at_its_last_bar_ends(scene, tmp_path, monkeypatch):
    monkeypatch.setattr("bot4jax.runtime.decider.LAST_S", 0.1)
    stall, listener = Stall(1 + STEPS), Listener(scene)  # the first is a rehearsal
    setting = scene.setting._replace(engine=in_the_nets(scene, stall))
    kept = scene.kept._replace(state=copied(scene.kept.state))
    span = setting.split.test
    tape, closed = tapes.closed_bars(
        setting, kept.state.bars, span.start, span.stop, listener.hear
    )

    def bars(trader: Trader, journal: Journal) -> Iterable[Closed]:
        trader.decider.patience = {STEPS: 0.02}.get
        return closed

    with pytest.raises(Halted, match="start the run again"):
        trade(setting, kept, tape, bars, listener.venue, tmp_path, silent)
    stall.end()
    with closing(opened_journal(tmp_path, tmp_path.name, resumes=True)) as journal:
        assert journal.is_finished
        assert journal.transitions()[-1].cause == "DEVICE"


class Enough(Exception):
    """Ends a run where a test has seen what it wanted."""


def test_people_are_heard_while_a_step_is_rehearsed(scene, tmp_path, monkeypatch):
    """It may take minutes; neither feed nor venue is asked for anything before."""

    def rehearse(decider: Decider, bars: Bars) -> None:
        assert signal.getsignal(signal.SIGUSR1) != signal.SIG_DFL, "it would end us"
        os.kill(os.getpid(), signal.SIGUSR1)
        with line(scene.setting.config.runtime.endpoints.control, 30.0) as ask:
            raise Enough(ask(Control(do="status")).state)

    monkeypatch.setattr(Decider, "rehearse", rehearse)
    with pytest.raises(Enough, match="halted"):
        trade_over_sockets(scene.setting, scene.kept, tmp_path, silent)
    assert KillFile(tmp_path).text() == "the signal SIGUSR1"
    with closing(opened_journal(tmp_path, tmp_path.name, resumes=True)) as journal:
        assert [one.cause for one in journal.transitions()] == ["STARTING", "KILLED"]
