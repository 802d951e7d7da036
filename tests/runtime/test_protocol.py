"""The protocol's page says what the code does: every table, every example's bytes."""

import re
import struct
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.data.universe import universe
from bot4jax.runtime import messages, orders, venue_messages, wire
from bot4jax.runtime.messages import pack
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.snapshots import greeting
from bot4jax.types import (
    BOOK,
    BUY,
    END,
    QUOTE,
    SELL,
    STATUS,
    TICK,
    TRADE,
    Frame,
    Instrument,
)

MARKET = universe(
    [
        Instrument(
            symbol="BTCUSDT",
            kind="linear",
            increment=0.1,
            lot=0.001,
            base="BTC",
            quote="USDT",
            settlement="USDT",
            taker_fee=0.00045,
        )
    ]
)
SENT_NS, CLOSE_NS = 1_700_000_000_000_000_100, 1_700_000_001_000_000_000
EVENT_NS = 1_700_000_000_000_000_000
ROWS = [
    (QUOTE, 0, 0, 0, EVENT_NS, 600_000, 600_001, 1_500, 900),
    (TRADE, BUY, 0, 0, EVENT_NS + 1, 600_001, 20, 12_345, 0),
    (BOOK, SELL, 0, 0, EVENT_NS + 2, 600_002, 700, 1, 0),
    (STATUS, 0, 0, 0, EVENT_NS + 3, 1, 0, 0, 0),
]
TICKS = Frame(7, 1, 40, SENT_NS, np.array(ROWS, TICK))
NOTHING = np.empty(0, TICK)
ORDER = orders.Order(
    "00ff00ff00ff00ff", 0, BUY, 20, "ioc", 600_010, step=3, sent_ns=CLOSE_NS
)
SIGNAL = messages.Signal(
    symbol="BTCUSDT",
    probability=(0.25, 0.25, 0.5),
    confidence=0.125,
    target=0.01,
    price=60_000.05,
)
MESSAGES = {
    "hello": greeting(MARKET.hash, wants_snapshot=True),
    "step": venue_messages.Step(
        run="demo",
        step=3,
        universe_hash=MARKET.hash,
        boundary_ns=CLOSE_NS,
        through_ns=CLOSE_NS + 10**9,
        orders=[ORDER],
    ),
    "report": venue_messages.Report(
        step=3,
        through_ns=CLOSE_NS + 10**9,
        answers=[
            orders.Ack(ORDER.id, CLOSE_NS + 5),
            orders.Fill(ORDER.id, 0, BUY, 20, 600_001, 0.54, False, CLOSE_NS + 5),
        ],
    ),
    "withdraw": venue_messages.Withdraw(run="demo", cancels=[orders.Cancel(ORDER.id)]),
    "alive": venue_messages.Alive(run="demo", within_ns=5 * 10**9),
    "passed": venue_messages.Passed(run="demo", boundary_ns=CLOSE_NS),
    "goodbye": venue_messages.Goodbye(run="demo", step=3),
    "signals": messages.Signals(
        run="demo", step=3, boundary_ns=CLOSE_NS, regime=1, signals=[SIGNAL]
    ),
    "ledger": messages.Ledger(
        frames=3,
        events=3,
        over=[(1, 2)],
        paid=0,
        entries=[
            messages.Entry(
                number=3,
                sequence=44,
                since_ns=CLOSE_NS,
                event=messages.CorporateAction(
                    symbol=0, event_ns=CLOSE_NS, action="split", factor=4.0
                ),
            )
        ],
    ),
    "funding": messages.Funding(symbol=0, event_ns=CLOSE_NS, rate=0.0001),
    "control": messages.Control(do="kill", reason="drill"),
    "controlanswer": messages.ControlAnswer(accepted=True, state="halted", step=3),
}
BYTES = {
    "ticks": wire.encode(TICKS, MARKET.hash),
    "heartbeat": wire.encode(Frame(7, 1, 44, SENT_NS, NOTHING), MARKET.hash),
    "end": wire.encode(Frame(7, 1, 44, CLOSE_NS, NOTHING, flags=END), MARKET.hash),
    **{name: pack(message) for name, message in MESSAGES.items()},
}

TYPES = {
    "4s": "bytes",
    "B": "u8",
    "H": "u16",
    "I": "u32",
    "Q": "u64",
    "q": "i64",
}

STRUCTS: list[type[Any]] = [
    *(messages.Hello, messages.Welcome, messages.Refused),
    *(messages.Ledger, messages.Entry),
    *(
        venue_messages.Step,
        venue_messages.Report,
        venue_messages.Withdraw,
        venue_messages.Goodbye,
    ),
    *(venue_messages.Alive, venue_messages.Passed),
    *(venue_messages.Inquiry, venue_messages.Statement, venue_messages.Fenced),
    *(messages.Signals, messages.Signal, *get_args(messages.Reference)),
    *(messages.Control, messages.ControlAnswer),
    *(*get_args(orders.Request), *get_args(orders.Answer)),
]


@pytest.fixture(scope="module")
def page(project) -> str:
    return (project / "docs" / "protocol.md").read_text(encoding="utf-8")


def section(page: str, title: str) -> str:
    """The text under a heading, up to the next one of any level."""
    _, found, rest = page.partition(f"# {title}\n")
    assert found, f"docs/protocol.md has no heading '{title}'"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def table(text: str) -> list[list[str]]:
    """Cells of the first table, without its head."""
    found = re.search(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert found, "the section has no table"
    rows = found.group().splitlines()
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]


def block(page: str, language: str, name: str) -> str:
    """The fenced block of this language and name."""
    found = re.search(rf"^```{language} {name}\n(.*?)^```", page, re.S | re.MULTILINE)
    assert found, f"docs/protocol.md has no block '{language} {name}'"
    return found.group(1)


@pytest.mark.parametrize("name", BYTES)
def test_example_bytes(page, name):
    assert bytes.fromhex(block(page, "hex", name)) == BYTES[name]


@pytest.mark.parametrize("name", MESSAGES)
def test_example_messages_in_words(page, name):
    shown = msgspec.json.decode(block(page, "json", name))
    assert shown == msgspec.msgpack.decode(BYTES[name])


def test_every_example_is_checked(page):
    shown = set(re.findall(r"^```hex (\w+)$", page, re.MULTILINE))
    assert shown == set(BYTES)


def test_the_header_table(page):
    rows = table(section(page, "Frame header"))
    codes = re.findall(r"\d*[a-zA-Z]", wire.HEADER.format)
    assert len(rows) == len(codes)
    for i, (offset, size, kind, *_) in enumerate(rows):
        before = "<" + "".join(codes[:i])
        assert int(offset) == struct.calcsize(before)
        assert int(size) == struct.calcsize(codes[i])
        assert kind == TYPES[codes[i]]


def test_the_record_table(page):
    rows = table(section(page, "Tick record"))
    fields: Any = TICK.fields
    assert [row[3].split("`")[1] for row in rows] == list(fields)
    for (offset, size, kind, _), (dtype, at) in zip(rows, fields.values(), strict=True):
        assert (int(offset), int(size)) == (at, dtype.itemsize)
        assert kind == f"{'u' if dtype.kind == 'u' else 'i'}{8 * dtype.itemsize}"


def test_every_refusal_is_listed(page):
    rows = table(section(page, "Refused frames"))
    assert [row[0].strip("`") for row in rows] == [str(one) for one in wire.Refusal]
    rows = table(section(page, "Refused ticks"))
    assert [row[0].strip("`") for row in rows] == [one.name for one in Drop]


@pytest.mark.parametrize("struct_type", STRUCTS, ids=lambda one: one.__name__)
def test_every_field_is_listed(page, struct_type):
    config = struct_type.__struct_config__
    rows = table(section(page, f"`{config.tag}`"))
    assert [row[0].strip("`") for row in rows] == list(struct_type.__struct_fields__)


def test_the_ports_are_those_of_the_configuration(page):
    endpoints = load([]).runtime.endpoints
    rows = {row[0]: row[2].strip("`") for row in table(section(page, "Sockets"))}
    for name in endpoints.__struct_fields__:
        assert rows[name] == getattr(endpoints, name)


def test_the_universe_hash(page):
    text = block(page, "json", "universe").strip()
    assert text.encode() == msgspec.json.encode(MARKET.instruments)
    assert f"`{MARKET.hash:08x}`" in section(page, "Universe hash")
