"""The heads: what each net says becomes log probabilities of the classes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from bot4jax.types import CLASSES


class Heads(nnx.Module):
    """One linear map a net, zero at first: a fresh head says the class prior."""

    def __init__(
        self, widths: Sequence[int], prior: Float[Array, " C"], *, rngs: nnx.Rngs
    ):
        zeros = nnx.initializers.zeros_init()
        self.maps = nnx.List(
            nnx.Linear(width, len(CLASSES), kernel_init=zeros, rngs=rngs)
            for width in widths
        )
        for head in self.maps:
            head.bias = nnx.Param(jnp.log(prior))

    def __call__(
        self, hidden: Sequence[Float[Array, "*T H"]]
    ) -> Float[Array, "*T M C"]:
        logits = [head(h) for head, h in zip(self.maps, hidden, strict=True)]
        return jax.nn.log_softmax(jnp.stack(logits, axis=-2), axis=-1)
