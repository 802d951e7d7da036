"""How long each stage took: the newest times of it."""

import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from bot4jax.runtime.ring import Ring

NEWEST = 32_768
"""Measurements of a stage that are kept (128 KiB): nine hours of steps of a second."""

NEWEST_FRAMES = 131_072
"""Frames whose ticks' ages are kept (1.5 MiB)."""

AGED = np.dtype([("decision", np.int32), ("ms", np.float32), ("ticks", np.int32)])
"""A frame of ticks, as old as they were, and the number of the decision."""


class Stages:
    """Milliseconds by stage, in the order they were measured; the newest of them."""

    def __init__(self) -> None:
        self.ms: dict[str, Ring] = {}

    def add(self, stage: str, seconds: float) -> None:
        if stage not in self.ms:
            self.ms[stage] = Ring(NEWEST, np.float32)
        self.ms[stage].add(seconds * 1e3)

    def newest(self, stage: str) -> float:
        """Milliseconds that a stage took last."""
        ring = self.ms[stage]
        return float(ring.since(ring.count - 1)[0])

    def quantiles(self, skip: int = 0) -> dict[str, dict[str, float]]:
        """p50, p99 and p99.9 of each stage, without its first `skip` measurements."""
        found = {}
        for stage, ring in self.ms.items():
            kept = ring.since(skip if ring.count > skip else 0).astype(np.float64)
            p50, p99, p999 = np.quantile(kept, (0.5, 0.99, 0.999)).tolist()
            found[stage] = {"p50": p50, "p99": p99, "p999": p999, "n": len(kept)}
        return found


class Clock:
    """Laps of one step."""

    def __init__(self, stages: Stages) -> None:
        self._stages, self.now = stages, time.perf_counter()

    def lap(self, stage: str) -> float:
        """Seconds since the last lap; they are noted."""
        before, self.now = self.now, time.perf_counter()
        self._stages.add(stage, self.now - before)
        return self.now - before


class Ages:
    """How old ticks were when the first decision that used them had been sent; of the
    newest frames."""

    def __init__(self, newest: int = NEWEST_FRAMES) -> None:
        self._frames = Ring(newest, AGED)
        self._decisions = 0

    def add(self, sent_s: float, arrivals: Float[np.ndarray, "A 2"]) -> None:
        """A decision left at this timer; rows are frames: timer and ticks."""
        frames = np.empty(len(arrivals), AGED)
        frames["decision"] = self._decisions
        frames["ms"] = (sent_s - arrivals[:, 0]) * 1e3
        frames["ticks"] = arrivals[:, 1]
        self._frames.extend(frames)
        self._decisions += 1

    def quantiles(self, skip: int = 0) -> dict[str, float | None]:
        """p50 and p99 over ticks, without the first `skip` decisions."""
        _, found = self.at((0.5, 0.99), skip)
        return dict(zip(("p50", "p99"), found or (None, None), strict=True))

    def at(self, shares: Sequence[float], skip: int = 0) -> tuple[int, list[float]]:
        """Ticks, and the ages below which these shares of them are; empty: no tick."""
        frames = self._frames.since()
        frames = frames[frames["decision"] >= skip]
        frames = frames[frames["ms"].argsort()]
        reached = np.cumsum(frames["ticks"], dtype=np.int64)
        if not len(reached) or not reached[-1]:
            return 0, []
        at = np.searchsorted(reached / reached[-1], shares)
        at = np.minimum(at, len(frames) - 1)
        return int(reached[-1]), frames["ms"][at].tolist()
