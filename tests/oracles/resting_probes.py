"""Resting orders on a Binance capture, and what hftbacktest says of them.

    python -m tests.oracles.resting_probes PYTHON

asks the hftbacktest of that interpreter (that of the extra `bench`, or newer) and keeps
its answers in `hftbacktest_fills.json`, which every run of the tests compares with.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bot4jax.config import load
from bot4jax.data.sources import open_source
from bot4jax.data.universe import Universe
from bot4jax.types import BUY, QUOTE, TRADE

EXCHANGE, LOCAL, BUYS, SELLS = 1 << 31, 1 << 30, 1 << 29, 1 << 28
DEPTH, TRADED = 1, 2
"""hftbacktest's events, as its documentation numbers them."""

LIFE_NS, EVERY_NS = 2_000_000_000, 3_000_000_000
POWERS = (0.0, 3.0)
"""Of the queue's model: 0 is the conservative one."""
HERE = Path(__file__).parent
PEER, FILLS = HERE / "hftbacktest_peer.py", HERE / "hftbacktest_fills.json"


class Probes(NamedTuple):
    """Orders of one lot, and when they arrive."""

    at_ns: np.ndarray
    is_buy: np.ndarray
    price: np.ndarray


class Fills(NamedTuple):
    """Traded lots of each probe, and when; 0 where nothing was."""

    lots: np.ndarray
    at_ns: np.ndarray


def market(root: Path) -> tuple[Universe, np.ndarray]:
    """Best quotes and trades of one symbol; the clock never goes back."""
    folder = root / "binance" / "usdm"
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


def kept(power: float) -> Fills:
    """What hftbacktest has answered."""
    return Fills(*map(np.array, json.loads(FILLS.read_text())["fills"][str(power)]))


def asked(python: str, records: np.ndarray, probes: Probes, power: float) -> Fills:
    """What it answers now."""
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        own = {"life_ns": np.int64(LIFE_NS), "power": np.float64(power)}
        np.savez(given, **events_of(records), **probes._asdict(), **own)
        subprocess.run([python, str(PEER), str(given), str(found)], check=True)
        result = np.load(found)
        lots = result["filled"].astype(np.int64)
        return Fills(lots, np.where(lots > 0, result["filled_ns"], 0))


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


def main(python: str) -> None:
    """Ask for all, and keep the answers."""
    _, records = market(Path(os.environ["BOT4JAX_DATA"]))
    probes, version = (
        probes_in(records),
        "import hftbacktest as h; print(h.__version__)",
    )
    said = subprocess.run([python, "-c", version], check=True, capture_output=True)
    fills = {
        str(power): [one.tolist() for one in asked(python, records, probes, power)]
        for power in POWERS
    }
    content = {"hftbacktest": said.stdout.decode().strip(), "fills": fills}
    FILLS.write_text(json.dumps(content) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
