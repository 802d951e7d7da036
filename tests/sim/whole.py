"""A whole `mode=live` that dies and is started again, beside the demo that it repeats.

The demo learns and trades undisturbed; the live run takes its members and its name, so
that orders have the same ids, and trades the same bars with a market and a venue apart.
"""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from itertools import accumulate
from pathlib import Path

import msgspec

from bot4jax.config import load
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.orders import Answer, Fill
from bot4jax.runtime.venue_record import Record
from bot4jax.schema import Config
from bot4jax.schema.process import Endpoints
from tests.sim.kill import FILLS, KILLED, Verdict, judged
from tests.sim.roles import record_at

SNAPSHOT = "mid_checkpoint"
"""The crash point within a snapshot, which an engine without nets does not write."""

SNAPSHOTS = 4
"""Bars between two of the engine's state."""

DEATHS = 8
"""Of one run, at most: each life costs the start of Python and of JAX, and only the
last one what follows the market's end."""
APART = 6
"""Steps from one death to the next, so that between them snapshots are written."""

PATIENCE_S = 600
READING = threading.Lock()
"""One at a time opens the journal of the run that nobody has killed."""


def demo(root: Path) -> Path:
    """The folder of a demo that nobody has killed."""
    words = ["debug=tiny", "runtime.speed=0", f"run.root={root}", "run.name=calm"]
    command = [sys.executable, "-m", "bot4jax.run", *words, *endpoints(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return root / "calm"


def endpoints(root: Path) -> list[str]:
    """Words for sockets of this folder's own; the names of such files must be short."""
    names = Endpoints.__struct_fields__
    return [f"runtime.endpoints.{name}=ipc://{root}/{name}" for name in names]


def deadly(point: str, count: int, first: int) -> list[list[tuple[str, int]]]:
    """So many deaths at a point, from a first step on, run by run; each run begins a
    step later than the one before."""
    return [
        [
            (point, first + k % APART + APART * n)
            for n in range(min(DEATHS, count - DEATHS * k))
        ]
        for k in range(math.ceil(count / DEATHS))
    ]


def repeating(calm: Path, root: Path, sockets: Sequence[str]) -> Config:
    """The live run that does what the demo did."""
    words = ["mode=live", "debug=tiny", "runtime.speed=0", f"run.model={calm}"]
    words += [f"run.root={root}", f"run.name={calm.name}"]
    return load([*words, f"runtime.snapshot_bars={SNAPSHOTS}", *sockets])


def killed(
    config: Config, calm: Path, folder: Path, deaths: Sequence[tuple[str, int]]
) -> tuple[Verdict, int]:
    """The run dies at each point, from its step on, and then is left in peace; how
    often it has died.

    A snapshot is written while the engine goes on: it may reach its end before the
    last of so many.
    """
    record, died = folder / "record", 0
    with beside(config, record):
        for point, at in deaths:
            code = started(config, "engine", point, str(at)).wait(PATIENCE_S)
            assert code in (KILLED, 0), f"the engine ended with {code} before {point}"
            if code == 0:
                break
            died += 1
        else:
            assert started(config, "engine").wait(PATIENCE_S) == 0
    assert died, f"the engine never came to {deaths[0]}"
    _, at = deaths[0]
    with READING:
        verdict = judged(record_at(record), record_of(calm), fills_by(calm)[at - 2])
    return verdict, died


@contextmanager
def beside(config: Config, record: Path) -> Iterator[None]:
    """Market and venue, which end by themselves once the engine has."""
    with ExitStack() as stack:
        both = [started(config, "market"), started(config, "venue", str(record))]
        for one in both:
            stack.callback(one.wait)
            stack.callback(one.kill)
        yield
        assert [one.wait(PATIENCE_S) for one in both] == [0, 0]


def started(config: Config, *words: str) -> subprocess.Popen:
    """One of the three processes."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.sim.live", *words],
        stdin=subprocess.PIPE,
        stdout=sys.stderr,
    )
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(msgspec.json.encode(config))
    return process


def fatal_step(calm: Path) -> int:
    """The first step that `FILLS` fills have come before."""
    return next(n for n, count in enumerate(fills_by(calm), 1) if count >= FILLS) + 1


def fills_by(folder: Path) -> list[int]:
    """Fills that a run's journal knows, up to each of its steps from 1 on."""
    steps, _ = journaled(folder)
    each = (sum(isinstance(a, Fill) for a in one.answers) for one in steps)
    return list(accumulate(each))


def record_of(folder: Path) -> Record:
    """What a run has sent and was answered, by its own journal."""
    steps, last = journaled(folder)
    sent = [one for step in steps for one in (*step.requests, *step.orders)]
    return Record(sent, [*(one for step in steps for one in step.answers), *last])


def journaled(folder: Path) -> tuple[list[StepRecord], Sequence[Answer]]:
    """Steps, and the answers after the last."""
    with closing(Journal.open(folder / "journal.sqlite", folder.name)) as journal:
        assert journal.end is not None, f"{folder} holds no run that is over"
        return list(journal.read()), journal.end.answers
