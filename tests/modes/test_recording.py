"""Ticks that cannot be recorded halt the engine while it runs."""

import shutil
from itertools import repeat

import numpy as np
import pytest

from bot4jax.modes.sockets import recorded_too
from bot4jax.runtime import ticks_record
from bot4jax.runtime.journal import Unwritten
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.states import Cause
from bot4jax.runtime.ticks_record import TickRecord
from bot4jax.types import TICK, Frame
from tests.runtime.scene import Scene, resting

SAID = Arrival(Frame(1, 1, 0, 0, np.zeros(1, TICK)), 0.0, 0)


def test_a_record_with_a_hole_halts_and_takes_back_what_rests(tmp_path, monkeypatch):
    monkeypatch.setattr(ticks_record, "FRAMES_A_FILE", 2)
    scene = Scene(tmp_path, lambda step: (0.02, -0.02, 0.0), "limit", size=50)
    scene.trader.start()
    scene.step(0)
    received, folder = scene.venue.record.received, tmp_path / "ticks"
    assert len(resting(received)) == 2

    def listen() -> None:
        with TickRecord(folder) as record:
            for _ in recorded_too(record, repeat(SAID), scene.trader):
                shutil.rmtree(folder, ignore_errors=True)

    with pytest.raises(Unwritten, match="ticks could not be written"):
        listen()
    assert scene.states.causes == (Cause.JOURNAL,)
    assert resting(received) == set()
