"""What lenders ask of who is short: a daily rate of what the borrowed shares are worth.

A day is held where the next boundary falls on another day of the market, whatever lies
between: a weekend is one night of a share's 252 a year, though ticks be waited for all
through it. Who closes a position before pays nothing.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.learn.returns import days_a_year
from bot4jax.schema.trading import Borrow
from bot4jax.types import Instrument


class Lending(NamedTuple):
    """The terms of a span."""

    rates: Float[np.ndarray, " S"]
    """share of the worth, a day"""
    ends_day: Bool[np.ndarray, " T"]
    """whether another day begins behind the bar"""


def daily_rates(
    instruments: tuple[Instrument, ...], borrow: Borrow
) -> Float[np.ndarray, " S"]:
    """Share of the worth of a short position, a day; nobody borrows a derivative."""
    yearly = {"equity": borrow.equity_bps, "spot": borrow.spot_bps}
    asked = np.array([yearly.get(one.kind, 0.0) for one in instruments])
    return asked * 1e-4 / days_a_year(instruments)


def ends_of_days(days: Int[np.ndarray, " T"]) -> Bool[np.ndarray, " T"]:
    """Bars behind which another day of the market begins, by the number of each's."""
    return np.append(np.diff(days) != 0, False)


def owed(held: Float[np.ndarray, "T S"], lending: Lending) -> Float[np.ndarray, " T"]:
    """What the targets of each bar pay, as shares of the capital.

    They are met in the next bar, so it is that bar's night they are held over.
    """
    short = np.maximum(-held, 0.0) @ lending.rates
    return short * np.append(lending.ends_day[1:], False)
