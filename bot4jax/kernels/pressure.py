"""Indicators that weigh prices with volume, or with how usual they are, on mids."""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.numerics import safe_divide
from bot4jax.registry import Incremental, Scalar, Windowed, feature

pressure = partial(feature, category="technical")

Window = Float[np.ndarray, " W"]
Path = Float[Array, " W"]
Ring = Float[Array, " B"]

LAMBERT = 0.015
"""Lambert's constant: some four fifths of the values then lie within ±100."""


def slope_weights(points: int) -> Float[np.ndarray, " B"]:
    """Least-squares slope of a running total as weights of its `points − 1` steps."""
    at = np.arange(points) - (points - 1) / 2
    each = at / (at**2).sum()
    return each[::-1].cumsum()[::-1][1:].astype(np.float32)


BALANCE_WEIGHTS = slope_weights(20)


def pushed(ring: Ring, newest: Scalar) -> Ring:
    """The last bars with the newest in and the oldest out."""
    return jnp.concatenate([ring[1:], newest[None]])


@pressure(
    window=20,
    unit="1",
    low=-1e4,
    high=1e4,
    source="Lambert (1980), Commodity Channel Index: Tool for Trading Cyclic Trends",
)
class CommodityChannelIndex20(Windowed):
    """Typical price less its mean of 20 bars, over .015 of the mean deviation.

    Prices are taken from the newest one, so that equal ones differ by nothing; 0 then.
    """

    @staticmethod
    def value(high_path: Path, low_path: Path, close_path: Path) -> Scalar:
        typical = (high_path + low_path + close_path) / 3
        moved = typical - typical[-1]
        middle = moved.mean()
        deviation = jnp.abs(moved - middle).mean()
        return safe_divide(-middle, LAMBERT * deviation)

    @staticmethod
    def reference(high_path: Window, low_path: Window, close_path: Window) -> float:
        typical = (high_path + low_path + close_path) / 3
        moved = typical - typical[-1]
        deviation = np.abs(moved - moved.mean()).mean()
        return float(-moved.mean() / LAMBERT / deviation) if deviation else 0.0


@pressure(
    window=14,
    lag=1,
    unit="%",
    low=0.0,
    high=100.001,
    source="Quong & Soudack (1989), Volume-Weighted RSI: Money Flow",
)
class MoneyFlowIndex14(Incremental):
    """Turnover at risen typical prices over that at moved ones; 50 without any."""

    @staticmethod
    def init() -> Ring:
        return jnp.zeros(14, jnp.float32)

    @staticmethod
    def update(state: Ring, money_flow: Scalar) -> tuple[Ring, Scalar]:
        state = pushed(state, money_flow)
        risen = jnp.maximum(state, 0.0).sum()
        return state, 100 * safe_divide(risen, jnp.abs(state).sum(), 0.5)

    @staticmethod
    def reference(money_flow: Window) -> float:
        last = money_flow[-14:]
        risen, moved = last[last > 0].sum(), np.abs(last).sum()
        return float(100 * risen / moved) if moved else 50.0


@pressure(
    window=19,
    lag=1,
    unit="mean bar volumes per bar",
    low=-2.0,
    high=2.0,
    source="Granville (1963), Granville's New Key to Stock Market Profits",
)
class OnBalanceVolumeSlope20(Incremental):
    """Least-squares slope of on-balance volume, 20 points, over the mean volume.

    Volume is added in a bar that closes higher, subtracted in one that closes lower.
    """

    @staticmethod
    def init() -> tuple[Ring, Ring]:
        nothing = jnp.zeros(BALANCE_WEIGHTS.size, jnp.float32)
        return nothing, nothing

    @staticmethod
    def update(
        state: tuple[Ring, Ring], log_return: Scalar, volume: Scalar
    ) -> tuple[tuple[Ring, Ring], Scalar]:
        steps, volumes = state
        steps = pushed(steps, jnp.sign(log_return) * volume)
        volumes = pushed(volumes, volume)
        slope = (steps * BALANCE_WEIGHTS).sum()
        return (steps, volumes), safe_divide(slope, volumes.mean())

    @staticmethod
    def reference(log_return: Window, volume: Window) -> float:
        balance = np.cumsum(np.append(0.0, np.sign(log_return[1:]) * volume[1:]))
        mean = volume[1:].mean()
        slope = np.polyfit(np.arange(len(balance)), balance, 1)[0]
        return float(slope / mean) if mean else 0.0


@pressure(
    window=20,
    unit="1",
    low=-1.00001,
    high=1.00001,
    source="Achelis (1995), Technical Analysis from A to Z (Chaikin's money flow)",
)
class ChaikinMoneyFlow20(Incremental):
    """Mean place of the close in its bar, low −1 to high 1, weighted by volume.

    0 in a bar without a range, and without any volume.
    """

    @staticmethod
    def init() -> tuple[Ring, Ring]:
        return jnp.zeros(20, jnp.float32), jnp.zeros(20, jnp.float32)

    @staticmethod
    def update(
        state: tuple[Ring, Ring], close_location: Scalar, volume: Scalar
    ) -> tuple[tuple[Ring, Ring], Scalar]:
        flows, volumes = state
        flows = pushed(flows, close_location * volume)
        volumes = pushed(volumes, volume)
        return (flows, volumes), safe_divide(flows.sum(), volumes.sum())

    @staticmethod
    def reference(close_location: Window, volume: Window) -> float:
        total = volume.sum()
        return float((close_location * volume).sum() / total) if total else 0.0
