"""The best quotes: how spread, price and queues follow from the hidden path.

At the boundaries of bars they are drawn with the path, so that a bar needs no ticks of
the one before; between them `tape` draws them by the same rules.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.latent import Dynamics, Latent

WIDE_SHARE = 0.1
"""Share of quotes wider than one increment at the reference volatility."""
TILT = 0.25
"""Change of log queue size per unit of imbalance, up at the bid, down at the ask."""
QUEUE_DEVIATION = 0.8
"""Deviation of the log size of a queue."""


class Edge(NamedTuple):
    """The quotes at one boundary `[S]`, or at all of them `[T + 1, S]`."""

    price: Float[np.ndarray, "*B"]
    """efficient price, increments"""
    spread: Int[np.ndarray, "*B"]
    """increments"""
    bid_size: Int[np.ndarray, "*B"]
    ask_size: Int[np.ndarray, "*B"]
    """lots"""
    imbalance: Float[np.ndarray, "*B"]


def draw_edges(
    rng: np.random.Generator,
    hidden: Latent,
    law: Dynamics,
    price: Float[np.ndarray, " S"],
    depth: Float[np.ndarray, " S"],
) -> Edge:
    """The quotes at all boundaries.

    Args:
      price: at the start, increments.
      depth: median size of a best queue, lots.
    """
    draws = rng.random(hidden.path.shape, np.float32)
    chance = wide_chance(hidden.volatility, law.reference)
    chance = np.concatenate([chance[:1], chance])
    return Edge(
        price=price * np.exp(hidden.path),
        spread=spread_drawn(chance, draws),
        bid_size=queue_sizes(rng, depth, TILT * hidden.imbalance),
        ask_size=queue_sizes(rng, depth, -TILT * hidden.imbalance),
        imbalance=hidden.imbalance,
    )


def shown_mids(
    edges: Edge, halted: Bool[np.ndarray, "T S"]
) -> Int[np.ndarray, "T+1 S"]:
    """Mids at the boundaries, half increments; a halted symbol keeps its last one."""
    mids = mid_at(edges.price, edges.spread)
    boundary = np.arange(len(mids))[:, None]
    silent = np.concatenate([np.zeros_like(halted[:1]), halted])
    latest = np.maximum.accumulate(np.where(silent, 0, boundary), axis=0)
    return np.take_along_axis(mids, latest, axis=0)


def wide_chance(
    volatility: Float[np.ndarray, "*B"], reference: float
) -> Float[np.ndarray, "*B"]:
    """Chance that a quote is wider than one increment; it grows with volatility."""
    return np.minimum(WIDE_SHARE * volatility / np.exp(reference), 0.5)


def spread_drawn(
    chance: Float[np.ndarray, "*B"], draw: Float[np.ndarray, "*B"]
) -> Int[np.ndarray, "*B"]:
    """Spread in increments, 1 … 3, from a uniform draw."""
    return 1 + (draw < chance).astype(np.int64) + (draw < chance * chance)


def bid_at(
    price: Float[np.ndarray, "*B"], spread: Int[np.ndarray, "*B"]
) -> Int[np.ndarray, "*B"]:
    """The bid whose mid is nearest to the efficient price."""
    return np.rint(price - spread / 2).astype(np.int64)


def mid_at(
    price: Float[np.ndarray, "*B"], spread: Int[np.ndarray, "*B"]
) -> Int[np.ndarray, "*B"]:
    """The mid that is quoted around the efficient price, half increments."""
    return 2 * bid_at(price, spread) + spread


def queue_sizes(
    rng: np.random.Generator,
    depth: Float[np.ndarray, "*B"],
    tilt: Float[np.ndarray, "*B"],
) -> Int[np.ndarray, "*B"]:
    """Lots in queues, lognormal around `depth · exp(tilt)`, at least 1."""
    noise = rng.standard_normal(tilt.shape, np.float32)
    sizes = depth * np.exp(tilt + np.float32(QUEUE_DEVIATION) * noise)
    return np.maximum(sizes, 1).astype(np.int64)
