"""How long each stage took, every time."""

import time
from collections import deque
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

NEWEST = 65_536
"""Measurements of a stage that are kept: 18 hours of steps of a second."""

NEWEST_AGES = 4_096
"""Decisions whose ticks' ages are kept."""


class Stages:
    """Milliseconds by stage, in the order they were measured; the newest of them."""

    def __init__(self) -> None:
        self.ms: dict[str, deque[float]] = {}

    def add(self, stage: str, seconds: float) -> None:
        if stage not in self.ms:
            self.ms[stage] = deque(maxlen=NEWEST)
        self.ms[stage].append(seconds * 1e3)

    def quantiles(self, skip: int = 0) -> dict[str, dict[str, float]]:
        """p50, p99 and p99.9 of each stage, without its first `skip` measurements."""
        found = {}
        for stage, values in self.ms.items():
            kept = np.array(list(values)[skip:] or values)
            p50, p99, p999 = np.quantile(kept, (0.5, 0.99, 0.999)).tolist()
            found[stage] = {"p50": p50, "p99": p99, "p999": p999, "n": len(kept)}
        return found


class Clock:
    """Laps of one step."""

    def __init__(self, stages: Stages) -> None:
        self._stages, self.now = stages, time.perf_counter()

    def lap(self, stage: str) -> None:
        before, self.now = self.now, time.perf_counter()
        self._stages.add(stage, self.now - before)


class Ages:
    """How old ticks were when the first decision that used them had been sent; of the
    newest decisions."""

    def __init__(self) -> None:
        self._ms: deque[np.ndarray] = deque(maxlen=NEWEST_AGES)
        self._ticks: deque[np.ndarray] = deque(maxlen=NEWEST_AGES)

    def add(self, sent_s: float, arrivals: Float[np.ndarray, "A 2"]) -> None:
        """A decision left at this timer; rows are frames: timer and ticks."""
        self._ms.append((sent_s - arrivals[:, 0]) * 1e3)
        self._ticks.append(arrivals[:, 1])

    def quantiles(self, skip: int = 0) -> dict[str, float | None]:
        """p50 and p99 over ticks, without the first `skip` decisions."""
        _, found = self.at((0.5, 0.99), skip)
        return dict(zip(("p50", "p99"), found or (None, None), strict=True))

    def at(self, shares: Sequence[float], skip: int = 0) -> tuple[int, list[float]]:
        """Ticks, and the ages below which these shares of them are; empty: no tick."""
        ms = np.concatenate(list(self._ms)[skip:] or [np.empty(0)])
        ticks = np.concatenate(list(self._ticks)[skip:] or [np.empty(0)])
        if not ticks.sum():
            return 0, []
        order = np.argsort(ms)
        reached = np.cumsum(ticks[order]) / ticks.sum()
        at = np.minimum(np.searchsorted(reached, shares), len(ms) - 1)
        return int(ticks.sum()), ms[order][at].tolist()
