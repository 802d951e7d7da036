"""What half a spread is where a market shows no quotes: one formula for all who ask.

The paper venue makes its quotes of it, and the engine believes it: sizing, the quick
scan and labels that ask for their own cost read what `engine.observe` has made of it.
"""

from typing import TypeVar

import numpy as np
from jaxtyping import Array

Mids = TypeVar("Mids", Array, np.ndarray)


def half_spread(mid: Mids, share: float) -> Mids:
    """Increments from a mid to the bid and to the ask, `[S]` as `mid`.

    `share` of the mid in whole increments, one at least; and the half one that a mid
    between two increments is away from both.
    """
    return (mid * share).round().clip(1) + mid % 1
