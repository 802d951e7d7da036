"""The paper venue never looks ahead, never gives what was not there, never twice."""

from typing import Any, cast, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.data.universe import notional, universe
from bot4jax.runtime.displayed import Displayed
from bot4jax.runtime.orders import (
    MARKET_KINDS,
    TRIGGERED_KINDS,
    Ack,
    Answer,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Kind,
    Order,
    Query,
    Reject,
    Replace,
    Request,
    order_id,
)
from bot4jax.runtime.tracking import Tracked, follow
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_rules import Refusal
from bot4jax.types import (
    AUCTION,
    BOOK,
    BUY,
    HALTED,
    QUOTE,
    SELL,
    STATUS,
    TICK,
    TRADE,
    TRADING,
    UNKNOWN_SIDE,
    Instrument,
)

UNIVERSE = universe(
    [
        Instrument(symbol="A", increment=0.5, taker_fee=0.001, maker_fee=-0.0002),
        Instrument(symbol="B", kind="inverse", increment=0.5, multiplier=100.0),
        Instrument(symbol="C"),
    ]
)
KINDS = [*get_args(Kind), "limit", "limit"]
LENGTH = 80
"""Records of a made-up market."""
NOTHING = np.empty(0, TICK)


def ticks(*rows: tuple) -> np.ndarray:
    """Rows of (kind, side, symbol, event_ns, a, b, c, d)."""
    return np.array(
        [(kind, side, 0, *rest) for kind, side, *rest in rows], TICK
    ).reshape(-1)


def quote(at: int, bid=100, ask=102, bid_size=10, ask_size=10, symbol=0) -> tuple:
    return QUOTE, 0, symbol, at, bid, ask, bid_size, ask_size


def trade(at: int, price: int, size: int, side: int = SELL, symbol=0) -> tuple:
    return TRADE, side, symbol, at, price, size, 0, 0


def level(at: int, side: int, price: int, size: int, depth: int) -> tuple:
    return BOOK, side, 0, at, price, size, depth, 0


def status(at: int, value: int) -> tuple:
    return STATUS, 0, 0, at, value, 0, 0, 0


def order(
    number: int, signed: int, kind: Kind = "ioc", limit=0, symbol=0, **extra
) -> Order:
    return Order(
        id=order_id("venue", number, symbol, 0),
        symbol=symbol,
        side=BUY if signed > 0 else SELL,
        lots=abs(signed),
        kind=kind,
        limit=limit,
        **extra,
    )


def traded(answers: list[Answer]) -> list[tuple[int, int, bool]]:
    """(signed lots, price, is maker) of the fills."""
    return [
        (one.lots if one.side == BUY else -one.lots, one.price, one.is_maker)
        for one in answers
        if isinstance(one, Fill)
    ]


def kinds(answers: list[Answer]) -> list[type]:
    return [type(one) for one in answers]


def at_market(*orders: Order, venue: PaperVenue | None = None) -> list[Answer]:
    """Answers to orders that meet the usual quote."""
    venue = venue or PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0)))
    venue.submit(orders, 0)
    return venue.advance(ticks(quote(1)))


def test_an_ioc_takes_what_is_displayed_and_the_rest_expires():
    bought = order(1, 25, limit=102)
    answers = at_market(bought)
    assert kinds(answers) == [Ack, Fill, Expired]
    assert traded(answers) == [(10, 102, False)]
    assert answers[-1] == Expired(bought.id, 15, 0)


def test_nothing_trades_beyond_the_limit():
    assert kinds(at_market(order(1, 5, limit=101))) == [Ack, Expired]
    assert kinds(at_market(order(1, -5, limit=101))) == [Ack, Expired]
    assert traded(at_market(order(1, -5, limit=100))) == [(-5, 100, False)]
    assert traded(at_market(order(1, -5, limit=90))) == [(-5, 100, False)]


def test_own_orders_consume_what_is_displayed_until_it_is_stated_anew():
    venue = PaperVenue(UNIVERSE)
    both = at_market(order(1, 7, limit=102), order(2, 7, limit=102), venue=venue)
    assert traded(both) == [(7, 102, False), (3, 102, False)]
    venue.submit([order(3, 4, limit=102)], 1)
    answers = venue.advance(ticks(quote(2)))
    assert traded(answers) == [(4, 102, False)], "the quote at 1 stated it anew"
    venue.submit([order(4, 9, limit=102)], 1)
    answers = venue.advance(NOTHING, through_ns=3)
    assert traded(answers) == [(9, 102, False)], "and so did the quote at 2"
    venue.submit([order(5, 9, limit=102)], 3)
    assert traded(venue.advance(NOTHING, through_ns=5)) == [(1, 102, False)]


def test_a_market_order_walks_the_known_levels():
    venue = PaperVenue(UNIVERSE)
    venue.advance(
        ticks(
            level(0, SELL, 103, 5, 1),
            level(0, SELL, 105, 5, 2),
            level(0, SELL, 101, 99, 3),
            quote(0),
        )
    )
    venue.submit([order(1, 18, "market"), order(2, 18, "market")], 0)
    answers = venue.advance(ticks(quote(1)))
    assert traded(answers) == [
        (10, 102, False),
        (5, 103, False),
        (3, 105, False),
        (2, 105, False),
    ], "the level at 101 is not worse than the one before it: out of date"
    assert [one.number for one in answers if isinstance(one, Fill)] == [0, 1, 2, 0]
    assert isinstance(answers[-1], Expired)


def test_a_level_stated_anew_can_be_taken_again():
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0, ask_size=1), level(0, SELL, 103, 5, 1)))
    venue.submit([order(1, 6, "market")], 0)
    venue.advance(ticks(level(1, SELL, 103, 4, 1)))
    venue.submit([order(2, 9, "market")], 1)
    assert traded(venue.advance(NOTHING, 2)) == [(4, 103, False)]


def test_an_order_meets_the_quotes_as_they_stood_when_it_arrived():
    """Latency 10: the quote at 10 counts, the one at 11 does not."""
    stream = ticks(
        quote(0, ask=102), quote(10, ask=104), quote(11, ask=106), quote(12, ask=108)
    )
    venue = PaperVenue(UNIVERSE, latency_ns=10)
    venue.submit([order(1, 1, "market")], 0)
    answers = venue.advance(stream)
    assert traded(answers) == [(1, 104, False)]
    assert [one.event_ns for one in answers if isinstance(one, Fill)] == [10]


def test_another_symbols_record_moves_the_clock_too():
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0)))
    venue.submit([order(1, 1, "market")], 0)
    assert venue.advance(ticks(quote(0, symbol=2))) == []
    assert traded(venue.advance(ticks(quote(1, symbol=2)))) == [(1, 102, False)]


def test_an_order_that_comes_late_meets_the_present():
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0), quote(50, ask=110)))
    venue.submit([order(1, 1, "market")], 10)
    answers = venue.advance(NOTHING)
    assert traded(answers) == [(1, 110, False)]
    assert all(one.event_ns == 50 for one in answers)


def test_event_time_that_goes_back_does_not_move_the_clock():
    venue = PaperVenue(UNIVERSE, latency_ns=5)
    venue.advance(ticks(quote(10)))
    venue.submit([order(1, 1, "market")], 10)
    assert venue.advance(ticks(quote(3, ask=99), quote(15, ask=98))) == []
    assert traded(venue.advance(ticks(quote(16, ask=90)))) == [(1, 98, False)]


def test_fees_are_of_the_notional_in_the_settlement_currency():
    fill = next(
        one for one in at_market(order(1, 4, limit=102)) if isinstance(one, Fill)
    )
    assert fill.fee == pytest.approx(0.001 * 4 * 51.0)
    venue = PaperVenue(UNIVERSE, taker_fee=2.0)
    venue.advance(ticks(quote(0, symbol=1)))
    venue.submit([order(1, 3, "market", symbol=1)], 0)
    fill = next(one for one in venue.advance(NOTHING, 1) if isinstance(one, Fill))
    expected = 2e-4 * notional(UNIVERSE.instruments[1], 3, 51.0)
    assert fill.fee == pytest.approx(expected)
    assert expected == pytest.approx(2e-4 * 300 / 51.0)


def resting(*rows: tuple, limit=100, signed=5, start=(), **extra) -> list[Answer]:
    """What happens to one limit order at the best bid, behind 10 lots."""
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0), *start))
    venue.submit([order(1, signed, "limit", limit, **extra)], 0)
    return venue.advance(ticks(*rows))


def test_a_resting_order_waits_behind_the_queue():
    answers = resting(trade(1, 100, 8), trade(2, 100, 4), trade(3, 100, 9))
    assert traded(answers) == [(2, 100, True), (3, 100, True)]
    assert [one.event_ns for one in answers if isinstance(one, Fill)] == [2, 3]


def test_a_trade_beyond_the_price_fills_at_the_limit_but_no_more_than_its_size():
    assert traded(resting(trade(1, 99, 3))) == [(3, 100, True)]
    assert traded(resting(trade(1, 99, 30))) == [(5, 100, True)]


@pytest.mark.parametrize(
    ("limit", "signed", "beyond", "side"), [(100, 5, 99, SELL), (102, -5, 103, BUY)]
)
def test_nobody_is_ahead_once_a_trade_has_gone_beyond(limit, signed, beyond, side):
    rows = trade(1, beyond, 3, side=side), trade(2, limit, 4, side=side)
    first, second = (3, 2) if signed > 0 else (-3, -2)
    expected = [(first, limit, True), (second, limit, True)]
    assert traded(resting(*rows, limit=limit, signed=signed)) == expected


def test_buyers_do_not_fill_a_buyer():
    assert traded(resting(trade(1, 100, 99, side=BUY))) == []
    answers = resting(trade(1, 100, 12, side=UNKNOWN_SIDE))
    assert traded(answers) == [(2, 100, True)]


def test_the_queue_is_never_longer_than_what_is_displayed():
    answers = resting(quote(1, bid_size=2), trade(2, 100, 4))
    assert traded(answers) == [(2, 100, True)]
    answers = resting(quote(1, bid_size=40), trade(2, 100, 11))
    assert traded(answers) == [(1, 100, True)], "who joined later stands behind"


def test_inside_the_spread_nobody_is_ahead():
    assert traded(resting(trade(1, 101, 3), limit=101)) == [(3, 101, True)]


def test_deeper_levels_are_queued_for_where_they_are_known():
    known = (level(0, BUY, 99, 4, 1),)
    assert traded(resting(trade(1, 99, 6), limit=99, start=known)) == [(2, 99, True)]
    assert traded(resting(trade(1, 99, 60), limit=99)) == []
    assert traded(resting(trade(1, 98, 60), limit=99)) == [(5, 99, True)]
    came_to_best = (quote(1, bid=99, bid_size=3), trade(2, 99, 4))
    assert traded(resting(*came_to_best, limit=99)) == [(1, 99, True)]


def test_a_quote_that_crosses_fills_as_maker():
    answers = resting(quote(1, bid=98, ask=100, ask_size=3))
    assert traded(answers) == [(3, 100, True)]
    answers = resting(quote(1, bid=104, bid_size=9), limit=103, signed=-5)
    assert traded(answers) == [(-5, 103, True)]


def test_a_quote_after_the_last_resting_fill_gives_taken_size_back():
    """The order leaves at 1 within the same batch that brings the quote at 2."""
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0)))
    venue.submit([order(1, 3, "limit", 100)], 0)
    stream = ticks(quote(1, bid=98, ask=100), quote(2, bid=98, ask=100))
    assert traded(venue.advance(stream)) == [(3, 100, True)]
    venue.submit([order(2, 99, limit=100)], 2)
    assert traded(venue.advance(NOTHING, 3)) == [(10, 100, False)]


def test_two_own_orders_share_one_trade_by_price_and_time():
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0)))
    worse, first, second = (
        order(number, 5, "limit", limit)
        for number, limit in ((1, 99), (2, 100), (3, 100))
    )
    venue.submit([worse, first, second], 0)
    answers = venue.advance(ticks(trade(1, 100, 17), trade(2, 98, 6)))
    fills = [(one.order, one.lots) for one in answers if isinstance(one, Fill)]
    assert fills == [(first.id, 5), (second.id, 2), (second.id, 3), (worse.id, 3)]


def test_two_own_orders_share_one_crossing_quote():
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0)))
    venue.submit([order(number, 5, "limit", 100) for number in (1, 2)], 0)
    answers = venue.advance(ticks(quote(1, bid=98, ask=99, ask_size=7)))
    assert traded(answers) == [(5, 100, True), (2, 100, True)]


def test_a_crossing_limit_order_takes_and_then_rests():
    answers = resting(quote(1, ask=104), trade(2, 103, 9), limit=103, signed=15)
    assert traded(answers) == [(10, 102, False), (5, 103, True)]


def test_cancelling_ends_an_order_once():
    venue = PaperVenue(UNIVERSE, latency_ns=5)
    venue.advance(ticks(quote(0)))
    bid = order(1, 5, "limit", 100)
    venue.submit([bid], 0)
    venue.submit([Cancel(bid.id)], 3)
    answers = venue.advance(ticks(trade(7, 99, 2), trade(9, 99, 50)))
    assert kinds(answers) == [Ack, Fill, Cancelled]
    assert answers[-1] == Cancelled(bid.id, 3, 8)
    assert venue.open_orders == []
    venue.submit([Cancel(bid.id), Cancel("f" * 16)], 9)
    again, unknown = venue.advance(NOTHING, 20)
    assert again == answers[-1]
    assert isinstance(unknown, Reject)
    assert unknown.reason == Refusal.UNKNOWN_ORDER


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        (order(1, 5, limit=102, symbol=3), Refusal.UNKNOWN_SYMBOL),
        (order(1, 5, limit=102, symbol=-1), Refusal.UNKNOWN_SYMBOL),
        (Order("a" * 16, 0, BUY, 0, "market"), Refusal.INVALID_SIZE),
        (Order("a" * 16, 0, BUY, -3, "market"), Refusal.INVALID_SIZE),
        (order(1, 5, "ioc", 0), Refusal.INVALID_PRICE),
        (order(1, 5, "limit", -1), Refusal.INVALID_PRICE),
        (order(1, 5, "market", 7), Refusal.INVALID_PRICE),
        (order(1, 5, "market", reduce_only=True), Refusal.WOULD_OPEN),
        (order(1, 5, "limit", 102, post_only=True), Refusal.WOULD_TAKE),
    ],
)
def test_what_cannot_be_traded_is_rejected_with_its_reason(asked, reason):
    assert at_market(asked) == [Reject(asked.id, str(reason), 0)]


def test_nothing_trades_while_halted_and_again_afterwards():
    venue = PaperVenue(UNIVERSE)
    venue.advance(ticks(quote(0), status(1, HALTED)))
    venue.submit([order(1, 5, "market")], 1)
    (answer,) = venue.advance(ticks(status(2, TRADING)))
    assert isinstance(answer, Reject)
    assert answer.reason == Refusal.NOT_TRADING
    venue.submit([order(2, 5, "market")], 2)
    assert traded(venue.advance(NOTHING, 3)) == [(5, 102, False)]


@pytest.mark.parametrize(
    "shown",
    [quote(7, 90, 95), trade(7, 97, 5), level(7, SELL, 96, 5, 1), status(7, AUCTION)],
)
@pytest.mark.parametrize("asked", [None, Replace(order(1, 3).id, 3, 102)])
def test_what_rests_does_not_trade_in_a_halt_nor_what_is_replaced(shown, asked):
    """Quotes and trades are indicative then; once it is over they are prices again."""
    venue = PaperVenue(UNIVERSE)
    venue.submit([order(1, 3, "limit", 98)], 0)
    answers = venue.advance(ticks(quote(0), quote(5), status(6, HALTED)))
    assert venue.open_orders == [order(1, 3).id]
    venue.submit([] if asked is None else [asked], 6)
    answers += venue.advance(ticks(shown, quote(8, 90, 95)), 20)
    assert traded(answers) == []
    assert venue.open_orders == [order(1, 3).id]
    answers = venue.advance(ticks(status(21, TRADING), quote(22, 90, 95)))
    assert traded(answers) == [(3, 98 if asked is None else 102, True)]


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_stop_sleeps_in_a_halt_and_wakes_by_what_is_displayed_behind_it(is_replaced):
    venue = PaperVenue(UNIVERSE)
    at_market(order(1, 5, "market"), venue=venue)
    stop = order(2, -5, "stop", 0, trigger=95)
    venue.submit([stop], 1)
    venue.advance(ticks(quote(2), status(3, HALTED)))
    venue.submit([Replace(stop.id, 4, 0, 96)] if is_replaced else [], 3)
    assert traded(venue.advance(ticks(quote(4, 90, 92), quote(5, 90, 92)), 9)) == []
    rows = status(10, TRADING), quote(11, 94, 96)
    lots = 4 if is_replaced else 5
    assert traded(venue.advance(ticks(*rows))) == [(-lots, 90, False)]


def test_post_only_rests_where_it_does_not_trade():
    assert traded(resting(trade(1, 101, 3), limit=101, post_only=True)) == [
        (3, 101, True)
    ]


def test_reduce_only_never_turns_the_position_round():
    venue = PaperVenue(UNIVERSE)
    at_market(order(1, 4, "market"), venue=venue)
    venue.submit([order(2, -9, "market", reduce_only=True)], 1)
    answers = venue.advance(ticks(quote(2)))
    assert traded(answers) == [(-4, 100, False)]
    assert venue.position[0] == 0
    assert answers[-1] == Expired(order(2, -9).id, 5, 1)


def test_resting_reduce_only_leaves_when_nothing_is_left_to_reduce():
    venue = PaperVenue(UNIVERSE)
    at_market(order(1, 4, "market"), venue=venue)
    ask = order(2, -9, "limit", 101, reduce_only=True)
    venue.submit([ask], 1)
    answers = venue.advance(
        ticks(trade(2, 101, 9, side=BUY), trade(3, 105, 9, side=BUY))
    )
    assert traded(answers) == [(-4, 101, True)]
    assert answers[-1] == Expired(ask.id, 5, 2)
    assert venue.open_orders == []


def test_a_repeated_id_gets_the_same_answers_and_no_second_fill():
    venue = PaperVenue(UNIVERSE)
    bought = order(1, 5, limit=102)
    first = at_market(bought, venue=venue)
    venue.submit([bought], 1)
    assert venue.advance(NOTHING, 9) == first
    assert venue.position[0] == 5
    assert len(venue.record.fills) == 1
    assert venue.record.received == [bought, bought]


def test_a_copy_of_an_order_still_on_its_way_is_answered_once():
    bought = order(1, 5, limit=102)
    assert kinds(at_market(bought, bought)) == [Ack, Fill]


def test_random_rejects_depend_on_seed_and_id_alone():
    def rejected(seed: int, numbers) -> set[int]:
        venue = PaperVenue(UNIVERSE, seed=seed, reject_share=0.25)
        sent = {order(n, 1, "market").id: n for n in numbers}
        answers = at_market(*(order(n, 1, "market") for n in numbers), venue=venue)
        return {sent[one.order] for one in answers if isinstance(one, Reject)}

    once = rejected(7, range(400))
    assert rejected(7, range(399, -1, -1)) == once
    assert rejected(8, range(400)) != once
    assert 60 < len(once) < 140


def test_records_of_unknown_slots_and_impossible_quotes_are_harmless():
    venue = PaperVenue(UNIVERSE)
    venue.advance(
        ticks(
            quote(0),
            quote(0, symbol=3),
            quote(0, symbol=2**32 - 1),
            level(0, 7, 103, 5, 1),
            level(0, SELL, 103, 5, 10),
            level(0, SELL, 103, 5, -1),
        )
    )
    venue.submit([order(1, 99, "market")], 0)
    assert traded(venue.advance(NOTHING, 1)) == [(10, 102, False)]
    for bad in (quote(2, ask=0), quote(2, ask=-5), quote(2, ask_size=-5)):
        venue.advance(ticks(bad))
        venue.submit([order(100 + bad[3], 99, "market")], 2)
        assert traded(venue.advance(NOTHING, 3)) == []


@st.composite
def markets(draw) -> tuple[np.ndarray, list[tuple[int, Request]], list[int]]:
    """A stream of records, requests with the record they come before, and cuts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, now = [], 0
    for _ in range(LENGTH):
        now = max(now + int(rng.integers(-2, 5)), 0)
        symbol, price = int(rng.integers(0, 3)), int(rng.integers(95, 106))
        kind = rng.choice([QUOTE, TRADE, BOOK, STATUS], p=[0.5, 0.36, 0.08, 0.06])
        side = int(rng.integers(0, 3))
        if kind == QUOTE:
            bid_size, ask_size = rng.integers(0, 9, 2).tolist()
            rows.append(quote(now, price, price + 2, bid_size, ask_size, symbol))
        elif kind == TRADE:
            rows.append(trade(now, price, int(rng.integers(1, 12)), side, symbol))
        elif kind == BOOK:
            rows.append(level(now, side, price, 4, int(rng.integers(1, 10))))
        else:
            rows.append(status(now, int(rng.integers(0, 2))))
    requests: list[tuple[int, Request]] = []
    for number in range(24):
        at = int(rng.integers(0, LENGTH))
        signed = int(rng.integers(1, 15)) * int(rng.choice([-1, 1]))
        kind = cast(Kind, str(rng.choice(KINDS)))
        limit = 0 if kind in MARKET_KINDS else int(rng.integers(94, 109))
        extra: dict[str, Any] = {"reduce_only": bool(rng.random() < 0.2)}
        if kind in TRIGGERED_KINDS:
            extra["trigger"] = int(rng.integers(94, 109))
            extra["group"] = str(rng.choice(["", "a" * 16, "b" * 16]))
        if kind == "limit":
            extra["post_only"] = bool(rng.random() < 0.3)
            extra["expires_ns"] = int(rng.integers(0, 80))
        made = order(number, signed, kind, limit, int(rng.integers(0, 3)), **extra)
        requests.append((at, made))
        later = int(rng.integers(at, LENGTH))
        other = Replace(made.id, int(rng.integers(1, 20)), limit, made.trigger)
        about = [Cancel(made.id), other, other, Query(made.id)]
        if rng.random() < 0.6:
            requests.append((later, about[int(rng.integers(0, 4))]))
    cuts = draw(st.lists(st.integers(0, LENGTH), max_size=12))
    return ticks(*rows), sorted(requests, key=lambda one: one[0]), cuts


def played(stream, requests, cuts) -> tuple[list[Answer], PaperVenue]:
    """All answers when the stream is cut there and wherever requests come in."""
    venue, answers, done = PaperVenue(UNIVERSE, latency_ns=3), [], 0
    clock = np.maximum.accumulate(stream["event_ns"])
    for cut in sorted({*cuts, *(at for at, _ in requests), len(stream)}):
        answers += venue.advance(stream[done:cut])
        done = cut
        now = int(clock[cut - 1]) if cut else 0
        for at, request in requests:
            if at == cut:
                venue.submit([request], now)
    return answers + venue.advance(NOTHING, 2**40), venue


@settings(max_examples=25, deadline=None)
@given(market=markets())
def test_the_cutting_of_the_stream_changes_nothing(market):
    stream, requests, cuts = market
    whole, _ = played(stream, requests, [])
    cut, _ = played(stream, requests, cuts)
    one_by_one, _ = played(stream, requests, range(len(stream)))
    assert cut == whole
    assert one_by_one == whole


@settings(max_examples=25, deadline=None)
@given(market=markets())
def test_no_record_of_a_halt_fills_anything(market):
    stream, requests, _ = market
    venue, clock = PaperVenue(UNIVERSE, latency_ns=3), 0
    for row, record in enumerate(stream):
        venue.submit([one for at, one in requests if at == row], clock)
        before, held = int(venue.book.displayed.status[0]), int(venue.position[0])
        venue.advance(record[None])
        clock = venue.clock_ns
        if before != TRADING and venue.book.displayed.status[0] != TRADING:
            assert venue.position[0] == held


@settings(max_examples=25, deadline=None)
@given(market=markets())
def test_every_order_is_answered_truly_and_ends(market):
    """Each order's answers are a possible story; lots, fees and positions agree."""
    stream, requests, _ = market
    answers, venue = played(stream, requests, [])
    tracked = {one.id: Tracked(one) for _, one in requests if isinstance(one, Order)}
    for answer in answers:
        own = tracked[answer.order].order
        tracked[answer.order] = follow(tracked[answer.order], answer)
        if isinstance(answer, Fill) and own.limit:
            worse = answer.price - own.limit
            assert worse * (1 if own.side == BUY else -1) <= 0
    open_now = {name for name, one in tracked.items() if one.is_open}
    assert open_now == set(venue.open_orders)
    position = np.zeros(3, np.int64)
    for fill in venue.record.fills:
        own = tracked[fill.order].order
        position[fill.symbol] += fill.lots if fill.side == BUY else -fill.lots
        assert not (own.post_only and not fill.is_maker)
    np.testing.assert_array_equal(venue.position, position)


@settings(max_examples=25, deadline=None)
@given(market=markets(), place=st.integers(1, LENGTH - 1))
def test_the_future_changes_no_answer(market, place):
    """Whatever comes after a record, the answers up to it are the same."""
    stream, requests, _ = market
    early = [one for one in requests if one[0] <= place]
    other = stream.copy()
    other["a"][place:], other["b"][place:] = 1, 1

    def answers(records) -> list[Answer]:
        venue, heard, done = PaperVenue(UNIVERSE, latency_ns=3), [], 0
        for at, request in early:
            heard += venue.advance(records[done:at])
            done = at
            venue.submit([request], int(records["event_ns"][:at].max(initial=0)))
        return heard + venue.advance(records[done:place])

    assert answers(stream) == answers(other)


@settings(max_examples=25, deadline=None)
@given(market=markets())
def test_displayed_state_equals_one_record_after_the_other(market):
    stream, _, _ = market
    whole, split = Displayed(3), Displayed(3)
    whole.absorb(stream)
    for row in stream:
        split.absorb(row[None])
    for name in ("quotes", "levels", "status"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(split, name))
    last = {}
    for row in stream[stream["kind"] == QUOTE]:
        last[int(row["symbol"])] = [int(row[name]) for name in "abcd"]
    for symbol, values in last.items():
        assert whole.quotes[symbol].tolist() == values
