"""Binance's messages as they are captured: gzipped lines `<local receive ns> <json>`.

Only the fields that are used are typed; the exchange may add others. Field names are
the exchange's own.
"""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bot4jax.data.source import DataError

Pair = tuple[str, str]


class Ticker(msgspec.Struct):
    """`bookTicker`: the best bid and ask after update `u`; spot has no `E`."""

    s: str
    u: int
    b: str
    B: str
    a: str
    A: str
    E: int = 0


class Trade(msgspec.Struct):
    """`trade`: `m` says that the buyer was the maker, so the seller was aggressive."""

    s: str
    E: int
    t: int
    p: str
    q: str
    m: bool
    X: str = "MARKET"
    """derivatives: anything else is a transfer of the insurance fund, not a trade"""


class Depth(msgspec.Struct):
    """`depthUpdate`: absolute sizes of the levels changed by updates `U … u`."""

    s: str
    E: int
    U: int
    u: int
    b: list[Pair]
    a: list[Pair]
    pu: int | None = None
    """last id of the message before; spot has none and numbers without holes"""


class Snapshot(msgspec.Struct):
    """The REST answer: the book at update `lastUpdateId`."""

    lastUpdateId: int
    bids: list[Pair]
    asks: list[Pair]
    E: int = 0


Message = Ticker | Trade | Depth | Snapshot

STREAMS: dict[str, type[Message]] = {
    "bookTicker": Ticker,
    "trade": Trade,
    "depth": Depth,
}
"""What a stream name says between its first and second `@`."""


class _Envelope(msgspec.Struct):
    stream: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_SNAPSHOT = msgspec.json.Decoder(Snapshot)
_STREAMS = {name: msgspec.json.Decoder(kind) for name, kind in STREAMS.items()}


def messages(path: Path) -> Iterator[tuple[int, Message | None]]:
    """Receive time and message of each line; `None` for a stream we have no use for."""
    number = 0
    try:
        with gzip.open(path, "rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007
                yield _message(line)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path} is damaged after line {number} ({error}): expected a complete "
            "gzip file. Fetch it again."
        ) from error
    except (msgspec.DecodeError, ValueError) as error:
        raise malformed(path, number, error) from error


def malformed(path: Path, number: int, error: Exception) -> DataError:
    """What to say of a line that is not as it should be."""
    return DataError(
        f"{path}, line {number}: {error}. Expected '<local receive ns> <json>' with a "
        "bookTicker, trade or depth message, or a depth snapshot."
    )


def _message(line: bytes) -> tuple[int, Message | None]:
    received, _, body = line.partition(b" ")
    envelope = _ENVELOPE.decode(body)
    if not envelope.stream:
        return int(received), _SNAPSHOT.decode(body)
    decoder = _STREAMS.get(f"{envelope.stream}@".split("@")[1])
    return int(received), decoder.decode(envelope.data) if decoder else None
