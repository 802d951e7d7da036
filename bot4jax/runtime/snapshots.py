"""What stands in the market, for who came late or missed something.

A feed answers at a socket of its own, between two frames: whom it does not fit it
refuses with a sentence, a greeting it welcomes, and who asks gets a snapshot. The
consumer greets when it starts and asks while its feed lacks something.
"""

import time
from collections.abc import Callable, Iterator

import zmq

from bot4jax.data.universe import Universe
from bot4jax.errors import Halted
from bot4jax.runtime.ledger import EventLedger
from bot4jax.runtime.messages import (
    Hello,
    MessageError,
    Refused,
    Welcome,
    pack,
    unpack,
    unpack_welcome,
)
from bot4jax.runtime.sockets import bound_endpoint
from bot4jax.runtime.standing import Standing
from bot4jax.runtime.wire import MAGIC, VERSION, WireError, decode, encode
from bot4jax.types import TICK, TICKS, Frame

PAUSE_S = 1.0
"""Between two questions for a snapshot."""

MOST_AT_ONCE = 16
"""Questions answered between two frames: who asks much must not hold the stream up."""


class SnapshotDesk:
    """The feed's end: told of every frame sent, asked now and then."""

    def __init__(self, socket: zmq.Socket, universe: Universe) -> None:
        self._socket, self._hash = socket, universe.hash
        self._standing = Standing(len(universe.instruments))
        self._ledger = EventLedger()
        self._last: Frame | None = None

    def sent(self, frame: Frame) -> None:
        """The frame has left."""
        if frame.kind == TICKS:
            self._standing.absorb(frame.records)
        self._ledger.absorb(frame)
        self._last = frame

    def wait(self, seconds: float) -> None:
        """Answer who asks for so long; 0: only some of who has asked already.

        However much is asked, frames go on leaving when they are due.
        """
        until = time.monotonic() + seconds
        self._serve(MOST_AT_ONCE)
        while (left_s := until - time.monotonic()) > 0:
            if self._socket.poll(max(1, int(1e3 * left_s))):
                self._serve(1)

    def _serve(self, most: int) -> None:
        """Answer at most so many of the questions that wait."""
        for _ in range(most):
            if not self._socket.poll(0):
                return
            self._answer(*self._socket.recv_multipart())

    def _answer(self, peer: bytes, *parts: bytes) -> None:
        try:
            answer = self._reply(unpack(b"".join(parts), Hello))
        except MessageError as error:
            answer = pack(Refused(reason=str(error)[:200]))
        try:
            self._socket.send_multipart([peer, answer], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
                raise

    def _reply(self, hello: Hello) -> bytes:
        if reason := misfit(hello, greeting(self._hash)):
            return pack(Refused(reason=reason))
        if not hello.wants_snapshot or self._last is None:
            return pack(Welcome())
        snapshot = self._standing.snapshot(self._last)
        return encode(self._ledger.stated(snapshot), self._hash)


class Snapshots:
    """The consumer's end: one question at a time, and never a pause of the stream."""

    def __init__(
        self, socket: zmq.Socket, universe_hash: int, is_stale: Callable[[], bool]
    ) -> None:
        self.socket = socket
        self._hash, self._is_stale = universe_hash, is_stale
        self._next_s = 0.0
        self._waits = 0

    def greet(self) -> None:
        """Say who we are; a feed that is not there yet hears it when it comes."""
        self._say(wants_snapshot=False)

    def tend(self) -> Iterator[Frame]:
        """Ask if something is missing; snapshots that have come."""
        if self._is_stale() and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + PAUSE_S
            self._say(wants_snapshot=True)
        while self._waits and self.socket.poll(0):
            self._waits -= 1
            if (frame := self._heard(self.socket.recv())) is not None:
                yield frame

    def _say(self, wants_snapshot: bool) -> None:
        hello = greeting(self._hash, wants_snapshot)
        try:
            self.socket.send(pack(hello), zmq.NOBLOCK)
        except zmq.Again:
            return
        self._waits += 1

    def _heard(self, answer: bytes) -> Frame | None:
        if answer.startswith(MAGIC):
            try:
                return decode(answer, self._hash)
            except WireError:
                return None
        try:
            said = unpack_welcome(answer)
        except MessageError:
            return None
        if isinstance(said, Refused):
            endpoint = bound_endpoint(self.socket)
            raise Halted(f"The feed at {endpoint} refuses this engine: {said.reason}")
        return None


def greeting(universe_hash: int, wants_snapshot: bool = False) -> Hello:
    """What this process speaks."""
    return Hello(
        version=VERSION,
        record_bytes=TICK.itemsize,
        universe_hash=universe_hash,
        wants_snapshot=wants_snapshot,
    )


def misfit(theirs: Hello, ours: Hello) -> str:
    """Why the two would misunderstand each other; empty if they would not."""
    for name in ("version", "record_bytes", "universe_hash"):
        found, expected = getattr(theirs, name), getattr(ours, name)
        if found != expected:
            return (
                f"{name} {found}, expected {expected}. Start both sides with the same "
                "release and the same data."
            )
    return ""
