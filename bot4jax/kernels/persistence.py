"""Whether a price that went one way goes on that way: the rescaled range.

The range of a sum of n returns about its own trend, over their standard deviation,
grows like √n for a random walk, and faster where moves persist. On few returns it
grows otherwise even without any memory: Anis and Lloyd's expectation is taken off.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bot4jax.kernels import box_rings
from bot4jax.kernels.box_rings import BoxRings
from bot4jax.kernels.fractal import fitted_slope, own_slope, scales
from bot4jax.kernels.moments import RESOLUTION, resolved
from bot4jax.numerics import safe_divide, safe_log, safe_root
from bot4jax.registry import Incremental, Scalar, feature

fractal = partial(feature, category="fractal")

Window = Float[np.ndarray, " W"]


def sizes(window: int) -> list[int]:
    """Returns in a box."""
    return scales(window)[-4:]


def expected_range(returns: int) -> float:
    """Expectation of the rescaled range of independent normal returns."""
    halves = math.lgamma((returns - 1) / 2) - math.lgamma(returns / 2)
    ratios = [(returns - i) / i for i in range(1, returns)]
    return math.exp(halves) / math.sqrt(math.pi) * sum(map(math.sqrt, ratios))


def expectations(window: int) -> Window:
    """Log of the expected range of each size of box."""
    return np.log([expected_range(size) for size in sizes(window)])


def summing(size: int) -> Float[np.ndarray, "N N"]:
    """The matrix that turns a box of returns into their running sums."""
    return np.triu(np.ones((size, size))).astype(np.float32)


def rescaled_range(z: Float[Array, " N"]) -> Scalar:
    """Of one box of returns; 0 where they do not differ."""
    apart = z - z.mean()
    apart = apart - apart.mean()  # what rounding left in it
    sums = jnp.matmul(apart, summing(z.size), precision=jax.lax.Precision.HIGHEST)
    spread = (apart**2).mean()
    differs = spread > RESOLUTION * (z**2).mean()
    found = safe_divide(sums.max() - sums.min(), safe_root(spread))
    return jnp.where(differs, found, 0.0)


@fractal(
    unit="1",
    low=-1.0,
    high=2.0,
    source="Anis & Lloyd (1976), The Expected Value of the Adjusted Rescaled Hurst "
    "Range",
    standard_error=0.059,
)
class HurstExponent(Incremental):
    """Growth of the rescaled range beyond chance: ½ for a random walk, and if flat.

    A variance of at most 10⁻⁵ of the mean square counts as none.
    """

    @staticmethod
    def init(window: int) -> BoxRings:
        return box_rings.init(window, len(sizes(window)))

    @staticmethod
    def update(
        state: BoxRings,
        standardised_return_window: Float[Array, " W"],
        bar: Int[Array, ""],
    ) -> tuple[BoxRings, Scalar]:
        z, lengths = standardised_return_window, sizes(state.shape[1])
        found = [rescaled_range(z[-size:]) for size in lengths]
        state, ranges = box_rings.push(state, found, lengths, bar)
        # A mean over the boxes in which returns differ.
        number = [(own > 0).astype(own.dtype).sum() for own in ranges]
        sums = [own.sum() for own in ranges]
        means = safe_divide(jnp.stack(sums), jnp.stack(number))
        excess = safe_log(means) - expectations(state.shape[1]).astype(np.float32)
        growth = fitted_slope(np.log(lengths), excess) + 0.5
        return state, jnp.where((means > 0).all(), growth, 0.5)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        z, window = standardised_return, len(standardised_return)
        means = [own_range(z, size) for size in sizes(window)]
        if not all(means):
            return 0.5
        excess = np.log(means) - expectations(window)
        return own_slope(np.log(sizes(window)), excess) + 0.5


def own_range(standardised_return: Window, size: int) -> float:
    """Mean rescaled range by its definition, box by box."""
    found = []
    for box in standardised_return.reshape(-1, size):
        if resolved(box, RESOLUTION) > 0:
            sums = np.cumsum(box - box.mean())
            found.append(np.ptp(np.append(0.0, sums)) / box.std())
    return float(np.mean(found)) if found else 0.0
