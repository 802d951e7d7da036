"""The sockets of an engine: ticks and snapshots in, orders and signals out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import zmq

from bot4jax.runtime.curve import Keyring
from bot4jax.runtime.sockets import Limits, dealer, publisher, subscriber
from bot4jax.runtime.wire import MAGIC
from bot4jax.schema import Config

FAREWELL = Limits(linger_ms=1000)
"""The venue ends when it hears the last message: it must get out."""


class Line(NamedTuple):
    """An engine's sockets."""

    ticks: zmq.Socket
    snapshots: zmq.Socket
    orders: zmq.Socket
    signals: zmq.Socket


@contextmanager
def connected(config: Config) -> Iterator[Line]:
    """The sockets, open while the block lasts."""
    ends = config.runtime.endpoints
    keys = Keyring(config.keys.folder, "engine")
    feed, venue = keys.calling("feed"), keys.calling("venue")
    with (
        subscriber(ends.ticks, (MAGIC,), curve=feed) as ticks,
        dealer(ends.snapshots, curve=feed) as snapshots,
        dealer(ends.orders, limits=FAREWELL, curve=venue) as orders,
        publisher(ends.signals, drops=True, curve=keys.serving) as signals,
    ):
        yield Line(ticks, snapshots, orders, signals)
