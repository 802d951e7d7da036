"""A wall clock that is set between two lives of an engine changes nothing."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from bot4jax.modes.sockets import remembered
from bot4jax.runtime import lasting, steady
from bot4jax.runtime.batches import Close
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.folder import CLOCK
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.lasting import count_on
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.silence import judged_by_age
from bot4jax.runtime.states import Cause
from bot4jax.runtime.steady import Steady, steady_clock
from bot4jax.types import BEGIN
from tests.runtime.scene import Scene
from tests.runtime.test_lateness import (
    NONE,
    SECOND_NS,
    Wakeful,
    new_feed,
    quoted,
)

UP_NS, WALL_NS = 5_000 * SECOND_NS, 1_700_000_000 * SECOND_NS
SET_S = [600, 30, -600, -30]
LIVES, DOWN_S = 60, 40
"""Seconds that an engine lives, and that lie between two of them: it may be set back by
less and by more."""
PAUSE_S = LIVES + DOWN_S + 30
"""From the beginning on: it ends in the second life."""


class Machine:
    """Its own clock, and one on the wall that people set."""

    def __init__(self) -> None:
        self.up_ns, self.ahead_ns, self.name = UP_NS, WALL_NS, "up since then"


@pytest.fixture
def machine(monkeypatch) -> Iterator[Machine]:
    one = Machine()
    monkeypatch.setattr(steady, "since_boot_ns", lambda: one.up_ns)
    monkeypatch.setattr(time, "time_ns", lambda: one.up_ns + one.ahead_ns)
    monkeypatch.setattr(lasting, "machine", lambda: one.name)
    yield one
    steady_clock.cache_clear()


def process(folder: Path) -> Steady:
    """The clock of a new one that goes on with a run."""
    steady_clock.cache_clear()
    count_on(folder)
    return steady_clock()


class Seen(NamedTuple):
    """What a life makes of the market, by its own clock."""

    closed: list[tuple[int, int]]
    """bars, and when each closed, by the machine's own clock"""
    late: list[int]
    """bars after which the newest tick was old"""
    ahead: int
    resumed: int
    """second in which a pause was over"""


def lived(folder: Path, machine: Machine, clock: Steady) -> Seen:
    """Second after second a frame, and a moment of silence in which bars may close; a
    former life's are heard before."""
    scene, feed, late, resumed = Scene(folder, lambda step: NONE), new_feed(), [], 0
    states, first = scene.states, (machine.up_ns - UP_NS) // SECOND_NS
    judge = judged_by_age(states, 1.0, clock, 0.1)
    if not first:
        states.hold(Cause.PAUSED, "lunch", clock() + PAUSE_S * SECOND_NS)

    def coming() -> Iterator[Arrival]:
        nonlocal resumed
        for second in range(first, first + LIVES):
            frame = quoted(second, second * SECOND_NS + 1)
            yield Arrival(frame if second else begun(frame), 0.0, clock())
            machine.up_ns += SECOND_NS // 2
            yield Arrival(None, 0.0, clock())
            states.lapse(clock())
            if not resumed and not states.is_held(Cause.PAUSED):
                resumed = second
            machine.up_ns += SECOND_NS // 2

    closed = []
    with Inputs(folder) as inputs, closing(scene.journal):
        every = scene.trader, scene.journal, inputs, Wakeful()
        for one in remembered(coming(), *every):  # pyright: ignore[reportArgumentType]
            for event in heard(feed, one):
                closed.append((event.bar, machine.up_ns))
                judge(event)  # pyright: ignore[reportArgumentType]
                if states.is_held(Cause.TOO_LATE):
                    late.append(event.bar)
    return Seen(closed, late, feed.counters.ahead, resumed)


def begun(frame):
    return frame._replace(flags=BEGIN)


def heard(feed: Feed, one: Arrival) -> list[Close]:
    if one.frame is None:
        events = [*feed.flush(), *feed.advance(one.receive_ns)]
    else:
        events = list(feed.push(one.frame, one.receive_ns))
    return [event for event in events if isinstance(event, Close)]


def both(folder: Path, machine: Machine, set_s: int, loses: bool = False) -> Seen:
    """Two lives, and what the second one sees; the wall clock is set in between."""
    folder.mkdir()
    lived(folder, machine, process(folder))
    machine.up_ns += DOWN_S * SECOND_NS
    machine.ahead_ns += set_s * SECOND_NS
    if loses:
        (folder / CLOCK).unlink()
    seen = lived(folder, machine, process(folder))
    machine.up_ns, machine.ahead_ns = UP_NS, WALL_NS
    return seen


@pytest.mark.parametrize("set_s", SET_S)
def test_a_clock_set_between_two_lives_changes_nothing(tmp_path, machine, set_s):
    """Which bars close when, ages, what is believed, and the end of a pause; for who
    has lost the first look each set changes some of it."""
    calm = both(tmp_path / "calm", machine, 0)
    assert (calm.ahead, calm.resumed) == (0, PAUSE_S)
    assert len(calm.closed) >= 2 * LIVES - 2
    assert both(tmp_path / "set", machine, set_s) == calm
    assert both(tmp_path / "lost", machine, set_s, loses=True) != calm


def test_after_a_boot_the_wall_is_looked_at_anew(tmp_path, machine):
    """The machine's own clock has begun anew: nobody knows how long it was down."""
    first = process(tmp_path).offset_ns
    machine.ahead_ns += SECOND_NS
    assert process(tmp_path).offset_ns == first
    machine.name, machine.up_ns = "up since now", 0
    assert process(tmp_path).offset_ns == first + SECOND_NS
    machine.ahead_ns += SECOND_NS
    assert process(tmp_path).offset_ns == first + SECOND_NS


def test_where_the_machine_has_no_name_the_wall_is_looked_at_anew(tmp_path, machine):
    machine.name = ""
    first = process(tmp_path).offset_ns
    machine.ahead_ns += SECOND_NS
    assert process(tmp_path).offset_ns == first + SECOND_NS


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff", b'{"machine":1}', None])
def test_a_look_that_cannot_be_read_is_none(tmp_path, machine, damage):
    first, path = process(tmp_path).offset_ns, tmp_path / CLOCK
    path.write_bytes(path.read_bytes()[:-9] if damage is None else damage)
    machine.ahead_ns += SECOND_NS
    assert process(tmp_path).offset_ns == first + SECOND_NS


@pytest.mark.parametrize(("set_ms", "told"), [(400, []), (-2_500, ["-2.500 s"])])
def test_what_it_was_set_by_is_told(tmp_path, machine, caplog, set_ms, told):
    process(tmp_path)
    machine.ahead_ns += set_ms * 1_000_000
    assert count_again(tmp_path) == set_ms / 1e3
    assert [one in caplog.text for one in told] == [True] * len(told)
    assert len(caplog.records) == len(told)


def count_again(folder: Path) -> float:
    steady_clock.cache_clear()
    return count_on(folder)


def test_every_process_of_a_machine_knows_it_by_the_same_name():
    """And reads the same clock: another's reading lies between two of ours."""
    script = (
        "from bot4jax.runtime import lasting, steady\n"
        "print(lasting.machine(), steady.since_boot_ns(), sep='\\n')"
    )
    before = steady.since_boot_ns()
    words = [sys.executable, "-c", script]
    name, read = subprocess.check_output(words, text=True).splitlines()
    assert name == lasting.machine() != ""
    assert before < int(read) < steady.since_boot_ns()
