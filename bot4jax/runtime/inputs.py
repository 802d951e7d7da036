"""What came in since the last step, as bytes: what a restart hears once more.

Frames are kept as they were taken up, before anything was made of them. So the restart
needs no knowledge of what feed, quotes and open bars remember: it hears the same again.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from bot4jax.runtime.publish import Arrival
from bot4jax.types import TICK, Frame


class _Heard(msgspec.Struct, array_like=True, frozen=True):
    receive_ns: int
    head: Annotated[tuple[int, ...], Meta(max_length=6)]
    """publisher, epoch, sequence, sent_ns, kind, flags; empty: a moment of silence"""
    records: bytes = b""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[_Heard])


class Inputs:
    """Remembers arrivals in passing until a step takes them."""

    def __init__(self) -> None:
        self._heard: list[_Heard] = []

    def heard(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals, remembered before anything is made of them."""
        for one in arrivals:
            self._heard.append(_remembered(one))
            yield one

    def take(self) -> bytes:
        """Everything since the last time; empty where one frame closed several bars."""
        heard, self._heard = self._heard, []
        return _encoder.encode(heard) if heard else b""


def again(inputs: bytes) -> Iterator[Arrival]:
    """The arrivals that a step took, in their order."""
    for one in _decoder.decode(inputs) if inputs else ():
        frame = _frame(one) if one.head else None
        yield Arrival(frame, time.perf_counter(), one.receive_ns)


def _remembered(one: Arrival) -> _Heard:
    frame = one.frame
    if frame is None:
        return _Heard(one.receive_ns, ())
    head = (frame.publisher, frame.epoch, frame.sequence, frame.sent_ns)
    records = np.ascontiguousarray(frame.records)
    return _Heard(one.receive_ns, (*head, frame.kind, frame.flags), records.tobytes())


def _frame(one: _Heard) -> Frame:
    publisher, epoch, sequence, sent_ns, kind, flags = one.head
    records = np.frombuffer(one.records, TICK)
    return Frame(publisher, epoch, sequence, sent_ns, records, kind, flags)
