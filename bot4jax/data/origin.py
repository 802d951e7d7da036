"""When and on what something was fitted: instants and content, not numbers of bars.

Bars are numbered from a source's first one. Whoever puts earlier history into the same
folder numbers all of them anew, and what was called bar 1,000 is another day. What was
fitted therefore states the instants that it began and ended at, and a digest of every
bar between them; bars that are added behind those change neither.
"""

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from bot4jax.data.source import Source, opens_ns

DIGITS = 16
"""Of a digest, hexadecimal."""


class Origin(NamedTuple):
    """The bars that something was fitted on."""

    start_ns: int
    """at which the source's bar 0 opens, UTC"""
    until_ns: int
    """at which the first bar opens that nothing fitted has seen, UTC"""
    digest: str
    """of every bar before that one; empty where the configuration makes the market"""


@runtime_checkable
class Digested(Protocol):
    """A source that knows a quick way to tell what its first bars hold."""

    def digest(self, stop: int) -> str:
        """Of the bars `0 … stop − 1`, whatever comes behind them."""
        ...


def origin_of(source: Source, until: int) -> Origin:
    """The origin of what is fitted on the bars `0 … until − 1` of a source."""
    return Origin(opens_ns(source, 0), opens_ns(source, until), digest(source, until))


def digest(source: Source, stop: int) -> str:
    """Of the bars `0 … stop − 1`; of a simulated market its configuration says it."""
    if source.simulated:
        return ""
    if isinstance(source, Digested):
        return source.digest(stop)
    if source.has_ticks:
        return digest_of(one.records for one in source.frames(0, stop))
    return digest_of(x for one in source.bars(0, stop) for x in (one.ints, one.floats))


def digest_of(columns: Iterable[np.ndarray]) -> str:
    """Of the bits of these arrays, one behind the other."""
    found = hashlib.sha256()
    for column in columns:
        found.update(np.ascontiguousarray(column).view(np.uint8).data)
    return found.hexdigest()[:DIGITS]


def shown(instant_ns: int) -> str:
    """An instant as a person reads it."""
    whole = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(
        microseconds=instant_ns // 1000
    )
    return f"{whole:%Y-%m-%d %H:%M:%S} UTC ({instant_ns})"
