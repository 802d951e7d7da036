"""No order meets another of ours; what stands in the way is taken back first."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.runtime.context import Market
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.orders import Cancel, Order, order_id
from bot4jax.runtime.own_orders import apart, meets
from bot4jax.runtime.targets import Tactic
from bot4jax.types import BUY, SELL
from tests.runtime.scene import BAR_NS, LIMITS, Scene


def test_a_turned_wish_takes_back_what_rests_and_then_goes_its_way(tmp_path):
    wishes = {1: (0.02, 0.0, 0.0)}
    scene = Scene(tmp_path, lambda step: wishes.get(step, (-0.02, 0.0, 0.0)), size=50)
    scene.account.tactic = Tactic("limit", rest_ns=9 * BAR_NS)
    scene.trader.start()
    (bid,) = scene.step(0, (200, 200, 200)).orders
    stepped = scene.step(1, (202, 200, 200))
    assert {one.reason for one in stepped.denied} == {Reason.SELF_TRADE}
    assert stepped.orders == []
    assert scene.venue.record.received[-1] == Cancel(bid.id, bid.sent_ns + BAR_NS)
    after = scene.step(2, (202, 200, 200))
    assert {one.side for one in after.orders} == {SELL}
    assert not after.denied


@pytest.mark.parametrize("budget", range(1, 8))
def test_what_is_taken_back_out_of_the_way_uses_up_the_budget(tmp_path, budget):
    """Three bids rest in the way of one sale; two other wishes are left with the rest,
    the larger one first. Cancels always pass."""
    limits = msgspec.structs.replace(LIMITS, orders_per_step=budget)
    turned = {4: (-0.02, 0.03, 0.02)}
    scene = Scene(
        tmp_path,
        lambda step: turned.get(step, (0.02 * step, 0.0, 0.0)),
        limits=limits,
        size=50,
    )
    scene.account.tactic = Tactic("limit", rest_ns=9 * BAR_NS)
    scene.trader.start()
    for bar in range(3):
        scene.step(bar)
    bids, received = scene.account.portfolio.working.ids(), scene.venue.record.received
    before = len(received)
    stepped = scene.step(3, (202, 200, 200))
    sent = received[before:]
    assert len(bids) == 3
    assert [one.order for one in sent if isinstance(one, Cancel)] == bids
    assert [one.symbol for one in stepped.orders] == [1, 2][: max(budget - 3, 0)]
    assert len(sent) == max(3, min(budget, 5))


drawn = st.builds(
    lambda symbol, side, limit, kind: Order(
        order_id("own", symbol, side, limit), symbol, side, 5, kind, limit
    ),
    st.integers(0, 1),
    st.sampled_from([BUY, SELL]),
    st.integers(0, 3),
    st.sampled_from(["ioc", "limit"]),
)
QUIET = Market(*np.full((2, 2), 2), *np.zeros((2, 2), np.int64))


@given(asked=st.lists(drawn, max_size=6), standing=st.lists(drawn, max_size=6))
def test_nothing_that_leaves_could_trade_with_what_stands(asked, standing):
    asked = list({one.id: one for one in asked}.values())
    kept, denied, met = apart(asked, standing, QUIET)
    book = [one for one in standing if one.kind == "limit"]
    for one in kept:
        assert not any(own.symbol == one.symbol and meets(one, own) for own in book)
    count = sum(len(one.symbols) for one in denied)
    assert count == len(asked) - len(kept)
    assert bool(met) == bool(count)
    assert set(met) <= {one.id for one in book}
    if denied:
        assert np.all(denied[0].lots != 0)


@pytest.mark.parametrize(
    ("bid", "limit", "is_met"),
    [(199, 198, False), (198, 198, True), (190, 198, True), (190, 196, False)],
)
def test_a_stop_limit_that_the_quote_has_woken_goes_first(bid, limit, is_met):
    """It sells at 197 or better once the bid is 198 or worse, and keeps its place."""
    stop = Order(
        "a" * 16, 0, SELL, 5, "stop_limit", 197, True, trigger=198, group="b" * 16
    )
    buy = Order("c" * 16, 0, BUY, 5, "ioc", limit)
    market = Market(*np.array([[bid], [bid + 2], [0], [0]]))
    kept, denied, met = apart([buy], [stop], market)
    assert (kept == [], bool(denied), met) == (is_met, is_met, set())
