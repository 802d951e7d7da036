"""A snapshot holds the state of its step, whatever ticks and steps make of it since."""

import itertools
import threading
from concurrent.futures import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.learn import checkpoint
from bot4jax.learn.checkpoint import Identity
from bot4jax.runtime import engine_snapshots
from bot4jax.runtime.decider import Memory
from bot4jax.runtime.engine_snapshots import FOLDER, Carried, EngineSnapshots
from bot4jax.runtime.inputs import MARK
from bot4jax.runtime.stages import Stages

IDENTITY = Identity("config", "catalogue", ("mean",))

REST = Memory._fields

give_away = jax.jit(lambda state: state + 1, donate_argnums=0)
"""What absorbing and observing do to the state that they are given."""


Scenery = tuple[Any, Any, Any]


@pytest.fixture
def scenery() -> Scenery:
    """A memory in the device's hands, a tape and a trader at the beginning."""
    memory: Any = [jnp.full(8, k) for k in range(len(REST))]
    own = SimpleNamespace(memory=Memory(*memory), lag=lambda: 0)
    tape = SimpleNamespace(open_bars=jnp.full(8, 9))
    trader = SimpleNamespace(decider=own, step_number=0, stages=Stages())
    return own, tape, trader


def test_a_step_waits_for_the_copy_of_what_it_would_give_away(scenery, tmp_path):
    own, tape, trader = scenery
    with EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader) as snapshots:
        busy = threading.Event()
        snapshots._writer.submit(busy.wait)
        take(snapshots, trader)
        tape.open_bars = give_away(tape.open_bars)  # ticks do not wait
        step = threading.Thread(target=own.release)
        step.start()
        step.join(0.05)
        assert step.is_alive()
        busy.set()
        step.join()
        own.memory = Memory(*map(give_away, own.memory))
    assert restored(tmp_path, 1) == [9, *range(len(REST))]


def test_every_copy_lies_where_the_first_one_lay(scenery, tmp_path):
    """And is told apart from the one before by what is written."""
    own, tape, trader = scenery
    with EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader) as snapshots:
        places = [buffers(snapshots)]
        for _ in range(3):
            take(snapshots, trader)
            wait([snapshots._written])
            own.release()
            own.memory = Memory(*map(give_away, own.memory))
            places.append(buffers(snapshots))
    assert places == places[:1] * 4
    for step in (1, 2, 3):
        assert restored(tmp_path, step) == [
            9,
            *(k + step - 1 for k in range(len(REST))),
        ]


def buffers(snapshots: EngineSnapshots) -> list[int]:
    """Addresses of the copies."""
    leaves = jax.tree.leaves((snapshots._bars, snapshots._whole))
    return [leaf.unsafe_buffer_pointer() for leaf in leaves]


def test_a_copy_that_stalls_keeps_no_run_from_ending(
    scenery, tmp_path, monkeypatch, caplog
):
    _, tape, trader = scenery
    monkeypatch.setattr("bot4jax.runtime.engine_snapshots.LAST_S", 0.05)
    stall = threading.Event()
    with EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader) as snapshots:
        snapshots._writer.submit(stall.wait)
        take(snapshots, trader)
    assert "step 1 is given up" in caplog.text
    assert not (tmp_path / FOLDER).exists()
    stall.set()
    wait([snapshots._written])


def test_after_one_that_failed_the_next_is_written(scenery, tmp_path, caplog):
    _, tape, trader = scenery
    (tmp_path / FOLDER).touch()  # a file where the folder must be
    with EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader) as snapshots:
        take(snapshots, trader)
        wait([snapshots._written])
        (tmp_path / FOLDER).unlink()
        take(snapshots, trader)
    assert "no snapshot of the engine" in caplog.text
    assert checkpoint.newest_intact(tmp_path / FOLDER) == 2


@pytest.mark.parametrize("failing", [1, 2], ids=["open bars", "the rest"])
def test_after_a_copy_that_failed_and_took_the_one_before_the_next_is_written(
    scenery, tmp_path, monkeypatch, caplog, failing
):
    own, tape, trader = scenery
    given, calls = engine_snapshots.copied_over, itertools.count(1)

    def copied_over(state, before):
        found = given(state, before)
        assert all(leaf.is_deleted() for leaf in jax.tree.leaves(before))
        if next(calls) == failing:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: planted")
        return found

    with EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader) as snapshots:
        monkeypatch.setattr(engine_snapshots, "copied_over", copied_over)
        take(snapshots, trader)
        own.release()
        own.memory = Memory(*map(give_away, own.memory))
        wait([one for one in [snapshots._written] if one is not None])
        take(snapshots, trader)
    assert caplog.text.count("no snapshot of the engine: RESOURCE_EXHAUSTED") == 1
    assert checkpoint.steps(tmp_path / FOLDER) == [2]
    assert restored(tmp_path, 2) == [9, *(1 + k for k in range(len(REST)))]


def restored(folder: Path, step: int) -> list[int]:
    """What every leaf holds eight times."""
    one: Any = jax.ShapeDtypeStruct((8,), jnp.int32)
    like = Carried(one, Memory(*[one] * len(REST)))
    found, _ = checkpoint.restore(folder / FOLDER, like, IDENTITY, step)
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(found)]
    for leaf in leaves:
        np.testing.assert_array_equal(leaf, [leaf[0]] * 8)
    return [int(leaf[0]) for leaf in leaves]


def take(snapshots: EngineSnapshots, trader: Any) -> None:
    """One arrival that closes a bar."""
    arrivals: Any = iter("ab")
    heard = snapshots.taken(arrivals)
    next(heard)
    trader.step_number += 1
    next(heard)


@pytest.mark.parametrize(("last", "woken"), [(4, 3), (3, 2), (1, None), (0, None)])
def test_the_last_step_is_heard_whatever_snapshot_there_is(
    scenery, tmp_path, last, woken
):
    """Else a run that has come to its end had nothing to tell, and nobody to end it."""
    _, tape, trader = scenery
    with EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader) as snapshots:
        for _ in range(3):
            take(snapshots, trader)
            wait([snapshots._written])
    tape.is_asleep = trader.is_asleep = False
    again = EngineSnapshots(tmp_path, IDENTITY, 1, tape, trader)
    again.sleep([MARK.pack(step, bytes(32)) for step in range(1, last + 1)])
    assert again._waking is None if woken is None else again._waking[0] == woken
    assert tape.is_asleep == trader.is_asleep == (woken is not None)
