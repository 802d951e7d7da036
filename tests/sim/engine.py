"""An engine as a process of its own, which can be told where to die.

Loop, journal, portfolio, gate and venue link are the real ones; the forecast is planned
by step.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from bot4jax.errors import Halted
from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.brackets import Distances
from bot4jax.runtime.control import Controls, KillFile, listening
from bot4jax.runtime.lease import lease
from bot4jax.runtime.limits import Limits
from bot4jax.runtime.sockets import dealer
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.venue_link import SocketVenue
from tests.runtime.scene import LIMITS, RUN, Scene

VENUE_TIMEOUT_S = 20.0

RESTING = {
    "tactic": Tactic("limit"),
    "slices": 2,
    "distances": Distances(stop_bps=100.0, profit_bps=200.0, limit_bps=50.0),
}


def targets(step: int) -> tuple[float, float, float]:
    """Turns about every step, so that every step has orders."""
    wave = 0.02 * ((step * 7) % 11 - 5)
    return wave, -wave, 0.01 * (step % 5)


def hesitant(step: int) -> tuple[float | None, ...]:
    """One wish that turns about every step, and two that stand for a while: then what
    is held is kept, whatever its price does."""
    return targets(step)[0], _now_and_then(step), _now_and_then(step + 3)


def _now_and_then(step: int) -> float | None:
    turn, k = divmod(step, 7)
    return targets(3 * turn + k)[1] if k < 4 else None


def mids(bar: int) -> tuple[int, int, int]:
    """Prices that move, so that marks and results differ from bar to bar."""
    return 200 + bar % 7, 300 - bar % 5, 400 + bar % 3


def trade(
    folder: Path,
    endpoint: str,
    bars: int,
    point: str = "",
    at: int = 0,
    end: int = signal.SIGKILL,
    timeout_s: float = VENUE_TIMEOUT_S,
    rests: bool = False,
    limits: Limits = LIMITS,
    people: str = "",
) -> None:
    """All bars, from wherever the journal ends; the signal comes at `point` of `at`.

    With `rests`, orders may rest, are sent in slices and have stops and take-profits,
    so that cancels and replacements travel too. Where `people` are heard, at that
    endpoint, nothing begins before one of them has spoken.

    An engine that halts leaves with the code of the command line, and says why in
    the file `ended`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lease(folder), dealer(endpoint) as socket:
        venue = SocketVenue(socket, timeout_s)
        try:
            die = partial(act, point=point, at=at, end=end)
            means = RESTING if rests else {}
            run(folder, venue, bars, die, means, limits, people)
        except Halted as error:
            (folder / "ended").write_text(str(error))
            sys.exit(error.exit_code)


def run(
    folder: Path,
    venue: SocketVenue,
    bars: int,
    on_point: Callable[[str, int], None],
    means: Mapping[str, Any],
    limits: Limits = LIMITS,
    people: str = "",
) -> None:
    """The engine's life; `means` are those of its account, where others are wanted."""
    with closing(opened_journal(folder, RUN, resumes=True)) as journal:
        scene = Scene(
            folder,
            targets,
            limits=limits,
            venue=venue,
            journal=journal,
            on_point=lambda name: on_point(name, scene.trader.step_number),
        )
        for name, value in means.items():
            setattr(scene.account, name, value)
        controls = Controls(scene.trader, KillFile(folder))
        with listening(controls, people) if people else nullcontext():
            while people and not controls.waiting:
                time.sleep(0.001)
            controls.attend()
            closed = (scene.closed(bar, mids(bar)) for bar in range(bars))
            for _ in stepping(scene.trader, journal, closed):
                controls.attend()
            scene.trader.finish(0)
            scene.trader.leave()


def act(name: str, step: int, point: str, at: int, end: int) -> None:
    """End, or stop, this very process if the time has come."""
    if (name, step) == (point, at):
        os.kill(os.getpid(), end)
