"""A step as rows of tables and back, and the hash that chains it to the one before."""

import hashlib
from collections.abc import Sequence

import msgspec
import numpy as np

from bot4jax.runtime.gate import Denied
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.orders import (
    Answer,
    Change,
    Fill,
    Order,
    OrderId,
    Request,
    is_named,
)
from bot4jax.runtime.schedule import Schedule
from bot4jax.runtime.states import Transition

TABLES = """
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE steps (
    step INTEGER PRIMARY KEY, boundary_ns INTEGER NOT NULL, bar INTEGER NOT NULL,
    state INTEGER NOT NULL, inputs_hash BLOB NOT NULL, hash BLOB NOT NULL,
    seal BLOB NOT NULL) STRICT;
CREATE TABLE inputs (step INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT;
CREATE TABLE closings (
    step INTEGER PRIMARY KEY, watermark_ns INTEGER NOT NULL, ticks INTEGER NOT NULL,
    late INTEGER NOT NULL) STRICT;
CREATE TABLE decisions (step INTEGER PRIMARY KEY, packed BLOB NOT NULL) STRICT;
CREATE TABLE orders (
    step INTEGER NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL,
    symbol INTEGER NOT NULL, side INTEGER NOT NULL, lots INTEGER NOT NULL,
    kind TEXT NOT NULL, "limit" INTEGER NOT NULL, reduce_only INTEGER NOT NULL,
    post_only INTEGER NOT NULL, sent_ns INTEGER NOT NULL, "trigger" INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL, "group" TEXT NOT NULL, parent TEXT NOT NULL,
    PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE denials (
    step INTEGER NOT NULL, place INTEGER NOT NULL, reason INTEGER NOT NULL,
    symbols BLOB NOT NULL, lots BLOB NOT NULL,
    count INTEGER AS (length(symbols) / 4),
    PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE fills (
    step INTEGER NOT NULL, place INTEGER NOT NULL, "order" TEXT NOT NULL,
    symbol INTEGER NOT NULL, side INTEGER NOT NULL, lots INTEGER NOT NULL,
    price INTEGER NOT NULL, fee REAL NOT NULL, is_maker INTEGER NOT NULL,
    event_ns INTEGER NOT NULL, number INTEGER NOT NULL,
    PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE answers (
    step INTEGER NOT NULL, place INTEGER NOT NULL, "order" TEXT NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE schedules (
    step INTEGER NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
    symbol INTEGER NOT NULL, side INTEGER NOT NULL, lots INTEGER NOT NULL,
    slices INTEGER NOT NULL, PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE schedule_ends (
    step INTEGER NOT NULL, place INTEGER NOT NULL, id TEXT NOT NULL UNIQUE,
    PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE requests (
    step INTEGER NOT NULL, place INTEGER NOT NULL, "order" TEXT NOT NULL,
    content BLOB NOT NULL, PRIMARY KEY (step, place)) STRICT, WITHOUT ROWID;
CREATE TABLE transitions (
    number INTEGER PRIMARY KEY, step INTEGER NOT NULL, at_ns INTEGER NOT NULL,
    cause TEXT NOT NULL, is_held INTEGER NOT NULL, state INTEGER NOT NULL,
    text TEXT NOT NULL, until_ns INTEGER NOT NULL, is_reset INTEGER NOT NULL,
    hash BLOB NOT NULL) STRICT;
"""
"""`place` is the position within the step; fills and other answers share one count.
Denials are one row a reason: slots as int32, signed lots as int64, little-endian.
Transitions happen between steps too, so they have a number and a chain of their own;
a step's `seal` ties that chain, as far as it went, to the hash of the step.
`steps` keeps the hash of the inputs, so that these can be let go once useless."""


ENCODER = msgspec.msgpack.Encoder(order="deterministic")
DECODER = msgspec.msgpack.Decoder(Answer)
REQUESTS = msgspec.msgpack.Decoder(Change)


NO_BAR = -1
"""Of the record that ends a run."""


class Closing(msgspec.Struct, frozen=True):
    """Why and with what a bar closed: an input, which a replay must not guess."""

    watermark_ns: int
    """event time that had been reached"""
    ticks: int
    """absorbed into the bar"""
    late: int
    """of them, those that belonged to an earlier one"""


class StepRecord(msgspec.Struct, frozen=True):
    """Everything one step received and decided."""

    step: int
    boundary_ns: int
    bar: int
    closing: Closing
    decisions: bytes
    """packed float32, little-endian"""
    state: TradingState
    """that the gate judged by; people change it at any moment"""
    orders: Sequence[Order] = ()
    """what is about to be sent"""
    denied: Sequence[Denied] = ()
    answers: Sequence[Answer] = ()
    """what the venue said since the step before"""
    requests: Sequence[Change] = ()
    """what is about to be asked about earlier orders"""
    schedules: Sequence[Schedule] = ()
    """what is sliced from this step on"""
    ended: Sequence[OrderId] = ()
    """schedules that are over from this step on"""
    inputs: bytes = b""
    """how far what came in is recorded: a mark of `inputs.Inputs`"""

    @property
    def leaving(self) -> list[Request]:
        """All that is about to be said to the venue."""
        return [*self.requests, *self.orders]

    @property
    def is_end(self) -> bool:
        """Nothing was decided: it holds what the venue said after the last step."""
        return self.bar == NO_BAR


def chained(before: bytes, record: StepRecord, inputs_hash: bytes) -> bytes:
    """SHA-256 of the hash before and the step's content as canonical MessagePack."""
    denied = [(int(one.reason), *packed(one)) for one in record.denied]
    content = msgspec.structs.astuple(
        msgspec.structs.replace(record, denied=denied, inputs=inputs_hash)
    )
    return hashlib.sha256(before + ENCODER.encode(content)).digest()


def digest(inputs: bytes) -> bytes:
    """SHA-256 of a step's inputs."""
    return hashlib.sha256(inputs).digest()


def linked(before: bytes, transition: Transition) -> bytes:
    """SHA-256 of the hash before and the transition."""
    return hashlib.sha256(before + ENCODER.encode(transition)).digest()


def sealed(chained: bytes, link: bytes) -> bytes:
    """SHA-256 of a step's hash and of the last transition's before it."""
    return hashlib.sha256(chained + link).digest()


def of_step(
    record: StepRecord, inputs_hash: bytes, chained: bytes, seal: bytes
) -> dict[str, list[tuple]]:
    """By table, the rows that a step consists of, its answers apart."""
    step, when = record.step, (record.boundary_ns, record.bar)
    return {
        "steps": [(step, *when, int(record.state), inputs_hash, chained, seal)],
        "inputs": [(step, record.inputs)] if record.inputs else [],
        "closings": [(step, *msgspec.structs.astuple(record.closing))],
        "decisions": [(step, record.decisions)],
        "orders": [order_row(step, *one) for one in enumerate(record.orders)],
        "denials": [denied_row(step, *one) for one in enumerate(record.denied)],
        "schedules": [
            (step, place, *msgspec.structs.astuple(one)[:-1])
            for place, one in enumerate(record.schedules)
        ],
        "schedule_ends": [(step, *one) for one in enumerate(record.ended)],
        "requests": [
            (step, place, one.order, ENCODER.encode(one))
            for place, one in enumerate(record.requests)
        ],
    }


def of_answers(step: int, answers: Sequence[Answer]) -> dict[str, list[tuple]]:
    """By table, the rows of what the venue has said before a step."""
    placed = list(enumerate(answers))
    return {
        "fills": [
            (step, place, *msgspec.structs.astuple(one))
            for place, one in placed
            if isinstance(one, Fill)
        ],
        "answers": [
            (step, place, one.order, ENCODER.encode(one))
            for place, one in placed
            if not isinstance(one, Fill)
        ],
    }


def misnamed(record: StepRecord, run: str) -> str | None:
    """An order whose id is not of this run and step, or another's; None: all are."""
    seen = set[str]()
    for one in record.orders:
        if one.id in seen or one.step != record.step or not is_named(one, run):
            return one.id
        seen.add(one.id)
    return None


def order_row(step: int, place: int, order: Order) -> tuple:
    return (
        step,
        place,
        order.id,
        order.symbol,
        order.side,
        order.lots,
        order.kind,
        order.limit,
        order.reduce_only,
        order.post_only,
        order.sent_ns,
        order.trigger,
        order.expires_ns,
        order.group,
        order.parent,
    )


def order(row: tuple) -> Order:
    columns = "step place id symbol side lots kind limit reduce_only post_only sent_ns "
    columns += "trigger expires_ns group parent"
    fields = dict(zip(columns.split(), row, strict=True))
    del fields["place"]
    return msgspec.convert(fields, Order, strict=False)


def schedule(row: tuple) -> Schedule:
    step, _, *fields = row
    names = Schedule.__struct_fields__
    return msgspec.convert(dict(zip(names, (*fields, step), strict=True)), Schedule)


def packed(denied: Denied) -> tuple[bytes, bytes]:
    return (
        denied.symbols.astype("<i4").tobytes(),
        denied.lots.astype("<i8").tobytes(),
    )


def denied_row(step: int, place: int, denied: Denied) -> tuple:
    return step, place, int(denied.reason), *packed(denied)


def denied(row: tuple) -> Denied:
    reason, symbols, lots, _ = row[2:]
    slots = np.frombuffer(symbols, "<i4").astype(np.int64)
    return Denied(Reason(reason), slots, np.frombuffer(lots, "<i8"))


def fill(row: tuple) -> Fill:
    fields = zip(Fill.__struct_fields__, row[2:], strict=True)
    return msgspec.convert(dict(fields), Fill, strict=False)


def transition(row: tuple) -> Transition:
    fields = zip(Transition.__struct_fields__, row, strict=True)
    return msgspec.convert(dict(fields), Transition, strict=False)
