"""A hostile model trades against the whole host, and the venue's record is the judge.

Model, prices, venue and people are drawn: targets of any size and sign, NaN and
infinity, all symbols at once; prices that jump; a venue that fills in part, late, or
refuses; orders of every kind. Everything is worked out again from what the venue has
received and answered, by plain loops.
"""

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from bot4jax.runtime import context
from bot4jax.runtime.brackets import Distances
from bot4jax.runtime.equity import DAY_NS
from bot4jax.runtime.orders import Cancel, Fill, Order
from bot4jax.runtime.states import Cause
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.tracking import Tracked, follow
from bot4jax.runtime.venue_record import Record
from bot4jax.types import BUY, SELL
from tests.runtime.scene import BAR_NS, CAPITAL, LIMITS, SYMBOLS, UNIVERSE, Scene

TIGHT = msgspec.structs.replace(
    LIMITS,
    max_order_lots=620,
    max_order_notional=60_000.0,
    max_position_share=0.1,
    max_volume_share=0.5,
    max_gross=0.2,
    max_net=0.12,
    period_collar_bps=1_000.0,
    period_seconds=2.0,
    orders_per_step=8,
    daily_loss_share=0.9,
    drawdown_share=0.9,
)
WILD = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0]
TARGETS = st.lists(
    st.one_of(st.floats(-0.06, 0.06), st.floats(-0.3, 0.3), st.sampled_from(WILD)),
    min_size=SYMBOLS,
    max_size=SYMBOLS,
)
MIDS = st.one_of(
    st.lists(st.integers(195, 205), min_size=SYMBOLS, max_size=SYMBOLS),
    st.lists(st.integers(150, 260), min_size=SYMBOLS, max_size=SYMBOLS),
)
VOLUMES = st.lists(
    st.sampled_from([0, 700, 10_000]), min_size=SYMBOLS, max_size=SYMBOLS
)
TACTICS = st.sampled_from(
    [
        Tactic("ioc"),
        Tactic("fok"),
        Tactic("ioc", is_pressing=True),
        Tactic("market"),
        Tactic("limit", rest_ns=3 * BAR_NS),
        Tactic("limit", is_passive=True, rest_ns=2 * BAR_NS),
    ]
)
INCREMENT = UNIVERSE.instruments[0].increment
ROUNDING = 1.0
"""Currency: the judge adds floats in another order."""


class Hostile(RuleBasedStateMachine):
    """One engine from its start."""

    @initialize(
        tactic=TACTICS,
        size=st.sampled_from([1, 300, 5_000]),
        slices=st.integers(1, 3),
        legs=st.sampled_from(
            [Distances(), Distances(80.0, 120.0), Distances(80.0, 120.0, 40.0)]
        ),
        losses=st.sampled_from([1, 1_000]),
        rules=st.fixed_dictionaries(
            {
                "latency_ns": st.sampled_from([0, BAR_NS // 2, 2 * BAR_NS]),
                "reject_share": st.sampled_from([0.0, 0.3]),
                "orders_per_second": st.sampled_from([0, 3]),
            }
        ),
    )
    def begin(self, tactic, size, slices, legs, losses, rules: dict[str, Any]):
        self.folder = tempfile.TemporaryDirectory()
        self.wish = [0.0] * SYMBOLS
        self.limits = msgspec.structs.replace(TIGHT, losses_in_a_row=losses)
        self.scene = Scene(
            Path(self.folder.name),
            lambda step: self.wish,
            limits=self.limits,
            size=size,
        )
        own = self.scene.account
        own.tactic, own.slices, own.distances = tactic, slices, legs
        self.scene.venue.rules = self.scene.venue.rules._replace(**rules)
        self.scene.trader.start()
        self.bar, self.seen, self.answered, self.mids = 0, 0, [], []

    @rule(wish=TARGETS, mids=MIDS, volume=VOLUMES)
    def step(self, wish, mids, volume=(10_000,) * SYMBOLS):
        self.wish = wish
        self.mids.append(np.array(mids))
        closed = self.scene.closed(self.bar, mids)
        since_ns = closed.boundary_ns - DAY_NS
        shown = closed.market._replace(volume=np.array(volume), since_ns=since_ns)
        stepped = self.scene.trader.step(closed._replace(market=shown))
        self.bar += 1
        record = self.scene.venue.record
        new, self.seen = record.received[self.seen :], len(record.received)
        sent = [one for one in new if isinstance(one, Order)]
        assert sent == list(stepped.orders)
        judge(record, sent, self.mids[-1], stepped.equity.nav)
        judge_the_past(sent, self.mids[-3:])
        self.answered.append(len(record.answers))
        opening = [one for one in sent if not one.reduce_only]
        if opening:
            taken = [one for one in new if not isinstance(one, Cancel)]
            assert len(taken) <= TIGHT.orders_per_step
            assert losses(record, self.answered) <= self.limits.losses_in_a_row
        judge_volume(record, sent, np.array(volume))

    @rule(wish=TARGETS)
    def flip(self, wish):
        """The same wish turned round at once."""
        mids = self.mids[-1] if self.mids else [200] * SYMBOLS
        self.step(wish, mids)
        self.step([-one for one in wish], mids)

    @rule(
        sides=st.lists(st.sampled_from([-1, 0, 1]), min_size=SYMBOLS, max_size=SYMBOLS),
        share=st.floats(0.01, 0.055),
    )
    def press(self, sides, share):
        """More and more of the same, in orders that are small enough each."""
        for k in range(1, 5):
            mids = self.mids[-1] if self.mids else [200] * SYMBOLS
            self.step([side * share * k for side in sides], mids)

    @rule()
    def kill(self):
        self.scene.states.hold(Cause.KILLED, "drill")
        received = len(self.scene.venue.record.received)
        self.step([0.3, -0.3, 0.3], [200] * SYMBOLS)
        after = self.scene.venue.record.received[received:]
        assert all(isinstance(one, Cancel) for one in after)
        self.scene.states.lift(Cause.KILLED, "over")

    def teardown(self):
        if hasattr(self, "scene"):
            self.scene.journal.close()
            self.folder.cleanup()


class Sides(NamedTuple):
    """By slot: held, and held with all that is open of each side. Lots."""

    held: np.ndarray
    high: np.ndarray
    low: np.ndarray


def sides(record: Record, without: set[str]) -> Sides:
    """As the venue's record tells; orders of groups only reduce, and count nothing."""
    orders = [one for one in record.received if isinstance(one, Order)]
    assert len({one.id for one in orders}) == len(orders), "an id was used twice"
    tracked = {one.id: Tracked(one) for one in orders}
    held = np.zeros(SYMBOLS, np.int64)
    for answer in record.answers:
        tracked[answer.order] = follow(tracked[answer.order], answer)
        if isinstance(answer, Fill):
            held[answer.symbol] += signed(answer)
    high, low = held.copy(), held.copy()
    for name, one in tracked.items():
        if name not in without and not one.order.group:
            grow(high, low, one.order, one.left)
    return Sides(held, high, low)


def signed(one: Order | Fill) -> int:
    return one.lots if one.side == BUY else -one.lots


def grow(high: np.ndarray, low: np.ndarray, order: Order, lots: int) -> None:
    """Count so many open lots on their own side."""
    if order.side == BUY:
        high[order.symbol] += lots
    else:
        low[order.symbol] -= lots


def judge(record: Record, sent: list[Order], mids: np.ndarray, nav: float) -> None:
    """No limit may be broken by what has just left, whatever of it will be filled."""
    unit = mids * INCREMENT
    before = sides(record, {one.id for one in sent})
    paid = sum(signed(one) * one.price * INCREMENT for one in record.fills)
    assert abs(CAPITAL - paid + before.held @ unit - nav) < ROUNDING
    asked = [one for one in sent if not one.group]
    high, low = before.high.copy(), before.low.copy()
    opened = set()
    for one in asked:
        room = low[one.symbol] if one.side == SELL else -high[one.symbol]
        grow(high, low, one, one.lots)
        collar = (2 if one.reduce_only else 1) * TIGHT.price_collar_bps / 10_000
        mid = mids[one.symbol]
        assert not one.limit or abs(one.limit - mid) <= collar * mid
        if one.reduce_only:
            assert one.lots <= room, "it closes more than there is"
            continue
        opened.add(one.side)
        assert one.lots <= TIGHT.max_order_lots
        assert one.lots * unit[one.symbol] <= TIGHT.max_order_notional
        reached = high[one.symbol] if one.side == BUY else -low[one.symbol]
        assert reached * unit[one.symbol] <= TIGHT.max_position_share * nav + ROUNDING
    gross = np.maximum(abs(high), abs(low)) @ unit
    assert not opened or gross <= TIGHT.max_gross * nav + ROUNDING
    assert BUY not in opened or high @ unit <= TIGHT.max_net * nav + ROUNDING
    assert SELL not in opened or -low @ unit <= TIGHT.max_net * nav + ROUNDING


def judge_the_past(sent: list[Order], mids: list[np.ndarray]) -> None:
    """Nothing opens far from where the market was at the last boundaries."""
    for one in sent:
        for mid in () if one.reduce_only or not one.limit else mids:
            there = mid[one.symbol]
            assert abs(one.limit - there) <= TIGHT.period_collar_bps / 10_000 * there


def judge_volume(record: Record, sent: list[Order], volume: np.ndarray) -> None:
    """Nothing opens more than can be sold of what a day trades."""
    high, low = sides(record, set())[1:]
    for one in sent:
        if not one.reduce_only:
            reached = high[one.symbol] if one.side == BUY else -low[one.symbol]
            assert reached <= TIGHT.max_volume_share * volume[one.symbol]


def losses(record: Record, answered: list[int]) -> int:
    """Boundaries in a row at which positions that ended had cost more than they gave.

    From cash alone: what flowed while a position was not 0.
    """
    held, cash = np.zeros(SYMBOLS, np.int64), np.zeros(SYMBOLS)
    in_a_row, began = 0, 0
    for stop in answered:
        results = []
        for one in record.answers[began:stop]:
            if not isinstance(one, Fill):
                continue
            slot, lots = one.symbol, signed(one)
            before, after = int(held[slot]), int(held[slot]) + lots
            is_over = before * after < 0 or (before and not after)
            ending = -before if is_over else lots
            cash[slot] -= ending * one.price
            if is_over:
                results.append(cash[slot])
                cash[slot] = -(lots - ending) * one.price
            held[slot] = after
        if results:
            in_a_row = 0 if sum(results) >= 0 else in_a_row + 1
        began = stop
    return in_a_row


def test_the_judge_sees_what_is_too_much():
    """The same order passes at its limit and not one lot beyond."""
    most = int(TIGHT.max_order_notional / (200 * INCREMENT))
    for lots, is_fine in ((most, True), (most + 1, False)):
        order = Order("a" * 16, 0, BUY, lots, "ioc", 201)
        record = Record([order], [])
        if is_fine:
            judge(record, [order], np.array([200] * SYMBOLS), CAPITAL)
            continue
        with pytest.raises(AssertionError):
            judge(record, [order], np.array([200] * SYMBOLS), CAPITAL)


def test_a_gate_that_forgets_what_is_held_is_found_out(monkeypatch):
    monkeypatch.setattr(context, "_exposure", lambda lots, unit: 0.0)
    quick = settings(
        max_examples=120,
        stateful_step_count=6,
        deadline=None,
        phases=[Phase.generate],
        database=None,
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(Hostile, settings=quick)


TestHostile = Hostile.TestCase
TestHostile.settings = settings(max_examples=15, stateful_step_count=15, deadline=None)
