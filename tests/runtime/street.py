"""A venue in a thread of its own, a market that shows what a test says, and the line
that an engine speaks to them on.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread
from typing import NamedTuple

import numpy as np
import zmq

from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.orders import Order
from bot4jax.runtime.publish import heartbeat
from bot4jax.runtime.sockets import (
    bound_endpoint,
    dealer,
    publisher,
    router,
    subscriber,
)
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_process import Sockets, serve
from bot4jax.runtime.wire import encode
from bot4jax.types import TICK, Frame
from tests.runtime.scene import START_NS, SYMBOLS, UNIVERSE, quotes

PATIENCE_S = 20.0
MIDS = (200, 200, 200)
SIZE = 10
"""Displayed, in lots: less than is wanted, so that the rest of each order rests."""


class Street(NamedTuple):
    """A venue in a thread of its own, and the market that it hears."""

    venue: PaperVenue
    show: Callable[..., None]
    """the quotes of a bar; with `is_lost` they never come"""
    beat: Callable[..., None]
    """the last event time once more, with these flags"""
    line: zmq.Socket
    """to the venue"""
    source: zmq.Socket
    """of the market"""

    @property
    def sent(self) -> list[Order]:
        return [one for one in self.venue.record.received if isinstance(one, Order)]


@contextmanager
def street(latency_ns: int, lockstep: bool = True) -> Iterator[Street]:
    venue = PaperVenue(UNIVERSE, latency_ns, taker_fee=0.0, maker_fee=0.0)
    desk = Desk(venue, UNIVERSE.hash, lockstep)
    last = Frame(1, 1, 0, START_NS, np.empty(0, TICK))
    with ExitStack() as stack:
        orders = stack.enter_context(router("tcp://127.0.0.1:*"))
        source = stack.enter_context(publisher("tcp://127.0.0.1:*"))
        market = stack.enter_context(subscriber(bound_endpoint(source), (b"",)))
        line = stack.enter_context(dealer(bound_endpoint(orders)))
        Subscribers(source).await_present(1, PATIENCE_S)
        intake = Intake(UNIVERSE.hash, np.full(SYMBOLS, 200), skew_limit_ns=0)

        def show(bar: int, is_lost: bool = False) -> None:
            nonlocal last
            records = quotes(bar, MIDS, SIZE)
            sequence = last.sequence + len(last.records)
            last = Frame(1, 1, sequence, int(records["event_ns"][0]), records)
            if not is_lost:
                source.send(encode(last, UNIVERSE.hash))

        def beat(flags: int = 0) -> None:
            repeated = heartbeat(last, last.sent_ns)._replace(flags=flags)
            source.send(encode(repeated, UNIVERSE.hash))

        sockets = Sockets(market, orders)
        thread = Thread(target=serve, args=(desk, intake, sockets, PATIENCE_S))
        thread.start()
        try:
            yield Street(venue, show, beat, line, source)
        finally:
            desk.is_over = True
            line.send(b"")  # wakes it
            thread.join(PATIENCE_S)
