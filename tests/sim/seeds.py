"""One seed's story: an engine that is cut off again and again, over a faulty line.

Journal, recovery, gate, portfolio, venue link and the venue's desk are the real ones.
The venue's own record is the judge: it must be that of a run nothing has befallen.
"""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bot4jax.errors import Halted
from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.venue import PaperVenue, Record
from bot4jax.runtime.venue_link import SocketVenue
from tests.runtime.scene import RUN, UNIVERSE, Scene, quotes
from tests.sim.engine import mids, targets
from tests.sim.kill import SIZE, Verdict, judged
from tests.sim.line import Faults, Line

BARS = 25
STARTS = 200
"""An engine that needs more than these has not gone on."""


class Death(BaseException):
    """A process ends here, and nothing after this line has happened."""


class Told(NamedTuple):
    """What came of one seed."""

    verdict: Verdict
    starts: int
    befallen: Counter[str]
    """faults by name, how often"""


def told(folder: Path, seed: int, calm: Record) -> Told:
    """Trade all bars under the seed's faults, and judge the venue's record."""
    faults, venue = Faults(seed), PaperVenue(UNIVERSE, latency_ns=0)
    starts = sum(1 for _ in lives(folder, listening(venue), faults))
    record = venue.record
    return Told(judged(record, calm, len(record.fills)), starts, faults.befallen)


def undisturbed(folder: Path) -> Record:
    """The record of a run that nothing befalls."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    assert sum(1 for _ in lives(folder, listening(venue), Faults(0, share=0.0))) == 1
    return venue.record


def lives(folder: Path, desk: Desk, faults: Faults) -> Iterator[None]:
    """One engine after the other, until one has traded all bars.

    What a dead one had sent may arrive while the next ones trade.
    """
    folder.mkdir(parents=True, exist_ok=True)
    postponed: deque[bytes] = deque()
    for _ in range(STARTS):
        yield
        try:
            trade(folder, desk, faults, postponed)
        except (Halted, Death):
            continue
        return
    raise AssertionError(f"The run did not come to its end in {STARTS} starts.")


def trade(folder: Path, desk: Desk, faults: Faults, postponed: deque[bytes]) -> None:
    """One engine's life, from wherever the journal ends."""
    line = Line(desk, faults, postponed)

    def on_point(name: str) -> None:
        if faults.befalls(f"death {name}"):
            raise Death(name)

    with closing(opened_journal(folder, RUN, resumes=True)) as journal:
        scene = Scene(
            folder,
            targets,
            venue=SocketVenue(line, timeout_s=60.0),  # pyright: ignore[reportArgumentType]
            journal=journal,
            on_point=on_point,
        )
        closed = (scene.closed(bar, mids(bar)) for bar in range(BARS))
        for _ in stepping(scene.trader, journal, closed):
            line.deliver_late()
        scene.link.settle(0)


def listening(venue: PaperVenue) -> Desk:
    """A venue's desk that has heard the whole market."""
    desk = Desk(venue, UNIVERSE.hash)
    desk.hear(np.concatenate([quotes(bar, mids(bar), SIZE) for bar in range(BARS)]))
    desk.end()
    return desk
