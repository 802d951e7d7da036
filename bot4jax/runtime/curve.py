"""Who may speak over a socket: CURVE keys, an allow-list, and a watch at the door.

A folder of keys holds each name's secret in a file that only its owner may read, its
public half beside it, and in `allowed/` the public halves of all who may connect. A
file of these that holds no key stops the start; one that comes to be there later counts
for nothing. CURVE itself says nothing when it refuses somebody; the socket's monitor
does, and what it says is logged.
"""

import logging
import os
import stat
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import zmq
from zmq.auth import create_certificates, load_certificate
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from bot4jax import durable
from bot4jax.durable import named
from bot4jax.errors import Bot4JaxError

logger = logging.getLogger(__name__)

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
ALLOWED = "allowed"
"""Folder of the public keys that may connect."""

KEY_LENGTH = 40
"""Characters of Z85 in a key of 32 bytes."""

LARGEST_FILE = 1 << 16
"""bytes; ours have a few hundred"""

DOMAIN = "bot4jax"
"""Under which the library asks whether a key may connect; without one it asks none."""

REFUSALS = {
    zmq.Event.HANDSHAKE_FAILED_AUTH: "its key is not in the allow-list",
    zmq.Event.HANDSHAKE_FAILED_PROTOCOL: "it does not speak CURVE with our key",
    zmq.Event.HANDSHAKE_FAILED_NO_DETAIL: "the handshake broke off",
}
"""What a socket's monitor tells of a peer that was not let in."""


class KeysError(Bot4JaxError):
    """Keys that are missing, that are none, or that others can read."""

    exit_code = 2


class Serving(NamedTuple):
    """With what a socket that binds proves who it is, and whom it lets in."""

    public: bytes
    secret: bytes
    allowed: Path


class Calling(NamedTuple):
    """With what a socket that connects proves who it is, and whom it believes."""

    public: bytes
    secret: bytes
    server: bytes


class Keyring:
    """The keys of one process by name; without a folder there are none."""

    def __init__(self, folder: str | None, own: str) -> None:
        self._folder = None if folder is None else Path(folder)
        self._own = own
        if self._folder is not None:
            self._public, self._secret = own_keys(self._folder, own)

    @property
    def serving(self) -> Serving | None:
        """For a socket that binds."""
        if self._folder is None:
            return None
        return Serving(self._public, self._secret, allowed(self._folder))

    def calling(self, server: str) -> Calling | None:
        """For a socket that connects to the one who bears this name."""
        if self._folder is None:
            return None
        theirs, _ = _read(self._folder / f"{server}.key")
        return Calling(self._public, self._secret, theirs)


NO_KEYS = Keyring(None, "")
"""Nobody proves who they are: every socket stays on this machine."""


def make_keys(folder: Path, names: Sequence[str]) -> list[Path]:
    """Pairs of keys for names of which no key is there yet; all of them are allowed.

    A public key alone is that of somebody whose secret lies elsewhere: it stays.
    """
    before = os.umask(0o077)
    try:
        (folder / ALLOWED).mkdir(parents=True, exist_ok=True)
        made = []
        for name in names:
            if (folder / f"{name}.key_secret").exists() or is_elsewhere(folder, name):
                continue
            made += _made(folder, name)
        return made
    finally:
        os.umask(before)


def is_elsewhere(folder: Path, name: str) -> bool:
    """Whether a public key of this name is there, and not its secret."""
    public = folder / f"{name}.key", folder / ALLOWED / f"{name}.key"
    has_secret = (folder / f"{name}.key_secret").exists()
    return not has_secret and any(map(os.path.lexists, public))


def _made(folder: Path, name: str) -> tuple[Path, Path]:
    """A pair, whole: what is there of one that could not be is taken away, for a public
    key without its secret would count as one of another machine."""
    with named(folder), TemporaryDirectory(dir=folder, prefix=".") as draft:
        public, secret = map(Path, create_certificates(draft, name))
        ours = [place / public.name for place in (folder / ALLOWED, folder)]
        try:
            for path in ours:
                durable.write(path, public.read_bytes())
            durable.write(folder / secret.name, secret.read_bytes())
        except BaseException:
            for path in ours:
                path.unlink(missing_ok=True)
            raise
    return folder / public.name, folder / secret.name


def own_keys(folder: Path, name: str) -> tuple[bytes, bytes]:
    """Public and secret key of this process, if nobody else can read the secret."""
    path = folder / f"{name}.key_secret"
    public, secret = _read(path)
    for place, most in ((folder, PRIVATE_FOLDER), (path, PRIVATE_FILE)):
        mode = stat.S_IMODE(place.stat().st_mode)
        if mode & ~most:
            raise KeysError(
                f"{place} has mode {mode:04o}, expected {most:04o}: others can reach "
                f"the secret key. Run chmod {most:o} {place}, and make new keys if "
                "somebody may have read it."
            )
    if secret is None:
        raise KeysError(f"{path} holds no secret key; make one with mode=keys.")
    if zmq.curve_public(secret) != public:
        raise KeysError(
            f"{path} holds two keys that are no pair: nobody would answer to them. "
            "Restore it from a copy, or make new keys."
        )
    return public, secret


def allowed(folder: Path) -> Path:
    """The folder of the public keys that may connect; an empty one lets nobody in, and
    one with a file that holds none is refused."""
    found = folder / ALLOWED
    if not found.is_dir():
        raise KeysError(
            f"{found} is missing: put the public keys (*.key) of all who may connect "
            "there."
        )
    for path in key_files(found):
        _read(path)
    return found


def key_files(folder: Path) -> list[Path]:
    """What should hold a key each; hidden files do not count."""
    return sorted(one for one in folder.glob("*.key") if one.name[0] != ".")


class Doorkeeper:
    """Whom an allow-list lets in, read anew whenever somebody knocks.

    What holds no key by then lets in nobody and bars nobody, and is told of once. No
    error leaves it: the library's thread would end, and nobody be answered again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._told: list[str] = []
        """what was wrong when somebody knocked last"""

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a peer of this public key, in Z85, may connect; named by the library,
        which says the domain."""
        try:
            keys, wrong = _keys(key_files(self._folder))
        except OSError as error:  # a flood of peers may use up what can be opened
            keys, wrong = set(), [f"{self._folder} cannot be read ({error.strerror})."]
        for text in wrong:
            if text not in self._told:
                logger.warning("Nobody is let in by a file without a key: %s", text)
        self._told = wrong
        return key in keys


def _keys(paths: Sequence[Path]) -> tuple[set[bytes], list[str]]:
    """The public keys of files, and what is wrong with those that hold none."""
    keys, wrong = set[bytes](), list[str]()
    for path in paths:
        try:
            keys.add(_read(path)[0])
        except KeysError as error:
            wrong.append(str(error))
    return keys, wrong


def prove(socket: zmq.Socket, curve: Serving | Calling) -> None:
    """Give a socket its keys, before it binds or connects."""
    socket.curve_publickey, socket.curve_secretkey = curve.public, curve.secret
    if isinstance(curve, Calling):
        socket.curve_serverkey = curve.server
        return
    socket.curve_server = True
    socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN.encode())


@contextmanager
def guarded(
    socket: zmq.Socket, context: zmq.Context, serving: Serving
) -> Iterator[None]:
    """While it lasts, only allowed keys are let in and all others are logged.

    The authenticator answers for its whole context, so a guarded socket has its own.
    """
    authenticator = ThreadAuthenticator(context, log=logger)
    authenticator.start()
    keeper = Doorkeeper(serving.allowed)
    authenticator.configure_curve_callback(DOMAIN, credentials_provider=keeper)
    watch = threading.Thread(target=_watch, args=(socket.get_monitor_socket(),))
    watch.start()
    try:
        yield
    finally:
        socket.disable_monitor()
        watch.join()
        authenticator.stop()


def _watch(monitor: zmq.Socket) -> None:
    """Log every peer that is not let in, until the monitor is stopped."""
    with monitor:
        while True:
            told = recv_monitor_message(monitor)
            event = zmq.Event(told["event"])
            if event == zmq.Event.MONITOR_STOPPED:
                return
            if event in REFUSALS:
                where = told["endpoint"].decode(errors="replace")
                logger.warning("Refused a peer at %s: %s.", where, REFUSALS[event])


def _read(path: Path) -> tuple[bytes, bytes | None]:
    """Public and secret key of a file, the latter if it has one."""
    found = _not_read(path)
    if not found:
        try:
            public, secret = load_certificate(path)
        except (OSError, ValueError, IndexError):
            found = "it has no line 'public-key = \"…\"'"
        else:
            found = _no_key("public-key", public)
            if secret is not None:
                found = found or _no_key("secret-key", secret)
            if not found:
                return public, secret
    raise KeysError(
        f"{path} holds no key: {found}, {KEY_LENGTH} characters of Z85 were expected. "
        "Make it with mode=keys, copy it from the machine where it was made, or take "
        "the file away."
    )


def _not_read(path: Path) -> str:
    """Why a file is not even looked into, empty if it is: a pipe would never end."""
    try:
        told = path.stat()
    except OSError as error:
        return f"it cannot be reached ({error.strerror})"
    if not stat.S_ISREG(told.st_mode):
        return "it is no file"
    if told.st_size > LARGEST_FILE:
        return f"it has {told.st_size} bytes"
    return "" if os.access(path, os.R_OK) else "it cannot be read"


def _no_key(name: str, key: bytes) -> str:
    """What is wrong with a key; never the key."""
    if len(key) != KEY_LENGTH:
        return f"its {name} has {len(key)} characters"
    try:
        z85.decode(key)
    except (KeyError, ValueError, struct.error):
        return f"its {name} is no Z85"
    return ""
