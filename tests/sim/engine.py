"""An engine as a process of its own, which can be told where to die.

Loop, journal, portfolio, gate and venue link are the real ones; the forecast is planned
by step. `python -m tests.sim.engine FOLDER ENDPOINT BARS [POINT STEP]`.
"""

import os
import signal
import sys
from contextlib import closing
from pathlib import Path

from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.sockets import dealer
from bot4jax.runtime.venue_link import SocketVenue
from tests.runtime.scene import RUN, Scene

VENUE_TIMEOUT_S = 20.0


def targets(step: int) -> tuple[float, float, float]:
    """Turns about every step, so that every step has orders."""
    wave = 0.02 * ((step * 7) % 11 - 5)
    return wave, -wave, 0.01 * (step % 5)


def mids(bar: int) -> tuple[int, int, int]:
    """Prices that move, so that marks and results differ from bar to bar."""
    return 200 + bar % 7, 300 - bar % 5, 400 + bar % 3


def trade(folder: Path, endpoint: str, bars: int, point: str, at: int) -> None:
    """All bars, from wherever the journal ends."""
    with (
        dealer(endpoint) as socket,
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
    ):
        scene = Scene(
            folder,
            targets,
            venue=SocketVenue(socket, VENUE_TIMEOUT_S),
            journal=journal,
            on_point=lambda name: die(name == point and scene.trader.step_number == at),
        )
        closed = (scene.closed(bar, mids(bar)) for bar in range(bars))
        for _ in stepping(scene.trader, journal, closed):
            pass
        scene.trader.finish(0)


def die(is_time: bool) -> None:
    if is_time:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    point, at = (sys.argv[4], int(sys.argv[5])) if len(sys.argv) > 4 else ("", 0)
    trade(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), point, at)
