"""The 158 price and volume features that Qlib's users start from, as a baseline.

Nine describe the candle, four its prices, and 29 a window of it, for five windows; all
are ratios, so that they compare across symbols. They see closed bars only.

Source: Yang et al. (2020), Qlib: An AI-oriented Quantitative Investment Platform, its
data set Alpha158.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view

WINDOWS = (5, 10, 20, 30, 60)
FEATURES = 158
TINY = 1e-12
"""Added to a denominator that may be zero, as the original does."""

_mean, _sum, _top, _bottom, _variance = (
    partial(f, axis=-1) for f in (np.mean, np.sum, np.max, np.min, np.var)
)
_deviation = partial(np.std, axis=-1, ddof=1)


class Candles(NamedTuple):
    """Closed bars, time × symbols; prices in one unit, volume in another."""

    open: Float[np.ndarray, "T S"]
    high: Float[np.ndarray, "T S"]
    low: Float[np.ndarray, "T S"]
    close: Float[np.ndarray, "T S"]
    volume: Float[np.ndarray, "T S"]


def alpha158(candles: Candles) -> Float[np.ndarray, "T S F"]:
    """All features of every bar; NaN until a window is full.

    The original's mean price of the bar is the mean of its four prices here: not every
    source knows turnover.
    """
    columns = [*_candle(candles)]
    for window in WINDOWS:
        columns += _windowed(candles, window)
    return np.stack(columns, axis=-1).astype(np.float32)


def _candle(bar: Candles) -> Iterator[np.ndarray]:
    """The bar's own shape, and its prices over its close."""
    top, bottom = np.maximum(bar.open, bar.close), np.minimum(bar.open, bar.close)
    reach = bar.high - bar.low + TINY
    for size in (
        bar.close - bar.open,
        bar.high - top,
        bottom - bar.low,
        2 * bar.close - bar.high - bar.low,
    ):
        yield size / bar.open
        yield size / reach
    yield (bar.high - bar.low) / bar.open
    mean = (bar.open + bar.high + bar.low + bar.close) / 4
    for price in (bar.open, bar.high, bar.low, mean):
        yield price / bar.close


def _windowed(bar: Candles, window: int) -> Iterator[np.ndarray]:
    """The 29 features of one window, each `[T, S]`."""
    yield from _prices(bar, window)
    moved, flow = _change(bar.close), _change(bar.volume)
    yield _over(_mean, window, moved > 0)
    yield _over(_mean, window, moved < 0)
    yield _over(_mean, window, np.sign(moved))
    for change in (moved, flow):
        size = _over(_sum, window, np.abs(change)) + TINY
        gain = _over(_sum, window, np.maximum(change, 0)) / size
        loss = _over(_sum, window, np.maximum(-change, 0)) / size
        yield from (gain, loss, gain - loss)
    yield from _volumes(bar, moved, window)


def _prices(bar: Candles, window: int) -> Iterator[np.ndarray]:
    close = bar.close
    yield _earlier(close, window) / close
    yield _over(_mean, window, close) / close
    yield _over(_deviation, window, close) / close
    slope, fit, rest = _line(close, window)
    yield from (slope / close, fit, rest / close)
    top, bottom = _over(_top, window, bar.high), _over(_bottom, window, bar.low)
    yield from (top / close, bottom / close)
    yield _over(lambda rows: np.quantile(rows, 0.8, axis=-1), window, close) / close
    yield _over(lambda rows: np.quantile(rows, 0.2, axis=-1), window, close) / close
    yield _over(_rank, window, close)
    yield (close - bottom) / (top - bottom + TINY)
    highest = _over(lambda rows: rows.argmax(-1) + 1.0, window, bar.high) / window
    lowest = _over(lambda rows: rows.argmin(-1) + 1.0, window, bar.low) / window
    yield from (highest, lowest, highest - lowest)


def _volumes(bar: Candles, moved: np.ndarray, window: int) -> Iterator[np.ndarray]:
    volume = bar.volume
    yield _correlation(bar.close, np.log(volume + 1), window)
    ratio = bar.close / _earlier(bar.close, 1)
    growth = np.log(volume / (_earlier(volume, 1) + TINY) + 1)
    yield _correlation(ratio, growth, window)
    yield _over(_mean, window, volume) / (volume + TINY)
    yield _over(_deviation, window, volume) / (volume + TINY)
    weighed = np.abs(ratio - 1) * volume
    spread = _over(_deviation, window, weighed)
    yield spread / (_over(_mean, window, weighed) + TINY)


def _over(statistic: Callable[..., Any], window: int, column: np.ndarray) -> np.ndarray:
    """A statistic of the last `window` bars; NaN before there are so many."""
    found = np.full(column.shape, np.nan)
    if len(column) >= window:
        rows = sliding_window_view(column.astype(np.float64), window, axis=0)
        found[window - 1 :] = statistic(rows)
    return found


def _earlier(column: np.ndarray, bars: int) -> np.ndarray:
    """The column so many bars before; NaN at the start."""
    found = np.full(column.shape, np.nan)
    found[bars:] = column[:-bars]
    return found


def _change(column: np.ndarray) -> np.ndarray:
    return column - _earlier(column, 1)


def _rank(rows: np.ndarray) -> np.ndarray:
    """Share of the window that the last value is not below; ties at their mean."""
    last = rows[..., -1:]
    below, equal = (rows < last).sum(-1), (rows == last).sum(-1)
    return (below + (equal + 1) / 2) / rows.shape[-1]


def _line(column: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slope, R² and last residual of a least-squares line through the window."""
    place = np.arange(window) - (window - 1) / 2
    slope = _over(lambda rows: rows @ place / (place @ place), window, column)
    mean, spread = _over(_mean, window, column), _over(_variance, window, column)
    explained = slope**2 * np.mean(place**2) / (spread + TINY)
    return slope, explained, column - mean - slope * place[-1]


def _correlation(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """Pearson's over the window; NaN where one side is constant."""

    found = np.full(x.shape, np.nan)
    if len(x) >= window:
        rows = sliding_window_view(np.stack([x, y]), window, axis=1)
        first, second = rows - rows.mean(-1, keepdims=True)
        square = (first**2).sum(-1) * (second**2).sum(-1)
        root = np.sqrt(np.where(square > 0, square, np.nan))
        found[window - 1 :] = (first * second).sum(-1) / root
    return found
