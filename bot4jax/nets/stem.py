"""The stem: one projection of the features that all nets read."""

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from bot4jax.nets.layers import LayerNorm, Linear


class Stem(nnx.Module):
    """gelu(norm(W x + b)): 130 features cost one product, not one a net."""

    def __init__(self, features: int, width: int, rng: np.random.Generator):
        self.project = Linear(features, width, rng)
        self.norm = LayerNorm(width)

    def __call__(self, x: Float[Array, "*T F"]) -> Float[Array, "*T H"]:
        return jax.nn.gelu(self.norm(self.project(x)))
