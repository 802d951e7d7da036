"""A run is judged again as on another machine: what may differ there, and what not."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable

import msgspec
import numpy as np
import pytest

from bot4jax.learn import ledger
from bot4jax.modes import tapes
from bot4jax.modes.keeping import Kept
from bot4jax.modes.making import make_account
from bot4jax.modes.repeating import gated, journaled
from bot4jax.modes.replay import CERTIFICATE_VIOLATED
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.journal_tables import unpacked
from bot4jax.runtime.states import States
from bot4jax.runtime.ticks_record import recorded
from tests.modes import elsewhere
from tests.modes.ways import journal_of

IS_SIMPLE = platform.machine() != "x86_64" or not elsewhere.dispatched()


@pytest.mark.skipif(IS_SIMPLE, reason="nothing can be left out of this processor")
def test_another_machine_makes_the_same_orders_of_journaled_decisions(
    few, words, tmp_path, project
):
    """Its own decisions differ from the journal's, and it says by how much. A net and a
    forest show that: over there all is compiled anew."""
    here = elsewhere.place()
    module = [sys.executable, "-m", "tests.modes.elsewhere"]
    asked = ["mode=replay", f"replay.run={few}", "run.name=elsewhere"]
    asked += [f"run.root={tmp_path}"]
    changed = elsewhere.lacking(here["numpy"], str(tmp_path))
    done = subprocess.run(
        [*module, *words, *asked],
        cwd=project,
        env={**os.environ, **changed},
        capture_output=True,
        text=True,
        timeout=300,
    )
    *told, summary, _, there = done.stdout.splitlines()
    assert_is_elsewhere(json.loads(there), here)
    assert done.returncode == CERTIFICATE_VIOLATED, done.stderr
    found = json.loads((tmp_path / "elsewhere" / "replay.json").read_text())
    assert summary.startswith("summary ")
    assert found["decisions_differ"] == found["steps"] > 0
    assert f"differ in decisions (by {found['worst']:.2g} at most)" in told[0]
    assert found["worst"] > 0
    assert found["orders"] >= 100
    assert found["gated_again_differ"] == 0
    told_of = json.loads((tmp_path / "elsewhere" / "summary.json").read_text())
    assert told_of["recompiles"] == 0
    tried = ledger.read(few.parent / ledger.NAME)
    looks = [one.run for one in tried.distinct.values() if one.kind == "demo"]
    assert looks == ["elsewhere"], "a replay is the look of the run that it repeats"
    assert told[1].endswith("orders, denials and cancels are the same, bit by bit")


def assert_is_elsewhere(there: dict, here: dict) -> None:
    """Each thing that was asked for has come about, and sums are the same."""
    assert there["numpy"] == []
    assert there["blas"] == ["Nehalem"] != here["blas"]
    assert there["blas_threads"] == [1]
    assert (there["is_fused"], here["is_fused"]) == (False, True)
    assert (there["zone_s"], there["zones"]) == (20_700, [])
    assert there["encoding"] != here["encoding"]
    for name in ("exponentials", "hash"):
        assert there[name] != here[name], name
    assert there["sums"] == here["sums"]


@pytest.fixture
def differing(run, setting, kept: Kept):
    """Puts steps through the gate alone, beside the run's ticks; no device hears.

    How many come out otherwise."""

    def differing(steps: Iterable[StepRecord]) -> int:
        tape = tapes.tick_tape(setting, kept.state.bars, setting.split.test.start)
        tape.is_asleep, differ = True, 0
        unheard, members = States(lambda note: None), len(setting.settings.members)
        own = make_account(setting, run.folder.name, unheard)
        bars = tape.closed(recorded(run.folder / "ticks"))
        for closed, one in zip(bars, steps, strict=False):
            equity, intent = own.recall(closed, one), unpacked(one, members).intent
            differ += gated(own, closed, equity, one, intent) != journaled(one)
            own.leave(closed, one)
        return differ

    return differing


def test_one_wish_that_differs_in_its_last_bit_is_seen(run, setting, differing):
    """Of what is held and asks for nothing: now it asks for too little."""
    steps = journal_of(run.folder, run.folder.name)
    assert differing(steps) == 0
    members = len(setting.settings.members)
    at, slot = quiet(steps, members)
    changed = bytearray(steps[at].decisions)
    steps[at] = msgspec.structs.replace(steps[at], decisions=changed)
    wishes = unpacked(steps[at], members).intent
    wishes[slot] = np.nextafter(wishes[slot], np.float32(np.inf))
    assert differing(steps) == 1


def quiet(steps: Iterable[StepRecord], members: int) -> tuple[int, int]:
    """A step, and a slot whose wish is nothing new: no order, no denial of it."""
    for at, step in enumerate(steps):
        said = {one.symbol for one in step.orders}
        said |= {slot for one in step.denied for slot in one.symbols.tolist()}
        wished = np.flatnonzero(unpacked(step, members).intent).tolist()
        if still := sorted(set(wished) - said):
            return at, still[0]
    raise AssertionError("Every wish of the run was a new one.")
