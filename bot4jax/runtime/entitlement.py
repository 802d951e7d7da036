"""What was owned since reference events were missed: what they may have changed.

Whoever owns nothing and has nothing open has lost nothing by a split, by funding or by
a dividend that a snapshot tells of afterwards. Whoever does need not have what it
counts.
"""

import numpy as np
from jaxtyping import Bool

from bot4jax.runtime.closings import Closed
from bot4jax.runtime.portfolio import Portfolio


class Entitlement:
    """Slots in which anything was owned or open, from the step before events were
    missed until a snapshot has told of all."""

    def __init__(self, symbols: int) -> None:
        self._is_owned: Bool[np.ndarray, " S"] = np.zeros(symbols, bool)
        """since then, or by the end of the last step"""

    def hear(self, closed: Closed, portfolio: Portfolio) -> list[int]:
        """Doubted slots of which something was owned; before events have acted."""
        self._is_owned |= owned(portfolio)
        return [slot for slot in closed.doubted if self._is_owned[slot]]

    def leave(self, closed: Closed, portfolio: Portfolio) -> None:
        """The step's orders are about to leave."""
        if closed.is_told:
            self._is_owned[:] = False
        self._is_owned |= owned(portfolio)


def owned(portfolio: Portfolio) -> Bool[np.ndarray, " S"]:
    """Slots in which something is held, or an order may still trade."""
    return (portfolio.lots != 0) | (
        portfolio.working.buys + portfolio.working.sells != 0
    )
