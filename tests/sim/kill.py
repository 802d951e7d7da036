"""Kill an engine at a named point, start it again, and let the venue's record judge."""

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bot4jax.runtime.orders import Order
from bot4jax.runtime.sockets import router, subscriber
from bot4jax.runtime.venue import PaperVenue, Record
from bot4jax.runtime.venue_process import Desk, Intake, Sockets, serve
from tests.runtime.scene import SYMBOLS, UNIVERSE, quotes
from tests.sim.engine import mids

BARS = 40
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


def killed(folder: Path, point: str, at: int, calm: Record) -> Verdict:
    """A run that dies at `point` of step `at`, and is started again."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(folder, venue)
    first = started(folder, endpoint, point, str(at))
    assert first == KILLED, f"the engine ended with {first} before {point}"
    before = len(venue.record.fills)
    second = started(folder, endpoint)
    assert second == 0, f"the engine could not go on: code {second}"
    thread.join(30)
    return judged(venue.record, calm, before)


def judged(record: Record, calm: Record, fills_before: int) -> Verdict:
    """Orders and fills by identity: what one has and the other has not."""
    ours, theirs = fills(record), fills(calm)
    return Verdict(
        fills_before,
        lost=sum((theirs - ours).values()) + len(sent(calm) - sent(record)),
        doubled=sum((ours - theirs).values()) + len(sent(record) - sent(calm)),
        is_same=record.answers == calm.answers,
    )


def fills(record: Record) -> Counter:
    return Counter(one for one in record.fills)


def sent(record: Record) -> set[Order]:
    return {one for one in record.received if isinstance(one, Order)}


def undisturbed(folder: Path) -> Record:
    """The record of a run that nobody kills."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(folder, venue)
    assert started(folder, endpoint) == 0
    thread.join(30)
    return venue.record


def served(folder: Path, venue: PaperVenue) -> tuple[threading.Thread, str]:
    """A venue behind a socket, which has heard the whole market."""
    folder.mkdir(parents=True, exist_ok=True)
    endpoint, ticks = f"ipc://{folder}/orders", f"ipc://{folder}/ticks"
    desk = Desk(venue, UNIVERSE.hash)
    desk.hear(np.concatenate([quotes(bar, mids(bar), SIZE) for bar in range(BARS)]))
    desk.end()
    intake = Intake(UNIVERSE.hash, np.full(SYMBOLS, 200), skew_limit_ns=0)

    def run() -> None:
        with router(endpoint) as orders, subscriber(ticks) as market:
            serve(desk, intake, Sockets(market, orders), patience_s=30.0)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, endpoint


def started(folder: Path, endpoint: str, *death: str) -> int:
    """How the engine's process ended."""
    words = [sys.executable, "-m", "tests.sim.engine", str(folder), endpoint, str(BARS)]
    return subprocess.run([*words, *death], timeout=60).returncode
