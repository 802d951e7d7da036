"""Several programs with the same task, measured in turns.

A turn is a few calls in a row, the first of which is not counted: it meets the caches
and the waiting threads that the one before has left. Turns go round, so that whatever
slows the machine slows everyone.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import msgspec
import numpy as np

from benchmarks.result import Row
from benchmarks.timing import quantiles
from bot4jax import heap
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.progress import Report

TURN = 5
"""Calls that are counted before it is the next one's turn."""
LEAST = 3
"""Calls that are counted of the slowest."""


class Entry(NamedTuple):
    """One program."""

    stage: str
    impl: str
    call: Callable[[], Any]
    floor: float | None = None
    """ms"""


def contest(
    entries: Sequence[Entry],
    steps: int,
    warmup: int,
    report: Report,
    patience_s: float = 20.0,
) -> list[Row]:
    """A row an entry, ms: `steps` calls each, fewer of those that take too long."""
    for entry in entries:
        report("warming up", 0, 1, f"{entry.stage} of {entry.impl}")
        for _ in range(warmup):
            milliseconds(entry.call)
    heap.close_holes()
    spent: list[list[float]] = [[] for _ in entries]
    for counted in range(0, steps, TURN):
        report("measuring", counted, steps)
        for entry, own in zip(entries, spent, strict=True):
            _turn(entry.call, own, min(TURN, steps - counted), patience_s * 1e3)
    report("measuring", steps, steps)
    pairs = zip(entries, spent, strict=True)
    return [_row(entry, own, warmup) for entry, own in pairs]


def milliseconds(call: Callable[[], Any]) -> float:
    """From the call until what it returns is complete."""
    began = time.perf_counter()
    jax.block_until_ready(call())
    return (time.perf_counter() - began) * 1e3


def fastest(rows: Sequence[Row], stage: str, *impls: str) -> Row:
    """Of these implementations the one of the least median."""
    own = [row for row in rows if row.stage == stage and row.impl in impls]
    return min(own, key=lambda row: row.p50)


def expect_equal(name: str, ours: Any, theirs: Any, tolerance: float) -> None:
    """Refuse to compare the speed of programs that do not say the same."""
    apart = np.max(np.abs(np.asarray(ours) - np.asarray(theirs)))
    if not apart <= tolerance:
        raise Bot4JaxError(
            f"{name} differs from ours by {apart:.3g}, expected at most "
            f"{tolerance:g}: it computes something else, so its time means nothing"
        )


def _turn(
    call: Callable[[], Any], spent: list[float], calls: int, patience_ms: float
) -> None:
    def is_over() -> bool:
        return len(spent) >= LEAST and sum(spent) > patience_ms

    if is_over():
        return
    milliseconds(call)
    while calls and not is_over():
        spent.append(milliseconds(call))
        calls -= 1


def _row(entry: Entry, spent: list[float], warmup: int) -> Row:
    own = quantiles(spent, entry.stage, "ms", warmup, entry.floor)
    return msgspec.structs.replace(own, impl=entry.impl)
