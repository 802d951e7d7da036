"""The paper venue as a process of its own: ticks come in, steps are answered.

A step is answered once the ticks have reached its `through_ns`. In lock-step nothing
beyond that is looked at before the next step has come, so the answers depend on the
stream and on the steps alone, and not on which process was faster.
"""

import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import zmq
from jaxtyping import Bool, Int

from bot4jax.data.source import Source
from bot4jax.errors import Halted
from bot4jax.runtime.curve import Keyring
from bot4jax.runtime.dead_man import DeadMan
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.messages import (
    Alive,
    FromVenue,
    Goodbye,
    MessageError,
    Reference,
    Refused,
    Withdraw,
    pack,
    unpack_from_engine,
)
from bot4jax.runtime.publish import PATIENCE_S
from bot4jax.runtime.publishers import (
    Counters,
    Publisher,
    hear,
    known,
    numbered,
    screened,
    unrepeated,
)
from bot4jax.runtime.reference import acts_ns, understood
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.sockets import bound_endpoint, router, subscriber
from bot4jax.runtime.standing import unstated
from bot4jax.runtime.venue import configured
from bot4jax.runtime.wire import MAGIC, WireError, decode
from bot4jax.schema import Config
from bot4jax.types import REFERENCE, SNAPSHOT, Frame

LOG = logging.getLogger(__name__)

TAKEN_BACK = "%d orders were taken back: no word from the engine for %g s"

BURST = 64
"""Frames read before the engine is looked at again."""


class Heard(NamedTuple):
    """What one frame says to a venue."""

    records: np.ndarray
    heartbeat_ns: int | None
    """event time of a frame without records"""
    events: Sequence[Reference] = ()


class Intake:
    """Ticks that may be believed, each once: numbered and screened as the engine's."""

    def __init__(
        self, universe_hash: int, anchors: Int[np.ndarray, " S"], skew_limit_ns: int
    ) -> None:
        self.frames = self.ticks = 0
        self.refused: Counter[str] = Counter()
        """frames and messages dropped, by reason"""
        self.counters = Counters()
        """records dropped, by reason, and missed"""
        self._universe_hash, self._anchors = universe_hash, anchors
        self._skew_limit_ns = skew_limit_ns
        self._publishers: dict[int, Publisher] = {}
        self._spoken: dict[int, Bool[np.ndarray, " S"]] = {}
        """slots that each publisher has told of since it missed something"""
        self._ended: set[int] = set()

    @property
    def dropped(self) -> dict[str, int]:
        """Everything that was not believed, by reason."""
        ticks = {reason.name.lower(): n for reason, n in self.counters.dropped.items()}
        return dict(self.refused) | ticks | {"duplicate": self.counters.duplicates}

    @property
    def is_over(self) -> bool:
        """Every publisher heard of has sent its last frame."""
        return bool(self._publishers) and self._ended == set(self._publishers)

    def read(self, buffer: bytes) -> Heard | None:
        """What a message says; None if it is not a frame of this universe."""
        try:
            frame = decode(buffer, self._universe_hash)
        except WireError as error:
            self.refused[str(error.reason)] += 1
            return None
        if frame.is_end:
            self._ended.add(frame.publisher)
        return self.take(frame)

    def take(self, frame: Frame) -> Heard:
        """What a frame says; a snapshot restates what was shown and is no news."""
        nothing = frame.records[:0]
        if frame.kind == SNAPSHOT:
            return Heard(nothing, None)
        publisher = known(self._publishers, frame, self.counters)
        if publisher is None:
            self.counters.dropped.update([Drop.EPOCH] * len(frame.records))
            return Heard(nothing, None)
        fresh = numbered(publisher, frame, self.counters)
        if frame.kind == REFERENCE:
            is_new = len(fresh) == len(frame.records)
            events = self._told(publisher, fresh) if is_new else ()
            return Heard(self._lost(frame.publisher, publisher), None, events)
        fresh = self._believed(publisher, fresh, frame.sent_ns)
        lost = self._lost(frame.publisher, publisher)
        self._spoken[frame.publisher][fresh["symbol"]] = True
        self.frames, self.ticks = self.frames + 1, self.ticks + len(fresh)
        heartbeat_ns = None if len(frame.records) else frame.sent_ns
        latest_ns = int(fresh["event_ns"].max(initial=heartbeat_ns or 0))
        hear(publisher, latest_ns, frame.sent_ns)
        if len(lost):
            fresh = np.concatenate((lost, fresh))
        return Heard(fresh, heartbeat_ns)

    def _lost(self, name: int, publisher: Publisher) -> np.ndarray:
        """What stands no longer, since something of this publisher was missed.

        Nothing trades in its instruments until their quotes are told anew.
        """
        none = np.zeros(len(self._anchors), bool)
        spoken = self._spoken.setdefault(name, none)
        if publisher.missed_until is None:
            return unstated(np.flatnonzero(none), 0)
        publisher.missed_until = None
        self._spoken[name] = none
        return unstated(np.flatnonzero(spoken), publisher.event_ns or 0)

    def _told(self, publisher: Publisher, records: np.ndarray) -> Sequence[Reference]:
        """The events of a frame that was not seen before, of this universe alone."""
        found = understood(records, len(self._anchors))
        self.refused["reference"] += not found.is_whole
        past_ns = publisher.since_ns
        return [
            one for one in found.events if past_ns is None or acts_ns(one) > past_ns
        ]

    def _believed(
        self, publisher: Publisher, records: np.ndarray, sent_ns: int
    ) -> np.ndarray:
        """The ticks that are news and fit to be believed."""
        counters, limit_ns = self.counters, self._skew_limit_ns
        records = unrepeated(publisher, records, counters)
        return screened(publisher, records, sent_ns, self._anchors, limit_ns, counters)


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
    own, runtime = config.venue, config.runtime
    venue = configured(source.universe, own)
    universe_hash = source.universe.hash
    desk = Desk(venue, universe_hash, own.lockstep, source.bar_ns)
    skew_limit_ns = round(runtime.skew_limit_ms * 1e6)
    intake = Intake(universe_hash, source.anchors, skew_limit_ns)
    keys = Keyring(config.keys.folder, "venue")
    feed = keys.calling("feed")
    with (
        router(runtime.endpoints.orders, curve=keys.serving) as orders,
        subscriber(runtime.endpoints.ticks, (MAGIC,), curve=feed) as ticks,
    ):
        serve(desk, intake, Sockets(ticks, orders))
    return Served(
        frames=intake.frames,
        ticks=intake.ticks,
        steps=desk.steps,
        orders=desk.orders,
        fills=len(venue.record.fills),
        refused=intake.dropped,
        gaps=intake.counters.gaps,
    )


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
            engine = _take(desk, intake, sockets.orders, engine, switch)
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


def _take(
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
    if isinstance(message, Alive | Goodbye | Withdraw) and peer != engine:
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
    """Send to an engine that may be gone: the next one will ask."""
    try:
        socket.send_multipart([engine, pack(answer)])
    except zmq.ZMQError as error:
        if error.errno not in (zmq.EHOSTUNREACH, zmq.EAGAIN):
            raise


def _silence(sockets: Sockets, patience_s: float) -> str:
    return (
        f"Neither ticks nor steps came to {bound_endpoint(sockets.orders)} for "
        f"{patience_s:g} s. Are mode=feed and mode=live running with the same "
        "runtime.endpoints?"
    )
