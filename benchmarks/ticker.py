"""A publisher as a process of its own: ticks as fast as its subscriber takes them.

    python -m benchmarks.ticker ENDPOINT TICKS PER_MESSAGE ROUNDS < configuration

Every round is one stream, encoded beforehand: it begins once somebody has subscribed
and is over when one subscriber more has left.
"""

import sys
from collections import Counter
from collections.abc import Iterator

import msgspec
import numpy as np
import zmq

from bot4jax.config import validate
from bot4jax.data.source import Source
from bot4jax.data.sources import open_source
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.publish import begun, change, heartbeat, send
from bot4jax.runtime.sockets import publisher
from bot4jax.runtime.wire import encode
from bot4jax.types import END, TICK, Frame

BAR = 1
"""Bar of the source whose ticks are sent, again and again: none closes in between."""

PATIENCE_S = 300.0
"""How long the engine may take to open its market, and to take a round."""

CAME, WENT = 1, -1
"""What subscribers do, as `publish.change` has it."""


def main(endpoint: str, ticks: int, per_message: int, rounds: int) -> None:
    """Serve the rounds to one subscriber after the other."""
    config = validate(msgspec.json.decode(sys.stdin.buffer.read()))
    source = open_source(config, BAR + 1)
    frames, universe_hash = stream(source, ticks, per_message), source.universe.hash
    buffers = [encode(one, universe_hash) for one in begun(frames)]
    with publisher(endpoint) as socket:
        seen: Counter[int] = Counter()
        for number in range(1, rounds + 1):
            await_change(socket, seen, CAME, number)
            for buffer in buffers:
                send(socket, buffer)
            await_change(socket, seen, WENT, number)


def await_change(
    socket: zmq.Socket, seen: Counter[int], awaited: int, number: int
) -> None:
    """Return once so many have come, or gone: the next may come before one is gone."""
    while seen[awaited] < number:
        if not socket.poll(round(PATIENCE_S * 1e3)):
            raise Bot4JaxError(
                f"{seen[CAME]} subscribers came and {seen[WENT]} left, nobody else "
                f"within {PATIENCE_S:g} s; expected {number}."
            )
        seen[change(socket.recv())] += 1


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
