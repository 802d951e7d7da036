"""A publisher as a process of its own, to be killed: endpoint, epoch, frames."""

import sys
import time

from bot4jax.runtime.publish import PATIENCE_S, begun, heartbeat
from bot4jax.runtime.sockets import publisher
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import encode
from bot4jax.types import END
from tests.runtime.small_market import BAR_NS, BARS, MARKET, stream


def main(endpoint: str, epoch: int, first: int, stop: int) -> None:
    """Send the frames `first … stop − 1`, one a centisecond; END only after the last.

    Without it the process stays until it is killed.
    """
    whole = stream()
    frames = [one._replace(epoch=epoch) for one in whole[first:stop]]
    with publisher(endpoint) as socket:
        subscribed = Subscribers(socket)
        subscribed.await_present(1)
        for one in begun(frames):
            socket.send(encode(one, MARKET.hash))
            time.sleep(0.01)
        if stop < len(whole):
            sys.stdin.read()  # a word that nobody says
        end = heartbeat(frames[-1], BARS * BAR_NS)._replace(flags=END)
        socket.send(encode(end, MARKET.hash))
        subscribed.await_left(PATIENCE_S)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
