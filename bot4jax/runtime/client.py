"""Signals for your own program, in a few lines:

    from bot4jax.runtime.client import subscribe

    for batch in subscribe("tcp://127.0.0.1:5557", symbols=["BTCUSDT"]):
        for signal in batch.signals:
            down, flat, up = signal.probability

One batch comes a bar, with the probabilities of down, flat and up over the horizon, the
confidence, the position that the strategy wants as a share of its capital, and the mid
they were concluded at. A subscriber that reads too slowly misses whole batches, never
parts of one: `batch.step` counts them. Other languages: see `docs/protocol.md`.
"""

import logging
from collections.abc import Collection, Generator

import msgspec
import zmq

from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.curve import NO_KEYS, Keyring
from bot4jax.runtime.messages import (
    SIGNALS_TOPIC,
    MessageError,
    Signals,
    pack,
    unpack,
)
from bot4jax.runtime.sockets import LIMITS, Limits, subscriber

logger = logging.getLogger(__name__)


class SignalSilence(Bot4JaxError):
    """No signals came for as long as the subscriber was willing to wait."""

    exit_code = 3


def subscribe(
    endpoint: str,
    symbols: Collection[str] | None = None,
    timeout_s: float | None = None,
    limits: Limits = LIMITS,
    context: zmq.Context | None = None,
    keys: Keyring = NO_KEYS,
) -> Generator[Signals, None, None]:
    """Batches of signals as the engine concludes them, one a bar.

    `symbols` keeps only those named; a batch without any of them comes empty, so that
    a bar can be told from silence. Raises `SignalSilence` after `timeout_s` without a
    batch; without a timeout it waits for ever. Leaving the loop closes the socket.
    Where the engine has keys, so must you: `keys=Keyring("FOLDER", "client")`.
    """
    chosen = None if symbols is None else frozenset(symbols)
    poll_ms = None if timeout_s is None else round(timeout_s * 1e3)
    curve = keys.calling("engine")
    with subscriber(endpoint, (SIGNALS_TOPIC,), limits, context, curve) as socket:
        while socket.poll(poll_ms):
            batch = _taken(socket)
            if batch is not None:
                yield batch if chosen is None else _only(batch, chosen)
    raise SignalSilence(
        f"No signals came from {endpoint} for {timeout_s:g} s. Is the engine running "
        "(mode=live), with runtime.endpoints.signals at this address?"
    )


def send_signals(socket: zmq.Socket, batch: Signals) -> None:
    """Send a batch through a publisher's socket, as the engine does."""
    socket.send_multipart([SIGNALS_TOPIC, pack(batch)])


def _taken(socket: zmq.Socket) -> Signals | None:
    """The batch that is waiting; what is not one is logged and skipped."""
    try:
        return unpack(b"".join(socket.recv_multipart()[1:]), Signals)
    except MessageError as error:
        logger.warning("%s", error)
        return None


def _only(batch: Signals, chosen: frozenset[str]) -> Signals:
    signals = [signal for signal in batch.signals if signal.symbol in chosen]
    return msgspec.structs.replace(batch, signals=signals)
