"""A publisher as a process of its own: a market at a steady pace, for as long as asked.

    python -m benchmarks.steady ENDPOINT TICKS_PER_S FIRST BARS < configuration

A few bars of the source are sent again and again, each time later, and every tick as
often as the pace needs; its own time passes as fast as the clock's. A pace of 0 sends
the ticks once each, as fast as they are taken.
"""

import sys
import time
from collections.abc import Iterator

import msgspec
import numpy as np

from bot4jax.config import validate
from bot4jax.data.source import Source
from bot4jax.data.sources import open_source
from bot4jax.runtime.publish import begun, heartbeat, send
from bot4jax.runtime.sockets import publisher
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import encode
from bot4jax.types import END, TICK, Frame

PERIOD = 4
"""Different bars of the source."""

PER_MESSAGE = 256
"""Ticks."""

PATIENCE_S = 600.0
"""How long the engine may take to compile."""


def main(endpoint: str, ticks_per_s: float, first: int, bars: int) -> None:
    """Serve one subscriber."""
    config = validate(msgspec.json.decode(sys.stdin.buffer.read()))
    source = open_source(config, first + PERIOD)
    per_bar = round(ticks_per_s * source.bar_ns / 1e9)
    frames, universe_hash = stream(source, first, bars, per_bar), source.universe.hash
    with publisher(endpoint) as socket:
        subscribed = Subscribers(socket)
        subscribed.await_present(1, PATIENCE_S)
        begun_s, first_ns = time.monotonic(), source.start_ns + first * source.bar_ns
        for frame in begun(frames):
            if per_bar:
                due_s = begun_s + (frame.sent_ns - first_ns) / 1e9
                time.sleep(max(0.0, due_s - time.monotonic()))
            send(socket, encode(frame, universe_hash))
        subscribed.await_left(PATIENCE_S)


def stream(source: Source, first: int, bars: int, per_bar: int) -> Iterator[Frame]:
    """The bars one after the other, and the end of the last."""
    period = [
        paced(bar_records(source, bar), per_bar) for bar in range(first, first + PERIOD)
    ]
    last = Frame(1, 1, 0, source.start_ns + first * source.bar_ns, np.empty(0, TICK))
    for number in range(bars):
        records = period[number % PERIOD].copy()
        records["event_ns"] += (number - number % PERIOD) * source.bar_ns
        for at in range(0, len(records), PER_MESSAGE):
            part = records[at : at + PER_MESSAGE]
            sequence, sent_ns = last.sequence + len(last.records), part["event_ns"][-1]
            last = last._replace(sequence=sequence, sent_ns=int(sent_ns), records=part)
            yield last
    end_ns = source.start_ns + (first + bars) * source.bar_ns
    yield heartbeat(last, end_ns)._replace(flags=END)


def bar_records(source: Source, bar: int) -> np.ndarray:
    """A bar's ticks in order of their times."""
    records = np.concatenate([one.records for one in source.frames(bar, bar + 1)])
    return records[records["event_ns"].argsort(kind="stable")]


def paced(records: np.ndarray, per_bar: int) -> np.ndarray:
    """So many ticks, each one as often as the next, or one more; 0: all of them."""
    if not per_bar:
        return records
    return records[np.arange(per_bar) * len(records) // per_bar]


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), *map(int, sys.argv[3:]))
