"""What every source of market data offers, whatever it reads from."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import numpy as np

from bot4jax.data.universe import Universe
from bot4jax.errors import DataError
from bot4jax.types import Frame

__all__ = ["BarBlock", "DataError", "Source", "closes_ns", "opens_ns"]


class BarBlock(NamedTuple):
    """Bars of a source that has no ticks, with its own missing values masked."""

    index: int
    """bar number since the source's `start_ns`"""
    ints: np.ndarray
    """int32 `[len(BAR_INTS), S]`"""
    floats: np.ndarray
    """float32 `[len(BAR_FLOATS), S]`"""


class Source(Protocol):
    """A market that can be read once or often, always the same."""

    universe: Universe
    columns: tuple[str, ...]
    """the `Bar` columns it can fill"""
    simulated: bool
    has_ticks: bool
    bar_ns: int
    start_ns: int
    """event time at which bar 0 opens"""
    bar_count: int
    """bars that the source holds"""
    anchors: np.ndarray
    """int64 `[S]`, increments: where device offsets start"""

    def frames(self, first: int, stop: int) -> Iterator[Frame]:
        """Ticks of the bars `first … stop − 1`, in the order of their arrival."""
        ...

    def bars(self, first: int, stop: int) -> Iterator[BarBlock]:
        """Bars `first … stop − 1` of a source that has no ticks."""
        ...


def opens_ns(source: Source, bar: int) -> int:
    """The instant at which a bar opens, ns UTC; that of days without trading counts."""
    opens = getattr(source, "opens_ns", None)
    if opens is None:
        return source.start_ns + bar * source.bar_ns
    beyond = max(bar - len(opens) + 1, 0)
    return int(opens[bar - beyond]) + beyond * source.bar_ns


def closes_ns(source: Source, bar: int) -> int:
    """The boundary that ends a bar, ns UTC: the instant at which the next one opens.

    What is decided there meets that opening, however long nobody trades before it.
    """
    return opens_ns(source, bar + 1)
