"""How long something takes in the paper venue: fixed, drawn, or as it was measured.

Nothing is timed here. A latency belongs to a name, so that it is the same however often
and in whatever order it is asked for.
"""

import math
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

from bot4jax.errors import DataError


class Latency(NamedTuple):
    """One way's latency; `measured` counts where there is any."""

    median_ns: int = 0
    spread: float = 0.0
    """σ of the logarithm about the median; 0: always the median"""
    measured: tuple[int, ...] = ()
    """ns; each is as likely as the others"""

    def of(self, seed: int, name: str) -> int:
        """Nanoseconds that the so named takes."""
        if self.measured:
            return self.measured[int(draw(seed, name) * len(self.measured))]
        if not self.spread:
            return self.median_ns
        deviation = NormalDist().inv_cdf(max(draw(seed, name), 2.0**-53))
        return round(self.median_ns * math.exp(self.spread * deviation))


def configured(median_ms: float, spread: float, file: str | None) -> Latency:
    """What the configuration asks for; a file of measured ones rules."""
    measured = () if file is None else measured_in(Path(file))
    return Latency(round(median_ms * 1e6), spread, measured)


def measured_in(path: Path) -> tuple[int, ...]:
    """Latencies of a text file, ns: one a line, in milliseconds."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as latencies: {error}.") from error
    if not lines:
        raise DataError(f"{path} is empty: expected a latency a line, in milliseconds.")
    return tuple(_nanoseconds(path, k, one) for k, one in enumerate(lines, start=1))


def _nanoseconds(path: Path, number: int, word: str) -> int:
    try:
        milliseconds = float(word)
    except ValueError:
        milliseconds = math.nan
    if not 0 <= milliseconds <= 3_600_000:
        raise DataError(
            f"{path}, line {number}: expected milliseconds from 0 to an hour, found "
            f"'{word}'. Where clocks that disagree make them negative, shift them all."
        )
    return round(milliseconds * 1e6)


def draw(seed: int, name: str) -> float:
    """Uniform in [0, 1), the same for a name however often and whenever it comes."""
    digest = blake2b(f"{seed}|{name}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53
