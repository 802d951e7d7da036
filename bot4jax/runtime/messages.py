"""What travels beside the ticks: greetings, signals, reference events, control.

What engine and venue say to each other has a file of its own (`venue_messages.py`).
MessagePack maps, each with its name under `type`. Every number has bounds, NaN is
outside all of them, and an unknown field is refused. `docs/protocol.md` shows each.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.orders import LARGEST, Count, Nanoseconds, Slot, Text

SIGNALS_TOPIC = b"signals"
"""First part of every message on the signals socket."""

REFERENCE_TOPIC = b"reference"
"""First part of a reference event; frames of ticks have one part and no topic."""

MOST_SYMBOLS = 1 << 16

Run = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Hash = Annotated[int, Meta(ge=0, lt=2**32)]
Share = Annotated[float, Meta(ge=0, le=1)]
Fee = Annotated[float, Meta(ge=-1, le=1)]
Leverage = Annotated[float, Meta(ge=-1_000, le=1_000)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Positive = Annotated[float, Meta(ge=1e-18, le=1e15)]
"""What terms are of; products of two and their quotients stay numbers."""
Version = Annotated[int, Meta(ge=0, lt=256)]
Slots = Annotated[list[Slot], Meta(max_length=MOST_SYMBOLS)]


class Message(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """What all messages share: immutable, named on the wire, nothing unknown."""


class Hello(Message, frozen=True, kw_only=True):
    """Consumer to feed: what it speaks, and whether it needs a snapshot."""

    version: Version
    """of the wire"""
    record_bytes: Annotated[int, Meta(ge=0, lt=2**16)]
    universe_hash: Hash
    wants_snapshot: bool = False


class Welcome(Message, frozen=True, kw_only=True):
    """Feed to consumer: both speak alike."""


class Refused(Message, frozen=True, kw_only=True):
    """Feed to consumer, venue to engine: why nothing it says would be understood."""

    reason: Text


class Signal(Message, frozen=True, kw_only=True):
    """What the engine concludes about one symbol."""

    symbol: Name
    probability: tuple[Share, Share, Share]
    """down, flat, up over the horizon"""
    confidence: Share
    target: Leverage
    """position the strategy wants, share of the capital"""
    price: Amount
    """mid at the boundary, quote currency"""


class Signals(Message, frozen=True, kw_only=True):
    """All symbols' signals of one step."""

    run: Run
    step: Count
    boundary_ns: Nanoseconds
    regime: Annotated[int, Meta(ge=0, lt=64)]
    signals: Annotated[list[Signal], Meta(max_length=MOST_SYMBOLS)] = []


class InstrumentChange(Message, frozen=True, kw_only=True):
    """New terms of an instrument, valid from `event_ns`; units as in `Instrument`."""

    symbol: Slot
    event_ns: Nanoseconds
    increment: Positive
    lot: Positive
    minimum_notional: Amount
    multiplier: Positive
    maker_fee: Fee
    taker_fee: Fee
    margin: Share
    expiry_ns: Nanoseconds


class Funding(Message, frozen=True, kw_only=True):
    """Paid by long to short positions at `event_ns`."""

    symbol: Slot
    event_ns: Nanoseconds
    rate: Fee
    """share of the notional"""


class Mark(Message, frozen=True, kw_only=True):
    """Price at which the venue values positions."""

    symbol: Slot
    event_ns: Nanoseconds
    price: Annotated[int, Meta(ge=1, le=LARGEST)]
    """increments"""


class CorporateAction(Message, frozen=True, kw_only=True):
    """A split (`factor` new shares for one old) or a dividend (`amount` a share)."""

    symbol: Slot
    event_ns: Nanoseconds
    action: Literal["split", "dividend"]
    factor: Annotated[float, Meta(ge=1e-6, le=10_000)] = 1.0
    amount: Amount = 0.0


class News(Message, frozen=True, kw_only=True):
    """A scheduled or sudden event; it counts from the moment it was available."""

    event_ns: Nanoseconds
    available_ns: Nanoseconds
    until_ns: Nanoseconds
    symbols: Slots = []
    """empty: all"""
    text: Text = ""


Reference = InstrumentChange | Funding | Mark | CorporateAction | News

References = Annotated[list[Reference], Meta(min_length=1, max_length=MOST_SYMBOLS)]
"""Told in one frame."""

Number = Annotated[int, Meta(ge=1, lt=2**53)]


class Entry(Message, frozen=True, kw_only=True):
    """A reference event that still counts, and its place among all."""

    number: Number
    """among the events of its publisher's epoch, from 1"""
    sequence: Count
    """of the first record of the frame that told of it"""
    since_ns: Nanoseconds
    """it acts at the first boundary from here on"""
    event: Reference


class Ledger(Message, frozen=True, kw_only=True):
    """With a snapshot: what its publisher has told of in this epoch and still counts.

    Every event stands in `entries` or in `over`, so that none is left out unseen.
    """

    frames: Count
    """that told of events"""
    events: Count
    """told in them"""
    over: Annotated[list[tuple[Number, Number]], Meta(max_length=MOST_SYMBOLS + 1)] = []
    """first and last numbers of events that count no more, rising"""
    paid: Count = 0
    """the first record after the last frame whose funding or dividend is over; 0: no
    such frame"""
    entries: Annotated[list[Entry], Meta(max_length=MOST_SYMBOLS)] = []
    """by their numbers"""


class Control(Message, frozen=True, kw_only=True):
    """A human's word to a running engine."""

    do: Literal["status", "kill", "reset", "pause", "news"]
    reason: Text = ""
    lasts_ns: Annotated[int, Meta(ge=0, le=2**61)] = 0
    """how long a pause or a news period lasts; 0: until further word"""


State = Literal["active", "reducing", "halted"]
STATES: tuple[State, ...] = ("active", "reducing", "halted")
"""In the order of `TradingState`."""


class ControlAnswer(Message, frozen=True, kw_only=True):
    """What the engine made of it."""

    accepted: bool
    state: State
    step: Count
    text: Text = ""
    causes: Annotated[list[Name], Meta(max_length=64)] = []
    """what keeps it from being active, as journaled"""
    open_orders: Count = 0
    """sent, and not known to be over"""


class MessageError(Bot4JaxError):
    """Bytes that are not the message expected there: says which field and why."""

    exit_code = 3


T = TypeVar("T", bound=Message)

_encoder = msgspec.msgpack.Encoder()


def pack(message: Message) -> bytes:
    """The message as MessagePack."""
    return _encoder.encode(message)


def decoded(buffer: bytes | memoryview, expected: Any) -> Any:
    """The message in these bytes, of a type or of whichever of a union."""
    try:
        return _decoder(expected).decode(buffer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        names = _names(expected)
        raise MessageError(f"Refused message, expected a {names}: {error}.") from error


def unpack(buffer: bytes | memoryview, expected: type[T]) -> T:
    """The message of the expected type in these bytes."""
    return decoded(buffer, expected)


def unpack_reference(buffer: bytes | memoryview) -> Reference:
    """The reference event in these bytes, of whichever type."""
    return decoded(buffer, Reference)


def pack_references(events: Sequence[Reference]) -> bytes:
    """Reference events that are told together."""
    return _encoder.encode(list(events))


def unpack_references(buffer: bytes | memoryview) -> list[Reference]:
    """The reference events in these bytes, of whichever types."""
    return decoded(buffer, References)


def unpack_ledger(buffer: bytes | memoryview) -> Ledger:
    """The events that still count, in these bytes."""
    return decoded(buffer, Ledger)


def unpack_welcome(buffer: bytes | memoryview) -> Welcome | Refused:
    """A feed's answer to a greeting."""
    return decoded(buffer, Welcome | Refused)


def _names(expected: Any) -> str:
    if expected is References:
        return "list of reference events"
    kinds = get_args(expected) or (expected,)
    return " or ".join(kind.__name__ for kind in kinds)


@cache
def _decoder(expected: Any) -> msgspec.msgpack.Decoder:
    return msgspec.msgpack.Decoder(expected)
