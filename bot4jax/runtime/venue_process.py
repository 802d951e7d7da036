"""The paper venue as a process of its own: ticks come in, steps are answered.

A step is answered once the ticks have reached its `through_ns`. In lock-step nothing
beyond that is looked at before the next step has come, so the answers depend on the
stream and on the steps alone, and not on which process was faster.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import NamedTuple

import zmq

from bot4jax.config import agreed_hash
from bot4jax.data.source import Source
from bot4jax.errors import Halted
from bot4jax.runtime.curve import Keyring
from bot4jax.runtime.dead_man import DeadMan
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.messages import MessageError, Refused, pack
from bot4jax.runtime.publish import PATIENCE_S
from bot4jax.runtime.sockets import bound_endpoint, router, subscriber
from bot4jax.runtime.steady import steady_clock
from bot4jax.runtime.venue import configured
from bot4jax.runtime.venue_messages import (
    Alive,
    FromVenue,
    Goodbye,
    Passed,
    Withdraw,
    unpack_from_engine,
)
from bot4jax.runtime.wire import MAGIC
from bot4jax.schema import Config

LOG = logging.getLogger(__name__)

TAKEN_BACK = "%d orders were taken back: no word from the engine for %g s"

BURST = 64
"""Frames read before the engine is looked at again."""


class Served(NamedTuple):
    """What came in and went out."""

    frames: int
    ticks: int
    """accepted, each once"""
    steps: int
    orders: int
    fills: int
    refused: dict[str, int]
    """frames, ticks and messages dropped, by reason"""
    gaps: int
    """after which nothing traded in the instruments concerned until they were quoted"""


class Sockets(NamedTuple):
    """Both ends of the venue's process."""

    ticks: zmq.Socket
    orders: zmq.Socket


def run_venue(config: Config, source: Source) -> Served:
    """Be the venue that the configuration describes until the engine says goodbye."""
    own, endpoints = config.venue, config.runtime.endpoints
    venue = configured(source.universe, own)
    universe_hash = source.universe.hash
    asked = own.lockstep, source.bar_ns, agreed_hash(config)
    desk = Desk(venue, universe_hash, *asked)
    intake = hearing(config, source)
    keys = Keyring(config.keys.folder, "venue")
    feed = keys.calling("feed")
    with (
        router(endpoints.orders, curve=keys.serving) as orders,
        subscriber(endpoints.ticks, (MAGIC,), curve=feed) as ticks,
    ):
        serve(desk, intake, Sockets(ticks, orders))
    return Served(
        frames=intake.frames,
        ticks=intake.ticks,
        steps=desk.steps,
        orders=desk.orders,
        fills=venue.fills,
        refused=intake.dropped,
        gaps=intake.counters.gaps,
    )


def hearing(config: Config, source: Source) -> Intake:
    """What the configured venue believes of its feed; at the clock's pace by a clock of
    its own, as the engine does."""
    runtime = config.runtime
    skew_limit_ns = round(runtime.skew_limit_ms * 1e6)
    clock = steady_clock() if runtime.speed == 1 else None
    return Intake(source.universe.hash, source.anchors, skew_limit_ns, clock)


def serve(
    desk: Desk,
    intake: Intake,
    sockets: Sockets,
    patience_s: float = PATIENCE_S,
    clock_s: Callable[[], float] = time.monotonic,
) -> None:
    """Carry messages between the sockets and the desk until the engine leaves.

    A wait that is cut short for the engine's silence ends a little before it is due,
    as the clock goes: only a wait of full patience says that nobody speaks.
    """
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    engine, switch = b"", DeadMan(clock_s)
    while not desk.is_over:
        wait_s = min(patience_s, switch.left_s)
        ready = dict(poller.poll(math.ceil(wait_s * 1e3)))
        if sockets.ticks in ready:
            _hear(desk, intake, sockets.ticks)
        if sockets.orders in ready:
            engine = take(desk, intake, sockets.orders, engine, switch)
        if switch.fires():
            if taken := desk.take_back():
                LOG.warning(TAKEN_BACK, taken, switch.within_s)
        elif not ready and wait_s == patience_s:
            raise Halted(_silence(sockets, patience_s))
        if (report := desk.report()) is not None:
            _send(sockets.orders, engine, report)


def _hear(desk: Desk, intake: Intake, socket: zmq.Socket) -> None:
    """Take in the frames that wait, but not so many that the engine is forgotten."""
    for _ in range(BURST):
        try:
            buffer = b"".join(socket.recv_multipart(zmq.NOBLOCK))
        except zmq.Again:
            break
        if (heard := intake.read(buffer)) is not None:
            desk.hear(*heard)
    if intake.is_over:
        desk.end()


def take(
    desk: Desk, intake: Intake, socket: zmq.Socket, engine: bytes, switch: DeadMan
) -> bytes:
    """Give one message to the desk; the peer that reports go to from now on.

    Only a step of the current epoch, or a question that begins one, takes the line
    over; only who has it is watched, and may take orders back or end the venue.
    """
    peer, *parts = socket.recv_multipart()
    try:
        message = unpack_from_engine(b"".join(parts))
    except MessageError as error:
        intake.refused["message"] += 1
        if peer != engine:  # of another release, or no engine at all
            _send(socket, peer, Refused(reason=str(error)[:200]))
        return engine
    if isinstance(message, Alive | Goodbye | Passed | Withdraw) and peer != engine:
        intake.refused["peer"] += 1
        return engine
    epoch, answer = desk.epoch, desk.take(message)
    if answer is not None:
        _send(socket, peer, answer)
        if desk.epoch == epoch:
            return engine
    switch.hear(message)
    return peer


def _send(socket: zmq.Socket, engine: bytes, answer: FromVenue) -> None:
    """Send to an engine that may be gone: the next one will ask. Nobody is waited for:
    a stranger that never reads would hold up all others."""
    try:
        socket.send_multipart([engine, pack(answer)], zmq.NOBLOCK)
    except zmq.ZMQError as error:
        if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
            raise


def _silence(sockets: Sockets, patience_s: float) -> str:
    return (
        f"Neither ticks nor steps came to {bound_endpoint(sockets.orders)} for "
        f"{patience_s:g} s. Are mode=feed and mode=live running with the same "
        "runtime.endpoints?"
    )
