"""What an order is expected to be worth, all costs paid: who leaves first.

A target is the edge of a band inside which the next lot would cost more than it gains
(`kernels.sizing`). There the two are equal, and with every lot further away a lot gains
more, in proportion to the variance: s²/λ of the growth of the capital. So an order of L
lots on a way of D is expected to be worth s²·(D² − (D − L)²)/2λ = s²·L·(2D − L)/2λ.

It is known from what the gate has: whole lots, and where mids were within the period
that prices are looked back on; the variance of a range is in proportion to its square
(Parkinson, 1980, The Extreme Value Method for Estimating the Variance of the Rate of
Return). The factors that all orders share are left out. Orders of a target that a limit
of risk has cut back count less than they are worth.
"""

import numpy as np
from jaxtyping import Int

from bot4jax.runtime.context import Context

PARTS = 10**12
"""Of a unit of the base currency, so that ranks are whole numbers."""

MOST = 2**62


def benefits(
    context: Context,
    symbols: Int[np.ndarray, " n"],
    lots: Int[np.ndarray, " n"],
    ways: Int[np.ndarray, " n"],
) -> Int[np.ndarray, " n"]:
    """By order, in parts of the base currency; 0 where a price is unknown.

    `ways`: signed lots from what is held to what is wanted, with this order's sign.
    """
    period, market = context.period, context.market
    moved = np.maximum(period.highest[symbols] - period.lowest[symbols], 1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        share = moved / (market.bid[symbols] + market.ask[symbols])
        stake = share * context.unit[symbols]
        worth = (stake * lots) * (stake * (2 * ways - lots)) / context.owned.nav
        known = np.where(np.isfinite(worth), worth, 0.0)
        return np.rint(np.clip(known * PARTS, 0, MOST)).astype(np.int64)
