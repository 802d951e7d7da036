"""A market of three symbols and eight bars, with every kind of record."""

import numpy as np

from bot4jax.data.universe import universe
from bot4jax.runtime.messages import InstrumentChange
from bot4jax.runtime.publish import begun
from bot4jax.types import (
    BOOK,
    BUY,
    HALTED,
    QUOTE,
    SELL,
    STATUS,
    TICK,
    TRADE,
    TRADING,
    Frame,
    Instrument,
)

S, BAR_NS, BARS = 3, 1_000, 8
MARKET = universe([Instrument(symbol=name) for name in ("A", "B", "C")])


def new_terms(symbol: int, event_ns: int, **changed: float) -> InstrumentChange:
    """Those of a plain share, but for what is named."""
    terms = {"increment": 1.0, "lot": 1.0, "minimum_notional": 0.0, "multiplier": 1.0}
    terms |= {"maker_fee": 0.0, "taker_fee": 0.0, "margin": 1.0, "expiry_ns": 0}
    return InstrumentChange(symbol=symbol, event_ns=event_ns, **(terms | changed))


def stream(frames: int = 40, seed: int = 0, per_frame: int = 6) -> list[Frame]:
    """A market of all kinds of records; every symbol is quoted in the first frame."""
    rng = np.random.default_rng(seed)
    step = BARS * BAR_NS // frames
    made, quotes = [], [(QUOTE, 0, 0, s, 1, 99, 101, 5, 5) for s in range(S)]
    for n in range(frames):
        rows = quotes if n == 0 else [record(rng, step * n) for _ in range(per_frame)]
        sequence = made[-1].sequence + len(made[-1].records) if made else 0
        made.append(Frame(1, 1, sequence, step * (n + 1), np.array(rows, TICK)))
    return list(begun(made))


def record(rng: np.random.Generator, at_ns: int) -> tuple:
    """One of any kind."""
    symbol, bid, size = (int(n) for n in rng.integers((0, 90, 1), (S, 100, 50)))
    kind = rng.choice([QUOTE, TRADE, BOOK, STATUS], p=[0.4, 0.3, 0.25, 0.05])
    side, level = int(rng.integers(BUY, SELL + 1)), int(rng.integers(1, 10))
    if kind == QUOTE:
        return (QUOTE, 0, 0, symbol, at_ns, bid, bid + 2, size, 60 - size)
    if kind == TRADE:
        return (TRADE, side, 0, symbol, at_ns, bid, size, 0, 0)
    if kind == BOOK:
        return (BOOK, side, 0, symbol, at_ns, bid, size, level, 0)
    return (STATUS, 0, 0, symbol, at_ns, int(rng.choice([TRADING, HALTED])), 0, 0, 0)
