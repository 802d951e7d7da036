"""What one lot of every slot is, for sums over the whole universe."""

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from bot4jax.data.universe import Universe
from bot4jax.runtime.money import MOST, UNITS, Ratio, counted, ratios, written
from bot4jax.types import Instrument

NEVER_EXPIRES = np.iinfo(np.int64).max


class Contracts(NamedTuple):
    """What one lot of every slot is, for sums over the whole universe."""

    size: Float[np.ndarray, " S"]
    """lot × multiplier"""
    increment: Float[np.ndarray, " S"]
    is_inverse: Bool[np.ndarray, " S"]
    is_paid: Bool[np.ndarray, " S"]
    """bought with cash (spot, equity), not on margin"""
    least: Shaped[np.ndarray, " S"]
    """that an opening order has at least: lots times twice the mid, increments; of an
    inverse contract, whose notional no price moves, lots. Python's own numbers where 64
    bits will not do"""
    worth: Ratio
    """of one lot, units of the settlement currency: × twice the mid, increments; of an
    inverse contract ÷ it. 0: nobody knows, or how much it binds"""
    margin: Float[np.ndarray, " S"]
    """share of its notional that a position binds"""
    binds: Ratio
    """as `worth`, times that share"""
    expiry_ns: Int[np.ndarray, " S"]
    """event time from which nothing is opened; `NEVER_EXPIRES` where there is none"""


def contracts(universe: Universe) -> Contracts:
    """The columns of `Contracts` in slot order."""
    kinds, expiry_ns = universe.column("kind"), universe.column("expiry_ns")
    worths = [_worth(one) for one in universe.instruments]
    margins = [_exact(one.margin) for one in universe.instruments]
    return Contracts(
        size=universe.column("lot") * universe.column("multiplier"),
        increment=universe.column("increment"),
        is_inverse=kinds == "inverse",
        is_paid=np.isin(kinds, ("spot", "equity")),
        least=counted([_least(one) for one in universe.instruments]),
        worth=ratios(worths),
        margin=universe.column("margin"),
        binds=ratios([a * b for a, b in zip(worths, margins, strict=True)]),
        expiry_ns=np.where(expiry_ns > 0, expiry_ns, NEVER_EXPIRES),
    )


def _exact(number: float) -> Fraction:
    """As it is written; below 0 where it is not known, or beyond what is counted."""
    return written(number) if abs(number) <= MOST else Fraction(-1)


def _worth(one: Instrument) -> Fraction:
    """`Contracts.worth` of one instrument."""
    size, tick = _exact(one.lot) * _exact(one.multiplier), _exact(one.increment)
    if not (min(size, tick) > 0 and _exact(one.margin) >= 0):
        return Fraction(0)
    return UNITS * (2 * size / tick if one.kind == "inverse" else size * tick / 2)


def _least(one: Instrument) -> int:
    """`Contracts.least` of one instrument, rounded up."""
    lot = written(one.lot) * written(one.multiplier)
    turn = lot if one.kind == "inverse" else lot * written(one.increment) / 2
    return math.ceil(written(one.minimum_notional) / turn)


def exposures(
    units: Contracts, lots: np.ndarray, price: Float[np.ndarray, " S"]
) -> Float[np.ndarray, " S"]:
    """Signed `notional` of every slot, settlement currency; 0 where nothing is held."""
    with np.errstate(invalid="ignore", divide="ignore"):
        worth = np.where(units.is_inverse, 1.0 / price, price)
        return np.where(lots == 0, 0.0, lots * units.size * worth)


def profits(
    units: Contracts,
    lots: np.ndarray,
    entry: Float[np.ndarray, " S"],
    now: Float[np.ndarray, " S"],
) -> Float[np.ndarray, " S"]:
    """`profit` of every slot, settlement currency; 0 where nothing is held."""
    with np.errstate(invalid="ignore", divide="ignore"):
        change = np.where(units.is_inverse, 1.0 / entry - 1.0 / now, now - entry)
        return np.where(lots == 0, 0.0, lots * units.size * change)
