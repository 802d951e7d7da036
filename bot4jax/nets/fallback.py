"""The forecaster that is always there: logistic regression on ten features.

What the healthy members leave of the vote is its: half where one is healthy, all where
none is.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from bot4jax.types import CLASSES

FEATURES = 10


class FallbackParams(NamedTuple):
    """Which features it reads, and what it makes of them."""

    chosen: Int[Array, " K"]
    weight: Float[Array, "K C"]
    bias: Float[Array, " C"]


def blank(features: int = FEATURES) -> FallbackParams:
    """An even forecast, whatever it is shown; `features` are the first so many."""
    classes = len(CLASSES)
    return FallbackParams(
        jnp.arange(features, dtype=jnp.int32),
        jnp.zeros((features, classes), jnp.float32),
        jnp.zeros(classes, jnp.float32),
    )


def fallback(
    params: FallbackParams, values: Float[Array, "S F"]
) -> Float[Array, "S C"]:
    """Class probabilities from feature scores."""
    scores = values[:, params.chosen] @ params.weight + params.bias[None]
    return jax.nn.softmax(scores, axis=1)
