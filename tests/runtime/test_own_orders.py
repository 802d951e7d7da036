"""No order meets another of ours; what stands in the way is taken back first."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.errors import Halted
from bot4jax.runtime.brackets import Distances
from bot4jax.runtime.context import Market
from bot4jax.runtime.limits import Reason
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.orders import Cancel, Order, order_id
from bot4jax.runtime.own_orders import apart, meets
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import BUY, SELL
from tests.runtime.scene import BAR_NS, LIMITS, UNIVERSE, Scene, compared, repeating


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


legs = st.builds(
    lambda symbol, side, kind: Order(
        order_id("leg", symbol, side, len(kind)),
        symbol,
        side,
        5,
        kind,
        1 if kind == "stop_limit" else 0,
        True,
        trigger=1,
        group="b" * 16,
    ),
    st.integers(0, 1),
    st.sampled_from([BUY, SELL]),
    st.sampled_from(["stop", "stop_limit", "take_profit"]),
)
reducing = drawn.map(lambda one: msgspec.structs.replace(one, reduce_only=True))


@given(
    asked=st.lists(drawn | reducing, max_size=6),
    standing=st.lists(drawn | reducing, max_size=6),
    legs=st.lists(legs, max_size=4),
)
def test_what_opens_yields_to_what_protects_where_the_venue_prevents_nothing(
    asked, standing, legs
):
    """A leg wakes at any moment and then meets whatever rests on its other side; one
    with a limit may have woken, and is met by whatever comes. Reductions stay."""
    asked = list({one.id: one for one in asked}.values())
    plain, _, blocked = apart(asked, standing, QUIET)
    kept, denied, met = apart(asked, standing, QUIET, legs)

    def barred(one: Order) -> bool:
        across = [own for own in legs if (own.symbol, 3 - own.side) == place(one)]
        is_awake = any(own.kind == "stop_limit" for own in across)
        return not one.reduce_only and (
            is_awake or (bool(across) and one.kind == "limit")
        )

    assert kept == [one for one in plain if not barred(one)]
    assert sum(len(one.symbols) for one in denied) == len(asked) - len(kept)
    assert met >= {one.id for one in standing if barred(one)}
    assert met >= blocked


def place(order: Order) -> tuple[int, int]:
    return order.symbol, order.side


@pytest.mark.parametrize("prevents", [True, False])
def test_what_opens_is_taken_back_as_its_protection_leaves(tmp_path, prevents):
    """20 of 100 lots are bought and protected; 80 more wait in the book. They stay only
    where the venue sees to it that no stop of ours trades with them; else what is
    wanted beyond is denied for as long as the position is protected."""
    scene = Scene(tmp_path, lambda step: (0.02, 0.0, 0.0), size=100)
    venue = PaperVenue(UNIVERSE, taker_fee=0.0, prevents_self_trades=prevents)
    scene.link = scene.trader._venue = LocalVenue(venue)
    means = {
        "prevents_self_trades": prevents,
        "tactic": Tactic("limit"),
        "distances": Distances(stop_bps=100.0, profit_bps=200.0),
    }
    for name, value in means.items():
        setattr(scene.account, name, value)
    scene.trader.start()
    bars = [scene.closed(0)]
    (bid,) = scene.trader.step(bars[0]).orders
    bars.append(scene.closed(1, (202, 200, 200)))
    protected = scene.trader.step(bars[1])
    assert {one.kind for one in protected.orders} == {"stop", "take_profit"}
    assert 0 < scene.account.portfolio.lots[0] < bid.lots
    cancels = [one for one in venue.record.received if isinstance(one, Cancel)]
    assert [one.order for one in cancels] == ([] if prevents else [bid.id])
    bars.append(scene.closed(2, (202, 200, 200)))
    after = scene.trader.step(bars[2])
    assert (bid.id in scene.account.portfolio.working.ids()) == prevents
    reasons = {one.reason for one in after.denied}
    assert (Reason.SELF_TRADE in reasons) == (not prevents)
    assert not [one for one in after.orders if not one.reduce_only]
    past = scene.journal.transitions()
    again = repeating(lambda step: (0.02, 0.0, 0.0), past=past, **means)
    found = compared(again, bars, scene.journal.read())
    assert (found.steps, found.is_equal) == (3, True)


def test_a_venue_that_prevents_nothing_is_not_relied_on(tmp_path):
    scene = Scene(tmp_path, lambda step: (0.02, 0.0, 0.0))
    venue = PaperVenue(UNIVERSE, prevents_self_trades=False)
    scene.trader._venue = LocalVenue(venue)
    with pytest.raises(Halted, match=r"venue\.prevents_self_trades=false"):
        scene.trader.start()
    assert venue.record.received == []
