"""A venue as a process of its own, that fills every order whole and at once.

    python -m benchmarks.filler ORDERS SIGNALS SYMBOLS < configuration

It speaks the paper venue's protocol and hears no market: what an engine sends goes
through its socket to a peer that reads it, and little is taken from a machine of two
cores. Whoever wants signals subscribes: it reads them too, and drops them.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import zmq

from benchmarks.filling import FillingVenue, filled
from benchmarks.publishing import publishing
from bot4jax.runtime.messages import pack
from bot4jax.runtime.sockets import (
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import (
    FromEngine,
    FromVenue,
    Goodbye,
    Inquiry,
    Report,
    Step,
    Withdraw,
    unpack_from_engine,
)
from bot4jax.schema import Config

ANY_PORT = "tcp://127.0.0.1:*"


class Line(NamedTuple):
    """An engine's ends."""

    venue: SocketVenue
    signals: zmq.Socket


@contextmanager
def filling(config: Config, symbols: int) -> Iterator[Line]:
    """The process beside a measurement, and the line to it as `mode=live` has it."""
    runtime = config.runtime
    with publisher(ANY_PORT, drops=True) as signals:
        words = bound_endpoint(signals), symbols
        with (
            publishing("benchmarks.filler", config, *words) as endpoint,
            dealer(endpoint) as socket,
        ):
            patience = runtime.venue_timeout_s, runtime.dead_man_s
            yield Line(SocketVenue(socket, *patience), signals)


def main(orders: str, signals: str, symbols: int) -> None:
    """Serve one engine until it says goodbye."""
    venue, last = FillingVenue(symbols), 0
    with router(orders) as asked, subscriber(signals) as told:
        poller = zmq.Poller()
        poller.register(asked, zmq.POLLIN)
        poller.register(told, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if told in ready:
                told.recv_multipart()
            if asked in ready:
                engine, *parts = asked.recv_multipart()
                message = unpack_from_engine(b"".join(parts))
                if isinstance(message, Goodbye):
                    return
                last = message.step if isinstance(message, Step) else last
                if (answer := answered(venue, message, last)) is not None:
                    asked.send_multipart([engine, pack(answer)])


def answered(venue: FillingVenue, message: FromEngine, last: int) -> FromVenue | None:
    """What is said at once; `last`: the newest step. Nothing ever rests."""
    if isinstance(message, Inquiry):
        return venue.ask(message)
    if isinstance(message, Step):
        through_ns, answers = message.through_ns, filled(message)
        return Report(step=message.step, through_ns=through_ns, answers=answers)
    if isinstance(message, Withdraw) and message.is_last:
        return Report(step=last, through_ns=0, is_early=True)
    return None


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
