"""What stands in for the device, so that the loop can be timed without its nets.

Loop, journal, gate and portfolio are the real ones; only wishes and closings are made.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.engine import Engine
from bot4jax.runtime.closings import NO_ARRIVALS, Closed
from bot4jax.runtime.context import Market
from bot4jax.runtime.decider import Decider, Memory, Remembered
from bot4jax.runtime.fallback import Glanced
from bot4jax.types import TRADING

DISPLAYED = 2**40
"""Lots at each quote: nothing is made smaller."""

MEMBERS = 1
ROWS = 3 + 3 * MEMBERS + 4
"""Of a symbol, packed: `decisions.pack_decisions`; the wish is the last but one."""
SCALARS = MEMBERS + 2
"""Behind them: weights of members and fallback, and the regime."""

Targets = Callable[[int], Float[np.ndarray, " S"]]
"""Shares of the capital that are wished for, by step."""


class _Risk(NamedTuple):
    volatility: np.ndarray


class _Seen(NamedTuple):
    """As much of the engine's `Seen` as the loop reads."""

    values: np.ndarray
    risk: Any


class _Params(NamedTuple):
    units: None = None
    rules: None = None


def planned(targets: Targets, symbols: int) -> Decider:
    """What decides so; its memory is the number of the step."""

    def observe(units, state, ints, floats):
        zeros = np.zeros(symbols, np.float32)
        return state, _Seen(zeros[:, None], _Risk(zeros))

    def conclude(params, state, seen, ints, floats, held):
        rows = np.zeros((ROWS, symbols), np.float32)
        rows[:3], rows[-2] = 1 / 3, targets(state + 1)
        return state + 1, np.concatenate([rows.ravel(), np.zeros(SCALARS, np.float32)])

    parts: dict[str, Any] = dict.fromkeys(Engine._fields)
    parts |= {"glance": observe, "observe": observe, "conclude": conclude}
    memory: Any = Memory(Remembered(None, 0, 0), Glanced(None, 0))  # pyright: ignore[reportArgumentType]
    return Decider(Engine(**parts), _Params(), memory, MEMBERS)  # pyright: ignore[reportArgumentType]


def closing_of(bid: Int[np.ndarray, " S"], bar_ns: int, step: int) -> Closed:
    """A boundary at which every symbol has a quote, an increment wide."""
    slots, now_ns = len(bid), bar_ns * step
    size, seen = np.full(slots, DISPLAYED), np.full(slots, now_ns)
    nothing: Any = np.zeros((1, slots))
    return Closed(
        step,
        now_ns,
        nothing,
        nothing,
        Market(bid, bid + 1, seen, np.full(slots, TRADING), size, size),
        0.0,
        now_ns,
        0,
        0,
        NO_ARRIVALS,
        stale=np.zeros(slots, bool),
        newest_ns=now_ns,
    )
