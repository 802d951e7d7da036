"""What travels beside the ticks: steps, reports, signals, reference events, control.

MessagePack maps, each with its name under `type`. Every number has bounds, NaN is
outside all of them, and an unknown field is refused. `docs/protocol.md` shows each.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, get_args

import msgspec
from msgspec import Meta

from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.orders import (
    Answer,
    Cancel,
    Count,
    Nanoseconds,
    OrderId,
    Price,
    Request,
    Signed,
    Slot,
    Text,
)

SIGNALS_TOPIC = b"signals"
"""First part of every message on the signals socket."""

REFERENCE_TOPIC = b"reference"
"""First part of a reference event; frames of ticks have one part and no topic."""

MOST_ORDERS = 1 << 16
MOST_SYMBOLS = 1 << 16

Run = Annotated[str, Meta(min_length=1, max_length=100)]
Name = Annotated[str, Meta(min_length=1, max_length=64)]
Hash = Annotated[int, Meta(ge=0, lt=2**32)]
Share = Annotated[float, Meta(ge=0, le=1)]
Fee = Annotated[float, Meta(ge=-1, le=1)]
Leverage = Annotated[float, Meta(ge=-1_000, le=1_000)]
Amount = Annotated[float, Meta(ge=0, le=1e15)]
Positive = Annotated[float, Meta(gt=0, le=1e15)]
Version = Annotated[int, Meta(ge=0, lt=256)]
Slots = Annotated[list[Slot], Meta(max_length=MOST_SYMBOLS)]


class Message(msgspec.Struct, frozen=True, tag=str.lower, forbid_unknown_fields=True):
    """What all messages share: immutable, named on the wire, nothing unknown."""


class Place(Message, frozen=True):
    """How far the stream of one publisher has been heard."""

    publisher: Hash
    epoch: Hash
    sequence: Count
    """of the first record that has not been heard"""


Places = Annotated[list[Place], Meta(max_length=MOST_SYMBOLS)]
"""By publisher."""


class Step(Message, frozen=True, kw_only=True):
    """Engine to venue, after each decision: the orders, and how far to go on.

    In lock-step the venue answers once its own feed has reached `through_ns`, and
    waits for the next step before it looks beyond that and its order latency.
    """

    run: Run
    step: Count
    universe_hash: Hash
    boundary_ns: Nanoseconds
    """event time of the boundary that was decided at"""
    through_ns: Nanoseconds
    """event time up to which the venue is to report"""
    orders: Annotated[list[Request], Meta(max_length=MOST_ORDERS)] = []
    epoch: Count = 0
    """as the venue stated it; 0: it was never asked"""


class Inquiry(Message, frozen=True, kw_only=True):
    """Engine to venue, before its first step: what happened since that step?"""

    run: Run
    step: Count
    """the last one that the engine knows of; 0: none"""
    version: Version
    """of the protocol"""
    universe_hash: Hash
    bar_ns: Nanoseconds
    """length of a bar"""
    boundary_ns: Nanoseconds = 0
    """of that step: what acts by then has changed what the engine owns"""
    within_ns: Annotated[int, Meta(ge=0, le=3_600 * 10**9)] = 0
    """as in `Alive`, from now on; 0: nobody is watched"""
    agreed_hash: Hash = 0
    """of what both must have read alike, see `config.agreed_hash`; 0: not told"""


class Statement(Message, frozen=True, kw_only=True):
    """Venue to engine: the end of its record. Whoever asked last may send steps."""

    version: Version
    """of the protocol"""
    run: Annotated[str, Meta(max_length=100)]
    """whose steps it has taken; empty: nobody's"""
    step: Count
    """the last one taken"""
    is_reported: bool
    """whether it has been answered"""
    dedupes: bool
    """an order id that comes twice is traded once"""
    epoch: Count
    """to be sent with every step from now on; those of former epochs are refused"""
    positions: Annotated[list[Signed], Meta(max_length=MOST_SYMBOLS)]
    """lots by slot, as of the last report"""
    orders: Annotated[list[OrderId], Meta(max_length=MOST_ORDERS)] = []
    """that the last step sent or was about, in the order they came"""
    answers: Annotated[list[Answer], Meta(max_length=4 * MOST_ORDERS)] = []
    """of the last report"""
    heard: Places | None = None
    """as in that report"""


class Fenced(Message, frozen=True, kw_only=True):
    """Venue to an engine whose epoch is over: another one has taken its place."""

    epoch: Count
    """the one that counts"""


class Report(Message, frozen=True, kw_only=True):
    """Venue to engine: everything that happened up to `through_ns`, in its order."""

    step: Count
    through_ns: Nanoseconds
    answers: Annotated[list[Answer], Meta(max_length=4 * MOST_ORDERS)] = []
    positions: Annotated[list[Signed], Meta(max_length=MOST_SYMBOLS)] = []
    """lots by slot, once all answers count; empty: not told"""
    is_early: bool = False
    """the answer to a withdrawal: all that happened since the last report. The step's
    own report, where it is still to come, begins with it"""
    heard: Places | None = None
    """what the venue had heard when it was told that `through_ns` counts as reached;
    none: the stream has reached it"""


class Withdraw(Message, frozen=True, kw_only=True):
    """Engine to venue, between two steps: take these orders back, whatever happens.

    With `is_last` it is answered at once, by one more report.
    """

    run: Run
    cancels: Annotated[list[Cancel], Meta(max_length=MOST_ORDERS)]
    is_last: bool = False
    """nothing else of this run may rest any longer either"""


class Alive(Message, frozen=True, kw_only=True):
    """Engine to venue, again and again: should no word follow, take back what rests."""

    run: Run
    within_ns: Annotated[int, Meta(gt=0, le=3_600 * 10**9)]
    """silence, by the venue's clock, after which this engine counts as gone"""


class Passed(Message, frozen=True, kw_only=True):
    """Engine to venue, while it waits for a report: the clock has closed the bar.

    A market that pauses shows no tick beyond the boundary; the venue is to report as if
    one had come.
    """

    run: Run
    boundary_ns: Nanoseconds
    """event time that counts as reached"""


class Goodbye(Message, frozen=True, kw_only=True):
    """Engine to venue: no step follows, and nobody waits for a report."""

    run: Run
    step: Count
    """the last one sent"""


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


FromEngine = Inquiry | Step | Passed | Withdraw | Alive | Goodbye
FromVenue = Statement | Report | Fenced | Refused


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
    price: Price
    """increments"""


class CorporateAction(Message, frozen=True, kw_only=True):
    """A split (`factor` new shares for one old) or a dividend (`amount` a share)."""

    symbol: Slot
    event_ns: Nanoseconds
    action: Literal["split", "dividend"]
    factor: Annotated[float, Meta(gt=0, le=10_000)] = 1.0
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


def unpack(buffer: bytes | memoryview, expected: type[T]) -> T:
    """The message of the expected type in these bytes."""
    return _decoded(buffer, expected)


def unpack_reference(buffer: bytes | memoryview) -> Reference:
    """The reference event in these bytes, of whichever type."""
    return _decoded(buffer, Reference)


def pack_references(events: Sequence[Reference]) -> bytes:
    """Reference events that are told together."""
    return _encoder.encode(list(events))


def unpack_references(buffer: bytes | memoryview) -> list[Reference]:
    """The reference events in these bytes, of whichever types."""
    return _decoded(buffer, References)


def unpack_welcome(buffer: bytes | memoryview) -> Welcome | Refused:
    """A feed's answer to a greeting."""
    return _decoded(buffer, Welcome | Refused)


def unpack_from_engine(buffer: bytes | memoryview) -> FromEngine:
    """What an engine says to its venue, of whichever type."""
    return _decoded(buffer, FromEngine)


def unpack_from_venue(buffer: bytes | memoryview) -> FromVenue:
    """What a venue says, of whichever type."""
    return _decoded(buffer, FromVenue)


def _decoded(buffer: bytes | memoryview, expected: Any) -> Any:
    try:
        return _decoder(expected).decode(buffer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        names = _names(expected)
        raise MessageError(f"Refused message, expected a {names}: {error}.") from error


def _names(expected: Any) -> str:
    if expected is References:
        return "list of reference events"
    kinds = get_args(expected) or (expected,)
    return " or ".join(kind.__name__ for kind in kinds)


@cache
def _decoder(expected: Any) -> msgspec.msgpack.Decoder:
    return msgspec.msgpack.Decoder(expected)
