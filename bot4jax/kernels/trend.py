"""Indicators of how strong a trend is and where it leads, on mids.

Ties decide here: a high that only repeats the last one is no rise. So movements come
as columns that were compared in integers, not as prices that were rounded.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.kernels.movement import NetMovement, Sums
from bot4jax.kernels.smoothing import (
    LEAST_RANGE,
    WILDER_DECAY,
    exponential_decay,
    faded,
    wilder_sums,
)
from bot4jax.kernels.tolerances import PRICE
from bot4jax.numerics import safe_divide
from bot4jax.registry import Incremental, Scalar, Windowed, feature

trend = partial(feature, category="technical")

Window = Float[np.ndarray, " W"]
Path = Float[Array, " W"]

WILDER = "Wilder (1978), New Concepts in Technical Trading Systems"

EFFICIENCY_BARS = 10
FASTEST, SLOWEST = 1 - exponential_decay(2), 1 - exponential_decay(30)
"""Weight of the newest price in Kaufman's average, in a trend and in noise."""

Movement = Float[Array, "3"]
"""Wilder's sums of rises, falls and true ranges, over the newest close."""


@trend(unit="%", low=-100.001, high=100.001, source=WILDER, carried=True)
class DirectionalDifference14(NetMovement):
    """Rises of the high less falls of the low, over true ranges, Wilder's averages.

    +DI less −DI; 0 where nothing moves. A bar counts for the larger of the two
    movements, for neither if they are equal.
    """

    @staticmethod
    def finish(found: Sums) -> Scalar:
        net, ranges = found
        reach = jnp.where(ranges > LEAST_RANGE, ranges, 0.0)
        return 100 * safe_divide(net, reach)

    @staticmethod
    def path(
        log_return: Window,
        directional_rise: Window,
        directional_fall: Window,
        true_range: Window,
    ) -> Window:
        sums = wilder_sums(log_return, directional_rise, directional_fall, true_range)
        rise, fall, reach = sums.T
        moves = reach > LEAST_RANGE
        return np.where(moves, 100 * (rise - fall) / np.where(moves, reach, 1), 0.0)


@trend(unit="%", low=0.0, high=100.001, source=WILDER, carried=True)
class AverageDirectionalIndex14(Incremental):
    """Wilder's average of |+DI − −DI| over their sum; 0 where nothing moves."""

    @staticmethod
    def init() -> tuple[Movement, Float[Array, "2"]]:
        return jnp.zeros(3, jnp.float32), jnp.zeros(2, jnp.float32)

    @staticmethod
    def update(
        state: tuple[Movement, Float[Array, "2"]],
        log_return: Scalar,
        directional_rise: Scalar,
        directional_fall: Scalar,
        true_range: Scalar,
        follows: Scalar,
    ) -> tuple[tuple[Movement, Float[Array, "2"]], Scalar]:
        sums, average = state
        new = jnp.stack([directional_rise, directional_fall, true_range])
        sums = faded(sums, log_return, new)
        both = sums[0] + sums[1]
        both = jnp.where(both > LEAST_RANGE, both, 0.0)
        index = safe_divide(jnp.abs(sums[0] - sums[1]), both)
        # The second row adds up the weights, so that the first bars need no seed.
        average = average * WILDER_DECAY + follows * jnp.stack([index, follows])
        return (sums, average), 100 * safe_divide(average[0], average[1])

    @staticmethod
    def path(
        log_return: Window,
        directional_rise: Window,
        directional_fall: Window,
        true_range: Window,
        follows: Window,
    ) -> Window:
        sums = wilder_sums(log_return, directional_rise, directional_fall, true_range)
        rise, fall, _ = sums.T
        both = rise + fall
        moved = both > LEAST_RANGE
        index = np.where(moved, np.abs(rise - fall) / np.where(moved, both, 1), 0)
        total, weight, found = 0.0, 0.0, np.zeros(len(index))
        for t in np.flatnonzero(follows > 0):
            total = total * WILDER_DECAY + index[t]
            weight = weight * WILDER_DECAY + 1
            found[t] = 100 * total / weight
        return found


@trend(
    window=26,
    unit="%",
    low=-100.0,
    high=100.0,
    source="Chande (1995), A Time Price Oscillator",
)
class AroonOscillator25(Windowed):
    """How much newer the highest high of 26 bars is than the lowest low, in 25ths.

    Of equal highs or lows the newest counts.
    """

    @staticmethod
    def value(high_path: Path, low_path: Path) -> Scalar:
        bars = jnp.arange(high_path.size, dtype=jnp.float32)
        top = jnp.where(high_path == high_path.max(), bars, 0.0).max()
        bottom = jnp.where(low_path == low_path.min(), bars, 0.0).max()
        return 100 * (top - bottom) / (high_path.size - 1)

    @staticmethod
    def reference(high_path: Window, low_path: Window) -> float:
        newest_first = high_path[::-1], low_path[::-1]
        since_high, since_low = np.argmax(newest_first[0]), np.argmin(newest_first[1])
        return float(100 * (since_low - since_high) / (len(high_path) - 1))


@trend(
    unit="relative price",
    low=-1.0,
    high=1e3,
    source="Kaufman (1995), Smarter Trading",
    tolerance=PRICE,
    carried=True,
)
class AdaptiveAverageDistance(Incremental):
    """Close over Kaufman's adaptive average, less one.

    The average follows a trend like one of 2 bars and noise like one of 30: it hardly
    forgets while a price goes nowhere, so it is carried. Before its first bar a price
    is taken to have stood still, which is a trend by the rule for no movement at all.
    """

    @staticmethod
    def init() -> tuple[Float[Array, " B"], Scalar]:
        return jnp.zeros(EFFICIENCY_BARS, jnp.float32), jnp.float32(0)

    @staticmethod
    def update(
        state: tuple[Float[Array, " B"], Scalar], log_return: Scalar
    ) -> tuple[tuple[Float[Array, " B"], Scalar], Scalar]:
        moves, average = state
        # Everything is relative to the newest close: when it moves, all of it does.
        shift = jnp.expm1(-log_return)
        moves = jnp.concatenate([moves[1:] * (1 + shift), -shift[None]])
        efficiency = safe_divide(jnp.abs(moves.sum()), jnp.abs(moves).sum(), 1.0)
        pace = (SLOWEST + efficiency * (FASTEST - SLOWEST)) ** 2
        average = (1 - pace) * (average + shift + average * shift)
        return (moves, average), -average / (1 + average)

    @staticmethod
    def path(log_return: Window) -> Window:
        price = np.exp(np.cumsum(np.append(np.zeros(EFFICIENCY_BARS + 1), log_return)))
        moves, average, averages = np.diff(price), price[0], []
        for t in range(EFFICIENCY_BARS, len(moves)):
            last = moves[t + 1 - EFFICIENCY_BARS : t + 1]
            travelled = np.abs(last).sum()
            efficiency = abs(last.sum()) / travelled if travelled else 1.0
            pace = (SLOWEST + efficiency * (FASTEST - SLOWEST)) ** 2
            average += pace * (price[t + 1] - average)
            averages.append(average)
        return price[EFFICIENCY_BARS + 1 :] / np.array(averages) - 1
