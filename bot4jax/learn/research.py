"""A quick backtest: a scan over time in which what is held is the own last target.

No gate, no lots and no queue: every target is met at the first executable mid, as far
as there is room at the best price, and pays half the spread and the fee; what is short
pays its lender. What there is no room for is not traded, and the next target is sized
from what is held. In a bar in which a symbol is not live nobody trades it.
Good for comparing forecasters with each other; orders are judged by the venue, never by
this.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from math import log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

from bot4jax.kernels import sizing
from bot4jax.kernels.sizing import Risk, SizingParams
from bot4jax.learn.borrowing import Lending, owed
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.room import Room


class Book(NamedTuple):
    """What a scan held and earned; shares of the capital."""

    traded: Float[np.ndarray, "T S"]
    gross: Float[np.ndarray, " T"]
    """at mid prices"""
    cost: Float[np.ndarray, " T"]
    """half spreads, fees, and what lenders of what is short ask"""
    stuck: Float[np.ndarray, " T"]
    """in the last bar, what could not be sold there, long and short alike, for want of
    a market or of room; it stands at its last price in `gross`, which nobody has paid
    """

    def net(self, times: float = 1.0) -> Float[np.ndarray, " T"]:
        """Profit of each bar at so many times the cost, of the same decisions."""
        return self.gross - times * self.cost


class Row(NamedTuple):
    """What sizing reads of one bar."""

    probability: Float[Array, "S C"]
    confidence: Float[Array, " S"]
    risk: Risk
    half_spread: Float[Array, " S"]
    may_open: Bool[Array, " S"]
    is_met: Bool[Array, " S"]
    room: Room


def confidence(probability: Float[np.ndarray, "T S C"]) -> Float[np.ndarray, "T S"]:
    """One less the entropy over its largest value: the vote's, were all members one."""
    p = np.maximum(probability, 1e-30)
    return (1 + (p * np.log(p)).sum(-1) / log(p.shape[-1])).astype(np.float32)


def holdings(
    params: SizingParams,
    horizon: int,
    floor: float,
    data: Dataset,
    probability: Float[np.ndarray, "T S C"],
    sure: Float[np.ndarray, "T S"],
    room: Room,
) -> Float[np.ndarray, "T S"]:
    """What every bar's targets make held, by the engine's own sizing, each from before.

    A symbol without a forecast (NaN) is never opened. One that is not live in the bar
    that would meet its target keeps what was held, one without room for it moves as far
    as there is: both are sized from what is held next.
    """
    is_known = np.isfinite(np.asarray(probability.sum(-1)))
    columns = (data.volatility, data.beta, data.market_volatility)
    rows = Row(
        jnp.asarray(np.where(is_known[..., None], probability, 1 / 3), jnp.float32),
        jnp.asarray(np.where(is_known, sure, 0), jnp.float32),
        Risk(*(jnp.asarray(column, jnp.float32) for column in columns)),
        jnp.asarray(data.half_spread, jnp.float32),
        jnp.asarray(data.live & is_known & (sure >= floor)),
        jnp.asarray(is_met(data)),
        Room(*(jnp.asarray(side, jnp.float32) for side in room)),
    )
    return np.asarray(_compiled(horizon)(params, rows))


def book(
    held: Float[np.ndarray, "T S"],
    data: Dataset,
    fee: Float[np.ndarray, " S"],
    lending: Lending,
    room: Room,
    delay: int = 0,
) -> Book:
    """Profits of targets decided at each bar's close and met at the next entry.

    What is decided in bar t stands from the entry of t + 1 to that of t + 2; the last
    one is sold at the closing, which costs what any other trade does. With a `delay`
    every target is met that many bars later, the same at the start as at the end:
    nothing is held before. Targets of symbols that are not live wait: a halt is sat
    through, and who is not live in the last bar is not sold. Late or not, no trade is
    larger than the room of its own bar; who is left in the last for want of it has paid
    the cost of leaving all the same.
    """
    late = np.zeros_like(held)
    late[delay:] = held[: len(held) - delay]
    late = worked(late, is_met(data), room)
    traded = np.abs(np.diff(late, axis=0, prepend=np.zeros_like(late[:1])))
    last = np.abs(late[-2])  # the next entry is past the end: everything leaves
    most = np.where(late[-2] > 0, room.sell[-1], room.buy[-1])
    traded[-1] = np.where(data.live[-1], last, 0.0)
    gross = (late[:-1] * moves(data)).sum(1)
    cost = (traded * (data.half_spread + fee)).sum(1) + owed(late, lending)
    traded[-1] = np.minimum(traded[-1], most)
    stuck = np.zeros(len(late))
    is_stuck = ~data.live[-1] | (last > most)
    stuck[-1] = (last - traded[-1])[is_stuck].sum()
    return Book(traded, np.append(gross, 0.0), cost, stuck)


def is_met(data: Dataset) -> Bool[np.ndarray, "T S"]:
    """Whether a target of this bar's close can be met: its symbol is live in the next.

    The last bar has none: its targets are met by nobody.
    """
    return np.concatenate([data.live[1:], np.zeros_like(data.live[:1])])


def worked(
    targets: Float[np.ndarray, "T S"], met: Bool[np.ndarray, "T S"], room: Room
) -> Float[np.ndarray, "T S"]:
    """What is held when each target is met as far as it can be, from nothing."""
    found, held = np.empty_like(targets), np.zeros_like(targets[0])
    rows = zip(targets, met, room.buy, room.sell, strict=True)
    for t, (target, is_met_now, buy, sell) in enumerate(rows):
        reached = np.clip(target, held - sell, held + buy)
        found[t] = held = np.where(is_met_now, reached, held)
    return found


def moves(data: Dataset) -> Float[np.ndarray, "U S"]:
    """Return from the entry after each bar's close to the next, the last to the close.

    0 where either price is none. One row less than there are bars.
    """
    marks = np.concatenate([data.entry[1:], data.close[-1:]])
    is_price = np.isfinite(marks) & (marks > 0)
    price = np.where(is_price, marks, 1.0)
    return np.where(is_price[1:] & is_price[:-1], price[1:] / price[:-1] - 1, 0.0)


@lru_cache(maxsize=8)
def _compiled(horizon: int) -> Callable[..., Array]:
    return jax.jit(partial(_scan, horizon))


def _scan(horizon: int, params: SizingParams, rows: Row) -> Float[Array, "T S"]:
    def step(held: Array, row: Row) -> tuple[Array, Array]:
        scale = row.risk.volatility * horizon**0.5
        worth = sizing.forecast(params, row.probability, scale)
        target, _ = sizing.targets(
            params,
            worth,
            row.risk,
            horizon,
            row.confidence,
            row.half_spread,
            held,
            row.may_open,
        )
        reached = jnp.clip(target, held - row.room.sell, held + row.room.buy)
        now = jnp.where(row.is_met, reached, held)
        return now, now

    start = jnp.zeros(rows.half_spread.shape[1], jnp.float32)
    return lax.scan(step, start, rows)[1]
