"""Quantiles of returns, from a window that is kept in order of size.

Sorting 256 returns of a thousand symbols at every bar would cost more than all other
features together. Taking one number out of a sorted row and putting one in moves each
of the others by one place at most, which is a comparison with its neighbours. It is the
one state that XLA copies at every bar: a row cannot be moved within itself.
"""

from functools import partial

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from bot4jax.registry import Incremental, Scalar, feature

statistical = partial(feature, category="statistical")

Window = Float[np.ndarray, " W"]
Ordered = Float[Array, " W"]

SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)


class SortedReturns(Incremental):
    """The window's standardised returns by size, shared by the quantiles."""

    @staticmethod
    def init(window: int) -> Ordered:
        # A ring begins with zeros, which leave it one by one.
        return jnp.zeros(window)

    @staticmethod
    def update(
        ordered: Ordered,
        standardised_return: Scalar,
        standardised_return_dropped: Scalar,
    ) -> tuple[Ordered, Ordered]:
        taken = without(ordered, standardised_return_dropped)
        moved = inserted(taken, standardised_return)
        return moved, moved


def without(ordered: Ordered, gone: Scalar) -> Float[Array, " V"]:
    """The row without the first number that equals `gone`."""
    return jnp.where(ordered[:-1] < gone, ordered[:-1], ordered[1:])


def inserted(ordered: Float[Array, " V"], new: Scalar) -> Ordered:
    """The row with one number more, still by size."""
    below = jnp.concatenate([jnp.full(1, -jnp.inf), ordered])
    above = jnp.concatenate([ordered, jnp.full(1, jnp.inf)])
    return jnp.minimum(above, jnp.maximum(below, new))


class Quantile(SortedReturns):
    """Value below which a share of the window's returns lies, interpolated linearly.

    In the training data's σ, not in the window's: one huge return would shrink that.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.__doc__ = f"Value below which {share:g} of the window's returns lie."

    def finish(self, ordered: Ordered) -> Scalar:
        place = self.share * (ordered.size - 1)
        low, part = int(place), place % 1
        return ordered[low] * (1 - part) + ordered[low + 1] * part

    def reference(self, standardised_return: Window) -> float:
        return float(np.quantile(standardised_return, self.share))


for share in SHARES:
    statistical(
        name=f"quantile_{round(100 * share)}",
        unit="σ of training",
        low=-1000.0,
        high=1000.0,
        source="Hyndman & Fan (1996), Sample Quantiles in Statistical Packages",
    )(Quantile(share))
