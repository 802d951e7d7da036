"""How fast what was alike drifts apart: the largest Lyapunov exponent.

Each bar's last three returns look for their nearest likeness among the 64 bars before,
once, when they arrive; a table of the last few pairs follows them while they part.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from bot4jax.kernels.entropy import STEPS, on_grid
from bot4jax.kernels.fractal import fitted_slope
from bot4jax.numerics import safe_divide, safe_log
from bot4jax.registry import Incremental, Scalar, feature

fractal = partial(feature, category="fractal")

Window = Float[np.ndarray, " W"]

DIMENSION = 3
"""Returns that make up one state."""
FOLLOWED = 4
"""Bars for which a pair is followed."""
APART = 3
"""Least bars between the two of a pair: their returns do not overlap."""
SPAN = 64
"""Bars searched for a likeness, and bars over which distances are averaged."""
REACH = 2 * SPAN + FOLLOWED + DIMENSION - 1
FARTHEST = 1000.0
"""Steps of the grid at which returns are cut: float32 holds their squares exactly."""


def span(window: int) -> int:
    """Bars that are searched, and averaged over; fewer in a short window."""
    return SPAN if window >= REACH else window // 4


class Parting(NamedTuple):
    """Pairs that are followed, and how far apart the last ones were."""

    lags: Float[Array, " K"]
    """bars between the two of each pair, the youngest pair first; 0 is none"""
    logs: Float[Array, "D N"]
    """log distance after 0 … K bars, a ring"""
    known: Float[Array, "D N"]
    """1 where there is one"""


def squares(returns: Float[Array, " L"], reach: int) -> Float[Array, " R"]:
    """Squared distance of the newest state to those 64 … 1 bars before, in steps²."""
    grid = jnp.clip(on_grid(returns[-reach - DIMENSION :]), -FARTHEST, FARTHEST)
    total = jnp.zeros(reach)
    for k in range(DIMENSION):
        first = DIMENSION - 1 - k
        total += (grid[-1 - k] - grid[first : first + reach]) ** 2
    return total


def nearest_lag(square: Float[Array, " R"], lags: Float[Array, " R"]) -> Scalar:
    """Lag of the nearest other state, the later of equals; 0 if all are the same."""
    may = (square > 0) & (lags >= APART)
    least = jnp.where(may, square, jnp.inf).min()
    chosen = jnp.where(may & (square == least), lags, jnp.inf).min()
    return jnp.where(jnp.isfinite(chosen), chosen, 0.0)


@fractal(
    window=REACH,
    unit="nats per bar",
    low=-5.0,
    high=5.0,
    source="Rosenstein, Collins & De Luca (1993), A Practical Method for Calculating "
    "Largest Lyapunov Exponents from Small Data Sets",
    standard_error=0.022,
)
class LyapunovExponent(Incremental):
    """Growth of the mean log distance of states that were alike; 0 if all are equal.

    Pairs at no distance are left out, as a logarithm must. Returns lie on the grid of
    the entropies, so that the nearest of several is the same on every machine.
    """

    @staticmethod
    def init(window: int) -> Parting:
        ring = jnp.zeros((FOLLOWED + 1, span(window)))
        return Parting(jnp.zeros(FOLLOWED), ring, ring)

    @staticmethod
    def update(
        state: Parting,
        standardised_return_window: Float[Array, " W"],
        bar: Int[Array, ""],
    ) -> tuple[Parting, Parting]:
        reach = state.logs.shape[1]
        square = squares(standardised_return_window, reach)
        lags = jnp.arange(reach, 0, -1, dtype=jnp.float32)
        pairs = jnp.append(nearest_lag(square, lags), state.lags)
        is_own = lags[None] == pairs[:, None]
        apart = jnp.where(is_own, square[None], 0.0).sum(1)
        known = (apart > 0).astype(jnp.float32)
        logs = jnp.where(apart > 0, safe_log(apart, 1.0) / 2, 0.0)
        place = bar % reach
        moved = Parting(
            pairs[:-1],
            lax.dynamic_update_index_in_dim(state.logs, logs, place, 1),
            lax.dynamic_update_index_in_dim(state.known, known, place, 1),
        )
        return moved, moved

    @staticmethod
    def finish(found: Parting) -> Scalar:
        number = found.known.sum(1)
        curve = safe_divide(found.logs.sum(1), number)
        growth = fitted_slope(np.arange(FOLLOWED + 1), curve)
        return jnp.where((number > 0).all(), growth, 0.0)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        grid = np.clip(np.round(standardised_return * STEPS), -FARTHEST, FARTHEST)
        states = np.lib.stride_tricks.sliding_window_view(grid, DIMENSION)
        reach = span(len(standardised_return))
        after: list[list[float]] = [[] for _ in range(FOLLOWED + 1)]
        for now in range(len(states) - reach - FOLLOWED, len(states)):
            lag = own_lag(states, now, reach)
            for k in range(FOLLOWED + 1) if lag else ():
                if len(states) - reach <= now + k < len(states):
                    apart = np.linalg.norm(states[now + k] - states[now + k - lag])
                    after[k] += [np.log(apart)] if apart > 0 else []
        if not all(after):
            return 0.0
        curve = [np.mean(one) for one in after]
        return float(np.polyfit(np.arange(FOLLOWED + 1), curve, 1)[0])


def own_lag(states: np.ndarray, now: int, reach: int) -> int:
    """Lag of the nearest other state by its definition."""
    lags = np.arange(APART, reach + 1)
    square = ((states[now] - states[now - lags]) ** 2).sum(1)
    if not square.any():
        return 0
    square[square == 0] = np.inf
    return int(lags[square.argmin()])
