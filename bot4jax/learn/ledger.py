"""Every look at a test span is written down, so that luck can be charged for.

One JSON line a trial, `trials.jsonl` beside the run folders: whatever was tried in this
root, by hand or by a sweep, counts against the best of it.
"""

import fcntl
import json
import os
from math import isfinite
from pathlib import Path
from typing import NamedTuple

from bot4jax import durable

NAME = "trials.jsonl"
SCHEMA = "bot4jax.trial/3"
FORMER = "bot4jax.trial/2"
"""Without sweep and earnings: a line of it is read as a run of its own."""


class Trial(NamedTuple):
    """One configuration that was judged on a test span."""

    run: str
    kind: str
    """the mode that judged it"""
    data: str
    """the source and its files or seed; trials on others say nothing about luck here"""
    config_hash: str
    seed: int
    sharpe: float | None
    """of one period, not annual; None where it was not defined"""
    period_seconds: float | None
    """ratios of periods of another length are of another size; None where the clock is
    the event"""
    periods: int
    net: float | None
    """share of the capital"""
    sweep: str | None = None
    """the sweep that it is a job of; None: a run of its own"""
    jobs: int = 1
    """of that sweep, finished or not"""
    horizon: int | None = None
    """bars of a period"""
    earned: str | None = None
    """digest of its profits by bar (`earnings`); None where none were kept"""


class Ledger(NamedTuple):
    """What stands in the file."""

    trials: tuple[Trial, ...]
    damaged: tuple[int, ...]
    """lines, from 1, that are not a trial; a torn one was to become one"""

    def on(self, data: str) -> "Ledger":
        """The same for one market."""
        return self._replace(trials=tuple(t for t in self.trials if t.data == data))

    @property
    def distinct(self) -> dict[tuple[object, ...], Trial]:
        """The last trial of each configuration and outcome.

        To repeat a run is no new trial. One that comes out otherwise was another: of
        another formula, plugin or version, which no configuration names.
        """
        return {_identity(one): one for one in self.trials}

    @property
    def count(self) -> int:
        """What was tried; a damaged line counts, for it stood for one."""
        return len(self.distinct) + len(self.damaged)

    def charged(self, trial: Trial) -> int:
        """Trials whose luck one of them answers for.

        All that were tried, and the jobs of its own sweep that are still to come: they
        were going to be tried whatever it found. Were the first of a hundred charged
        for itself alone, some job of the hundred would pass by luck in one market of
        ten.
        """
        if trial.sweep is None:
            return self.count
        done = {one.run for one in self.trials if one.sweep == trial.sweep}
        return self.count + max(trial.jobs - len(done), 0)

    def sharpes(self, period_seconds: float) -> tuple[float, ...]:
        """Every known ratio of such periods, one for each that was tried."""
        return tuple(
            one.sharpe
            for one in self.distinct.values()
            if one.sharpe is not None and one.period_seconds == period_seconds
        )


def append(path: Path, trial: Trial) -> None:
    """Add one line, whole, after all that other processes add; durable on return.

    A line that a killed process left torn is closed first, so that it spoils no other;
    of one that the disk has no room for nothing is left.
    """
    text = json.dumps({"schema": SCHEMA, **_finite(trial)}, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        start = b"\n" if _is_torn(descriptor) else b""
        durable.append(path, descriptor, start + text.encode() + b"\n")
    finally:
        os.close(descriptor)


def read(path: Path) -> Ledger:
    """Everything tried so far; no file is an empty ledger."""
    if not path.is_file():
        return Ledger((), ())
    trials, damaged = [], []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        trial = _trial(line)
        if trial is None:
            damaged.append(number)
        else:
            trials.append(trial)
    return Ledger(tuple(trials), tuple(damaged))


def _identity(trial: Trial) -> tuple[object, ...]:
    """What two looks have in common that are one."""
    return trial.config_hash, trial.sharpe, trial.periods, trial.net


def _finite(trial: Trial) -> dict[str, object]:
    return {
        name: None if isinstance(value, float) and not isfinite(value) else value
        for name, value in trial._asdict().items()
    }


def _is_torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"


def _trial(line: bytes) -> Trial | None:
    """None for what is not a whole trial of this schema."""
    try:
        found = json.loads(line)
        if found.pop("schema") not in (SCHEMA, FORMER):
            return None
        return Trial(**found)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
