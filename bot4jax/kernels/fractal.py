"""How rough the path of the price is, and how its motion grows with time.

Slopes on doubly logarithmic paper. A price that stands still has the values of a
straight line.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bot4jax.kernels import box_rings
from bot4jax.kernels.box_rings import BoxRings
from bot4jax.kernels.shared import intermediate
from bot4jax.kernels.tolerances import COUNTED, QUOTIENT_OF_SLOPES
from bot4jax.numerics import safe_divide, safe_log, safe_root
from bot4jax.registry import Additive, Incremental, Scalar, Shared, Terms, feature

fractal = partial(feature, category="fractal")

Window = Float[np.ndarray, " W"]

KANTELHARDT = (
    "Peng et al. (1994), Mosaic Organization of DNA Nucleotides; Kantelhardt et al. "
    "(2001), Detecting Long-Range Correlations with Detrended Fluctuation Analysis"
)
FLAT = 1e-30
"""Mean square below which a path is a line in every box of a size."""
SPANS = (1, 2, 4, 8, 16)
"""Bars over which the generalised Hurst exponent takes differences."""
STEPS = (1, 2, 4, 8)
"""Bars of Higuchi's steps: they divide every window, so that all phases of a step take
equally many, and the mean of their lengths is the mean over all pairs of bars."""


def scales(window: int) -> list[int]:
    """Lengths of the boxes of detrended fluctuation: 4, 8 … a quarter window."""
    return [4 << i for i in range(20) if 4 << i <= window // 4]


def fitted_slope(x: np.ndarray, y: Float[Array, " K"]) -> Scalar:
    """Least-squares slope of y on known x; no number where one point has none."""
    if len(x) < 2:
        return jnp.float32(jnp.nan)
    weights = (x - x.mean()) / ((x - x.mean()) ** 2).sum()
    return (y * weights.astype(np.float32)).sum()


def own_slope(x: np.ndarray, y: np.ndarray) -> float:
    """The same in float64."""
    return float(np.polyfit(x, y, 1)[0]) if len(x) > 1 else np.nan


def measured_slope(x: np.ndarray, y: np.ndarray) -> float:
    """Least-squares slope, 0 where y is not finite: nothing moved."""
    return own_slope(x, y) if np.isfinite(y).all() else 0.0


def log_path(close_path: Float[Array, " W"]) -> Float[Array, " W"]:
    """Log price of each bar less the newest.

    With r the fourth root of 1 + x, log(1 + x) = 8 artanh((r − 1) / (r + 1)) by its
    series: within 1e-7 while prices stay within a factor of 16, and several times as
    fast as the library's.
    """
    root = safe_root(safe_root(1 + close_path))
    s = close_path / ((root + 1) ** 2 * (root**2 + 1))
    square, total = s * s, jnp.full_like(s, 1 / 13)
    for k in (11, 9, 7, 5, 3, 1):
        total = total * square + 1 / k
    return 8 * s * total


class Boxes(NamedTuple):
    """Straight lines fitted in boxes of equal length."""

    middle: Float[Array, " B"]
    slope: Float[Array, " B"]
    residual: Float[Array, " B"]
    """sum of squares about the line"""


def first_boxes(path: Float[Array, " W"]) -> Boxes:
    """Boxes of four bars."""
    a, b, c, d = (path.reshape(-1, 4)[:, k] for k in range(4))
    # A constant, a line, a bend and a wave are orthogonal: what the first two miss.
    bend, wave = (a - b - c + d) / 2, (a - 3 * b + 3 * c - d)
    return Boxes(
        (a + b + c + d) / 4,
        (3 * (d - a) + (c - b)) / 10,
        bend**2 + wave**2 / 20,
    )


def merged(boxes: Boxes, length: int) -> Boxes:
    """Boxes of twice the length: one line for the points of two.

    What one line adds to the squares of two is a sum of squares itself, so that a
    step of the price far from a box leaves no rounding in it.
    """
    left, right = (Boxes(*(part[k::2] for part in boxes)) for k in (0, 1))
    apart, moment = right.middle - left.middle, length * (length**2 - 1) / 12
    whole = 2 * length * (4 * length**2 - 1) / 12
    both = moment * (left.slope + right.slope) + length**2 / 2 * apart
    slope = both / whole
    gap = apart - length * slope
    added = moment * ((left.slope - slope) ** 2 + (right.slope - slope) ** 2)
    return Boxes(
        (left.middle + right.middle) / 2,
        slope,
        left.residual + right.residual + added + length / 2 * gap**2,
    )


def newest_residuals(path: Float[Array, " N"], count: int) -> list[Scalar]:
    """Sums of squares about lines in the last box of four bars, of eight …"""
    boxes = first_boxes(path)
    found = [boxes.residual[-1]]
    for k in range(count - 1):
        boxes = merged(boxes, 4 << k)
        found.append(boxes.residual[-1])
    return found


def of_chance(count: int) -> Window:
    """Log fluctuation of independent returns over the root of the scale, by scale.

    About its line a sum of s independent returns of variance 1 has the mean square
    (s² − 4) / 15 s, which grows faster than s on short scales: taken off, a random
    walk's slope is ½.
    """
    sizes = 4.0 * 2 ** np.arange(count)
    return np.log((sizes**2 - 4) / (15 * sizes**2)) / 2


class Fluctuations(Incremental):
    """Mean squares of the path about lines in boxes, shared by both slopes."""

    @staticmethod
    def init(window: int) -> BoxRings:
        return box_rings.init(window, len(scales(window)))

    @staticmethod
    def update(
        state: BoxRings, close_path_window: Float[Array, " W"], bar: Int[Array, ""]
    ) -> tuple[BoxRings, Float[Array, " K"]]:
        window = state.shape[1]
        lengths = scales(window)
        path = log_path(close_path_window[-lengths[-1] :])
        residuals = newest_residuals(path, len(lengths))
        state, kept = box_rings.push(state, residuals, lengths, bar)
        return state, jnp.stack([own.sum() for own in kept]) / window


def fluctuations(log_return: Window) -> Window:
    """The mean square of each scale by its definition: a line fitted a box."""
    profile = np.cumsum(log_return - log_return.mean())
    found = []
    for scale in scales(len(profile)):
        time = np.arange(scale)
        boxes = profile.reshape(-1, scale).T
        slope, level = np.polyfit(time, boxes, 1)
        found.append(((boxes - np.outer(time, slope) - level) ** 2).mean())
    return np.array(found)


def corrected(squares: Float[Array, " K"]) -> Float[Array, " K"]:
    """Log fluctuation of each scale, without what chance adds on short ones.

    Over that of the first scale: the logarithm of 1e-9 itself is rounded by 1e-6.
    """
    chance = of_chance(squares.size).astype(np.float32)
    return safe_log(safe_divide(squares, squares[:1], 1.0), FLAT) / 2 - chance


@fractal(unit="1", low=-1.0, high=3.0, source=KANTELHARDT, standard_error=0.058)
class DetrendedFluctuation(Fluctuations):
    """Growth of the detrended fluctuation with scale beyond chance.

    ½ for a random walk, and where a path is flat in all boxes of a size.
    """

    @staticmethod
    def finish(squares: Float[Array, " K"]) -> Scalar:
        sizes = np.log(2.0) * np.arange(squares.size)
        found = fitted_slope(sizes, corrected(squares))
        is_flat = (squares <= FLAT).any() & jnp.isfinite(found)
        return jnp.where(is_flat, 0.5, found)

    @staticmethod
    def reference(log_return: Window) -> float:
        squares, sizes = fluctuations(log_return), scales(len(log_return))
        if len(sizes) > 1 and squares.min() <= FLAT:
            return 0.5
        excess = np.log(squares) / 2 - of_chance(len(squares))
        return own_slope(np.log(sizes), excess)


@fractal(
    unit="1",
    low=-20.0,
    high=20.0,
    source="Peng et al. (1995), Quantification of Scaling Exponents and Crossover",
    tolerance=QUOTIENT_OF_SLOPES,
    standard_error=0.33,
)
class FluctuationCrossover(Fluctuations):
    """Growth of the fluctuation on short scales over that on long ones.

    Both beyond chance; 1 for a random walk, and where a path is flat in all boxes of a
    size.
    """

    @staticmethod
    def finish(squares: Float[Array, " K"]) -> Scalar:
        half = (squares.size + 1) // 2
        sizes, found = np.log(2.0) * np.arange(half), corrected(squares)
        short = fitted_slope(sizes, found[:half])
        long = fitted_slope(sizes, found[-half:])
        is_flat = (squares <= FLAT).any() & jnp.isfinite(short)
        return jnp.where(is_flat, 1.0, safe_divide(short, long, 1.0))

    @staticmethod
    def reference(log_return: Window) -> float:
        squares, sizes = fluctuations(log_return), np.log(scales(len(log_return)))
        half = (len(squares) + 1) // 2
        if half > 1 and squares.min() <= FLAT:
            return 1.0
        excess = np.log(squares) / 2 - of_chance(len(squares))
        short, long = (
            own_slope(sizes[:half], one) for one in (excess[:half], excess[-half:])
        )
        return short / long


class Changes(Additive):
    """Changes of the log price over several spans, the last W of each."""

    @staticmethod
    def terms(
        close_path_1_ago: Scalar,
        close_path_2_ago: Scalar,
        close_path_4_ago: Scalar,
        close_path_8_ago: Scalar,
        close_path_16_ago: Scalar,
    ) -> Terms:
        earlier = (
            close_path_1_ago,
            close_path_2_ago,
            close_path_4_ago,
            close_path_8_ago,
            close_path_16_ago,
        )
        moved = [jnp.log1p(path) for path in earlier]
        lengths = [jnp.abs(one) for one in moved[: len(STEPS)]]
        return *lengths, *(one**2 for one in moved)


@fractal(
    lag=16,
    unit="1",
    low=-1.0,
    high=2.0,
    source="Di Matteo, Aste & Dacorogna (2005), Long-Term Memories of Developed and "
    "Emerging Markets",
    standard_error=0.051,
)
class GeneralisedHurst(Changes):
    """Growth of the root mean square change with its span: ½ for a random walk."""

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        squares = jnp.stack(sums[len(STEPS) : -1])
        found = fitted_slope(np.log(SPANS), safe_log(squares) / 2)
        # A long difference remembers moves that a short one has forgotten.
        return jnp.where((squares > 0).all(), found, 0.0)

    @staticmethod
    def reference(close_path: Window) -> float:
        level = np.log(1 + close_path)
        squares = [np.mean((level[16:] - level[16 - k : -k]) ** 2) for k in SPANS]
        with np.errstate(divide="ignore"):
            return measured_slope(np.log(SPANS), np.log(squares) / 2)


@fractal(
    lag=STEPS[-1],
    unit="1",
    low=0.5,
    high=2.5,
    source="Higuchi (1988), Approach to an Irregular Time Series on the Basis of the "
    "Fractal Theory",
    standard_error=0.049,
)
class HiguchiDimension(Changes):
    """Growth of the log path's length as the step shrinks: 1½ for a random walk.

    Steps of 1, 2, 4 and 8 bars; the length of step k is that of the last W + k closes,
    whose k phases each take W / k steps and so are scaled alike.
    """

    @staticmethod
    def finish(*sums: Scalar) -> Scalar:
        steps = np.array(STEPS)
        lengths = jnp.stack(sums[: len(STEPS)]) * (1 / steps**2).astype(np.float32)
        found = -fitted_slope(np.log(steps), safe_log(lengths))
        return jnp.where(sums[0] > 0, found, 1.0)

    @staticmethod
    def reference(close_path: Window) -> float:
        level, steps = np.log(1 + close_path), np.array(STEPS)
        longest = STEPS[-1]
        if not np.diff(level[longest - 1 :]).any():
            return 1.0
        moves = [np.abs(level[longest:] - level[longest - k : -k]) for k in STEPS]
        lengths = [one.sum() / k**2 for one, k in zip(moves, STEPS, strict=True)]
        return -measured_slope(np.log(steps), np.log(lengths))


@intermediate
def moves(close_path: Float[Array, "S W"]) -> Float[Array, "S V"]:
    """Changes of the close from bar to bar, over the newest close."""
    return close_path[:, 1:] - close_path[:, :-1]


@fractal(
    unit="1",
    low=1.0,
    high=20.0,
    source="Katz (1988), Fractals and the Analysis of Waveforms",
    standard_error=0.25,
)
class KatzDimension(Shared):
    """Dimension of the price's path from its length and its reach: 1 for a line."""

    @staticmethod
    def value(close_path: Float[Array, " W"], moves: Float[Array, " V"]) -> Scalar:
        reach = jnp.abs(close_path - close_path[0]).max()
        # No reach is longer than its path: rounding said so of straight ones.
        share = jnp.minimum(safe_divide(reach, jnp.abs(moves).sum(), default=1.0), 1.0)
        steps = float(np.log(moves.size))
        return steps / (steps + safe_log(share))

    @staticmethod
    def reference(close_path: Window) -> float:
        length = np.abs(np.diff(close_path)).sum()
        if length == 0:
            return 1.0
        steps, reach = np.log(len(close_path) - 1), np.abs(close_path - close_path[0])
        share = min(reach.max() / length, 1.0)
        return float(steps / (steps + np.log(share)))


@fractal(
    lag=1,
    unit="1",
    low=1.0,
    high=1.2,
    source="Petrosian (1995), Kolmogorov Complexity of Finite Sequences",
    tolerance=COUNTED,
    standard_error=0.002,
)
class PetrosianDimension(Additive):
    """Dimension of the log path from how often it turns; standing counts as rising."""

    @staticmethod
    def terms(standardised_return: Scalar, standardised_return_1_ago: Scalar) -> Terms:
        turns = (standardised_return < 0) != (standardised_return_1_ago < 0)
        return (turns.astype(standardised_return.dtype),)

    @staticmethod
    def finish(turns: Scalar, count: Scalar) -> Scalar:
        # `count` turns are looked at between `count + 1` moves of `count + 2` prices.
        points = count + 2
        excess = jnp.log1p(0.4 * turns / points)
        return jnp.log(points) / (jnp.log(points) - excess)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        falls = standardised_return < 0
        turns = np.count_nonzero(falls[1:] != falls[:-1])
        n = len(standardised_return) + 1
        return float(np.log(n) / (np.log(n) + np.log(n / (n + 0.4 * turns))))
