"""Quotes for a market that has only bars, so that the same venue can answer orders.

An order decided at a close meets the next bar's opening price, half a stated spread
away from it, and never more than a stated share of the volume of the bar before: the
volume of the bar it trades in is not known when it is decided.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.data.source import BarBlock
from bot4jax.data.universe import Universe
from bot4jax.kernels.quoteless import half_spread
from bot4jax.types import BAR_FLOATS, BAR_INTS, QUOTE, TICK


class Terms(NamedTuple):
    """What is assumed about a market that shows no quotes."""

    half_spread: float
    """share of the price"""
    participation: float
    """share of the previous bar's volume that stands on each side"""


def opening_quotes(
    block: BarBlock,
    before: Float[np.ndarray, " S"],
    universe: Universe,
    terms: Terms,
    event_ns: int,
) -> np.ndarray:
    """`TICK` quotes around each live symbol's opening price."""
    return _quotes(block, "mid_open", before, universe, terms, event_ns)


def closing_quotes(
    block: BarBlock, universe: Universe, terms: Terms, event_ns: int
) -> np.ndarray:
    """`TICK` quotes around each live symbol's closing price."""
    return _quotes(block, "mid_close", volume(block), universe, terms, event_ns)


def volume(block: BarBlock) -> Float[np.ndarray, " S"]:
    """Base volume of the bar."""
    return block.floats[BAR_FLOATS.index("base_turnover")]


def _quotes(
    block: BarBlock,
    column: str,
    before: Float[np.ndarray, " S"],
    universe: Universe,
    terms: Terms,
    event_ns: int,
) -> np.ndarray:
    anchor = block.floats[BAR_FLOATS.index("anchor")].astype(np.int64)
    twice = 2 * anchor + block.ints[BAR_INTS.index(column)]
    mid = twice / 2
    half = half_spread(mid, terms.half_spread)
    lots = np.floor(terms.participation * before / universe.column("lot"))
    bid: Int[np.ndarray, " S"] = (mid - half).astype(np.int64)
    live = (block.ints[BAR_INTS.index("live")] > 0) & (bid > 0) & (lots >= 1)
    chosen = np.flatnonzero(live)
    records = np.zeros(len(chosen), TICK)
    records["kind"], records["symbol"], records["event_ns"] = QUOTE, chosen, event_ns
    records["a"] = bid[chosen]
    records["b"] = (twice - bid)[chosen]
    records["c"] = records["d"] = lots[chosen].astype(np.int64)
    return records
