"""What the vote has learnt of its members outlives a restart, to the bit."""

from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from benchmarks import stage
from bot4jax.config import load
from bot4jax.kernels.vote import VoteState
from bot4jax.modes import tapes
from bot4jax.modes.keeping import Kept, identity
from bot4jax.modes.setting import Setting, set_stage
from bot4jax.modes.sockets import remembered
from bot4jax.modes.trading import make_trader, opened_journal, paper_venue, stepping
from bot4jax.runtime.decider import Decider, Memory
from bot4jax.runtime.engine_snapshots import EngineSnapshots
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.publish import Arrival
from bot4jax.state import copied
from tests.modes.ways import silent
from tests.small_stage import SMALL_STAGE

STEPS, DIES, EVERY = 24, 18, 4
"""Of the whole run, of its first life, and from one snapshot to the next."""
WOKEN = 16
"""The newest snapshot that is older than the first life's last step."""

RUN = "weights"


class Known(NamedTuple):
    """At one step."""

    vote: VoteState
    weight: np.ndarray
    """of every member, then of the fallback"""


class Scene(NamedTuple):
    """A small market, and members that guess."""

    setting: Setting
    kept: Kept


@pytest.fixture(scope="module")
def scene() -> Scene:
    words = [*SMALL_STAGE, "runtime.speed=0"]
    setting = set_stage(stage.for_bench(load(words), STEPS))
    return Scene(setting, stage.warmed(setting, silent))


class Place(NamedTuple):
    """Where one run lives, with its venue, and a market that waits for it."""

    scene: Scene
    folder: Path
    venue: LocalVenue
    market: Iterator[Arrival]


def placed(scene: Scene, folder: Path) -> Place:
    folder.mkdir()
    span, venue = scene.setting.split.test, LocalVenue(paper_venue(scene.setting))
    frames = tapes.taken_up(scene.setting.source, span.start, span.stop)
    told = tapes.heard(scene.setting, frames, venue.hear)
    return Place(scene, folder, venue, told)


def lived(place: Place, last: int) -> dict[int, Known]:
    """What one process knows of its members, by step; it is gone after the last."""
    setting, found = place.scene.setting, dict[int, Known]()
    kept = place.scene.kept._replace(state=copied(place.scene.kept.state))
    tape = tapes.tick_tape(setting, kept.state.bars, setting.split.test.start)
    folder = place.folder
    with (
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
        Inputs(folder) as inputs,
    ):
        trader = make_trader(setting, kept, place.venue, journal, silent)
        own = folder, identity(setting), EVERY, tape, trader
        with EngineSnapshots(*own) as snapshots:
            came = remembered(place.market, trader, journal, inputs, snapshots)
            for stepped in stepping(trader, journal, tape.closed(came)):
                found[stepped.step] = Known(learnt(trader), stepped.decided.weight)
                wait([one for one in [snapshots._written] if one is not None])
                if stepped.step == last:
                    break
    return found


def learnt(trader: Trader) -> VoteState:
    return jax.device_get(trader.decider.memory.members.deciding.vote)


def test_what_was_learnt_of_the_members_is_the_same_after_a_restart(
    scene, tmp_path, monkeypatch
):
    """The restart wakes from a snapshot, and goes on beside a run that never ended."""
    woken, restore = list[VoteState](), Decider.restore

    def restored(decider: Decider, memory: Memory) -> None:
        woken.append(jax.device_get(memory.members.deciding.vote))
        restore(decider, memory)

    calm = lived(placed(scene, tmp_path / "calm"), STEPS)
    monkeypatch.setattr(Decider, "restore", restored)
    place = placed(scene, tmp_path / "restarted")
    assert [*lived(place, DIES)] == [*range(1, DIES + 1)]
    assert woken == []
    again = lived(place, STEPS)
    assert [*again] == [*range(WOKEN + 1, STEPS + 1)], "the device slept till then"
    for own in (calm[WOKEN].vote, calm[STEPS].vote):
        assert len(set(own.log_weight.tolist())) == len(own.log_weight) > 1
        assert own.matured > 0
    assert calm[WOKEN].vote.log_weight.any()
    assert bits(woken) == bits([calm[WOKEN].vote])
    for step, known in again.items():
        assert bits(known) == bits(calm[step]), step


def bits(tree: object) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]
