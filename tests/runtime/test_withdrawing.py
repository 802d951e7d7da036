"""What rests is taken back once nobody wants it, or nothing may open any more."""

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.runtime.contracts import contracts
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.messages import News
from bot4jax.runtime.orders import Cancel, Order
from bot4jax.runtime.states import Cause
from bot4jax.runtime.targets import IOC, Tactic
from bot4jax.runtime.tracking import Tracked
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.withdrawing import dispensable
from bot4jax.types import BUY, SELL
from tests.runtime.scene import BAR_NS, START_NS, UNIVERSE, Scene

RESTING = Tactic("limit", rest_ns=9 * BAR_NS)
PASSIVE = Tactic("limit", is_passive=True, rest_ns=9 * BAR_NS)


def scene_of(folder, wishes, tactic=PASSIVE, size=100_000) -> Scene:
    """Wants this of the first instrument, step after step."""
    scene = Scene(folder, lambda step: (wishes[step - 1], 0.0, 0.0), size=size)
    scene.account.tactic = tactic
    scene.trader.start()
    return scene


def cancels(scene: Scene) -> list[str]:
    return [one.order for one in scene.venue.record.received if isinstance(one, Cancel)]


@pytest.mark.parametrize("tactic", [RESTING, PASSIVE], ids=["limit", "post_only"])
@pytest.mark.parametrize("then", [None, 0.0], ids=["keep", "nothing"])
def test_a_bid_that_nobody_wants_any_more_is_taken_back_and_not_sold(
    tmp_path, tactic, then
):
    """The market leaves it behind, so that a sale would trade, step after step."""
    scene = scene_of(tmp_path, [0.02, then, then, then, then], tactic, size=50)
    (bid,) = scene.step(0).orders
    known = [scene.step(bar, (204, 200, 200)) for bar in range(1, 5)]
    bought = 50 if tactic is RESTING else 0
    assert cancels(scene) == [bid.id]
    sold = [one for step in known for one in step.orders]
    assert all(one.reduce_only and one.side == SELL for one in sold)
    owned = bought if then is None else 0
    assert scene.account.portfolio.lots.tolist() == [owned, 0, 0]
    assert scene.account.portfolio.working.ids() == []


def opens_nothing(scene: Scene) -> None:
    """The price comes to the bid, and nothing is there to be filled."""
    scene.step(2, (204, 200, 200))
    scene.step(3, (190, 200, 200))
    scene.step(4, (190, 200, 200))
    assert scene.account.portfolio.lots.tolist() == [0, 0, 0]
    assert len(cancels(scene)) == 1


def test_while_only_reductions_pass_nothing_opens_that_was_sent_before(tmp_path):
    scene = scene_of(tmp_path, [0.02] * 5)
    scene.step(0)
    scene.states.hold(Cause.DAILY_LOSS, "planted")
    scene.step(1, (204, 200, 200))
    assert scene.states.state == TradingState.REDUCING
    opens_nothing(scene)


def test_where_ticks_are_missed_nothing_opens_that_was_sent_before(tmp_path):
    scene = scene_of(tmp_path, [0.02] * 5)
    scene.step(0)
    closed = scene.closed(1, (204, 200, 200))
    stale = np.array([True, False, False])
    stepped = scene.trader.step(closed._replace(stale=stale))
    assert {one.reason for one in stepped.denied} <= {Reason.MISSED_TICKS}
    assert len(cancels(scene)) == 1


def test_while_news_last_nothing_opens_that_was_sent_before(tmp_path):
    scene = scene_of(tmp_path, [0.02] * 5)
    scene.step(0)
    since = START_NS + 2 * BAR_NS
    until = since + 60 * BAR_NS
    news = News(
        event_ns=since, available_ns=since, until_ns=until, symbols=[0], text="x"
    )
    closed = scene.closed(1, (204, 200, 200))._replace(events=(news,))
    scene.trader.step(closed)
    opens_nothing(scene)


def test_from_its_expiry_on_an_instrument_is_only_left(tmp_path):
    """What is held may be sold, and is not bought back."""
    scene = scene_of(tmp_path, [0.02, 0.02, 0.02, 0.0, 0.0, 0.02], RESTING, size=50)
    expiry_ns = START_NS + 2 * BAR_NS
    expiring = [
        msgspec.structs.replace(one, expiry_ns=expiry_ns)
        for one in UNIVERSE.instruments
    ]
    scene.account.portfolio.units = contracts(universe(expiring))
    (bid,) = scene.step(0).orders
    found = [scene.step(bar, (204, 200, 200)) for bar in range(1, 6)]
    assert cancels(scene) == [bid.id]
    sold = [one for step in found for one in step.orders]
    assert {one.reduce_only for one in sold} == {True}
    assert sum(one.lots for one in sold) == 50
    assert scene.account.portfolio.lots.tolist() == [0, 0, 0]
    denied = [[one.reason for one in step.denied] for step in found]
    assert denied[-1] == denied[1] == [Reason.EXPIRED]


def test_what_only_reduces_stays_where_nothing_may_open(tmp_path):
    wishes = [0.02, 0.0, 0.0]
    scene = scene_of(tmp_path, wishes, IOC)
    scene.step(0)
    scene.account.tactic = PASSIVE
    (sale,) = scene.step(1).orders
    assert sale.reduce_only
    scene.states.hold(Cause.DAILY_LOSS, "planted")
    scene.step(2)
    assert cancels(scene) == []
    assert scene.account.portfolio.working.ids() == [sale.id]


def resting(name: str, lots: int, side=BUY, kind="limit") -> Tracked:
    return Tracked(Order(name * 16, 0, side, lots, kind, 200))


@pytest.mark.parametrize(
    ("wish", "left"),
    [
        (151.0, "abc"),
        (150.0, "ab"),
        (101.0, "ab"),
        (100.0, "a"),
        (1.0, "a"),
        (0.5, ""),  # less than a lot asks for nothing
        (0.0, ""),
        (-10.0, ""),
    ],
)
def test_the_newest_that_the_wish_can_do_without_go_first(wish, left):
    bids = [resting("a", 100), resting("b", 50), resting("c", 20)]
    gone = dispensable(bids, np.array([wish]))
    assert {one.order.id for one in bids} - gone == {name * 16 for name in left}


def test_what_is_answered_at_once_is_not_asked_back_but_counts():
    waiting = [resting("a", 100, kind="ioc"), resting("b", 50)]
    assert dispensable(waiting, np.array([100.0])) == {"b" * 16}
    assert dispensable(waiting, np.array([-1.0])) == {"b" * 16}
    sales = [resting("a", 100, SELL), resting("b", 50)]
    assert dispensable(sales, np.array([-100.0])) == {"b" * 16}


walks = st.lists(
    st.tuples(
        st.sampled_from([None, 0.05, -0.05, 0.02, 0.0]),
        st.sampled_from([-2, -1, 0, 0, 1, 2]),
    ),
    min_size=3,
    max_size=12,
)


@settings(max_examples=60)
@given(
    walk=walks,
    tactic=st.sampled_from([IOC, RESTING, PASSIVE]),
    latency=st.sampled_from([0, BAR_NS // 2, 2 * BAR_NS]),
    size=st.sampled_from([20, 300, 100_000]),
)
def test_orders_only_go_the_way_of_the_wish_and_no_further(
    walk, tactic, latency, size, tmp_path_factory
):
    """Whatever is under way; and who keeps what is held ends with that, and with what
    was in flight at most."""
    wishes = [wish for wish, _ in walk] + [None] * 6
    mids = 200 + np.cumsum([move for _, move in walk] + [0] * 6)
    venue = PaperVenue(UNIVERSE, latency_ns=latency, taker_fee=0.0, maker_fee=0.0)
    scene = Scene(
        tmp_path_factory.mktemp("walk"),
        lambda step: (wishes[step - 1], 0.0, 0.0),
        venue=LocalVenue(venue),
        size=size,
    )
    scene.account.tactic = tactic
    scene.trader.start()
    portfolio, least, most = scene.account.portfolio, 0, 0
    for bar, (wish, mid) in enumerate(zip(wishes, mids.tolist(), strict=True)):
        stepped = scene.step(bar, (mid, 200, 200))
        held = int(portfolio.lots[0])
        sent = [one.lots if one.side == BUY else -one.lots for one in stepped.orders]
        lots = held if wish is None else round(wish * stepped.equity.nav / (mid / 2))
        way = lots - held
        assert all(one * way > 0 for one in sent)
        assert abs(sum(sent)) <= abs(way) + 1
        if bar == len(walk):
            buys, sells = portfolio.working.buys[0], portfolio.working.sells[0]
            least, most = held - int(sells), held + int(buys)
    assert least <= portfolio.lots[0] <= most
    assert portfolio.working.ids() == []
    assert portfolio.lots.tolist() == venue.position.tolist()
