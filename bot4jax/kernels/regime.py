"""In which regime each symbol is at a bar, by number, 0 … R − 1.

All that reads a regime takes the number: another source of it, of each symbol or one
for the whole market, replaces this file and nothing else.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def by_volatility(
    edges: Float[Array, "S E"], volatility: Float[Array, " S"]
) -> Int[Array, " S"]:
    """How many of its edges a symbol's volatility is above; 0 of one that is NaN.

    The volatility is that of the bars up to this one, so the regime is causal.
    """
    return (volatility[:, None] > edges).sum(1, dtype=jnp.int32)


def of_regime(
    each: Float[Array, "K R"], regime: Int[Array, " S"]
) -> Float[Array, "K #S"]:
    """What holds in each symbol's regime; of one regime alone nothing is looked up."""
    return each if each.shape[1] == 1 else each[:, regime]
