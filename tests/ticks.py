"""Random ticks with planted edges, and the plainest way to pack them."""

import numpy as np

from bot4jax.types import BOOK, BUY, FRACTION, PACKED, QUOTE, SELL, STATUS, TRADE


def random_ticks(rng, symbols, count):
    """Ticks of one bar as dictionaries, in order of time; sizes are float32 exact."""
    times = np.sort(rng.integers(0, FRACTION, count))
    return [_tick(rng, int(rng.integers(symbols)), int(time)) for time in times]


def _tick(rng, slot, time):
    kind = int(rng.choice([QUOTE, TRADE, BOOK, STATUS], p=[0.5, 0.3, 0.19, 0.01]))
    bid = int(rng.integers(-3, 4))
    size, other = (float(np.float32(rng.integers(1, 50) / 4)) for _ in range(2))
    tick = {"slot": slot, "kind": kind, "side": 0, "bid": bid, "ask": 0, "time": time}
    tick |= {"bid_size": size, "ask_size": other, "level": 0, "flags": 0}
    if kind == QUOTE:
        tick["ask"] = bid + int(rng.integers(1, 4))
    elif kind == TRADE:
        tick["side"] = int(rng.choice([0, BUY, SELL]))
        tick |= {"level": 1, "ask": 2 * bid + int(rng.integers(-3, 4))}
        tick["flags"] = int(rng.choice([0, 1, 2, 3], p=[0.85, 0.05, 0.05, 0.05]))
    elif kind == BOOK:
        tick |= {
            "side": int(rng.choice([BUY, SELL])),
            "level": int(rng.integers(1, 10)),
            "bid_size": size * int(rng.integers(0, 4) > 0),  # a level that empties
        }
    else:
        tick["bid"] = int(rng.integers(0, 2))
    return tick


def pack(ticks, symbols, capacity):
    """`[capacity, K]` int32: predecessors found by looking back, tick by tick."""
    rows = np.zeros((capacity, len(PACKED)), np.int32)
    rows[:, PACKED.index("slot")] = symbols
    for name in ("previous", "previous_trade", "fifth_trade"):
        rows[:, PACKED.index(name)] = -1
    for i, tick in enumerate(ticks):
        row = tick | _predecessors(ticks, i)
        row["bid_size"] = np.float32(row["bid_size"]).view(np.int32)
        row["ask_size"] = np.float32(row["ask_size"]).view(np.int32)
        rows[i] = [row[name] for name in PACKED]
    return rows


def _key(tick):
    if tick["kind"] == BOOK:
        return tick["slot"], BOOK, tick["side"], tick["level"]
    return tick["slot"], tick["kind"]


def _predecessors(ticks, i):
    tick = ticks[i]
    before = [j for j in range(i) if ticks[j]["slot"] == tick["slot"]]
    quotes = [j for j in before if ticks[j]["kind"] == QUOTE]
    trades = [j for j in before if ticks[j]["kind"] == TRADE]
    same = [j for j in range(i) if _key(ticks[j]) == _key(tick)]
    later = sum(_key(ticks[j]) == _key(tick) for j in range(i + 1, len(ticks)))
    previous = {BOOK: same, TRADE: []}.get(tick["kind"], quotes)
    return {
        "previous": previous[-1] if previous else -1,
        "previous_trade": trades[-1] if trades else -1,
        "fifth_trade": trades[-5] if len(trades) >= 5 else -1,
        "trade_rank": len(trades) if tick["kind"] == TRADE else 0,
        "is_last": int(later < (5 if tick["kind"] == TRADE else 1)),
    }
