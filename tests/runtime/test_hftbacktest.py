"""Fills of resting orders beside hftbacktest's, on the same Binance capture.

Both see the same best quotes and trades and the same probes of one lot, at the best
price, without latency, each taken back after a while. One lot, because the models
differ in size by intent: where a trade or quote goes beyond an order's price,
hftbacktest fills it whole, ours by at most the size that was there.
"""

import os
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from bot4jax.data.universe import Universe
from bot4jax.runtime.orders import Cancel, Fill, Order, order_id
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import BUY, SELL, TICK
from tests.oracles import resting_probes
from tests.oracles.resting_probes import LIFE_NS, POWERS, Fills, Probes, probes_in


@pytest.fixture(scope="module")
def market(data_root) -> tuple[Universe, np.ndarray]:
    return resting_probes.market(data_root)


def ours(
    universe: Universe, records: np.ndarray, probes: Probes, power: float
) -> Fills:
    """What the paper venue does with each probe."""
    venue = PaperVenue(universe, queue_power=power)
    clock, done, answers = records["event_ns"], 0, []
    names = []
    for k, (at_ns, is_buy, price) in enumerate(zip(*probes, strict=True)):
        side = BUY if is_buy else SELL
        names.append(order_id("probe", k, 0, 0))
        asked = Order(names[-1], 0, side, 1, "limit", int(price), post_only=True)
        for now_ns, request in ((at_ns, asked), (at_ns + LIFE_NS, Cancel(asked.id))):
            stop = int(np.searchsorted(clock, now_ns, side="right"))
            answers += venue.advance(records[done:stop])
            done = stop
            venue.submit([request], int(now_ns))
            answers += venue.advance(np.empty(0, TICK), int(now_ns) + 1)
    fills = {one.order: one for one in answers if isinstance(one, Fill)}
    lots = np.array([fills[name].lots if name in fills else 0 for name in names])
    when = np.array([fills[name].event_ns if name in fills else 0 for name in names])
    return Fills(lots, when)


@pytest.mark.parametrize("power", POWERS)
def test_fills_agree_where_both_define_the_same_model(market, power):
    universe, records = market
    found = ours(universe, records, probes_in(records), power)
    assert len(found.lots) > 100
    assert 0 < found.lots.sum() < len(found.lots), "some are filled and some are not"
    theirs = resting_probes.kept(power)
    np.testing.assert_array_equal(found.lots, theirs.lots)
    np.testing.assert_array_equal(found.at_ns, theirs.at_ns)


@pytest.mark.parametrize("power", POWERS)
def test_hftbacktest_still_answers_as_it_did(market, power):
    here = sys.executable if find_spec("hftbacktest") else None
    python = os.environ.get("BOT4JAX_HFTBACKTEST", here)
    if not python:
        pytest.skip(
            "hftbacktest is not installed (extra bench), and BOT4JAX_HFTBACKTEST names "
            "no Python that has it"
        )
    _, records = market
    found = resting_probes.asked(python, records, probes_in(records), power)
    for now, then in zip(found, resting_probes.kept(power), strict=True):
        np.testing.assert_array_equal(now, then)
