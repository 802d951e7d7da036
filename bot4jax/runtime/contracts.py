"""What one lot of every slot is, for sums over the whole universe."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.universe import Universe

NEVER_EXPIRES = np.iinfo(np.int64).max


class Contracts(NamedTuple):
    """What one lot of every slot is, for sums over the whole universe."""

    size: Float[np.ndarray, " S"]
    """lot × multiplier"""
    increment: Float[np.ndarray, " S"]
    is_inverse: Bool[np.ndarray, " S"]
    is_paid: Bool[np.ndarray, " S"]
    """bought with cash (spot, equity), not on margin"""
    minimum_notional: Float[np.ndarray, " S"]
    """quote currency"""
    margin: Float[np.ndarray, " S"]
    """share of its notional that a position binds"""
    expiry_ns: Int[np.ndarray, " S"]
    """event time from which nothing is opened; `NEVER_EXPIRES` where there is none"""


def contracts(universe: Universe) -> Contracts:
    """The columns of `Contracts` in slot order."""
    kinds, expiry_ns = universe.column("kind"), universe.column("expiry_ns")
    return Contracts(
        size=universe.column("lot") * universe.column("multiplier"),
        increment=universe.column("increment"),
        is_inverse=kinds == "inverse",
        is_paid=np.isin(kinds, ("spot", "equity")),
        minimum_notional=universe.column("minimum_notional"),
        margin=universe.column("margin"),
        expiry_ns=np.where(expiry_ns > 0, expiry_ns, NEVER_EXPIRES),
    )


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
