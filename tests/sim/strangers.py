"""Peers whom nobody has allowed knock at a real socket; who gets in is counted."""

from contextlib import ExitStack, suppress
from pathlib import Path

import zmq

from bot4jax.runtime.curve import Calling, Keyring, make_keys
from bot4jax.runtime.messages import pack
from bot4jax.runtime.sockets import bound_endpoint, dealer, router
from bot4jax.runtime.venue_messages import Step
from tests.runtime.scene import RUN, UNIVERSE

GROUP = 20
"""Strangers at one socket."""

PATIENCE_MS = 10_000
NOTHING_MS = 200
"""After the allowed peer was heard: several times what it needed itself."""


def admitted(folder: Path, count: int) -> int:
    """How many of `count` strangers were heard beside the engine, who must be."""
    groups = [min(GROUP, count - first) for first in range(0, count, GROUP)]
    return sum(_heard(folder / str(k), size) for k, size in enumerate(groups))


def _heard(folder: Path, count: int) -> int:
    names = [f"stranger-{k}" for k in range(count)]
    make_keys(folder, ("venue", "engine", "feed", *names))
    for name in names:
        (folder / "allowed" / f"{name}.key").unlink()
    serving = Keyring(str(folder), "venue").serving
    with router("tcp://127.0.0.1:*", curve=serving) as venue, ExitStack() as stack:
        for k, name in enumerate(names):
            _knock(stack, bound_endpoint(venue), name, _wrong(folder, k, name))
        right = Keyring(str(folder), "engine").calling("venue")
        _knock(stack, bound_endpoint(venue), "engine", right)
        peers = []
        while venue.poll(NOTHING_MS if b"engine" in peers else PATIENCE_MS):
            peers.append(venue.recv_multipart()[0])
    assert b"engine" in peers, "who is allowed was not heard either"
    return len(peers) - 1


def _wrong(folder: Path, k: int, name: str) -> Calling | None:
    """A key that is not allowed, a key for another server, or none."""
    unknown = Keyring(str(folder), name).calling("venue")
    other = Keyring(str(folder), "engine").calling("feed")
    return (unknown, other, None)[k % 3]


def _knock(stack: ExitStack, endpoint: str, name: str, calling: Calling | None) -> None:
    """Send a step in the run's own name."""
    peer = stack.enter_context(dealer(endpoint, name.encode(), curve=calling))
    step = Step(
        run=RUN,
        step=1,
        universe_hash=UNIVERSE.hash,
        boundary_ns=1,
        through_ns=2,
        orders=[],
    )
    with suppress(zmq.Again):  # turned away before it could speak
        peer.send(pack(step))
