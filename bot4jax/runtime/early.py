"""Ticks of bars that are not open yet: they wait until the bars before have closed.

One publisher is ahead of another, and the slowest decides. Should that one have died,
the wait is bounded by `runtime.feed_timeout_s` (`silence.py`), and by memory here.
"""

import zlib

import numpy as np
from jaxtyping import Int

from bot4jax.errors import Halted
from bot4jax.types import TICK

MOST_EARLY = 1 << 20
"""Ticks that may wait (48 MiB)."""


class Early:
    """Ticks by the bar that they belong to, in the order of their arrival."""

    def __init__(self, most: int = MOST_EARLY) -> None:
        self._most = most
        self._bars: dict[int, list[np.ndarray]] = {}
        self.count = 0
        """ticks"""

    @property
    def checksum(self) -> int:
        """Equal where the same ticks wait in the same order."""
        found = 0
        for bar in sorted(self._bars):
            for records in self._bars[bar]:
                found = zlib.crc32(records.tobytes(), found)
        return found

    def hold(self, records: np.ndarray, bars: Int[np.ndarray, " N"]) -> None:
        """Let ticks wait for their bars."""
        self.count += len(records)
        if self.count > self._most:
            raise Halted(
                f"{self.count:,} ticks are ahead of the slowest publisher, "
                f"{self._most:,} may wait. Is one of mode=feed slow, or gone? Start it "
                "again; or lower runtime.feed_timeout_s, after which a silent one is "
                "waited for no longer."
            )
        for bar in np.unique(bars).tolist():
            self._bars.setdefault(bar, []).append(records[bars == bar])

    def release(self, bar: int) -> np.ndarray:
        """Those of a bar that opens now."""
        found = np.concatenate(self._bars.pop(bar, [np.empty(0, TICK)]))
        self.count -= len(found)
        return found
