"""Fixed weights of linear filters on an ordered window, the newest bar last.

A filter that starts anew on every window is a weighted sum of it. Weights are found
by running the filter itself, in float64, on unit vectors.
"""

from functools import cache

import numpy as np
from jaxtyping import Float


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


def wilder_decay(bars: int) -> float:
    """What one bar leaves of Wilder's average: slower than the span of that length."""
    return 1 - 1 / bars


@cache
def average_weights(window: int, decay: float) -> Float[np.ndarray, " W"]:
    """Weights of the exponentially weighted mean of a window."""
    return running_average(np.eye(window), decay)[-1].astype(np.float32)


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
