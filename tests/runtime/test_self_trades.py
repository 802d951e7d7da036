"""The paper venue lets no order trade with another of ours, as exchanges do."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.runtime.orders import (
    MARKET_KINDS,
    TRIGGERED_KINDS,
    Ack,
    Answer,
    Expired,
    Fill,
    Order,
    Reject,
    Replace,
    Replaced,
    Request,
)
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_rules import Refusal
from bot4jax.types import BUY, HALTED, SELL
from tests.runtime.test_venue import (
    UNIVERSE,
    kinds,
    level,
    order,
    quote,
    status,
    ticks,
    traded,
)


def holding(lots: int, prevents: bool = True) -> PaperVenue:
    """A venue at which so much is owned, at the usual quote of 100 and 102."""
    venue = PaperVenue(UNIVERSE, prevents_self_trades=prevents)
    venue.advance(ticks(quote(0, bid_size=100, ask_size=100)))
    venue.submit([order(0, lots, "market")], 0)
    venue.advance(ticks(quote(1)))
    assert venue.position[0] == lots
    return venue


def after(venue: PaperVenue, *orders, rows=()) -> list[Answer]:
    """What is said of orders that come now, and of what passes then."""
    now = venue.clock_ns
    venue.submit(orders, now)
    return venue.advance(ticks(*rows), now + 1)


def of(answers: list[Answer], one: Order) -> list[Answer]:
    return [answer for answer in answers if answer.order == one.id]


def profit(lots: int = -30) -> Order:
    return order(2, lots, "take_profit", trigger=110, reduce_only=True)


def stop(lots: int = -30) -> Order:
    return order(3, lots, "stop", trigger=95, reduce_only=True)


def stop_limit(lots: int = -30) -> Order:
    """It sells at 93 or better once the bid is 95 or worse."""
    return order(4, lots, "stop_limit", 93, trigger=95, reduce_only=True)


DEEP = [level(9, BUY, 108, 10, 1), level(9, BUY, 96, 10, 2), level(9, BUY, 90, 10, 3)]
"""Behind the best bid, 10 lots each."""


def test_a_take_profit_that_walks_through_the_book_ends_a_bid_of_ours():
    """10 lots at 110 and at 108; then it comes to 96, where the market bids no more
    than we do: ours ends before anything is sold there."""
    venue, bid = holding(30), order(5, 7, "limit", 96)
    assert kinds(after(venue, profit(), bid)) == [Ack, Ack]
    woken = after(venue, rows=[*DEEP, quote(10, 110, 112)])
    assert traded(woken) == [(-10, 110, False), (-10, 108, False), (-10, 96, False)]
    assert [type(one) for one in woken] == [Fill, Fill, Expired, Fill]
    assert of(woken, bid) == [Expired(bid.id, 7, 10)]


def test_a_bid_that_it_does_not_come_to_stays():
    venue, bid = holding(20), order(5, 7, "limit", 96)
    after(venue, profit(-20), bid)
    woken = after(venue, rows=[*DEEP, quote(10, 110, 112)])
    assert traded(woken) == [(-10, 110, False), (-10, 108, False)]
    assert not of(woken, bid)
    assert venue.open_orders == [bid.id]


@pytest.mark.parametrize("leg", [stop, stop_limit])
def test_a_stop_ends_the_bids_that_it_comes_to(leg):
    """All that it could sell at, since the market does not take it: what is left of a
    stop expires, and of a stop-limit rests at 93."""
    venue = holding(30)
    bids = [order(5, 7, "limit", 94), order(6, 7, "limit", 92)]
    after(venue, leg(), *bids)
    woken = after(venue, rows=[quote(10, 95, 97)])
    assert traded(woken) == [(-10, 95, False)]
    assert of(woken, bids[0]) == [Expired(bids[0].id, 7, 10)]
    is_limited = leg is stop_limit
    assert bool(of(woken, bids[1])) == (not is_limited)
    left = [bids[1].id, leg().id] if is_limited else []
    assert sorted(venue.open_orders) == sorted(left)


def woken_between(prevents: bool = True) -> PaperVenue:
    """A stop-limit that woke, sold 10 of 30 and rests at 93 below a bid that has come
    back, of which nothing is left to take."""
    venue = holding(30, prevents)
    after(venue, stop_limit())
    after(venue, rows=[quote(10, 95, 97), quote(11, 92, 94, bid_size=0)])
    assert venue.position[0] == 20
    return venue


@pytest.mark.parametrize("kind", ["ioc", "limit", "market", "fok"])
def test_what_opens_ends_before_a_stop_limit_that_woke_between_two_boundaries(kind):
    venue = woken_between()
    bid = order(7, 5, kind, 0 if kind == "market" else 94)
    said = after(venue, bid)
    assert of(said, bid)[1:] == [Expired(bid.id, 5, venue.clock_ns - 1)]
    assert not traded(said)
    assert venue.open_orders == [stop_limit().id]


def test_what_would_not_meet_it_trades():
    """Its offer of 93 is above a bid of 92."""
    venue = woken_between()
    said = after(venue, order(7, 5, "limit", 92))
    assert kinds(said) == [Ack]


def test_what_only_waits_is_refused_where_it_would_meet_one_of_ours():
    venue = woken_between()
    bid = order(7, 5, "limit", 93, post_only=True)
    (said,) = after(venue, bid)
    assert isinstance(said, Reject)
    assert said.reason == Refusal.WOULD_TAKE


def test_a_bid_that_is_moved_into_an_offer_ends():
    """Also in a halt, in which nothing trades."""
    for is_halted in (False, True):
        venue = PaperVenue(UNIVERSE)
        venue.advance(ticks(quote(0)))
        bid, offer = order(1, 5, "limit", 99), order(2, -5, "limit", 101)
        rows = [status(3, HALTED)] if is_halted else []
        after(venue, bid, offer, rows=rows)
        said = after(venue, Replace(bid.id, 5, 101))
        assert kinds(said) == [Replaced, Expired]
        assert venue.open_orders == [offer.id]


def test_one_that_has_nothing_left_to_reduce_ends_nobody():
    """It sells the 5 that are owned; what is left of it could open, and does not."""
    venue, bid = holding(5), order(5, 7, "limit", 96)
    after(venue, bid)
    said = after(venue, order(6, -9, "ioc", 90, reduce_only=True))
    assert traded(said) == [(-5, 100, False)]
    assert venue.open_orders == [bid.id]


def test_a_venue_that_prevents_nothing_trades_with_the_market_alone():
    venue, bid = holding(30, prevents=False), order(5, 7, "limit", 96)
    after(venue, profit(), bid)
    woken = after(venue, rows=[*DEEP, quote(10, 110, 112)])
    assert traded(woken) == [(-10, 110, False), (-10, 108, False), (-10, 96, False)]
    assert venue.open_orders == [bid.id]


PRICES = st.integers(97, 103)
KINDS = ["limit", "limit", "limit", "ioc", "stop", "stop_limit", "take_profit", "fok"]
sides = st.sampled_from([1, -1])
orders = st.tuples(
    *(st.just("order"), sides, st.integers(1, 12), st.sampled_from(KINDS)),
    *(PRICES, PRICES, st.booleans()),
)
shown = st.tuples(st.just("quote"), PRICES, st.integers(0, 8))
deep = st.tuples(st.just("level"), sides, PRICES, st.integers(1, 3))
moved = st.tuples(st.just("move"), st.integers(0, 3), PRICES)
told = st.lists(orders | orders | shown | deep | moved, min_size=10, max_size=40)


@settings(max_examples=300, deadline=None)
@given(moves=told)
def test_whatever_happens_none_of_ours_could_have_traded_with_another(moves):
    """Of two that rest none is at a price that the other trades at; and none has taken
    from the market what is no better than one of ours that rests all along."""
    venue, stood = holding(20), set[tuple[str, int]]()
    for number, (what, *how) in enumerate(moves, 10):
        said = after(venue, *asked(venue, number, what, how), rows=rows_of(what, how))
        rests = [one.order for one in venue.book.resting.by_symbol.get(0, ())]
        taken = [one for one in said if isinstance(one, Fill) and not one.is_maker]
        for own in rests:
            assert not any(crosses(own, one.side, one.limit) for one in rests)
            if (own.id, own.limit) in stood:
                assert not any(crosses(own, one.side, one.price) for one in taken)
        stood = {(one.id, one.limit) for one in rests}


def crosses(own: Order, side: int, price: int) -> bool:
    """Whether somebody else of this side would trade at this price with the order."""
    way = 1 if own.side == BUY else -1
    return side != own.side and way * own.limit >= way * price


def asked(venue: PaperVenue, number: int, what: str, how: list) -> list[Request]:
    """A new order, or one of those that rest somewhere else."""
    if what == "order":
        sign, lots, kind, limit, trigger, reduces = how
        prices = {"limit": 0 if kind in MARKET_KINDS else limit}
        prices |= {"trigger": trigger} if kind in TRIGGERED_KINDS else {}
        return [order(number, sign * lots, kind, reduce_only=reduces, **prices)]
    live = list(venue.book.resting.by_id.values())
    if what == "move" and live:
        one = live[how[0] % len(live)].order
        limit = one.limit and how[1]
        return [Replace(one.id, one.lots, limit, one.trigger, number)]
    return []


def rows_of(what: str, how: list) -> list[tuple]:
    if what == "quote":
        bid, size = how
        return [quote(0, bid, bid + 1, size, size)]
    if what == "level":
        sign, price, depth = how
        return [level(0, BUY if sign > 0 else SELL, price, 5, depth)]
    return []
