"""Random closed bars for a bank measured by itself, and what peers read of them.

Prices walk, every symbol trades in every bar: what a bar costs does not depend on what
is in it, and libraries meet no window that they call undefined.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels import bars as closed_bars
from bot4jax.kernels import history
from bot4jax.kernels.history import Scales
from bot4jax.learn.dataset import BarRecord
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar

PRICE, STEP, LOT = 20_000, 4.0, 3.0
"""Increments; increments; base volume."""


def random_bars(symbols: int, count: int, seed: int) -> BarRecord:
    """`count` bars of so many symbols."""
    random = np.random.default_rng(seed)
    mid, ints, floats = np.zeros(symbols, int), [], []
    for _ in range(count):
        bar = _bar(random, mid)
        mid = bar["mid_close"]
        ints.append(np.stack([bar[name] for name in BAR_INTS]).astype(np.int32))
        floats.append(np.stack([bar[name] for name in BAR_FLOATS]).astype(np.float32))
    return BarRecord(0, np.stack(ints), np.stack(floats))


def unit_scales(symbols: int) -> Scales:
    """What the bars of `random_bars` are measured in."""
    each = jnp.ones(symbols, jnp.float32)
    return Scales(each * (STEP / PRICE), each * LOT, jnp.full(5, 0.2))


class Columns:
    """Every column that features read, as windows that end with the newest bar."""

    def __init__(self, record: BarRecord, scales: Scales) -> None:
        self.record = record
        past = history.init_past(record.ints.shape[2])
        rows: dict[str, list[np.ndarray]] = {}
        for ints, floats in zip(record.ints, record.floats, strict=True):
            own, past = _columns(past, scales, ints, floats)
            for name, row in own.items():
                rows.setdefault(name, []).append(np.asarray(row))
        self.rows: Mapping[str, list[np.ndarray]] = rows
        self.kept: dict[tuple[str, int], Float[np.ndarray, "S W"]] = {}

    def window(self, name: str, length: int) -> Float[np.ndarray, "S W"]:
        """The last bars of a column, float64, the oldest first.

        Libraries may ask for prices, in increments, where features read paths.
        """
        if (name, length) not in self.kept:
            part, _, kind = name.partition("_")
            if kind in ("path", "price"):
                found = self._prices(part, length)
                found = (
                    found / self._prices("close", 1) - 1 if kind == "path" else found
                )
            else:
                found = np.stack(self.rows[name][-length:], axis=1)
            self.kept[name, length] = np.ascontiguousarray(found, np.float64)
        return self.kept[name, length]

    def _prices(self, part: str, length: int) -> np.ndarray:
        return self.record.price(f"mid_{part}")[-length:].T


@jax.jit
def _columns(past, scales, ints, floats) -> tuple[dict[str, Array], history.Past]:
    bar = closed_bars.unpack_bar(ints, floats)
    return history.bar_columns(bar, past, scales), history.next_past(past, bar)


def _bar(random: np.random.Generator, opened: np.ndarray) -> dict[str, np.ndarray]:
    """One bar from its opening mids; prices in increments from the anchor."""
    count = len(opened)
    close = opened + np.round(2 * STEP * random.normal(size=count)).astype(int)
    bid = close // 2
    reach, dip = random.poisson(STEP, (2, count))
    sizes = {
        name: LOT * random.exponential(size=count)
        for name in BAR_FLOATS
        if name not in ("anchor", "adjustment")
    }
    counts = {name: 1 + random.poisson(5, count) for name in BAR_INTS}
    width = (close - 2 * bid + 2) / PRICE
    small = {
        name: width * random.normal(1, 0.5, count)
        for name in ("effective_spread", "realised_spread", "price_impact")
    }
    signed = {
        name: LOT * random.normal(size=count)
        for name in Bar._fields
        if name.startswith("flow")
    }
    return (
        counts
        | sizes
        | small
        | signed
        | {
            "mid_open": opened,
            "mid_entry": opened,
            "mid_close": close,
            "mid_high": np.maximum(opened, close) + reach,
            "mid_low": np.minimum(opened, close) - dip,
            "bid": bid,
            "ask": close - bid,
            "trade_open": bid,
            "trade_close": bid + random.integers(0, 2, count),
            "live": np.ones(count, int),
            "late": np.zeros(count, int),
            "conflated": np.zeros(count, int),
            "time_at_minimum_spread": random.random(count),
            "squared_return_fast": width**2 * random.exponential(size=count),
            "squared_return_slow": width**2 * random.exponential(size=count),
            "signed_root_notional": np.sqrt(PRICE * LOT) * random.normal(size=count),
            "anchor": np.full(count, PRICE),
            "adjustment": np.ones(count),
        }
    )
