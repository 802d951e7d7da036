"""What waits is taken up together: frames that follow each other become one.

A call costs the same for one tick as for a few hundred, so who is behind catches up
by taking larger pieces. A piece stands for its frames exactly: joined are only those
that nothing lies between and that hold no tick further ahead of its sender's clock than
one before them was.

Who is too far behind *conflates*: of several quotes of a symbol within a bar only the
last one is absorbed, and is flagged. Trades and changes of status are all kept, so
volumes and counts stay what they were.
"""

from collections.abc import Sequence

import numpy as np

from bot4jax.runtime.clocks import least_offset
from bot4jax.runtime.standing import NOWHERE, PLACES, places
from bot4jax.types import CONFLATED, STATUS, TICK, TICKS, Frame


class Clocks:
    """How far each sender's ticks were ahead of its own clock, and that of ours."""

    def __init__(self, limit_ns: int) -> None:
        """What is further ahead than the limit is refused by the feed."""
        self._limit_ns = limit_ns
        self._ahead: dict[tuple[int, int], int] = {}
        self._least: dict[tuple[int, int], int] = {}
        """receive − sent"""

    def is_plain(self, frame: Frame, receive_ns: int | None = None) -> bool:
        """Ticks that do not end a stream, none of them further ahead than before.

        With a receive time, as at the clock's pace, nor one that the feed will refuse.
        """
        sender = frame.publisher, frame.epoch
        if receive_ns is not None and self._steps(sender, receive_ns - frame.sent_ns):
            return False
        if frame.kind != TICKS or frame.is_end or not len(frame.records):
            return False
        ahead = int(frame.records["event_ns"].max()) - frame.sent_ns
        if ahead <= (known := self._ahead.get(sender, 0)):
            return True
        if known < ahead <= self._limit_ns:
            self._ahead[sender] = ahead
        return False

    def _steps(self, sender: tuple[int, int], offset_ns: int) -> bool:
        """Whether a clock is by the limit further ahead of ours than ever."""
        learned = least_offset(self._least.get(sender), offset_ns, self._limit_ns)
        if learned is not None:
            self._least[sender] = learned
        return learned is None


def follows(before: Frame, after: Frame) -> bool:
    """Whether a plain frame could as well have been sent as one with the one before."""
    return (
        after.publisher == before.publisher
        and after.epoch == before.epoch
        and after.sequence == before.sequence + len(before.records)
        and after.sent_ns >= before.sent_ns
        and not after.flags
    )


def join(frames: Sequence[Frame]) -> Frame:
    """Frames that follow each other, as one."""
    if len(frames) == 1:
        return frames[0]
    # As bytes: NumPy compares the fields of structures one by one before it joins them.
    parts = [np.ascontiguousarray(one.records).view(np.uint8) for one in frames]
    records = np.concatenate(parts).view(TICK)
    return frames[0]._replace(sent_ns=frames[-1].sent_ns, records=records)


def conflated(records: np.ndarray, open_ns: int, bar_ns: int) -> np.ndarray:
    """Of every bar and place the newest quote or level; everything else as it came.

    The newest by event time; of those of one moment the last to arrive. What is late
    goes into the bar that is open by then, what is early waits for its own: both bars
    name a group, so that no quote is moved into another one.
    """
    place = places(records)
    own = np.maximum(records["event_ns"] - open_ns, 0) // bar_ns
    _, bar = np.unique(own, return_inverse=True)
    opened = np.maximum.accumulate(bar)
    symbol = records["symbol"].astype(np.int64)
    group = opened * (bar.max() + 1) + bar
    key = (group * (symbol.max() + 1) + symbol) * PLACES + place
    is_single = (place == NOWHERE) | (records["kind"] == STATUS)
    rows = np.flatnonzero(~is_single)
    rows = rows[records["event_ns"][rows].argsort(kind="stable")]
    _, last, count = np.unique(key[rows][::-1], return_index=True, return_counts=True)
    stays = rows[len(rows) - 1 - last]
    is_single[stays] = True
    found = records.copy()
    found["flags"][stays[count > 1]] |= CONFLATED
    return found[is_single]
