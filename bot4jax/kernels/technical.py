"""Indicators of technical analysis, on mids, with the lengths their authors gave.

Prices come relative to the newest close: every indicator here is unchanged when all
prices are multiplied, so the relative path gives the same values as prices.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.movement import NetMovement, Sums
from bot4jax.kernels.shared import intermediate
from bot4jax.kernels.smoothing import (
    LEAST_RANGE,
    WILDER_DECAY,
    difference_weights,
    exponential_decay,
    faded,
    running_average,
    wilder_sums,
)
from bot4jax.kernels.tolerances import PER_CENT, PRICE, PRICE_AND_MORE
from bot4jax.numerics import pairwise_sum, precise_sum, safe_divide, safe_root
from bot4jax.registry import Incremental, Scalar, Shared, Windowed, feature

technical = partial(feature, category="technical")

Window = Float[np.ndarray, " W"]
Path = Float[Array, " W"]

WILDER = "Wilder (1978), New Concepts in Technical Trading Systems"
APPEL = "Appel (1979), The Moving Average Convergence-Divergence Method"
BOLLINGER = "Bollinger (2002), Bollinger on Bollinger Bands"
LANE = "Lane (1984), Lane's Stochastics"

FAST, SLOW, SIGNAL = 12, 26, 9
"""Spans of the averages of the moving average convergence-divergence."""
DEVIATIONS = 2.0
"""Standard deviations from the middle to Bollinger's upper band."""


def place(value: Scalar, low: Scalar, high: Scalar) -> Scalar:
    """Where a value lies between two others, 0 to 1; ½ where those are equal."""
    return safe_divide(value - low, high - low, 0.5)


def own_place(value: float, low: float, high: float) -> float:
    return float((value - low) / (high - low)) if high > low else 0.5


@technical(unit="%", low=0.0, high=100.001, source=WILDER, carried=True)
class Rsi14(Incremental):
    """Relative strength index: rises over all moves, Wilder's average; 50 if flat.

    Moves come from returns, since prices that were rounded differ by rounding too.
    """

    @staticmethod
    def init() -> Float[Array, "2"]:
        return jnp.zeros(2, jnp.float32)

    @staticmethod
    def update(
        state: Float[Array, "2"], log_return: Scalar
    ) -> tuple[Float[Array, "2"], Scalar]:
        move = -jnp.expm1(-log_return)
        new = jnp.stack([jnp.maximum(move, 0.0), jnp.abs(move)])
        state = faded(state, log_return, new)
        total = jnp.where(state[1] > LEAST_RANGE, state[1], 0.0)
        return state, 100 * safe_divide(state[0], total, 0.5)

    @staticmethod
    def path(log_return: Window) -> Window:
        move = -np.expm1(-log_return)
        rises, total = wilder_sums(log_return, np.maximum(move, 0), np.abs(move)).T
        moves = total > LEAST_RANGE
        return np.where(moves, 100 * rises / np.where(moves, total, 1), 50.0)


@intermediate
def averages(close_path: Float[Array, "S W"]) -> Float[Array, "S K"]:
    """Fast and slow averages and the histogram, over the newest close, less one."""
    weights = difference_weights(close_path.shape[1], FAST, SLOW, SIGNAL)
    return jnp.matmul(close_path, weights, precision=jax.lax.Precision.HIGHEST)


@technical(unit="relative price", low=-1.0, high=1.0, source=APPEL, tolerance=PRICE)
class Macd(Shared):
    """Exponential average of 12 bars less that of 26, over the close."""

    @staticmethod
    def value(averages: Float[Array, " K"]) -> Scalar:
        return averages[0] - averages[1]

    @staticmethod
    def reference(close_path: Window) -> float:
        fast = running_average(close_path, exponential_decay(FAST))
        slow = running_average(close_path, exponential_decay(SLOW))
        return float(fast[-1] - slow[-1])


@technical(unit="relative price", low=-1.0, high=1.0, source=APPEL, tolerance=PRICE)
class MacdHistogram(Shared):
    """The difference of the averages less its own average of 9 bars, over the close."""

    @staticmethod
    def value(averages: Float[Array, " K"]) -> Scalar:
        return averages[2]

    @staticmethod
    def reference(close_path: Window) -> float:
        fast = running_average(close_path, exponential_decay(FAST))
        slow = running_average(close_path, exponential_decay(SLOW))
        line = fast - slow
        return float(line[-1] - running_average(line, exponential_decay(SIGNAL))[-1])


@technical(unit="relative price", low=-1.0, high=1.0, source=APPEL, tolerance=PRICE)
class EmaRatio(Shared):
    """Exponential average of 12 bars over that of 26, less one."""

    @staticmethod
    def value(averages: Float[Array, " K"]) -> Scalar:
        return (averages[0] - averages[1]) / (1 + averages[1])

    @staticmethod
    def reference(close_path: Window) -> float:
        fast = running_average(1 + close_path, exponential_decay(FAST))[-1]
        slow = running_average(1 + close_path, exponential_decay(SLOW))[-1]
        return float(fast / slow - 1)


@technical(
    window=50,
    unit="relative price",
    low=-1.0,
    high=1.0,
    source="Brock, Lakonishok & LeBaron (1992), Simple Technical Trading Rules",
    tolerance=PRICE,
)
class SmaDistance50(Windowed):
    """Close over the mean close of 50 bars, less one."""

    @staticmethod
    def value(close_path: Path) -> Scalar:
        total = precise_sum(close_path)
        return -total / (close_path.size + total)

    @staticmethod
    def reference(close_path: Window) -> float:
        return float(1 / (1 + close_path).mean() - 1)


@technical(window=20, unit="1", low=-1.5, high=2.5, source=BOLLINGER)
class BollingerPosition(Windowed):
    """Place of the close between the bands of two deviations; ½ if flat."""

    @staticmethod
    def value(close_path: Path) -> Scalar:
        middle = close_path.mean()
        reach = DEVIATIONS * safe_root(((close_path - middle) ** 2).mean())
        return place(close_path[-1], middle - reach, middle + reach)

    @staticmethod
    def reference(close_path: Window) -> float:
        middle, reach = close_path.mean(), DEVIATIONS * close_path.std()
        return own_place(close_path[-1], middle - reach, middle + reach)


@technical(
    window=20,
    unit="relative price",
    low=0.0,
    high=10.0,
    source=BOLLINGER,
    tolerance=PRICE_AND_MORE,
)
class BollingerWidth(Windowed):
    """Distance of the bands of two deviations over the middle."""

    @staticmethod
    def value(close_path: Path) -> Scalar:
        middle = close_path.mean()
        spread = safe_root(((close_path - middle) ** 2).mean())
        return 2 * DEVIATIONS * spread / (1 + middle)

    @staticmethod
    def reference(close_path: Window) -> float:
        return float(2 * DEVIATIONS * close_path.std() / (1 + close_path.mean()))


@technical(
    unit="relative price",
    low=0.0,
    high=1.0,
    source=WILDER,
    tolerance=PRICE,
    carried=True,
)
class AverageTrueRange14(NetMovement):
    """Wilder's average of 14 of the bars' true ranges, over the close.

    That of all bars: what lies before the window has faded to 6e-9 of itself, and still
    made .003 on a daily panel, where one range had been huge.
    """

    @staticmethod
    def finish(found: Sums) -> Scalar:
        _, ranges = found
        return ranges * (1 - WILDER_DECAY)

    @staticmethod
    def path(log_return: Window, true_range: Window) -> Window:
        return wilder_sums(log_return, true_range)[:, 0] * (1 - WILDER_DECAY)


@technical(window=14, unit="%", low=0.0, high=100.0, source=LANE)
class StochasticK14(Windowed):
    """Place of the close between low and high of 14 bars; 50 if flat."""

    @staticmethod
    def value(high_path: Path, low_path: Path, close_path: Path) -> Scalar:
        return 100 * place(close_path[-1], low_path.min(), high_path.max())

    @staticmethod
    def reference(high_path: Window, low_path: Window, close_path: Window) -> float:
        return 100 * own_place(close_path[-1], low_path.min(), high_path.max())


@technical(window=16, unit="%", low=0.0, high=100.0, source=LANE, tolerance=PER_CENT)
class StochasticD14(Windowed):
    """Mean of the last three places of the close between low and high of 14 bars."""

    @staticmethod
    def value(high_path: Path, low_path: Path, close_path: Path) -> Scalar:
        # Rounding led out of the range, to be masked, where the price rises or falls
        # straight: 300 thirds made 100.00001, and sizes turned leave −1e-6.
        places = []
        for end in (14, 15, 16):
            bars = slice(end - 14, end)
            low, high = low_path[bars].min(), high_path[bars].max()
            places.append(place(close_path[end - 1], low, high))
        return jnp.clip(100 * pairwise_sum(places) / 3, 0.0, 100.0)

    @staticmethod
    def reference(high_path: Window, low_path: Window, close_path: Window) -> float:
        places = [
            own_place(
                close_path[end - 1],
                low_path[end - 14 : end].min(),
                high_path[end - 14 : end].max(),
            )
            for end in (14, 15, 16)
        ]
        return float(np.clip(100 * np.mean(places), 0.0, 100.0))


@technical(
    window=28,
    unit="%",
    low=-100.0,
    high=0.0,
    source="Williams (1979), How I Made One Million Dollars Last Year Trading "
    "Commodities",
)
class WilliamsR28(Windowed):
    """Place of the close below the high of 28 bars, −100 to 0; −50 if flat."""

    @staticmethod
    def value(high_path: Path, low_path: Path, close_path: Path) -> Scalar:
        return -100 * place(close_path[-1], high_path.max(), low_path.min())

    @staticmethod
    def reference(high_path: Window, low_path: Window, close_path: Window) -> float:
        place = own_place(close_path[-1], low_path.min(), high_path.max())
        return 100 * place - 100


@technical(
    window=55,
    unit="1",
    low=0.0,
    high=1.0,
    source="Faith (2003), The Original Turtle Trading Rules (Donchian's channel)",
)
class DonchianPosition(Windowed):
    """Place of the close between low and high of 55 bars; ½ if flat."""

    @staticmethod
    def value(high_path: Path, low_path: Path, close_path: Path) -> Scalar:
        return place(close_path[-1], low_path.min(), high_path.max())

    @staticmethod
    def reference(high_path: Window, low_path: Window, close_path: Window) -> float:
        return own_place(close_path[-1], low_path.min(), high_path.max())
