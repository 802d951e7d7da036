"""Orders keep their names and pass only through states that can be true."""

import itertools

import msgspec
import pytest

from bot4jax.runtime.orders import (
    Ack,
    Answer,
    Cancelled,
    Expired,
    Fill,
    Order,
    Reject,
    Replace,
    Replaced,
    order_id,
)
from bot4jax.runtime.tracking import OrderError, OrderState, Tracked, asked, follow
from bot4jax.runtime.working_orders import WorkingOrders
from bot4jax.types import BUY, SELL

ID = "0123456789abcdef"
ORDER = Order(ID, symbol=3, side=BUY, lots=10, kind="limit", limit=500)


def fill(lots: int, number: int = 0, **changes) -> Fill:
    one = Fill(ID, 3, BUY, lots, 500, 0.1, is_maker=False, event_ns=7, number=number)
    return msgspec.structs.replace(one, **changes)


def after(*answers: Answer) -> Tracked:
    tracked = Tracked(ORDER)
    for answer in answers:
        tracked = follow(tracked, answer)
    return tracked


def test_ids_are_the_same_every_time_and_differ_in_every_part():
    assert order_id("run", 1, 2, 0) == "d7f5d68a967ed3b7"
    parts = itertools.product(("run", "other"), (1, 11), (1, 11), (0, 1))
    ids = [order_id(*one) for one in parts]
    assert len(set(ids)) == len(ids)


def test_a_run_name_cannot_imitate_another_step():
    assert order_id("1|run", 1, 1, 1) != order_id("run", 1, 1, 11)
    assert order_id("2|run", 1, 1, 1) != order_id("run", 1, 1, 1)


@pytest.mark.parametrize(
    ("answers", "state", "left"),
    [
        ([], OrderState.SENT, 10),
        ([Ack(ID, 1)], OrderState.ACKNOWLEDGED, 10),
        ([Ack(ID, 1), fill(4)], OrderState.PARTIALLY_FILLED, 6),
        ([Ack(ID, 1), fill(4), fill(6, 1)], OrderState.FILLED, 0),
        ([fill(4), Ack(ID, 1)], OrderState.PARTIALLY_FILLED, 6),
        ([fill(10), Ack(ID, 1)], OrderState.FILLED, 0),
        ([Ack(ID, 1), fill(4), Cancelled(ID, 6, 2)], OrderState.CANCELLED, 0),
        ([Ack(ID, 1), Expired(ID, 10, 2)], OrderState.EXPIRED, 0),
        ([Reject(ID, "no")], OrderState.REJECTED, 0),
    ],
)
def test_an_order_reaches_its_state(answers, state, left):
    tracked = after(*answers)
    assert (tracked.state, tracked.left) == (state, left)


@pytest.mark.parametrize(
    "answers",
    [
        [Ack(ID, 1), fill(4), Expired(ID, 6, 2)],
        [Ack(ID, 1), fill(4), fill(6, 1)],
        [Ack(ID, 1), Cancelled(ID, 10, 2)],
        [Reject(ID, "no")],
    ],
)
def test_hearing_everything_twice_changes_nothing(answers):
    once = after(*answers)
    assert after(*answers, *answers) == once
    doubled = [answer for answer in answers for _ in range(2)]
    assert after(*doubled) == once


@pytest.mark.parametrize(
    "answers",
    [
        [fill(11)],
        [fill(6), fill(5, 1)],
        [fill(6, 1)],
        [Expired(ID, 10, 1), fill(1)],
        [Reject(ID, "no"), fill(1)],
        [Ack(ID, 1), Reject(ID, "late")],
        [fill(4), Cancelled(ID, 10, 1)],
        [fill(10), Expired(ID, 1, 1)],
        [fill(4, side=SELL)],
        [fill(4, symbol=4)],
        [Ack("f" * 16, 1)],
    ],
)
def test_what_cannot_be_true_is_refused(answers):
    with pytest.raises(OrderError):
        after(*answers)


def while_growing(*answers: Answer) -> Tracked:
    """The order while twenty lots are asked for in the place of its ten."""
    tracked = asked(after(Ack(ID, 1)), Replace(ID, 20, 500))
    for answer in answers:
        tracked = follow(tracked, answer)
    return tracked


GROWN = Replaced(ID, 20, 500, 0, 3)


@pytest.mark.parametrize(
    ("answers", "state", "filled"),
    [
        ([fill(20)], OrderState.FILLED, 20),
        ([fill(7), fill(13, 1)], OrderState.FILLED, 20),
        ([fill(10)], OrderState.FILLED, 10),
        ([fill(10), fill(4, 1)], OrderState.PARTIALLY_FILLED, 14),
        ([fill(10), fill(10, 1)], OrderState.FILLED, 20),
        ([fill(7), fill(3, 1), fill(10, 2)], OrderState.FILLED, 20),
        ([fill(10), GROWN], OrderState.PARTIALLY_FILLED, 10),
        ([fill(10), GROWN, fill(10, 1)], OrderState.FILLED, 20),
        ([fill(10), fill(10, 1), GROWN], OrderState.FILLED, 20),
        ([fill(10), Expired(ID, 10, 2)], OrderState.EXPIRED, 10),
        ([fill(10), Cancelled(ID, 10, 2)], OrderState.CANCELLED, 10),
    ],
)
def test_what_only_the_new_size_makes_true_opens_a_filled_order_again(
    answers, state, filled
):
    """The replacement was granted, and its answer is late or lost."""
    tracked = while_growing(*answers)
    assert (tracked.state, tracked.filled) == (state, filled)
    doubled = [one for one in answers for _ in range(2)]
    assert while_growing(*doubled) == tracked


@pytest.mark.parametrize(
    "answers",
    [
        [fill(10), fill(11, 1)],
        [fill(10), Expired(ID, 11, 2)],
        [fill(10), Replaced(ID, 21, 500, 0, 3), fill(11, 1)],
        [fill(10), Replaced(ID, 10, 500, 0, 3), fill(1, 1)],
        [fill(10), fill(10, 1), fill(1, 2)],
        [fill(20), Expired(ID, 1, 2)],
        [fill(4), Cancelled(ID, 6, 2), GROWN],
    ],
)
def test_no_order_grows_beyond_what_was_asked_for(answers):
    with pytest.raises(OrderError):
        while_growing(*answers)


def test_an_order_that_is_open_again_stands_in_its_old_place():
    working = WorkingOrders(slots=4, kept=10)
    later = msgspec.structs.replace(ORDER, id="f" * 16, side=SELL, lots=3)
    for one in (ORDER, later):
        working.expect(one)
        working.hear(Ack(one.id, 1))
    working.ask(Replace(ID, 20, 500))
    working.hear(fill(10))
    assert working.ids() == [later.id]
    working.hear(GROWN)
    assert working.ids() == [ID, later.id]
    assert (working.buys[3], working.sells[3]) == (10, 3)
    working.hear(fill(10, 1))
    assert working.ids() == [later.id]
    assert (working.buys[3], working.sells[3]) == (0, 3)


@pytest.mark.parametrize(
    "change",
    [
        {"lots": 0},
        {"lots": -1},
        {"lots": 2**53 + 1},
        {"symbol": -1},
        {"side": 3},
        {"limit": -1},
        {"kind": "iceberg"},
        {"id": "0123"},
        {"id": ID.upper()},
        {"step": -1},
        {"sent_ns": 2**62 + 1},
    ],
)
def test_numbers_outside_their_bounds_do_not_decode(change):
    good = msgspec.to_builtins(ORDER)
    assert msgspec.convert(good, Order) == ORDER
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(good | change, Order)


def test_unknown_fields_and_nan_fees_do_not_decode():
    packed = msgspec.msgpack.encode(fill(1, fee=float("nan")))
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(packed, type=Answer)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(msgspec.to_builtins(ORDER) | {"note": "x"}, Order)


@pytest.mark.parametrize("id_", [f"{ID}\n", ID[1:], ID.upper(), f" {ID}"])
def test_an_id_is_sixteen_digits_and_nothing_else(id_):
    for field in ("id", "group"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(msgspec.to_builtins(ORDER) | {field: id_}, Order)


@pytest.mark.parametrize(
    "answer",
    [Ack(ID, 1), fill(2), Reject(ID, "no", 3), Cancelled(ID, 1, 2), Expired(ID, 3, 4)],
    ids=lambda one: type(one).__name__,
)
def test_answers_come_back_as_they_were_sent(answer):
    packed = msgspec.msgpack.encode(answer)
    assert msgspec.msgpack.decode(packed, type=Answer) == answer
