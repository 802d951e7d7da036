"""Messages survive the wire; noise, NaN and numbers out of bounds do not."""

import math

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bot4jax.runtime.messages import (
    Control,
    ControlAnswer,
    CorporateAction,
    Funding,
    InstrumentChange,
    Mark,
    MessageError,
    News,
    Signal,
    Signals,
    pack,
    unpack,
    unpack_reference,
)
from bot4jax.runtime.orders import (
    Ack,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Order,
    Reject,
)
from bot4jax.runtime.terms import ratio
from bot4jax.runtime.venue_messages import Goodbye, Report, Step
from bot4jax.types import BUY, SELL, Instrument

ID = "00ff00ff00ff00ff"
ORDER = Order(ID, 3, BUY, 10, "limit", 6_000_000, post_only=True, step=4, sent_ns=9)
STEP = Step(
    run="demo",
    step=4,
    universe_hash=0xC0FFEE42,
    boundary_ns=1_000,
    through_ns=2_000,
    orders=[ORDER, Cancel(ID, 9)],
)
REPORT = Report(
    step=4,
    through_ns=2_000,
    answers=[
        Ack(ID, 1_001),
        Fill(ID, 3, SELL, 4, 6_000_001, -0.25, True, 1_002),
        Reject(ID, "price collar", 1_003),
        Cancelled(ID, 6, 1_004),
        Expired(ID, 6, 1_005),
    ],
)
SIGNAL = Signal(
    symbol="BTCUSDT",
    probability=(0.25, 0.5, 0.25),
    confidence=0.5,
    target=-0.01,
    price=60_000.5,
)
SIGNALS = Signals(run="demo", step=4, boundary_ns=1_000, regime=2, signals=[SIGNAL])
REFERENCES = [
    InstrumentChange(
        symbol=3,
        event_ns=1_000,
        increment=0.1,
        lot=0.001,
        minimum_notional=5.0,
        multiplier=1.0,
        maker_fee=-0.0001,
        taker_fee=0.0005,
        margin=0.1,
        expiry_ns=0,
    ),
    Funding(symbol=3, event_ns=1_000, rate=-0.0001),
    Mark(symbol=3, event_ns=1_000, price=6_000_000),
    CorporateAction(symbol=3, event_ns=1_000, action="split", factor=4.0),
    News(event_ns=1_000, available_ns=900, until_ns=2_000, symbols=[3], text="CPI"),
]
MESSAGES = [
    STEP,
    REPORT,
    SIGNALS,
    Goodbye(run="demo", step=4),
    Control(do="pause", reason="maintenance", lasts_ns=5),
    ControlAnswer(accepted=True, state="halted", step=4),
]
TYPES = [type(message) for message in MESSAGES]


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_a_message_survives_the_wire(message):
    assert unpack(pack(message), type(message)) == message


@pytest.mark.parametrize("message", REFERENCES, ids=lambda one: type(one).__name__)
def test_a_reference_event_survives_the_wire(message):
    assert unpack_reference(pack(message)) == message


def test_the_wire_is_plain_messagepack_with_names():
    raw = msgspec.msgpack.decode(pack(SIGNALS))
    assert raw["type"] == "signals"
    assert raw["signals"][0]["probability"] == [0.25, 0.5, 0.25]
    assert msgspec.msgpack.decode(pack(STEP))["orders"][1]["type"] == "cancel"


@pytest.mark.parametrize("name", ["increment", "lot", "multiplier"])
def test_no_term_is_so_small_that_nothing_can_be_divided_by_it(name):
    """What products of them round to 0 would end whoever takes the event up."""
    terms = {"increment": 1.0, "lot": 1e-18, "minimum_notional": 0.0}
    terms |= {"multiplier": 1e-18, "maker_fee": 0.0, "taker_fee": 0.0, "margin": 1.0}
    least = InstrumentChange(symbol=0, event_ns=1, expiry_ns=0, **terms)
    assert unpack_reference(pack(least)) == least
    assert ratio(Instrument(symbol="A", lot=1e15, multiplier=1e15), least).lots < 1e67
    raw = msgspec.msgpack.decode(pack(least)) | {name: 5e-324}
    with pytest.raises(MessageError, match=name):
        unpack_reference(msgspec.msgpack.encode(raw))


@pytest.mark.parametrize(
    ("message", "path", "value"),
    [
        (SIGNALS, ("signals", 0, "confidence"), math.nan),
        (SIGNALS, ("signals", 0, "probability", 1), 1.0001),
        (SIGNALS, ("signals", 0, "probability", 1), -1e-9),
        (SIGNALS, ("signals", 0, "probability"), [0.5, 0.5]),
        (SIGNALS, ("signals", 0, "target"), math.inf),
        (SIGNALS, ("signals", 0, "price"), -1.0),
        (SIGNALS, ("signals", 0, "symbol"), ""),
        (SIGNALS, ("regime",), -1),
        (SIGNALS, ("boundary_ns",), 2**63 - 1),
        (STEP, ("universe_hash",), 2**32),
        (STEP, ("step",), -1),
        (STEP, ("step",), 1.5),
        (STEP, ("run",), ""),
        (STEP, ("orders", 0, "lots"), 0),
        (STEP, ("orders", 0, "symbol"), -1),
        (STEP, ("orders", 0, "side"), 3),
        (STEP, ("orders", 0, "id"), "not hex"),
        (STEP, ("unheard",), 1),
        (REPORT, ("answers", 1, "fee"), math.nan),
        (REPORT, ("answers", 1, "lots"), 2**63),
        (REPORT, ("answers", 0, "type"), "order"),
    ],
)
def test_a_value_out_of_bounds_is_refused_by_name(message, path, value):
    raw = msgspec.msgpack.decode(pack(message))
    inner = raw
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(MessageError, match=type(message).__name__):
        unpack(msgspec.msgpack.encode(raw), type(message))


def test_another_type_than_expected_is_refused():
    with pytest.raises(MessageError, match="expected a Step"):
        unpack(pack(REPORT), Step)
    with pytest.raises(MessageError, match="InstrumentChange or Funding"):
        unpack_reference(pack(STEP))


@given(st.binary(max_size=200), st.sampled_from(TYPES))
@example(b"", Step)
@example(b"\xc1", Step)
@example(b"\x91" * 10_000, Signals)
@example(b"\x81\xa4\xff\xff\xff\xff\x00", Signals)
def test_noise_raises_nothing_but_a_message_error(noise, expected):
    with pytest.raises(MessageError):
        unpack(noise, expected)


@given(st.integers(0, 255), st.data())
def test_a_changed_byte_raises_nothing_but_a_message_error(value, data):
    buffer = bytearray(pack(STEP))
    buffer[data.draw(st.integers(0, len(buffer) - 1))] = value
    try:
        changed = unpack(bytes(buffer), Step)
    except MessageError:
        return
    assert unpack(pack(changed), Step) == changed
