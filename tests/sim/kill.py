"""Kill an engine at a named point, start it again, and let the venue's record judge.

Each engine is a process forked from one that has imported everything, so that a kill
costs what it does and not what Python's start does.
"""

import multiprocessing
import threading
from collections import Counter
from contextlib import nullcontext, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bot4jax.errors import Halted
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.orders import Request
from bot4jax.runtime.sockets import router, subscriber
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_process import Sockets, serve
from bot4jax.runtime.venue_record import Record
from tests.runtime.scene import BAR_NS, SYMBOLS, UNIVERSE, quotes
from tests.sim.engine import mids, trade

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(["tests.sim.engine"])

BARS = 80
FIRST_KILL = 26
"""Step by which more than 50 fills have come."""
FILLS = 50
"""That must have come before a kill: one of an engine at rest proves little."""
PATIENCE_S = 60
POINTS = ("after_ack", "after_decide", "after_journal", "after_send")
KILLED = -9
SIZE = 500
"""Displayed, in lots: less than some orders want, so that they fill in part."""


class Verdict(NamedTuple):
    """What the venue's record says of a killed run beside an undisturbed one."""

    fills_before: int
    lost: int
    doubled: int
    is_same: bool
    """answer by answer"""
    broken: tuple[str, ...] = ()
    """what else should hold of it and does not"""
    least: int = FILLS
    """fills that must have come: with fewer it proves little"""

    @property
    def is_sound(self) -> bool:
        is_told, is_off = self.fills_before >= self.least, self.lost or self.doubled
        return is_told and self.is_same and not (is_off or self.broken)


def killed(
    folder: Path, point: str, at: int, calm: Record, *, rests: bool = False
) -> Verdict:
    """A run that dies at `point` of step `at`, and is started again."""
    venue = venue_for(rests)
    thread, endpoint = served(folder, venue)
    first = started(folder, endpoint, point, at, rests=rests)
    assert first == KILLED, f"the engine ended with {first} before {point}"
    before = len(venue.record.fills)
    second = started(folder, endpoint, rests=rests)
    assert second == 0, f"the engine could not go on: code {second}"
    thread.join(30)
    return judged(venue.record, calm, before)


def venue_for(rests: bool) -> PaperVenue:
    """Orders that may rest arrive when half of a bar is over, and meet its quotes."""
    return PaperVenue(UNIVERSE, latency_ns=BAR_NS // 2 if rests else 0)


def judged(record: Record, calm: Record, fills_before: int) -> Verdict:
    """Requests and fills by identity: what one has and the other has not."""
    ours, theirs = fills(record), fills(calm)
    return Verdict(
        fills_before,
        lost=sum((theirs - ours).values()) + len(sent(calm) - sent(record)),
        doubled=sum((ours - theirs).values()) + len(sent(record) - sent(calm)),
        is_same=record.answers == calm.answers,
    )


def fills(record: Record) -> Counter:
    return Counter(one for one in record.fills)


def sent(record: Record) -> set[Request]:
    """Orders, cancels, replacements and questions."""
    return set(record.received)


def undisturbed(folder: Path, *, rests: bool = False) -> Record:
    """The record of a run that nobody kills."""
    venue = venue_for(rests)
    thread, endpoint = served(folder, venue)
    assert started(folder, endpoint, rests=rests) == 0
    thread.join(30)
    return venue.record


def served(
    folder: Path,
    venue: PaperVenue,
    *,
    is_left: bool = False,
    bars: int = BARS,
    size: int = SIZE,
) -> tuple[threading.Thread, str]:
    """A venue behind a socket, which has heard the whole market.

    One that `is_left` by an engine without a goodbye may halt for its silence.
    """
    folder.mkdir(parents=True, exist_ok=True)
    endpoint, ticks = f"ipc://{folder}/orders", f"ipc://{folder}/ticks"
    desk = Desk(venue, UNIVERSE.hash)
    desk.hear(np.concatenate([quotes(bar, mids(bar), size) for bar in range(bars)]))
    desk.end()
    intake = Intake(UNIVERSE.hash, np.full(SYMBOLS, 200), skew_limit_ns=0)

    def run() -> None:
        silence = suppress(Halted) if is_left else nullcontext()
        with silence, router(endpoint) as orders, subscriber(ticks) as market:
            serve(desk, intake, Sockets(market, orders), patience_s=PATIENCE_S)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, endpoint


def started(folder: Path, endpoint: str, *how, **means) -> int | None:
    """How the engine's process ended; the rest is as `engine.trade` takes it."""
    process = begun(folder, endpoint, *how, **means)
    process.join(PATIENCE_S)
    return process.exitcode


def begun(folder: Path, endpoint: str, *how, **means) -> BaseProcess:
    """An engine that is running."""
    words = folder, endpoint, BARS, *how
    process = FORKING.Process(target=trade, args=words, kwargs=means)
    process.start()
    return process
