"""Frames out of a source into a socket, and out of a socket into the engine.

A finite stream is never cut short: when a subscriber's queue is full the publisher
waits, its last frame is flagged END, and it leaves after its subscribers have.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import zmq

from bot4jax.data.source import Source
from bot4jax.errors import DataError, Halted
from bot4jax.runtime.curve import NO_KEYS, Keyring
from bot4jax.runtime.ends import Ends
from bot4jax.runtime.snapshots import SnapshotDesk, Snapshots
from bot4jax.runtime.sockets import bound_endpoint, publisher, router
from bot4jax.runtime.steady import steady_clock
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.wire import Refusal, WireError, decode, encode
from bot4jax.schema.process import Endpoints
from bot4jax.types import BEGIN, END, EVENTS, REFERENCE, SNAPSHOT, TICK, TICKS, Frame

HEARTBEAT_S = 1.0
"""Pause in a paced stream after which the publisher shows that it is alive."""

PATIENCE_S = 600.0
"""How long a subscriber may read nothing, as while it compiles, before it counts as
hung, and how long the publisher waits for it to leave after the end."""


class Published(NamedTuple):
    """What was sent."""

    frames: int
    ticks: int


class Arrival(NamedTuple):
    """A frame and when it was taken up; without a frame, a moment of silence."""

    frame: Frame | None
    timer_s: float
    """`time.perf_counter`, to measure from"""
    receive_ns: int
    """wall clock at the start plus the monotonic time since: it never jumps"""


def serve(
    source: Source,
    first: int,
    stop: int,
    endpoints: Endpoints,
    subscribers: int = 1,
    speed: float = 0.0,
    keys: Keyring = NO_KEYS,
) -> Published:
    """Publish the bars `first … stop − 1` once that many subscriptions have come."""
    if not source.has_ticks:
        raise DataError(
            "This source has bars but no ticks to publish: use mode=backtest, or a "
            "source with ticks such as data=simulator or data=binance."
        )
    end_ns = source.start_ns + stop * source.bar_ns
    with (
        publisher(endpoints.ticks, curve=keys.serving) as socket,
        router(endpoints.snapshots, curve=keys.serving) as asked,
    ):
        desk = SnapshotDesk(asked, source.universe)
        subscribed = Subscribers(socket)
        subscribed.await_present(subscribers)
        frames = source.frames(first, stop)
        published = publish(
            frames, socket, source.universe.hash, end_ns, speed, desk=desk
        )
        subscribed.await_left(PATIENCE_S, desk=desk)
    return published


def publish(
    frames: Iterable[Frame],
    socket: zmq.Socket,
    universe_hash: int,
    end_ns: int,
    speed: float = 0.0,
    heartbeat_s: float = HEARTBEAT_S,
    desk: SnapshotDesk | None = None,
) -> Published:
    """Send the frames, then one flagged END whose event time is `end_ns`.

    `speed` × real time by event time; 0 sends as fast as the subscribers read. Whoever
    asks at the desk is answered between two frames.
    """
    last = Frame(1, 1, 0, end_ns, np.empty(0, TICK))
    pace = _Pace(speed, heartbeat_s, time.sleep if desk is None else desk.wait)
    count = ticks = 0
    for frame in begun(frames):
        for event_ns in pace.pauses(frame):
            send(socket, encode(heartbeat(last, event_ns), universe_hash))
        send(socket, encode(frame, universe_hash))
        if desk is not None:
            desk.sent(frame)
            desk.wait(0)
        last, count, ticks = frame, count + 1, ticks + len(frame.records)
    end = heartbeat(last, end_ns)._replace(flags=END)
    for event_ns in pace.pauses(end):
        send(socket, encode(heartbeat(last, event_ns), universe_hash))
    send(socket, encode(end, universe_hash))
    return Published(count, ticks)


def begun(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames, the first one flagged as its publisher's very first; how many of
    them tell of events is counted, so that none is missed unseen."""
    told = 0
    for number, frame in enumerate(frames):
        told = (told + (frame.kind == REFERENCE)) % EVENTS
        flags = frame.flags if number else frame.flags | BEGIN
        yield frame._replace(flags=flags, events=told)


def send(socket: zmq.Socket, buffer: bytes, patience_s: float = PATIENCE_S) -> None:
    """Send, waiting for subscribers whose queue is full."""
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            return socket.send(buffer)
        except zmq.Again:
            if time.monotonic() > give_up_s:
                raise Halted(
                    f"A subscriber of {bound_endpoint(socket)} has read nothing for "
                    f"{patience_s:g} s. Stop it and start both sides again."
                ) from None


def receive(
    socket: zmq.Socket,
    universe_hash: int,
    timeout_s: float,
    idle_s: float | None = None,
    refused: Counter[Refusal] | None = None,
    snapshots: Snapshots | None = None,
    in_session: Callable[[int], bool] = lambda now_ns: True,
) -> Iterator[Arrival]:
    """Frames as they come, until every publisher heard from has sent its END; one that
    comes back in a newer epoch is waited for again.

    What is not a whole frame of this universe is dropped and counted in `refused`.
    With `idle_s`, an `Arrival` without a frame comes each time nothing is waiting and
    then every `idle_s`: the moment to flush the feed and let the clock close bars.
    With `snapshots`, what is missing is asked for and comes as a frame like others.
    Silence counts while `in_session` says so of the time; a closed market owes nothing.
    A snapshot does not end it: it says what stood, and comes from another socket.
    """
    refused = Counter() if refused is None else refused
    inbox = _Inbox(socket, universe_hash, refused, snapshots)
    wait_ms = round(1e3 * (timeout_s if idle_s is None else min(idle_s, timeout_s)))
    silent_s = 0.0
    while not inbox.is_over:
        began_s = time.monotonic()
        inbox.poll(wait_ms)
        if in_session(inbox.now_ns):
            silent_s += time.monotonic() - began_s
        for frame in inbox.waiting():
            if frame.kind != SNAPSHOT:
                silent_s = 0.0
            yield inbox.arrival(frame)
        if silent_s >= timeout_s:
            raise Halted(_silence(socket, timeout_s, refused))
        if idle_s is not None and not inbox.is_over:
            yield inbox.arrival(None)


@dataclass
class _Inbox:
    """Reads what waits in a socket, without waiting itself."""

    socket: zmq.Socket
    universe_hash: int
    refused: Counter[Refusal]
    snapshots: Snapshots | None = None
    ends: Ends = field(default_factory=Ends)
    _clock: Callable[[], int] = field(default_factory=steady_clock)
    _poller: zmq.Poller = field(default_factory=zmq.Poller)

    @property
    def is_over(self) -> bool:
        return self.ends.are_all

    def __post_init__(self) -> None:
        self._poller.register(self.socket, zmq.POLLIN)
        if self.snapshots is not None:
            self._poller.register(self.snapshots.socket, zmq.POLLIN)
            self.snapshots.greet()

    def poll(self, wait_ms: int) -> None:
        """Wait for something to read."""
        self._poller.poll(wait_ms)

    def waiting(self) -> Iterator[Frame]:
        """Whole frames that have arrived, until there are none or all have ended."""
        while not self.is_over:
            if self.snapshots is not None:
                yield from self.snapshots.tend()
            try:
                buffer = b"".join(self.socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            try:
                frame = decode(buffer, self.universe_hash)
            except WireError as error:
                self.refused[error.reason] += 1
                continue
            self.ends.hear(frame)
            yield frame

    @property
    def now_ns(self) -> int:
        """The wall clock at the start and the monotonic time since."""
        return self._clock()

    def arrival(self, frame: Frame | None) -> Arrival:
        return Arrival(frame, time.perf_counter(), self.now_ns)


@dataclass
class _Pace:
    """When frames are due: event time passes `speed` times as fast as real time."""

    speed: float
    heartbeat_s: float
    sleep: Callable[[float], None]
    start: tuple[float, int] | None = None
    """monotonic seconds and event time of the first frame"""
    event_ns: int = 0
    """the latest sent"""

    def pauses(self, frame: Frame) -> Iterator[int]:
        """Sleep until the frame is due; yields the event time when a heartbeat is."""
        if self.speed <= 0:
            return
        has_ticks = frame.kind == TICKS and len(frame.records)
        latest = frame.records["event_ns"].max(initial=0) if has_ticks else 0
        event_ns = max(self.event_ns, int(latest) or frame.sent_ns)
        if self.start is None:
            self.start, self.event_ns = (time.monotonic(), event_ns), event_ns
        began_s, first_ns = self.start
        due_s = began_s + (event_ns - first_ns) / 1e9 / self.speed
        while (left_s := due_s - time.monotonic()) > self.heartbeat_s:
            self.sleep(self.heartbeat_s)
            yield self.event_ns
        if left_s > 0:
            self.sleep(left_s)
        self.event_ns = event_ns


def heartbeat(last: Frame, event_ns: int) -> Frame:
    """An empty frame that follows `last`.

    In a pause it repeats an event time already sent: a heartbeat that ran ahead would
    make bars depend on how fast the stream was played.
    """
    following = last.sequence + len(last.records)
    nothing = np.empty(0, TICK)
    found = Frame(last.publisher, last.epoch, following, event_ns, nothing)
    return found._replace(events=last.events)


def _silence(socket: zmq.Socket, timeout_s: float, refused: Counter[Refusal]) -> str:
    endpoint = bound_endpoint(socket)
    counted = ", ".join(f"{n} for their {reason}" for reason, n in refused.items())
    return (
        f"No frame came from {endpoint} for {timeout_s:g} s"
        + (f"; refused were {counted}. " if counted else ". ")
        + "Is mode=feed running with the same data and runtime.endpoints.ticks? Raise "
        "runtime.feed_timeout_s if the market may pause that long."
    )
