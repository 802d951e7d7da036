"""What nobody has answered counts as if it may trade, until the venue is asked."""

from functools import partial

import msgspec
import numpy as np
import pytest

from bot4jax.errors import Halted
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.orders import Ack, Fill, Foreign, Order, Query, Reject
from bot4jax.runtime.patience import DESPAIR_NS, PATIENCE_NS
from bot4jax.runtime.states import Cause
from bot4jax.runtime.tracking import OrderState
from bot4jax.runtime.venue import PaperVenue
from tests.runtime.scene import BAR_NS, UNIVERSE, Scene, resting

PATIENCE_STEPS = PATIENCE_NS // BAR_NS


def once(step: int) -> tuple[float, float, float]:
    return 0.2, 0.0, 0.0


class Deaf(LocalVenue):
    """Loses the orders, or the answers, of one step."""

    def __init__(self, step: int, *, loses_orders: bool, **rules) -> None:
        super().__init__(PaperVenue(UNIVERSE, 0, taker_fee=0.0, **rules))
        self._lost, self._loses_orders, self._at = step, loses_orders, 0

    def send(self, step) -> None:
        self._at = step.step
        is_lost = self._loses_orders and step.step == self._lost
        super().send(msgspec.structs.replace(step, orders=[]) if is_lost else step)

    def settle(self, through_ns):
        said = super().settle(through_ns)
        return [] if self._at == self._lost and not self._loses_orders else said

    @property
    def positions(self):
        """Not told: it has not even told its answers."""
        return None


def traded(folder, venue, bars: int = 8) -> tuple[Scene, list]:
    scene = Scene(folder, once, venue=venue)
    scene.trader.start()
    return scene, [scene.step(bar) for bar in range(bars)]


@pytest.mark.parametrize("loses_orders", [True, False])
def test_an_order_without_an_answer_is_unknown_asked_for_and_resolved(
    tmp_path, loses_orders
):
    venue = Deaf(1, loses_orders=loses_orders)
    scene, steps = traded(tmp_path, venue)
    (first,) = steps[0].orders
    due = 1 + PATIENCE_STEPS
    records = list(scene.journal.read())
    assert [one.step for one in records if one.requests] == [due]
    assert records[due - 1].requests == [Query(first.id, first.sent_ns + 3 * 10**9)]
    assert all(not one.orders for one in steps[1:due]), "all of it counts meanwhile"
    (answer,) = [one for one in steps[due].answers if isinstance(one, Reject | Fill)]
    owned = scene.account.portfolio
    if loses_orders:
        assert isinstance(answer, Reject)
        assert owned.working.by_id[first.id].state == OrderState.REJECTED
        assert len(steps[due].orders) == 1, "wanted still, and asked for anew"
    else:
        assert owned.working.by_id[first.id].state == OrderState.FILLED
    assert owned.lots.tolist() == venue.venue.position.tolist()
    assert len([one for one in venue.venue.record.received if one == first]) <= 1


def test_while_unknown_it_counts_as_before(tmp_path):
    scene = Scene(tmp_path, once, venue=Deaf(1, loses_orders=True))
    scene.trader.start()
    (first,) = scene.step(0).orders
    for bar in range(1, PATIENCE_STEPS + 1):
        scene.step(bar)
    owned = scene.account.portfolio
    assert owned.working.by_id[first.id].state == OrderState.UNKNOWN
    assert owned.working.buys[0] == first.lots
    assert owned.working.ids() == [first.id]


def test_a_venue_that_knows_no_ids_halts_the_engine_and_is_sent_nothing(tmp_path):
    venue = Deaf(1, loses_orders=True, dedupes=False)
    with pytest.raises(Halted, match="are UNKNOWN"):
        traded(tmp_path, venue, DESPAIR_NS // BAR_NS + 1)
    sent = venue.venue.record.received
    assert not any(isinstance(one, Order | Query) for one in sent)


def liquidated(folder, *, adopts: bool) -> Scene:
    """Half of what is held is sold by the venue, between two steps."""
    scene = Scene(folder, partial(lambda step: (0.2, 0.0, 0.0)), "limit", size=10)
    scene.trader._adopts = adopts
    scene.trader.start()
    scene.step(0)
    scene.step(1)
    held = int(scene.account.portfolio.lots[0])
    assert held > 1
    scene.venue.trade_otherwise(0, -held // 2, 180, "liquidation")
    return scene


def test_a_foreign_trade_halts_and_takes_back_what_rests(tmp_path):
    scene = liquidated(tmp_path, adopts=False)
    with pytest.raises(Halted, match=r"by no order of ours \(liquidation\)"):
        scene.step(2)
    assert scene.states.causes == (Cause.VENUE,)
    left = set(scene.account.portfolio.working.ids())
    assert not left & resting(scene.venue.record.received)


def test_an_adopted_foreign_trade_is_booked_once_and_journaled(tmp_path):
    scene = liquidated(tmp_path, adopts=True)
    before = scene.account.portfolio.realised[0]
    stepped = scene.step(2)
    (foreign,) = [one for one in stepped.answers if isinstance(one, Foreign)]
    owned = scene.account.portfolio
    assert owned.lots.tolist() == scene.venue.position.tolist()
    assert owned.realised[0] < before, "sold below what was paid"
    assert not owned.apply(foreign), "the second time is no news"
    journaled = list(scene.journal.read())[-1]
    assert foreign in journaled.answers
    assert scene.states.causes == ()


def test_what_the_venue_owns_otherwise_is_seen_at_the_next_report(tmp_path):
    scene = Scene(tmp_path, once)
    scene.trader.start()
    scene.step(0)
    scene.venue.position[2] += 5
    with pytest.raises(Halted, match="In slot 2 the journal comes to 0 lots"):
        scene.step(1)
    assert scene.states.causes == (Cause.VENUE,)


def test_an_answer_to_an_unknown_order_may_still_come_late(tmp_path):
    scene = Scene(tmp_path, once, venue=Deaf(1, loses_orders=True))
    scene.trader.start()
    (first,) = scene.step(0).orders
    for bar in range(1, PATIENCE_STEPS + 1):
        scene.step(bar)
    owned = scene.account.portfolio
    assert owned.apply(Ack(first.id, 5))
    assert owned.working.by_id[first.id].state == OrderState.ACKNOWLEDGED
    assert np.array_equal(owned.working.buys, [first.lots, 0, 0])
