"""Traps for leaks: what an honest pipeline cannot do, and a leaking one does.

Shuffled bars have no future that their past could tell; bars to come cannot move what
was computed before them; skill that vanishes when the entry is one bar late was a look
at that bar, or an honest signal as short as a bar, which only the first two tell apart;
nobody beats the best possible forecast of a simulated market; and a label lives in one
span only (`folds.overlaps`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.bound import Excess
from bot4jax.learn.bootstrap import resampled_means
from bot4jax.learn.dataset import BarRecord
from bot4jax.learn.labels import forward_returns
from bot4jax.learn.metrics import information_coefficient
from bot4jax.types import BAR_INTS

ERRORS = 3.0
"""Standard errors beyond which a finding is no accident."""

PRICES = (
    "mid_open",
    "mid_high",
    "mid_low",
    "mid_close",
    "mid_entry",
    "bid",
    "ask",
    "trade_open",
    "trade_high",
    "trade_low",
    "trade_close",
)
"""Offsets from the anchor; mids in half increments, the others in whole ones."""

PARTED = 0.5
"""Share of what an even decay leaves, below which skill has not faded but vanished."""


class Fading(NamedTuple):
    """Mean product of forecast and return when the entry is late."""

    by_delay: tuple[float, ...]
    """at 0, 1, 2 bars"""
    is_abrupt: bool | None
    """far less is left than of an even decay: a signal that lives for a bar, or a look
    at the next one; None where nothing can be late"""


def shuffled(record: BarRecord, block: int, seed: int) -> BarRecord:
    """The same bars in blocks of another order, all symbols together.

    A block keeps its inner moves, so that volatility clusters as before; its prices are
    shifted, by whole increments, to begin where the block before it ends.
    """
    order = shuffled_rows(len(record.ints), block, seed)
    ints, floats = record.ints[order].copy(), record.floats[order].copy()
    mids = record.column("mid_close").astype(np.int64)
    moved = np.diff(mids, axis=0, prepend=mids[:1])[order]
    path = mids[0] + np.cumsum(moved, axis=0)
    shift = (path - mids[order]) // 2
    for name in PRICES:
        whole = 2 * shift if name.startswith("mid") else shift
        ints[:, BAR_INTS.index(name)] += whole.astype(ints.dtype)
    return BarRecord(record.first, ints, floats)


def shuffled_rows(bars: int, block: int, seed: int) -> Int[np.ndarray, " T"]:
    """Rows in blocks drawn without replacement; the rest at the end stays there."""
    blocks = np.random.default_rng(seed).permutation(bars // block)
    rows = (blocks[:, None] * block + np.arange(block)).ravel()
    return np.concatenate([rows, np.arange(len(rows), bars)])


def ends_of_blocks(bars: int, block: int) -> Bool[np.ndarray, " T"]:
    """Bars after which a block drawn at random follows: nothing before can tell it."""
    place = np.arange(bars) + 1
    return (place % block == 0) & (place < bars // block * block)


def shuffled_skill(
    forecast: Float[np.ndarray, "T S"],
    returns: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    is_end: Bool[np.ndarray, " T"],
) -> float:
    """t of the forecasts made at the ends of shuffled blocks; above `ERRORS`: a leak.

    Within a block the market's own link is left as it was, so only its end is judged.
    With blocks of a horizon no two of those labels share a bar.
    """
    counted = np.where(is_end[:, None], weights, 0.0)
    return information_coefficient(forecast, returns, counted, horizon=1).t


def moved_by_the_future(
    prepare: Callable[[BarRecord], np.ndarray], record: BarRecord, cut: int
) -> int:
    """Values of rows before `cut` that change when the bars from there on do.

    `prepare` is everything that is fitted and computed, from recorded bars to rows; the
    bars from `cut` on come in the opposite order, and first: what remembers the market
    as a run went through it would say the same of it once more. Anything but 0 is a
    leak.
    """
    turned = np.arange(len(record.ints))
    turned[cut:] = turned[cut:][::-1]
    other = BarRecord(record.first, record.ints[turned], record.floats[turned])
    before, after = (np.asarray(prepare(one))[:cut] for one in (other, record))
    is_same = (before == after) | (np.isnan(before) & np.isnan(after))
    return int((~is_same).sum())


def products(
    forecast: Float[np.ndarray, "T S"],
    entry: Float[np.ndarray, "T S"],
    close: Float[np.ndarray, "T S"],
    horizon: int,
) -> tuple[Float[np.ndarray, "T S"], ...]:
    """Forecast times return for entries 0, 1 and 2 bars late, to the same end.

    A horizon of one bar has nothing to be late in.
    """
    delays = range(min(3, horizon))
    return tuple(product(forecast, entry, close, horizon, delay) for delay in delays)


def fading(
    scored: Sequence[Float[np.ndarray, "T S"]],
    weights: Float[np.ndarray, "T S"],
    horizon: int,
) -> Fading:
    """What is left of the skill in `products` when the entry is late.

    Labels end where they did, so that of skill spread evenly over them a share of
    d/horizon goes.
    """
    whole = scored[0]
    is_known = np.isfinite(whole) & (weights > 0)
    counted = np.where(is_known, weights, 0.0)
    own = counted[is_known]
    means = tuple(float(np.average(x[is_known], weights=own)) for x in scored)
    lacking = [
        PARTED * (1 - delay / horizon) * whole - late
        for delay, late in enumerate(scored[1:], 1)
    ]
    is_abrupt = any(is_above(x, counted, 4 * horizon) for x in lacking)
    return Fading(means, is_abrupt if lacking else None)


def product(
    forecast: np.ndarray, entry: np.ndarray, close: np.ndarray, horizon: int, delay: int
) -> Float[np.ndarray, "T S"]:
    """Forecast times the log return from an entry `delay` bars late to the same end."""
    later = forward_returns(entry, close, horizon - delay)
    returns = np.full(later.shape, np.nan)
    returns[: len(later) - delay] = later[delay:]
    return forecast * returns


def is_above(
    values: Float[np.ndarray, "T S"], weights: Float[np.ndarray, "T S"], block: float
) -> bool:
    """Whether a mean is above zero by `ERRORS` of its bootstrapped errors."""
    means = resampled_means(values, weights, block, 300, seed=0)
    centre = float(np.average(values[weights > 0], weights=weights[weights > 0]))
    return centre > ERRORS * means.std(ddof=1)


def beats_the_bound(excess: Excess) -> bool:
    """Whether a forecast is better than the best possible one: it reads the future."""
    return excess.log_loss < -ERRORS * excess.standard_error
