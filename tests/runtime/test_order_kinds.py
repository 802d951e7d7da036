"""What each kind of order does at the venue, and how a queue before it shrinks."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.errors import DataError
from bot4jax.runtime.latency import Latency, configured, measured_in
from bot4jax.runtime.orders import (
    Ack,
    Answer,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Query,
    Reject,
    Replace,
    Replaced,
)
from bot4jax.runtime.queues import Queue, conservative, probabilistic
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_rules import Refusal
from bot4jax.types import BUY
from tests.runtime.test_venue import (
    NOTHING,
    UNIVERSE,
    at_market,
    kinds,
    order,
    quote,
    resting,
    ticks,
    trade,
    traded,
)

GROUP = "c" * 16


def venue_with(*requests, market=(), **rules) -> tuple[PaperVenue, list[Answer]]:
    """A venue at the usual quote (100 × 102, 10 lots) that has these requests."""
    venue = PaperVenue(UNIVERSE, **rules)
    venue.advance(ticks(quote(0), *market))
    venue.submit(requests, 0)
    return venue, venue.advance(NOTHING, 1)


def long(lots: int, *requests, **rules) -> PaperVenue:
    """The same venue, on which so many lots are held already."""
    venue, _ = venue_with(order(99, lots, "market"), **rules)
    venue.submit(requests, 1)
    venue.advance(NOTHING, 2)
    return venue


def test_fill_or_kill_is_all_or_nothing():
    assert traded(at_market(order(1, 10, "fok", 102))) == [(10, 102, False)]
    killed = order(1, 11, "fok", 102)
    assert at_market(killed) == [Ack(killed.id, 0), Expired(killed.id, 11, 0)]
    closing = order(1, -5, "fok", 100, reduce_only=True)
    assert kinds(at_market(closing)) == [Reject]
    venue = long(4, closing)
    assert venue.record.answers[-1] == Expired(closing.id, 5, 1)


@pytest.mark.parametrize(
    ("signed", "kind", "trigger", "path", "price"),
    [
        (-4, "stop", 97, [(99, 101), (98, 100), (97, 99)], 97),
        (4, "stop", 105, [(101, 103), (103, 105)], 105),
        (-4, "take_profit", 103, [(101, 103), (103, 105)], 103),
        (4, "take_profit", 99, [(98, 101), (97, 99)], 99),
    ],
)
def test_a_sleeping_order_wakes_at_its_quote_and_trades_at_once(
    signed, kind, trigger, path, price
):
    asked = order(1, signed, kind, trigger=trigger)
    venue, answers = venue_with(asked)
    assert kinds(answers) == [Ack]
    for at, (bid, ask) in enumerate(path[:-1], 2):
        assert venue.advance(ticks(quote(at, bid, ask))) == []
    bid, ask = path[-1]
    later = ticks(quote(9, bid, ask), quote(10, 100, 102))
    assert traded(venue.advance(later)) == [(signed, price, False)]
    assert venue.open_orders == []


def test_one_that_is_due_on_arrival_does_not_sleep():
    assert traded(at_market(order(1, -4, "stop", trigger=100))) == [(-4, 100, False)]
    assert traded(at_market(order(1, 4, "take_profit", trigger=102))) == [
        (4, 102, False)
    ]


def test_a_stop_that_wakes_becomes_a_market_order_and_its_rest_expires():
    asked = order(1, -25, "stop", trigger=99)
    venue, _ = venue_with(asked)
    answers = venue.advance(ticks(quote(2, 98, 100, 7, 7)))
    assert traded(answers) == [(-7, 98, False)]
    assert answers[-1] == Expired(asked.id, 18, 2)


def test_a_stop_limit_that_wakes_does_not_trade_beyond_its_limit():
    asked = order(1, -4, "stop_limit", 99, trigger=99)
    venue, _ = venue_with(asked)
    assert traded(venue.advance(ticks(quote(2, 97, 99)))) == []
    assert venue.open_orders == [asked.id]
    answers = venue.advance(ticks(trade(3, 100, 9, side=BUY)))
    assert traded(answers) == [(-4, 99, True)]


def test_only_the_quote_that_wakes_counts_not_what_follows_in_the_same_batch():
    """The later, worse quote is in the same batch; the stop was out before it."""
    venue, _ = venue_with(order(1, -4, "stop", trigger=99))
    batch = ticks(quote(2, 99, 101), quote(3, 50, 60), quote(4, 40, 50))
    assert traded(venue.advance(batch)) == [(-4, 99, False)]


def test_one_cancels_the_other():
    stop = order(1, -4, "stop", trigger=97, group=GROUP, reduce_only=True)
    profit = order(2, -4, "take_profit", trigger=106, group=GROUP, reduce_only=True)
    venue = long(4, stop, profit)
    answers = venue.advance(ticks(quote(5, 106, 108)))
    assert traded(answers) == [(-4, 106, False)]
    assert Cancelled(stop.id, 4, 5) in answers
    assert venue.advance(ticks(quote(6, 90, 92))) == []
    assert venue.position[0] == 0


def test_an_order_whose_group_is_over_never_rests():
    stop = order(1, -4, "stop", trigger=100, group=GROUP)
    late = order(2, -4, "take_profit", trigger=106, group=GROUP)
    venue = long(4, stop, late)
    assert venue.record.answers[-2:] == [Ack(late.id, 1), Cancelled(late.id, 4, 1)]
    assert venue.open_orders == []


def test_an_order_ends_at_its_time():
    bid = order(1, 5, "limit", 100, expires_ns=7)
    venue, _ = venue_with(bid)
    answers = venue.advance(ticks(trade(6, 99, 2), trade(8, 99, 9)))
    assert kinds(answers) == [Fill, Expired]
    assert answers[-1] == Expired(bid.id, 3, 7)
    late = order(2, 5, "limit", 100, expires_ns=8)
    venue.submit([late], 9)
    assert venue.advance(NOTHING, 10) == [Ack(late.id, 9), Expired(late.id, 5, 9)]


def replaced(lots: int, limit: int, *market, before=()) -> tuple[PaperVenue, list]:
    """A bid of 5 lots at 100, behind 10, that is given other terms."""
    bid = order(1, 5, "limit", 100)
    venue, _ = venue_with(bid)
    first = venue.advance(ticks(*before)) if before else []
    venue.submit([Replace(bid.id, lots, limit)], venue.clock_ns)
    return venue, first + venue.advance(ticks(*market))


def test_a_replaced_order_moves_and_keeps_id_and_fills():
    partly = (trade(2, 100, 12),)
    venue, answers = replaced(8, 101, trade(5, 101, 4), before=partly)
    assert [type(one) for one in answers] == [Fill, Replaced, Fill]
    assert answers[1] == Replaced(order(1, 5).id, 8, 101, 0, 2, 0)
    assert traded(answers) == [(2, 100, True), (4, 101, True)]
    assert answers[2].number == 1
    assert venue.book.resting.by_id[order(1, 5).id].left == 2


def test_one_that_only_shrinks_keeps_its_place_and_one_that_grows_loses_it():
    some = (trade(2, 100, 9),)
    _, shrunk = replaced(3, 100, trade(5, 100, 2), before=some)
    assert traded(shrunk) == [(1, 100, True)]
    _, grown = replaced(9, 100, trade(5, 100, 2), before=some)
    assert traded(grown) == []


@pytest.mark.parametrize(("lots", "limit"), [(2, 100), (1, 100), (9, 0)])
def test_terms_that_an_order_cannot_have_change_nothing(lots, limit):
    venue, answers = replaced(lots, limit, quote(9), before=(trade(2, 100, 12),))
    (said,) = [one for one in answers if isinstance(one, Replaced)]
    assert (said.lots, said.limit) == (5, 100)
    assert venue.open_orders == [order(1, 5).id]


def test_an_order_that_is_over_cannot_be_replaced():
    bought = order(1, 5, "ioc", 102)
    venue, answers = venue_with(bought)
    venue.submit([Replace(bought.id, 9, 102)], 1)
    assert venue.advance(NOTHING, 2) == answers[-1:]


def test_a_replacement_that_overtakes_its_order_waits_for_it():
    waited = 0
    for seed in range(40):
        bid = order(1, 5, "limit", 90)
        venue = PaperVenue(UNIVERSE, 10_000, latency_spread=1.0, seed=seed)
        venue.submit([bid], 0)
        venue.submit([Replace(bid.id, 8, 91, sent_ns=5_000)], 5_000)
        ack, replaced = venue.advance(ticks(quote(0)), 10**9)
        assert replaced == Replaced(bid.id, 8, 91, 0, replaced.event_ns, 0)
        assert (ack.order, venue.book.resting.by_id[bid.id].left) == (bid.id, 8)
        waited += ack.event_ns == replaced.event_ns
    assert 0 < waited < 40


def test_who_asks_hears_everything_again_and_an_unknown_order_never_trades():
    bought, unknown = order(1, 5, "ioc", 102), order(2, 5, "ioc", 102)
    for dedupes in (True, False):
        venue, answers = venue_with(bought, dedupes=dedupes)
        venue.submit([Query(bought.id), Query(unknown.id)], 1)
        *again, rejected = venue.advance(NOTHING, 2)
        assert again == answers
        assert rejected == Reject(unknown.id, str(Refusal.UNKNOWN_ORDER), 1)
        venue.submit([unknown], 2)
        assert venue.advance(NOTHING, 3) == [rejected]
        assert venue.position[0] == 5


@pytest.mark.parametrize("dedupes", [True, False])
@pytest.mark.parametrize("is_cancel", [True, False])
def test_what_was_refused_before_it_came_never_trades(is_cancel, dedupes):
    """Who was told so has booked it."""
    bought = order(1, 5, "ioc", 102)
    early = Cancel(bought.id) if is_cancel else Replace(bought.id, 8, 101)
    venue, answers = venue_with(early, dedupes=dedupes)
    assert answers == [Reject(bought.id, str(Refusal.UNKNOWN_ORDER), 0)]
    venue.submit([bought], 2)
    assert venue.advance(NOTHING, 3) == answers
    assert (venue.position[0], venue.open_orders) == (0, [])


def taken_twice(group: str = "") -> PaperVenue:
    """A venue that does not dedupe, at which one order rests twice."""
    bid = order(1, 4, "limit", 100, group=group)
    venue, _ = venue_with(bid, bid, dedupes=False)
    assert venue.open_orders == [bid.id]
    assert len(venue.book.resting.all()) == 2
    return venue


def test_an_order_that_was_taken_twice_trades_twice():
    venue = taken_twice()
    answers = venue.advance(ticks(trade(2, 99, 50)))
    assert [one.lots for one in answers if isinstance(one, Fill)] == [4, 4]
    assert (venue.position[0], venue.open_orders) == (8, [])


def test_nothing_of_an_order_that_was_taken_twice_is_left_resting():
    venue = taken_twice()
    assert venue.take_back() == 2
    assert kinds(venue.advance(NOTHING)) == [Cancelled] * 2
    assert venue.advance(ticks(trade(2, 99, 50))) == []


def test_a_group_ends_both_of_an_order_that_was_taken_twice():
    venue = taken_twice(GROUP)
    venue.submit([order(2, 1, "market", group=GROUP)], 2)
    assert kinds(venue.advance(NOTHING, 3)) == [Ack, Fill, Cancelled, Cancelled]
    assert venue.open_orders == []


def test_a_sale_of_ours_meets_what_is_left_of_an_order_that_was_taken_twice():
    venue = taken_twice()
    venue.position[0] = 10
    (bid,) = venue.open_orders
    venue.submit([Cancel(bid)], 2)
    assert kinds(venue.advance(NOTHING, 3)) == [Cancelled]
    assert venue.open_orders == [bid]
    venue.submit([order(2, -4, "limit", 99, reduce_only=True)], 3)
    assert kinds(venue.advance(NOTHING, 4)) == [Ack, Expired, Fill]
    assert venue.open_orders == []


def test_more_orders_in_a_second_than_the_venue_takes_are_rejected():
    asked = [order(number, 1, "market") for number in range(5)]
    venue, answers = venue_with(*asked, orders_per_second=3)
    assert [one.order for one in answers if isinstance(one, Reject)] == [
        one.id for one in asked[3:]
    ]
    venue.submit([order(9, 1, "market")], 10**9)
    assert kinds(venue.advance(NOTHING, 2 * 10**9)) == [Ack, Fill]


def test_latencies_are_drawn_about_their_median_and_are_the_same_again():
    asked = [order(number, 1, "limit", 90) for number in range(400)]

    def arrivals() -> np.ndarray:
        venue = PaperVenue(UNIVERSE, 10_000, latency_spread=0.5, seed=4)
        venue.submit(asked, 0)
        said = venue.advance(ticks(quote(0)), 10**9)
        return np.array([one.event_ns for one in said if isinstance(one, Ack)])

    found = arrivals()
    np.testing.assert_array_equal(arrivals(), found)
    logs = np.log(found / 10_000)
    assert abs(np.median(logs)) < 0.1
    assert 0.4 < logs.std() < 0.6


def test_what_is_decided_is_late_by_feed_and_computing_and_then_by_its_own_way():
    rules = {"feed": Latency(1_000), "compute": Latency(200)}
    venue = PaperVenue(UNIVERSE, 30, **rules)
    bid = order(1, 1, "limit", 90)
    venue.submit([bid], 0)
    assert venue.advance(ticks(quote(0)), 1_230) == []
    assert venue.advance(NOTHING, 1_231) == [Ack(bid.id, 1_230)]
    venue.submit([Cancel(bid.id)], 2_000, is_decided=False)
    assert venue.advance(NOTHING, 2_031) == [Cancelled(bid.id, 1, 2_030)]


def test_the_parts_are_drawn_apart_and_the_same_again():
    """A step's orders share what came before they were sent."""

    def arrivals(**rules) -> np.ndarray:
        venue = PaperVenue(UNIVERSE, 10, seed=4, **rules)
        for step in range(200):
            asked = [order(2 * step + k, 1, "limit", 90) for k in range(2)]
            venue.submit(asked, step * 10**6)
        said = venue.advance(ticks(quote(0)), 10**9)
        acks = {one.order: one.event_ns for one in said if isinstance(one, Ack)}
        found = [acks[order(n, 1).id] - n // 2 * 10**6 for n in range(400)]
        return np.array(found).reshape(200, 2)

    drawn = {"feed": Latency(1_000, 0.5), "compute": Latency(0, 0.0, (7, 9, 50))}
    found = arrivals(**drawn)
    np.testing.assert_array_equal(arrivals(**drawn), found)
    np.testing.assert_array_equal(found[:, 0], found[:, 1])
    assert 0.4 < np.log(found[:, 0]).std() < 0.6
    only = arrivals(compute=Latency(0, 0.0, (7, 9, 50)))[:, 0] - 10
    shares = [float((only == one).mean()) for one in (7, 9, 50)]
    assert sum(shares) == pytest.approx(1.0)
    assert max(abs(one - 1 / 3) for one in shares) < 0.1  # three errors of 200 draws


def test_measured_latencies_are_read_and_damage_is_named(tmp_path):
    path = tmp_path / "latencies.txt"
    path.write_text("0.5\n12\n0\n")
    assert configured(20.0, 0.3, str(path)).measured == (500_000, 12_000_000, 0)
    for text, match in (
        ("1\n-2\n", "line 2: expected milliseconds .* found '-2'"),
        ("1\nnan", "line 2"),
        ("x", "line 1"),
        ("", "is empty"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=match):
            measured_in(path)
    with pytest.raises(DataError, match="cannot be read as latencies"):
        measured_in(tmp_path / "none")


def test_a_queue_that_shrinks_without_trades_is_believed_to_shrink_by_its_rule():
    """30 were ahead, 40 joined; 20 leave the 70 that are shown then."""
    queue = Queue(ahead=30.0, shown=70)
    assert conservative(queue, 50) == 30.0
    assert probabilistic(1.0)(queue, 50) == pytest.approx(30 - 20 * 30 / 70)
    late = 40**3 / (30**3 + 40**3)
    assert probabilistic(3.0)(queue, 50) == pytest.approx(30 - 20 * (1 - late))
    queue.traded = 20
    assert probabilistic(3.0)(queue, 50) == 30.0, "trades have taken their part already"


@given(
    ahead=st.integers(0, 100),
    joined=st.integers(0, 100),
    traded_lots=st.integers(0, 50),
    shown=st.integers(0, 250),
    power=st.floats(0.1, 5.0),
)
def test_no_rule_believes_in_more_ahead_than_before_or_than_is_shown(
    ahead, joined, traded_lots, shown, power
):
    queue = Queue(ahead, ahead + joined, traded_lots)
    careful, likely = conservative(queue, shown), probabilistic(power)(queue, shown)
    assert 0 <= likely <= careful + 1e-9
    assert careful == min(ahead, shown)


def test_believing_in_cancels_ahead_fills_sooner():
    path = (quote(1, bid_size=40), quote(2, bid_size=12), trade(3, 100, 8))
    assert traded(resting(*path)) == []
    venue, _ = venue_with(order(1, 5, "limit", 100), queue_power=1.0)
    (filled,) = traded(venue.advance(ticks(*path)))
    assert filled == (5, 100, True)


def test_a_trigger_or_limit_that_a_kind_does_not_have_is_refused():
    for asked in (
        order(1, 5, "stop"),
        order(1, 5, "stop", 102, trigger=103),
        order(1, 5, "stop_limit", trigger=103),
        order(1, 5, "ioc", 102, trigger=103),
    ):
        assert at_market(asked) == [Reject(asked.id, str(Refusal.INVALID_PRICE), 0)]
    fine = msgspec.structs.replace(order(1, 5, "stop_limit", 104), trigger=103)
    assert kinds(at_market(fine)) == [Ack]


def test_a_cancel_ends_a_sleeping_order():
    asleep = order(1, -4, "stop", trigger=90)
    venue, _ = venue_with(asleep)
    venue.submit([Cancel(asleep.id)], 1)
    assert venue.advance(NOTHING, 3) == [Cancelled(asleep.id, 4, 1)]
    assert traded(venue.advance(ticks(quote(4, 80, 82)))) == []
