"""A publisher as a process of its own: ticks as fast as its subscriber takes them.

    python -m benchmarks.ticker ENDPOINT TICKS PER_MESSAGE ROUNDS < configuration

Every round is one stream, encoded beforehand: it begins once somebody has subscribed
and is over when one subscriber more has left.
"""

import sys
from collections.abc import Iterator

import msgspec
import numpy as np

from bot4jax.config import validate
from bot4jax.data.source import Source
from bot4jax.data.sources import open_source
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.publish import begun, heartbeat, send
from bot4jax.runtime.sockets import publisher
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import encode
from bot4jax.types import END, TICK, Frame

BAR = 1
"""Bar of the source whose ticks are sent, again and again: none closes in between."""

PATIENCE_S = 300.0
"""How long the engine may take to open its market, and to take a round."""


def main(endpoint: str, ticks: int, per_message: int, rounds: int) -> None:
    """Serve the rounds to one subscriber after the other."""
    config = validate(msgspec.json.decode(sys.stdin.buffer.read()))
    source = open_source(config, BAR + 1)
    frames, universe_hash = stream(source, ticks, per_message), source.universe.hash
    buffers = [encode(one, universe_hash) for one in begun(frames)]
    with publisher(endpoint) as socket:
        seen = Subscribers(socket)
        for number in range(1, rounds + 1):
            seen.await_present(1, PATIENCE_S)
            for buffer in buffers:
                send(socket, buffer)
            await_end(seen, number)


def await_end(seen: Subscribers, rounds: int) -> None:
    """Return once so many have left; the next may have come by then."""
    if not seen.await_left(PATIENCE_S, rounds):
        raise Bot4JaxError(
            f"{seen.came} subscribers came and {seen.left} left within "
            f"{PATIENCE_S:g} s; expected {rounds}."
        )


def stream(source: Source, ticks: int, per_message: int) -> Iterator[Frame]:
    """So many ticks of one bar of the source, and an end within that bar."""
    records = np.concatenate([one.records for one in source.frames(BAR, BAR + 1)])
    records = records[records["event_ns"].argsort(kind="stable")]
    records = np.resize(records, ticks)
    boundary_ns = source.start_ns + (BAR + 1) * source.bar_ns
    last = Frame(1, 1, 0, boundary_ns - 1, np.empty(0, TICK))
    for at in range(0, ticks, per_message):
        last = last._replace(sequence=at, records=records[at : at + per_message])
        yield last
    yield heartbeat(last, boundary_ns - 1)._replace(flags=END)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
