"""The forecaster that is always there: logistic regression on a few features.

What the healthy members leave of the vote is its: half where one is healthy, all where
none is. Which features it reads is configured (`features.fallback`), not learnt, so
that an executable of its own can compute them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from bot4jax.types import CLASSES


class FallbackParams(NamedTuple):
    """What it makes of each of its features."""

    weight: Float[Array, "K C"]
    bias: Float[Array, " C"]


def blank(features: int) -> FallbackParams:
    """An even forecast, whatever it is shown."""
    classes = len(CLASSES)
    return FallbackParams(
        jnp.zeros((features, classes), jnp.float32), jnp.zeros(classes, jnp.float32)
    )


def fallback(
    params: FallbackParams, values: Float[Array, "S K"]
) -> Float[Array, "S C"]:
    """Class probabilities from the scores of its features; of none, their shares."""
    return jax.nn.softmax(values @ params.weight + params.bias[None], axis=1)
