"""Events that are no ticks, in the stream of ticks: how they travel, and when they act.

A frame of the kind `REFERENCE` carries a MessagePack array of events in the place of
its records: four bytes of length, the array, zeros up to a whole number of records. So
events are numbered, missed, recorded and heard again as everything else is.

An event acts at the first boundary after it was heard that its own time has reached:
between two bars, on all alike.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from bot4jax.runtime.messages import (
    MessageError,
    News,
    Reference,
    pack_references,
    unpack_references,
)
from bot4jax.runtime.states import Cause, States
from bot4jax.runtime.wire import LATEST_NS
from bot4jax.types import TICK

LENGTH = 4
"""Bytes that say how long the array is."""

NAMED = 5
"""Instruments that people are told of by name."""


def carried(events: Sequence[Reference]) -> np.ndarray:
    """The events as records of a frame."""
    return boxed(pack_references(events))


def told(records: np.ndarray) -> list[Reference]:
    """The events in a frame's records; `MessageError` if there are none."""
    return unpack_references(unboxed(records)[0])


def boxed(body: bytes) -> np.ndarray:
    """Any bytes as records: their length, they themselves, zeros."""
    content = len(body).to_bytes(LENGTH, "little") + body
    padded = content.ljust(-(-len(content) // TICK.itemsize) * TICK.itemsize, b"\0")
    return np.frombuffer(padded, TICK)


def unboxed(records: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The bytes that the records begin with, and the records behind them."""
    length = int.from_bytes(records[:1].tobytes()[:LENGTH], "little")
    taken = -(-(LENGTH + length) // TICK.itemsize)
    return records[:taken].tobytes()[LENGTH : LENGTH + length], records[taken:]


class Understood(NamedTuple):
    """What a frame of events comes to."""

    events: tuple[Reference, ...]
    is_whole: bool
    """it told of nothing else"""


def understood(records: np.ndarray, symbols: int) -> Understood:
    """The events in a frame's records about instruments that there are."""
    try:
        events = told(records)
    except MessageError:
        return Understood((), is_whole=False)
    ours = [one for one in events if all(n < symbols for n in slots(one))]
    return Understood(tuple(ours), len(ours) == len(events))


def slots(event: Reference) -> Sequence[int]:
    """Whom an event concerns; empty: everybody."""
    return event.symbols if isinstance(event, News) else (event.symbol,)


class Pending(NamedTuple):
    """An event that has not acted yet, and who has told of it in which record."""

    publisher: int
    sequence: int
    event: Reference
    is_late: bool = False
    """it should have acted before"""


class Due(NamedTuple):
    """Events in two parts."""

    now: tuple[Reference, ...]
    later: tuple[Pending, ...]


def due(events: Iterable[Pending], boundary_ns: int) -> Due:
    """Which act at this boundary, and which wait for a later one."""
    events = tuple(events)
    return Due(
        tuple(one.event for one in events if acts_ns(one.event) <= boundary_ns),
        tuple(one for one in events if acts_ns(one.event) > boundary_ns),
    )


def acts_ns(event: Reference) -> int:
    """From when on: news from when it was available, whatever it tells of."""
    return event.available_ns if isinstance(event, News) else event.event_ns


class Headlines:
    """News periods of the stream that have begun: while one lasts, nothing new is
    opened. They end by the market's time; what a person tells, by the clock on the
    wall or by a reset (`tell_news`), and neither ends the other. A reset ends both; it
    acts from the next boundary on, in whoever goes through the journal as well."""

    def __init__(self, symbols: int, resets: Collection[int] = ()) -> None:
        """`resets`: steps after which a person has ended them all; may grow."""
        self._symbols, self._resets = symbols, resets
        self.step = 0
        """of the last boundary that was heard"""
        self._periods: list[News] = []
        self._has_held = False
        """the stream has told of the whole market, in this process or a former one"""

    def hear(self, events: Iterable[Reference], boundary_ns: int) -> None:
        """What acts from this boundary on; what is over by then is forgotten."""
        if self.step in self._resets:
            self._periods, self._has_held = [], False
        self.step += 1
        told = [one for one in events if isinstance(one, News)]
        periods = [*self._periods, *told]
        self._periods = [one for one in periods if boundary_ns < one.until_ns]
        self._has_held |= any(not one.symbols for one in told)

    def judge(self, states: States) -> None:
        """Hold or lift what news of the whole market asks for."""
        everywhere = [one for one in self._periods if not one.symbols]
        if states.ends(Cause.NEWS):
            return
        if everywhere:
            states.hold(Cause.NEWS, everywhere[0].text or "news of the whole market")
        elif self._has_held:
            self._has_held = False
            states.lift(Cause.NEWS, "its time is over")

    @property
    def are_any(self) -> bool:
        """Some news has acted and is not over yet."""
        return bool(self._periods)

    @property
    def concerned(self) -> Bool[np.ndarray, " S"]:
        """Slots that news of single instruments are about."""
        found = np.zeros(self._symbols, bool)
        for one in self._periods:
            found[list(one.symbols)] = True
        return found


def tell_news(states: States, text: str, until_ns: int) -> None:
    """A person's news of the whole market, until a time by the wall; 0: until a reset.

    Its end is in the journal, so that it comes after a restart too.
    """
    if not states.ends(Cause.NEWS):
        states.lift(Cause.NEWS, "a person tells of it too")
    states.hold(Cause.NEWS, text, until_ns or LATEST_NS)


def end_news(
    states: States, headlines: Headlines, symbols: Sequence[str], text: str
) -> None:
    """A person says that all news is over: in the journal with its place, so that a
    restart and a replay know it. `symbols`: names by slot.

    Who has not gone through a former process's steps yet may not know of any.
    """
    concerned = [symbols[slot] for slot in headlines.concerned.nonzero()[0].tolist()]
    if headlines.are_any or headlines.step < states.known:
        states.reset_news(headlines.step, f"{text}{_over(concerned)}")


def _over(names: Sequence[str]) -> str:
    """What a reset has ended, for people."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; news of {', '.join(names[:NAMED])}{more} are over" if names else ""
