"""Orders that rest although nobody wants them any more, or nothing may open any more.

What is in flight counts as filled on its own side alone: nothing is sent against it.
Where a wish can do without it, it is taken back, and what trades until then is part of
the next wish. Stops and take-profits are not asked about: they follow the position.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Float

from bot4jax.runtime.context import Context
from bot4jax.runtime.orders import OrderId
from bot4jax.runtime.targets import LEAST_CHANGE, wished_lots
from bot4jax.runtime.tracking import Tracked
from bot4jax.types import BUY


def withdrawn(
    working: Iterable[Tracked],
    targets: Float[np.ndarray, " S"],
    held: Float[np.ndarray, " S"],
    context: Context,
) -> set[OrderId]:
    """Ids of open orders that are to be taken back, where these are the targets.

    Whatever could open something goes where nothing may be opened, or nothing is known
    of the wish.
    """
    own = [one for one in working if not one.order.group]
    if not own:
        return set()
    wish = wished_lots(targets, held, context)
    barred = may_not_open(context) | ~np.isfinite(wish)
    gone = {
        one.order.id
        for one in own
        if barred[one.order.symbol] and not one.order.reduce_only
    }
    left = [one for one in own if one.order.id not in gone]
    return gone | dispensable(left, wish)


def may_not_open(context: Context) -> Bool[np.ndarray, " S"]:
    """Slots in which nothing that takes on risk may leave."""
    return (context.refused > 0) | (context.opening is not None)


def dispensable(
    working: Sequence[Tracked], wish: Float[np.ndarray, " S"]
) -> set[OrderId]:
    """Those that rest and that the wish would still be met without, newest first."""
    needed = np.where(abs(wish) < LEAST_CHANGE, 0.0, wish)
    left = Counter[tuple[int, int]]()
    for one in working:
        left[one.order.symbol, one.order.side] += one.left
    found = set[OrderId]()
    for one in reversed(working):
        symbol, side = place = one.order.symbol, one.order.side
        others = left[place] - one.left
        way = 1 if side == BUY else -1
        if one.order.kind == "limit" and others >= max(way * needed[symbol], 0.0):
            left[place] = others
            found.add(one.order.id)
    return found
