"""The stem: one projection of the features that all nets read."""

import jax
from flax import nnx
from jaxtyping import Array, Float


class Stem(nnx.Module):
    """gelu(norm(W x + b)): 130 features cost one product, not one a net."""

    def __init__(self, features: int, width: int, *, rngs: nnx.Rngs):
        self.project = nnx.Linear(features, width, rngs=rngs)
        self.norm = nnx.LayerNorm(width, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: Float[Array, "*T F"]) -> Float[Array, "*T H"]:
        return jax.nn.gelu(self.norm(self.project(x)))
