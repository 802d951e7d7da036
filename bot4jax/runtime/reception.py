"""The thread that reads: a socket is emptied while the loop decides.

So a message is stamped when it comes and not when somebody has time for it, and a long
step fills no queue of the network. The loop takes what waits in pieces of up to a
batch. Where more waits than a market at the clock's pace allows, all of it is taken at
once and marked to be conflated; a stream that can wait is read on once there is room,
and counts as received when it is taken up.
"""

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from typing import NamedTuple

from bot4jax.runtime.backlog import Clocks, follows, join
from bot4jax.runtime.publish import Arrival
from bot4jax.types import BEHIND, Frame

AT_ONCE = 1 << 16
"""Ticks that are taken up together where they are to be conflated."""

MOST_WAITING = 1 << 20
"""Ticks read and not yet taken (48 MiB); beyond, the sender has to wait."""

A_FRAME = 16
"""Ticks that take as much memory as a frame without any."""

BREATH_S = 0.0005
"""Until a thread that has to wait looks for room again."""


class _Read(NamedTuple):
    """What the thread has read."""

    arrival: Arrival
    ticks: int
    is_plain: bool
    """it may be joined with others; known in the order of reading"""


class Reception:
    """Arrivals between the thread that reads them and the loop that takes them."""

    def __init__(self, most: int, backlog: int | None, skew_limit_ns: int) -> None:
        """`most` ticks are taken up together; beyond `backlog` they are conflated."""
        self._most, self._backlog = most, backlog
        self._clocks = Clocks(skew_limit_ns)
        self._queue: SimpleQueue[_Read | BaseException | None] = SimpleQueue()
        self._read = self._taken = 0
        """ticks; each counted by one thread only"""
        self.is_over = False

    @property
    def waiting(self) -> int:
        """Ticks that nobody has taken yet."""
        return self._read - self._taken

    @property
    def _weight(self) -> int:
        """Of what nobody has taken yet, ticks."""
        return self.waiting + A_FRAME * self._queue.qsize()

    def fill(self, came: Iterable[Arrival]) -> None:
        """Read until all has come or nobody listens; what goes wrong is told there."""
        try:
            for one in came:
                self._put(one)
                if self.is_over:
                    return
            self._queue.put(None)
        except BaseException as error:
            self._queue.put(error)

    def arrivals(self) -> Iterator[Arrival]:
        """What came, in its order, as large pieces as wait."""
        one = self._get()
        while one is not None:
            piece, following = self._piece(one)
            yield self._stamped(piece)
            one = self._get() if following is None else following

    def _put(self, one: Arrival) -> None:
        if one.frame is None:
            if self._queue.empty():  # a moment is silent only if nobody is behind
                self._queue.put(_Read(one, 0, is_plain=False))
            return
        while self._weight > MOST_WAITING and not self.is_over:
            time.sleep(BREATH_S)
        ticks = len(one.frame.records)
        self._read += ticks
        receive_ns = None if self._backlog is None else one.receive_ns
        is_plain = self._clocks.is_plain(one.frame, receive_ns)
        self._queue.put(_Read(one, ticks, is_plain))

    def _stamped(self, one: Arrival) -> Arrival:
        """Nobody is late for a stream that waits."""
        can_wait = self._backlog is None
        return one._replace(timer_s=time.perf_counter()) if can_wait else one

    def _get(self, *, waits: bool = True) -> _Read | None:
        """The next one; None at the end, or where none waits and we do not."""
        try:
            one = self._queue.get(waits)
        except Empty:
            return None
        if isinstance(one, BaseException):
            raise one
        if one is None:
            self._queue.put(None)
        else:
            self._taken += one.ticks
        return one

    def _piece(self, first: _Read) -> tuple[Arrival, _Read | None]:
        """An arrival with those that follow it, and the first that does not."""
        if not first.is_plain:
            return first.arrival, None
        is_behind = self._backlog is not None and self.waiting > self._backlog
        most = AT_ONCE if is_behind else self._most
        frames, ticks, last = [_frame(first)], first.ticks, first
        following = None
        while ticks < most:
            following = self._get(waits=False)
            if following is None or not following.is_plain:
                break
            if not follows(frames[-1], _frame(following)):
                break
            frames.append(_frame(following))
            ticks, last, following = ticks + following.ticks, following, None
        piece = join(frames)
        if is_behind:
            piece = piece._replace(flags=piece.flags | BEHIND)
        receive_ns = last.arrival.receive_ns
        return first.arrival._replace(frame=piece, receive_ns=receive_ns), following


def _frame(one: _Read) -> Frame:
    """Of what is plain, which is a frame."""
    assert one.arrival.frame is not None
    return one.arrival.frame


@contextmanager
def received(
    came: Iterable[Arrival],
    most: int,
    backlog: int | None = None,
    skew_limit_ns: int = 0,
) -> Iterator[Reception]:
    """A thread reads `came` while the block lasts; its sockets must outlive that."""
    reception = Reception(most, backlog, skew_limit_ns)
    thread = threading.Thread(target=reception.fill, args=(came,), name="reception")
    thread.start()
    try:
        yield reception
    finally:
        reception.is_over = True
        thread.join()
