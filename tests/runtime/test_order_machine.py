"""Portfolio and venue beside each other, whatever is asked and however answers come.

Answers are held back, repeated and delivered in pieces; each is a story that the state
machine must follow, and what the portfolio counts at worst covers what the venue may
still do.
"""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from bot4jax.runtime.orders import (
    MARKET_KINDS,
    TRIGGERED_KINDS,
    Answer,
    Cancel,
    Order,
    Query,
    Replace,
    order_id,
)
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import BUY, SELL, UNKNOWN_SIDE
from tests.runtime.test_venue import KINDS, UNIVERSE, quote, ticks, trade

PRICES = st.integers(95, 107)
SLOTS = st.integers(0, 2)


class Trading(RuleBasedStateMachine):
    """One account, one venue, and a line that is slow."""

    def __init__(self) -> None:
        super().__init__()
        self.venue = PaperVenue(UNIVERSE, latency_ns=2)
        self.portfolio = Portfolio(UNIVERSE, 1e6)
        self.now, self.count = 0, 0
        self.waiting: list[Answer] = []
        self.heard: list[Answer] = []

    def pass_(self, *rows) -> None:
        self.waiting += self.venue.advance(ticks(*rows), self.now)

    @rule(
        symbol=SLOTS,
        side=st.sampled_from([BUY, SELL]),
        lots=st.integers(1, 12),
        kind=st.sampled_from(KINDS),
        limit=PRICES,
        trigger=PRICES,
        ends=st.integers(0, 9),
        reduces=st.booleans(),
    )
    def order(self, symbol, side, lots, kind, limit, trigger, ends, reduces):
        self.count += 1
        one = Order(
            order_id("machine", self.count, symbol, 0),
            symbol,
            side,
            lots,
            kind,
            0 if kind in MARKET_KINDS else limit,
            trigger=trigger if kind in TRIGGERED_KINDS else 0,
            reduce_only=reduces,
            expires_ns=self.now + ends if ends else 0,
            sent_ns=self.now,
        )
        self.portfolio.working.expect(one)
        self.venue.submit([one], self.now)

    @rule(symbol=SLOTS, bid=PRICES, size=st.integers(0, 9), wait=st.integers(0, 4))
    def quote(self, symbol, bid, size, wait):
        self.now += wait
        self.pass_(quote(self.now, bid, bid + 2, size, size, symbol))

    @rule(symbol=SLOTS, price=PRICES, size=st.integers(1, 20))
    def trade(self, symbol, price, size):
        self.pass_(trade(self.now, price, size, UNKNOWN_SIDE, symbol))

    @rule(data=st.data(), lots=st.integers(1, 20), price=PRICES)
    def change(self, data, lots, price):
        names = self.portfolio.working.ids()
        if not names:
            return
        own = self.portfolio.working.by_id[data.draw(st.sampled_from(names))]
        order = own.order
        which = data.draw(st.sampled_from(["cancel", "replace", "query"]))
        if which == "cancel":
            self.venue.submit([Cancel(order.id)], self.now)
        elif which == "query":
            self.portfolio.working.doubt(Query(order.id))
            self.venue.submit([Query(order.id)], self.now)
        elif not own.asked_lots:
            limit = order.limit and price
            asked = Replace(order.id, lots, limit, order.trigger)
            self.portfolio.working.ask(asked)
            self.venue.submit([asked], self.now)

    @rule(count=st.integers(0, 6), repeated=st.integers(0, 3))
    def hear(self, count, repeated):
        came, self.waiting = self.waiting[:count], self.waiting[count:]
        for one in came:
            self.portfolio.apply(one)
        self.heard += came
        for one in self.heard[len(self.heard) - repeated :]:
            assert not self.portfolio.apply(one), "a repeated answer is no news"

    @invariant()
    def what_counts_covers_what_may_happen(self):
        """Held and open, at worst, on each side: at least what the venue can reach."""
        coming = [o for _, _, o in self.venue._pending if isinstance(o, Order)]
        live = self.venue.book.resting.by_id.values()
        may = [(o.side, o.symbol, o.lots) for o in coming]
        may += [(o.order.side, o.order.symbol, o.left) for o in live]
        high, low = self.venue.position.copy(), self.venue.position.copy()
        for side, symbol, lots in may:
            (high if side == BUY else low)[symbol] += lots if side == BUY else -lots
        owned = self.portfolio
        assert (owned.lots + owned.working.buys >= high).all()
        assert (owned.lots - owned.working.sells <= low).all()

    def teardown(self):
        """Once everything is heard, both agree to the lot."""
        self.now += 100
        self.pass_()
        self.hear(len(self.waiting), 0)
        owned = self.portfolio
        np.testing.assert_array_equal(owned.lots, self.venue.position)
        assert set(owned.working.ids()) == set(self.venue.open_orders)


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
