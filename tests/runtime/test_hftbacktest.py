"""Fills of resting orders beside hftbacktest's, on the same Binance capture.

Both see the same best quotes and trades and the same probes of one lot, at the best
price, without latency, each taken back after a while. One lot, because the models
differ in size by intent: where a trade or quote goes beyond an order's price,
hftbacktest fills it whole, ours by at most the size that was there.
"""

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.data.sources import open_source
from bot4jax.data.universe import Universe
from bot4jax.runtime.orders import Cancel, Fill, Order, order_id
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import BUY, QUOTE, SELL, TICK, TRADE

EXCHANGE, LOCAL, BUYS, SELLS = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADED = 1, 2
"""hftbacktest's events, as its documentation numbers them."""

LIFE_NS, EVERY_NS = 2_000_000_000, 3_000_000_000
PEER = Path(__file__).parents[1] / "oracles" / "hftbacktest_peer.py"


class Probes(NamedTuple):
    """Orders of one lot, and when they arrive."""

    at_ns: np.ndarray
    is_buy: np.ndarray
    price: np.ndarray


@pytest.fixture(scope="module")
def python() -> str:
    found = os.environ.get("BOT4JAX_HFTBACKTEST")
    if not found:
        pytest.skip(
            "BOT4JAX_HFTBACKTEST is not set: name a Python that has hftbacktest 2.4"
        )
    return found


@pytest.fixture(scope="module")
def market(data_root) -> tuple[Universe, np.ndarray]:
    """Best quotes and trades of one symbol; the clock never goes back."""
    folder = data_root / "binance" / "usdm"
    words = ["data=binance", f"data.path={folder}", "data.symbols=1"]
    source = open_source(load(words), 1)
    frames = source.frames(0, source.bar_count)
    records = np.concatenate([frame.records for frame in frames])
    records = records[np.isin(records["kind"], (QUOTE, TRADE))]
    records["event_ns"] = np.maximum.accumulate(records["event_ns"])
    return source.universe, records


def probes_in(records: np.ndarray) -> Probes:
    """One every three seconds at the best price of one side, then of the other."""
    quotes = records[records["kind"] == QUOTE]
    first, last = int(quotes["event_ns"][0]), int(quotes["event_ns"][-1])
    at_ns = np.arange(first + EVERY_NS, last - EVERY_NS, EVERY_NS) // 1_000 * 1_000 + 1
    row = np.searchsorted(quotes["event_ns"], at_ns, side="right") - 1
    is_buy = np.arange(len(at_ns)) % 2 == 0
    price = np.where(is_buy, quotes["a"][row], quotes["b"][row])
    return Probes(at_ns, is_buy, price)


def ours(universe: Universe, records: np.ndarray, probes: Probes, power: float):
    """Traded lots and times of each probe at the paper venue."""
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
    return lots, when


def theirs(
    python: str, folder: Path, records: np.ndarray, probes: Probes, power: float
):
    """The same from hftbacktest."""
    events = events_of(records)
    given, found = folder / "given.npz", folder / "found.npz"
    np.savez(
        given, **events, **probes._asdict(), life_ns=np.int64(LIFE_NS), power=power
    )
    subprocess.run([python, str(PEER), str(given), str(found)], check=True)
    result = np.load(found)
    lots = result["filled"].astype(np.int64)
    return lots, np.where(lots > 0, result["filled_ns"], 0)


def events_of(records: np.ndarray) -> dict[str, np.ndarray]:
    """A quote as its two best levels; a level better than the new best is gone.

    What lies behind the best is not told anew: neither side knows of it.
    """
    rows: list[tuple[int, int, int, int]] = []
    levels: dict[int, set[int]] = {BUYS: set(), SELLS: set()}
    for kind, side, _, _, ns, a, b, c, d in records.tolist():
        if kind == TRADE:
            rows.append((TRADED | (BUYS if side == BUY else SELLS), ns, a, b))
            continue
        for flag, best, sign in ((BUYS, a, 1), (SELLS, b, -1)):
            gone = {price for price in levels[flag] if sign * (price - best) > 0}
            rows += [(DEPTH | flag, ns, price, 0) for price in sorted(gone)]
            levels[flag] = (levels[flag] - gone) | {best}
        rows += [(DEPTH | BUYS, ns, a, c), (DEPTH | SELLS, ns, b, d)]
    ev, ns, px, qty = (np.array(column) for column in zip(*rows, strict=True))
    flags = (ev | EXCHANGE | LOCAL).astype(np.uint64)
    return {"ev": flags, "ns": ns, "px": px.astype(float), "qty": qty.astype(float)}


@pytest.mark.parametrize("power", [0.0, 3.0])
def test_fills_agree_where_both_define_the_same_model(python, market, tmp_path, power):
    universe, records = market
    probes = probes_in(records)
    our_lots, our_ns = ours(universe, records, probes, power)
    their_lots, their_ns = theirs(python, tmp_path, records, probes, power)
    assert len(our_lots) > 100
    assert 0 < our_lots.sum() < len(our_lots), "some are filled and some are not"
    np.testing.assert_array_equal(our_lots, their_lots)
    np.testing.assert_array_equal(our_ns, their_ns)
