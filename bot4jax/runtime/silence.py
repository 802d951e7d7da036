"""A feed that pauses or comes late shrinks what may leave; a silent one stops it."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import MappingProxyType

import numpy as np

from bot4jax.errors import Halted
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.publish import Arrival, heartbeat
from bot4jax.runtime.publishers import Publisher
from bot4jax.runtime.states import Cause, States
from bot4jax.types import END, SNAPSHOT, TICK, TICKS, Frame

NOTHING = np.empty(0, TICK)
NOBODY: Mapping[int, Publisher] = MappingProxyType({})


class Speakers:
    """Publishers that were heard and have not ended, and how long each is silent."""

    def __init__(self, timeout_s: float, known: Mapping[int, Publisher]) -> None:
        """`timeout_s`: silence after which one is given up, while others speak;
        `known`: to the feed, from a former process too; they may be gone."""
        self._timeout_s, self._known = timeout_s, known
        self._last: dict[int, Frame] = {}
        self._silent_s: dict[int, float] = {}

    def wait(self, seconds: float) -> None:
        """Nobody said anything meanwhile."""
        for name in self._silent_s:
            self._silent_s[name] += seconds

    def hear(self, frame: Frame) -> None:
        """A snapshot is no sign of a living stream."""
        if frame.kind == SNAPSHOT:
            return
        if not self._last:
            self._recall()
        self._last[frame.publisher], self._silent_s[frame.publisher] = frame, 0.0
        if frame.is_end:
            self._forget(frame.publisher)

    @property
    def quietest(self) -> tuple[int, float]:
        """Who is silent for longest, and how long, s."""
        return max(self._silent_s.items(), key=lambda one: one[1], default=(0, 0.0))

    def given_up(self) -> Iterator[Frame]:
        """The last words that those who are silent for too long have not said: they end
        where they were heard last."""
        if min(self._silent_s.values(), default=0.0) >= self._timeout_s:
            return  # nobody speaks: the feed itself is silent
        for name, silent_s in tuple(self._silent_s.items()):
            if silent_s >= self._timeout_s:
                yield _last_word(self._last[name])
                self._forget(name)

    def _recall(self) -> None:
        """The stream goes on, and whoever was heard before should be heard again."""
        for name, one in self._known.items():
            if one.is_live and one.event_ns is not None:
                place = name, one.epoch, one.next_sequence, one.event_ns
                self._last[name] = Frame(*place, NOTHING, events=one.told)
                self._silent_s[name] = 0.0

    def _forget(self, name: int) -> None:
        del self._last[name], self._silent_s[name]


def _last_word(last: Frame) -> Frame:
    events = last.records["event_ns"] if last.kind == TICKS else ()
    event_ns = int(max(events, default=last.sent_ns))
    return heartbeat(last, event_ns)._replace(flags=END)


def watched(
    arrivals: Iterable[Arrival],
    trader: Trader,
    quiet_s: float,
    in_session: Callable[[int], bool] = lambda now_ns: True,
    timeout_s: float = math.inf,
    known: Mapping[int, Publisher] = NOBODY,
) -> Iterator[Arrival]:
    """The same arrivals. What counts is the time that was spent waiting for a frame of
    each publisher: one that lay in the queue while the engine was busy has not been
    missing, and a market outside its sessions owes none. Who is silent for `timeout_s`
    while others speak is waited for no longer; its end goes in with what came, so that
    it comes at the same place in a restart."""
    coming, speakers = iter(arrivals), Speakers(timeout_s, known)
    while True:
        began_s = time.monotonic()
        try:
            one = next(coming, None)
        except Halted as error:
            with suppress(Halted):  # a venue that is silent too
                trader.halt(Cause.FEED_SILENT, str(error))
            raise
        if one is None:
            return
        if in_session(one.receive_ns):
            speakers.wait(time.monotonic() - began_s)
        name, silent_s = speakers.quietest
        if silent_s > quiet_s:
            found = f"publisher {name}: {silent_s:.1f} s without a frame"
            trader.account.states.hold(
                Cause.FEED_QUIET, f"{found}, {quiet_s:g} s are usual"
            )
        if one.frame is not None:
            speakers.hear(one.frame)
        yield one
        for end in speakers.given_up():
            yield one._replace(frame=end)


def judged_by_age(
    states: States, limit_s: float, now_ns: Callable[[], int], skew_s: float
) -> Callable[[Closed], None]:
    """Before each decision: whether the newest tick is young enough to open upon.

    Its age is how long it waited here, and how much later than usual it came. One from
    further in the future than `skew_s` has an unknown age: a clock has stepped back.
    """

    def judge(closed: Closed) -> None:
        age_s = (now_ns() - closed.newest_ns) / 1e9
        if -skew_s <= age_s <= limit_s:
            states.lift(Cause.TOO_LATE, "the newest tick is young enough")
        else:
            found = f"the newest tick is {age_s:.2f} s old, {limit_s:g} s are allowed"
            states.hold(Cause.TOO_LATE, found)

    return judge
