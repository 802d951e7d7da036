"""Fixed weights of linear filters on an ordered window, the newest bar last.

A filter that starts anew on every window is a weighted sum of it. Weights are found
by running the filter itself, in float64, on unit vectors.
"""

from functools import cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

WILDER_DECAY = 1 - 1 / 14
"""What one bar leaves of Wilder's sums of 14 bars."""
LEAST_RANGE = 1e-27
"""Of the price: sums of moves below it have faded, and count as none. A float32 stops
fading at 2e-37; beside this that is nothing, while beside 1e-30 it was 1.5e-5 %."""


def running_average(values: Float[np.ndarray, "W ..."], decay: float) -> np.ndarray:
    """Exponentially weighted mean of all values so far, at every bar.

    Weights add up to 1 from the first bar on, so that nothing depends on a seed.
    """
    total, weight, means = 0.0 * values[0], 0.0, []
    for value in values:
        total, weight = total * decay + value, weight * decay + 1
        means.append(total / weight)
    return np.array(means)


def exponential_decay(span: int) -> float:
    """What one bar leaves of an exponential moving average."""
    return 1 - 2 / (span + 1)


@cache
def difference_weights(window: int, fast: int, slow: int, signal: int) -> np.ndarray:
    """`[W, 3]`: the fast and slow averages' weights, and the histogram's.

    The histogram is the difference of the two, less that difference's own average.
    """
    eye = np.eye(window)
    quick = running_average(eye, exponential_decay(fast))
    steady = running_average(eye, exponential_decay(slow))
    line = quick - steady
    histogram = line[-1] - running_average(line, exponential_decay(signal))[-1]
    return np.stack([quick[-1], steady[-1], histogram], 1).astype(np.float32)


def faded(
    sums: Float[Array, " K"], log_return: Float[Array, ""], new: Float[Array, " K"]
) -> Float[Array, " K"]:
    """Wilder's sums of 14 bars over the newest close, with a new bar's moves in.

    Older bars fade, and all are smaller beside a close that has risen: the plain form
    is sums × 13/14 × exp(−r) + new. What is taken off is small, and so is its rounding.
    """
    change = WILDER_DECAY * jnp.expm1(-log_return) - (1 - WILDER_DECAY)
    return sums + (sums * change + new)


def wilder_sums(
    log_return: Float[np.ndarray, " T"], *moves: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T K"]:
    """The same of all bars so far, at every bar, in float64."""
    total, sums = np.zeros(len(moves)), []
    for move, *new in zip(log_return, *moves, strict=True):
        total = total * WILDER_DECAY * np.exp(-move) + new
        sums.append(total)
    return np.array(sums)
