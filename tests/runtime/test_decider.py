"""The device's thread: in turn, without anybody who has to wait for it."""

import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from bot4jax.decisions import unmoved, unpack_decisions
from bot4jax.errors import Halted
from bot4jax.runtime.deadline import Voice, voice_of
from bot4jax.runtime.lane import Lane
from bot4jax.runtime.states import Cause
from tests.runtime.scene import Scene

HELD = np.array([0.25, -0.5, 0.0], np.float32)


def test_a_lane_does_things_in_turn_and_nothing_after_a_failure():
    lane, done = Lane("test"), []
    lane.submit(done.append, 1)
    failed = lane.submit(int, "no number")
    after = lane.submit(done.append, 2)
    with pytest.raises(ValueError, match="no number") as first:
        failed.result()
    assert after.exception() is first.value
    assert done == [1]


def test_a_lane_ends_with_its_owner():
    lane = Lane("short")
    thread = lane.submit(threading.current_thread).result()
    del lane
    thread.join(10)
    assert not thread.is_alive()


def test_a_call_that_never_returns_keeps_no_process_alive():
    program = (
        "import threading; from bot4jax.runtime.lane import Lane; "
        "lane = Lane('test'); lane.submit(threading.Event().wait)"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=300, check=False)
    assert ended.returncode == 0


def test_where_nobody_speaks_what_is_held_is_kept():
    found = unpack_decisions(unmoved(HELD, members=2), 2, 3)
    np.testing.assert_array_equal(found.intent, HELD)
    np.testing.assert_allclose(found.probability.sum(1), 1, rtol=1e-6)
    assert found.member_probability.shape == (2, 3, 3)
    assert found.weight.tolist() == [0, 0, 0]
    assert found.confidence.tolist() == found.disagreement.tolist() == [0, 0, 0]
    assert voice_of(found.flags) == Voice.NOBODY


@pytest.fixture
def stalled(tmp_path):
    """A trader whose engine stands still from the second bar on, until it may go on."""
    scene = Scene(tmp_path, lambda step: (0.01 * step, 0.0, 0.0))
    decider, go_on = scene.trader.decider, threading.Event()
    given = decider._engine

    def conclude(params, state, *rest):
        assert state == 0 or go_on.wait(60)
        return given.conclude(params, state, *rest)

    decider._engine = given._replace(conclude=conclude)
    decider._fallback._engine = given._replace(
        fall_back=lambda *_: SimpleNamespace(is_ready=lambda: False)
    )
    scene.trader.start()
    scene.step(0)
    decider.patience = lambda step: 0.0
    yield scene, go_on
    go_on.set()


def test_who_falls_too_far_behind_halts(stalled, monkeypatch):
    scene, _ = stalled
    monkeypatch.setattr("bot4jax.runtime.decider.LARGEST_LAG", 4)
    for bar in range(1, 5):
        assert not scene.step(bar).orders
    with pytest.raises(Halted, match="last 4 bars"):
        scene.step(5)
    assert scene.states.causes == (Cause.DEVICE,)
    assert scene.journal.transitions()[-1].cause == "DEVICE"


def test_a_device_that_stalls_at_the_end_is_not_waited_for(stalled, monkeypatch):
    scene, go_on = stalled
    scene.step(1)
    monkeypatch.setattr("bot4jax.runtime.decider.LAST_S", 0.05)
    with pytest.raises(Halted, match="start the run again"):
        scene.trader.decider.catch_up()
    go_on.set()
    monkeypatch.undo()
    scene.trader.decider.catch_up()
    assert scene.trader.decider.lag() == 0


def test_what_was_late_is_remembered_in_its_place(stalled):
    """The engine's memory is the number of bars that it has concluded."""
    scene, go_on = stalled
    for bar in range(1, 5):
        scene.step(bar)
    decider = scene.trader.decider
    assert decider.lag() == 4
    go_on.set()
    assert decider.memory.members.deciding == 5
    assert decider.lag() == 0
    decider.patience = lambda step: None
    assert scene.step(5).decided.intent.tolist() == pytest.approx([0.06, 0, 0])
