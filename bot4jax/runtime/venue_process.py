"""The paper venue as a process of its own: ticks come in, steps are answered.

A step is answered once the ticks have reached its `through_ns`. In lock-step nothing
beyond that is looked at before the next step has come, so the answers depend on the
stream and on the steps alone, and not on which process was faster.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import zmq
from jaxtyping import Int

from bot4jax.data.source import Source
from bot4jax.errors import Halted
from bot4jax.runtime.curve import Keyring
from bot4jax.runtime.messages import (
    Fenced,
    FromEngine,
    FromVenue,
    Goodbye,
    Inquiry,
    MessageError,
    Refused,
    Report,
    Statement,
    Step,
    Withdraw,
    pack,
    unpack_from_engine,
)
from bot4jax.runtime.orders import Answer
from bot4jax.runtime.publish import PATIENCE_S
from bot4jax.runtime.screen import screen
from bot4jax.runtime.sockets import bound_endpoint, router, subscriber
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import LocalVenue, statement
from bot4jax.runtime.wire import MAGIC, WireError, decode
from bot4jax.schema import Config
from bot4jax.types import SNAPSHOT, Frame

BURST = 64
"""Frames read before the engine is looked at again."""


class Heard(NamedTuple):
    """What one frame says to a venue."""

    records: np.ndarray
    heartbeat_ns: int | None
    """event time of a frame without records"""


class Intake:
    """Ticks that may be believed, each once: numbered and screened as the engine's."""

    def __init__(
        self, universe_hash: int, anchors: Int[np.ndarray, " S"], skew_limit_ns: int
    ) -> None:
        self.frames = self.ticks = 0
        self.refused: Counter[str] = Counter()
        """frames and ticks dropped, by reason"""
        self._universe_hash, self._anchors = universe_hash, anchors
        self._skew_limit_ns = skew_limit_ns
        self._next: dict[int, tuple[int, int]] = {}
        """epoch and next sequence by publisher"""
        self._ended: set[int] = set()

    @property
    def is_over(self) -> bool:
        """Every publisher heard of has sent its last frame."""
        return bool(self._next) and self._ended == set(self._next)

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
        if frame.kind == SNAPSHOT:
            return Heard(frame.records[:0], None)
        records = self._screened(self._numbered(frame), frame.sent_ns)
        self.frames, self.ticks = self.frames + 1, self.ticks + len(records)
        return Heard(records, None if len(frame.records) else frame.sent_ns)

    def _numbered(self, frame: Frame) -> np.ndarray:
        """The records that were not seen before, in the publisher's latest epoch."""
        epoch, following = self._next.get(frame.publisher, (frame.epoch, 0))
        if frame.epoch < epoch:
            self.refused["epoch"] += len(frame.records)
            return frame.records[:0]
        if frame.epoch > epoch:
            following = 0
        repeated = min(max(following - frame.sequence, 0), len(frame.records))
        if repeated:
            self.refused["duplicate"] += repeated
        reached = max(following, frame.sequence + len(frame.records))
        self._next[frame.publisher] = frame.epoch, reached
        return frame.records[repeated:]

    def _screened(self, records: np.ndarray, sent_ns: int) -> np.ndarray:
        records = np.ascontiguousarray(records)
        reasons = screen(records, self._anchors)
        is_fine = records["event_ns"] <= sent_ns + self._skew_limit_ns
        if reasons is not None:
            is_fine &= reasons == 0
        if is_fine.all():
            return records
        self.refused["tick"] += int((~is_fine).sum())
        return records[is_fine]


class Desk:
    """What the venue does between its two sockets; it knows neither."""

    def __init__(
        self, venue: PaperVenue, universe_hash: int, lockstep: bool = True
    ) -> None:
        self.is_over = False
        self.steps = self.orders = 0
        self._link, self._lockstep = LocalVenue(venue), lockstep
        self._universe_hash = universe_hash
        self._step: Step | None = None
        """being waited for"""
        self._last: tuple[Step, Report] | None = None
        self._reached_ns = -(2**62)
        """event time that the ticks have reached"""
        self._is_ended = False
        self._answers: list[Answer] = []
        """not reported yet"""
        self._positions = venue.position.copy()
        """as of the last report"""
        self.epoch = 0
        """grows when an engine takes over"""
        self._run = ""
        """that is served"""

    def hear(self, records: np.ndarray, heartbeat_ns: int | None = None) -> None:
        """Take in accepted ticks, or the event time of a heartbeat."""
        if len(records):
            self._link.hear(records)
            self._reached_ns = max(self._reached_ns, int(records["event_ns"].max()))
        if heartbeat_ns is not None:
            self._reached_ns = max(self._reached_ns, heartbeat_ns)
        if not self._lockstep:
            self._answers += self._link.settle(self._reached_ns)

    def end(self) -> None:
        """No tick follows: what was to be reached counts as reached."""
        self._is_ended = True

    def take(self, message: FromEngine) -> Statement | Fenced | Refused | None:
        """Hear the engine; what it is answered at once, where it is.

        A step that came before is answered again and not traded, if the venue dedupes.
        """
        if isinstance(message, Goodbye):
            self.is_over |= message.run == self._run
        elif isinstance(message, Withdraw):
            self._link.withdraw(message.cancels)
        elif message.universe_hash != self._universe_hash:
            return Refused(
                reason=f"its universe is {message.universe_hash:08x}, this venue's "
                f"{self._universe_hash:08x}. Start both with the same data."
            )
        elif isinstance(message, Inquiry):
            return self._stated(message)
        elif message.epoch != self.epoch:
            return Fenced(epoch=self.epoch)
        else:
            self._serve(message)
        return None

    def _serve(self, step: Step) -> None:
        self._step, self._run = step, step.run
        if not self._is_repeated(step):
            self.steps, self.orders = self.steps + 1, self.orders + len(step.orders)
            self._link.send(step)

    def _stated(self, inquiry: Inquiry) -> Statement:
        """The record's end; who asks for the run that is served takes its place."""
        last = None if self._last is None else self._last[0]
        step = last if self._step is None else self._step
        if step is None or step.run == inquiry.run:
            self.epoch, self._run = self.epoch + 1, inquiry.run
        is_reported = self._step is None and self._last is not None
        answers = self._last[1].answers if is_reported and self._last else None
        return statement(self._link.venue, self.epoch, self._positions, step, answers)

    def report(self) -> Report | None:
        """The answer to the step taken, once the ticks have reached its end."""
        step = self._step
        if step is None:
            return None
        if self._last is not None and self._is_repeated(step):
            self._step = None
            return self._last[1]
        if self._reached_ns < step.through_ns and not self._is_ended:
            return None
        answers = [*self._answers, *self._link.settle(step.through_ns)]
        report = Report(step=step.step, through_ns=step.through_ns, answers=answers)
        self._step, self._last, self._answers = None, (step, report), []
        self._positions = self._link.venue.position.copy()
        return report

    def _is_repeated(self, step: Step) -> bool:
        last = self._last if self._link.venue.dedupes else None
        return last is not None and (step.run, step.step) == (last[0].run, last[0].step)


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


class Sockets(NamedTuple):
    """Both ends of the venue's process."""

    ticks: zmq.Socket
    orders: zmq.Socket


def run_venue(config: Config, source: Source) -> Served:
    """Be the venue that the configuration describes until the engine says goodbye."""
    own, runtime = config.venue, config.runtime
    venue = PaperVenue(
        source.universe,
        latency_ns=round(own.latency_ms * 1e6),
        taker_fee=own.taker_fee_bps,
        maker_fee=own.maker_fee_bps,
        seed=own.seed,
        reject_share=own.reject_share,
        dedupes=own.dedupes,
    )
    universe_hash = source.universe.hash
    desk = Desk(venue, universe_hash, own.lockstep)
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
        refused=dict(intake.refused),
    )


def serve(
    desk: Desk, intake: Intake, sockets: Sockets, patience_s: float = PATIENCE_S
) -> None:
    """Carry messages between the sockets and the desk until the engine leaves."""
    poller = zmq.Poller()
    for socket in sockets:
        poller.register(socket, zmq.POLLIN)
    engine = b""
    while not desk.is_over:
        ready = dict(poller.poll(round(patience_s * 1e3)))
        if not ready:
            raise Halted(_silence(sockets, patience_s))
        if sockets.ticks in ready:
            _hear(desk, intake, sockets.ticks)
        if sockets.orders in ready:
            engine = _take(desk, intake, sockets.orders, engine)
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


def _take(desk: Desk, intake: Intake, socket: zmq.Socket, engine: bytes) -> bytes:
    """Give one message to the desk; the peer that reports go to from now on.

    Only a step of the current epoch, or a question that begins one, takes the line
    over; only who has it may take orders back or end the venue.
    """
    peer, *parts = socket.recv_multipart()
    try:
        message = unpack_from_engine(b"".join(parts))
    except MessageError:
        intake.refused["message"] += 1
        return engine
    if isinstance(message, Goodbye | Withdraw) and peer != engine:
        intake.refused["peer"] += 1
        return engine
    epoch, answer = desk.epoch, desk.take(message)
    if answer is None:
        return peer
    _send(socket, peer, answer)
    return peer if desk.epoch > epoch else engine


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
