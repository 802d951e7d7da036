"""What a span leaves behind: the counts of a plain recount, and no growing memory."""

import gc
import tracemalloc
from collections import Counter
from contextlib import closing

import numpy as np
import pytest

from benchmarks.filling import FillingVenue
from bot4jax.modes.leavings import Leavings, Totals
from bot4jax.runtime.orders import Expired, Fill, Order, Replaced
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.types import SELL
from tests.runtime.scene import CAPITAL, MEMBERS, SYMBOLS, UNIVERSE, Scene


def wish(step: int) -> tuple[float, float, float]:
    """Turns round, grows, and at times asks for what no limit allows."""
    strange = {0: 9.0, 1: np.nan}.get(step % 5, 0.0)
    return 0.02 * (-1) ** step, 0.001 * step, strange


@pytest.mark.parametrize("kind", ["ioc", "limit"])
def test_totals_are_those_of_a_plain_recount_of_the_journal(tmp_path, kind):
    """Counted as it came, and of journaled steps that are passed over."""
    scene, left = Scene(tmp_path, wish, kind, size=300), Leavings(MEMBERS)
    scene.trader.start()
    for bar in range(30):
        left.add(scene.step(bar))
    last = scene.trader.finish(left.steps[-1].closed.boundary_ns + 1)
    left.totals.hear(last)
    again = Leavings(MEMBERS)
    with closing(scene.journal) as journal:
        steps = list(journal.read())
    for one in steps:
        again.pass_over(one)
    again.totals.hear(last)
    orders = [order for one in steps for order in one.orders]
    fills = [a for one in steps for a in one.answers if isinstance(a, Fill)]
    fills += [one for one in last if isinstance(one, Fill)]
    denied = Counter[str]()
    for one in (one for step in steps for one in step.denied):
        denied[one.reason.name] += len(one.symbols)
    traded = Counter[str]()
    for one in fills:
        traded[one.order] += one.lots
    parted = sum(0 < traded[one.id] < one.lots for one in orders)
    assert parted > 0
    assert len(denied) >= 2
    for found in (left.totals, again.totals):
        assert found.decisions == 30 * SYMBOLS
        assert found.orders == len(orders) > 30
        assert found.fills == Counter(one.side for one in fills)
        assert found.partial_fills == parted
        assert found.denials == dict(sorted(denied.items()))


@pytest.mark.parametrize(
    ("sent", "then", "filled", "parted", "kept"),
    [
        (10, 4, 4, 0, 0),
        (10, 4, 3, 1, 1),
        (4, 10, 4, 1, 1),
        (4, 10, 10, 0, 0),
    ],
)
def test_what_is_whole_goes_by_the_size_that_holds(sent, then, filled, parted, kept):
    """A leg that was replaced, and filled by its new terms."""
    leg = Order("a" * 16, 0, SELL, sent, "stop", trigger=9, reduce_only=True)
    fill = Fill(leg.id, 0, SELL, filled, 9, 0.0, is_maker=False, event_ns=1)
    totals = Totals()
    totals.decide(np.zeros(1, int), [leg], [])
    totals.hear([Replaced(leg.id, then, 0, 9, 0), fill])
    assert (totals.partial_fills, len(totals._open)) == (parted, kept)
    if kept:
        totals.hear([Expired(leg.id, then - filled, 2)])
    assert (totals.partial_fills, len(totals._open)) == (parted, 0)


def test_the_newest_steps_are_kept_whole(tmp_path):
    scene, left = Scene(tmp_path, wish), Leavings(MEMBERS, newest=4)
    scene.trader.start()
    for bar in range(9):
        left.add(scene.step(bar))
    assert [one.closed.bar for one in left.steps] == [5, 6, 7, 8]
    assert left.totals.decisions == 9 * SYMBOLS
    assert [one.step for one in scene.account.portfolio.curve] == list(range(1, 10))


FILLED, LATER = 400, 100
"""Steps until all that has an end is full, and steps after."""

OURS = [tracemalloc.Filter(True, "*/bot4jax/*")]
"""What our own lines ask for: JAX fills caches for a thousand steps."""


def growth(scene: Scene, left: Leavings) -> int:
    """Bytes that the later steps leave in memory."""
    scene.trader.start()
    tracemalloc.start()
    try:
        for bar in range(FILLED + LATER):
            left.add(scene.step(bar))
            if bar == FILLED:
                before = held(scene)
        return held(scene) - before
    finally:
        tracemalloc.stop()


def held(scene: Scene) -> int:
    """Bytes of ours once nothing is on its way to the device any more."""
    scene.trader.catch_up()
    assert scene.trader.decider.lag() == 0
    gc.collect()
    found = tracemalloc.take_snapshot().filter_traces(OURS)
    return sum(one.size for one in found.traces)


def test_a_run_without_an_end_keeps_no_more_with_every_step(tmp_path):
    """And would, by a kilobyte a step at least, if it kept every step."""
    found = {}
    for newest in (32, None):
        folder = tmp_path / str(newest)
        folder.mkdir()
        scene = Scene(folder, wish, venue=FillingVenue(SYMBOLS))
        own = Portfolio(UNIVERSE, CAPITAL, kept=32)
        scene.account.portfolio = own
        found[newest] = growth(scene, Leavings(MEMBERS, newest))
        assert np.abs(own.turnover).sum() > 0
    assert found[32] < 20 * LATER
    assert found[None] > 1_000 * LATER
