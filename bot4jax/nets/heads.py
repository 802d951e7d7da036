"""The heads: what each net says becomes log probabilities of the classes."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from bot4jax.nets.layers import Linear, zeros
from bot4jax.types import CLASSES


class Heads(nnx.Module):
    """One linear map a net, zero at first: a fresh head says the class prior."""

    def __init__(
        self,
        widths: Sequence[int],
        prior: Float[np.ndarray, " C"],
        rng: np.random.Generator,
    ):
        bias = np.log(prior).astype(np.float32)
        self.maps = nnx.List(
            Linear(width, len(CLASSES), rng, start=zeros, bias=bias) for width in widths
        )

    def __call__(
        self, hidden: Sequence[Float[Array, "*T H"]]
    ) -> Float[Array, "*T M C"]:
        logits = [head(h) for head, h in zip(self.maps, hidden, strict=True)]
        return jax.nn.log_softmax(jnp.stack(logits, axis=-2), axis=-1)
