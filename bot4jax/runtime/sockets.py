"""ZeroMQ sockets with every limit stated; beyond loopback only with CURVE.

Every maker is a context manager that closes what it opened. Sending never blocks for
ever (`SNDTIMEO`), closing never waits unless asked (`LINGER`), a giant message is
refused by the library (`MAXMSGSIZE`) and each queue has a written bound. An address is
nobody else's: over TCP the system sees to that, and for files we do.
"""

import errno
import ipaddress
import socket as system
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import zmq

from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.curve import Calling, Serving, guarded, prove

LOOPBACK_4 = ipaddress.ip_network("127.0.0.0/8")
LOOPBACK_6 = ipaddress.ip_address("::1")
LOCAL_TRANSPORTS = ("ipc", "inproc")
FILES = "ipc://"

OTHER_PORT = "Is another process using it? Choose a free port."
OTHER_PATH = "Choose a short path in a folder that is there and that you may write in."


class Limits(NamedTuple):
    """Bounds of one socket."""

    send_high_water: int = 1_000
    """messages queued for a peer; 0 is unbounded, for finite streams only"""
    receive_high_water: int = 1_000
    """messages queued from a peer; 0 is unbounded"""
    send_timeout_ms: int = 1_000
    linger_ms: int = 0
    """how long closing waits for what is queued"""
    largest_message: int = 16 << 20
    """bytes; a peer that sends more is disconnected"""


LIMITS = Limits()

Curve = Serving | Calling | None
"""The keys of a socket; None: it stays on this machine."""


class EndpointError(Bot4JaxError):
    """An address that this process must not, or cannot, open."""

    exit_code = 2


def check_endpoint(endpoint: str, is_proven: bool = False) -> str:
    """The endpoint itself, if nobody outside this machine can reach it unproven."""
    transport, separator, address = endpoint.partition("://")
    if separator and address and transport in LOCAL_TRANSPORTS:
        return endpoint
    ip = _ip(address) if transport == "tcp" else None
    if ip is not None and (is_proven or ip == LOOPBACK_6 or ip in LOOPBACK_4):
        return endpoint
    raise EndpointError(
        f"Refused endpoint '{endpoint}': without CURVE keys sockets stay on the "
        "loopback interface. Use tcp://127.0.0.1:PORT, tcp://[::1]:PORT or ipc://PATH, "
        "or make keys with mode=keys and name their folder with keys.folder; then "
        "tcp://ADDRESS:PORT with a numeric address passes."
    )


@contextmanager
def subscriber(
    endpoint: str,
    topics: tuple[bytes, ...] = (b"",),
    limits: Limits = LIMITS,
    context: zmq.Context | None = None,
    curve: Curve = None,
) -> Iterator[zmq.Socket]:
    """SUB, connected: receives what begins with one of the topics."""
    with _opened(zmq.SUB, limits, context, curve) as socket:
        for topic in topics:
            socket.subscribe(topic)
        _attach(socket, endpoint, False, curve)
        yield socket


@contextmanager
def publisher(
    endpoint: str,
    limits: Limits = LIMITS,
    context: zmq.Context | None = None,
    drops: bool = False,
    curve: Curve = None,
) -> Iterator[zmq.Socket]:
    """XPUB, bound: sends to all subscribers and receives every subscription.

    When a subscriber's queue is full, sending waits and then raises `zmq.Again`; with
    `drops` that subscriber misses the message instead. `XPUB_VERBOSER`, because the
    second subscriber's arrival and the first one's departure count as well.
    """
    with _opened(zmq.XPUB, limits, context, curve) as socket:
        socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        socket.setsockopt(zmq.XPUB_NODROP, 0 if drops else 1)
        _attach(socket, endpoint, True, curve)
        yield socket


@contextmanager
def dealer(
    endpoint: str,
    identity: bytes = b"",
    limits: Limits = LIMITS,
    context: zmq.Context | None = None,
    curve: Curve = None,
    is_immediate: bool = False,
) -> Iterator[zmq.Socket]:
    """DEALER, connected: asks and is answered, in any order.

    One that `is_immediate` takes nothing for a peer that is not there: it can be
    written to once that has answered its call.
    """
    with _opened(zmq.DEALER, limits, context, curve) as socket:
        socket.setsockopt(zmq.IMMEDIATE, is_immediate)
        if identity:
            socket.setsockopt(zmq.IDENTITY, identity)
        _attach(socket, endpoint, False, curve)
        yield socket


@contextmanager
def router(
    endpoint: str,
    limits: Limits = LIMITS,
    context: zmq.Context | None = None,
    curve: Curve = None,
) -> Iterator[zmq.Socket]:
    """ROUTER, bound: a message to a peer that is not there is an error."""
    with _opened(zmq.ROUTER, limits, context, curve) as socket:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        _attach(socket, endpoint, True, curve)
        yield socket


def bound_endpoint(socket: zmq.Socket) -> str:
    """Where a socket listens, its port filled in where it was left to the system."""
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)


@contextmanager
def _opened(
    kind: int, limits: Limits, context: zmq.Context | None, curve: Curve
) -> Iterator[zmq.Socket]:
    with ExitStack() as stack:
        owner = context if context else stack.enter_context(zmq.Context())
        socket = stack.enter_context(owner.socket(kind))
        socket.setsockopt(zmq.SNDHWM, limits.send_high_water)
        socket.setsockopt(zmq.RCVHWM, limits.receive_high_water)
        socket.setsockopt(zmq.SNDTIMEO, limits.send_timeout_ms)
        socket.setsockopt(zmq.LINGER, limits.linger_ms)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.largest_message)
        if curve is not None:
            prove(socket, curve)
        if isinstance(curve, Serving):
            stack.enter_context(guarded(socket, owner, curve))
        yield socket


def _attach(socket: zmq.Socket, endpoint: str, is_server: bool, curve: Curve) -> None:
    check_endpoint(endpoint, is_proven=curve is not None)
    if endpoint.startswith("tcp://["):
        socket.setsockopt(zmq.IPV6, 1)
    if is_server and endpoint.startswith(FILES):
        _expect_free(endpoint)
    try:
        if is_server:
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
    except zmq.ZMQError as error:
        verb = "listen at" if is_server else "connect to"
        is_file = endpoint.startswith(FILES)
        advice = OTHER_PATH if is_file else OTHER_PORT
        raise EndpointError(
            f"Cannot {verb} '{endpoint}': {error.strerror}. {advice}"
        ) from error


def _expect_free(endpoint: str) -> None:
    """Refuse a file that somebody listens at, or that is something else: the library
    would remove either without a word, and listen in its place."""
    path = Path(endpoint.removeprefix(FILES))
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:  # none is there, or binding tells why not
        return
    if is_socket and not _is_heard(path):
        return
    what = "another process listens there" if is_socket else "it is another file"
    raise EndpointError(
        f"Cannot listen at '{endpoint}': {what}. End that process, or choose a path "
        "at which nothing lies."
    )


def _is_heard(path: Path) -> bool:
    """Whether somebody listens at a socket's file; one that a process has left behind
    refuses who calls."""
    with system.socket(system.AF_UNIX, system.SOCK_STREAM) as caller:
        caller.setblocking(False)
        return caller.connect_ex(str(path)) != errno.ECONNREFUSED


def _ip(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address in front of a port; None for a name: others decide what it means."""
    host, separator, _ = address.rpartition(":")
    try:
        ip = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return ip if separator else None
