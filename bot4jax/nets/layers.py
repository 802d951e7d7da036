"""The two layers all nets are made of, and how their weights begin.

First weights are drawn by NumPy, so that a seed means the same numbers on every device
and nothing is compiled to draw them.
"""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

EPSILON = 1e-6
"""Added to the variance of a normalised vector."""

Start = Callable[[np.random.Generator, int, int], Float[np.ndarray, "I O"]]


class Linear(nnx.Module):
    """x W + b."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        rng: np.random.Generator,
        *,
        start: Start | None = None,
        bias: Float[np.ndarray, " O"] | None = None,
        use_bias: bool = True,
    ):
        self.kernel = nnx.Param((start or scaled)(rng, inputs, outputs))
        first = np.zeros(outputs, np.float32) if bias is None else bias
        self.bias = nnx.Param(first) if use_bias else None

    @property
    def weights(self) -> tuple[Float[Array, "I O"], Float[Array, " O"] | None]:
        """W, and b if there is one."""
        return self.kernel[...], None if self.bias is None else self.bias[...]

    def __call__(self, x: Float[Array, "*T I"]) -> Float[Array, "*T O"]:
        said = product(x, self.kernel[...])
        return said if self.bias is None else said + _row(self.bias, said)


class LayerNorm(nnx.Module):
    """(x − mean) / deviation × scale + bias (Ba, Kiros & Hinton 2016)."""

    def __init__(self, width: int):
        self.scale = nnx.Param(np.ones(width, np.float32))
        self.bias = nnx.Param(np.zeros(width, np.float32))

    def __call__(self, x: Float[Array, "*T H"]) -> Float[Array, "*T H"]:
        centred = x - x.mean(axis=-1, keepdims=True)
        variance = (centred * centred).mean(axis=-1, keepdims=True)
        scale = lax.rsqrt(variance + EPSILON) * _row(self.scale, x)
        return centred * scale + _row(self.bias, x)


def product(x: Float[Array, "*T I"], kernel: Float[Array, "I O"]) -> Array:
    """x W, taken in the type of W, its sums in that of x.

    Many rows are one axis: the gradient of W is a product over them, and over two axes
    XLA would lay both of its sides anew.
    """
    rows = x if x.ndim < 3 else x.reshape(-1, x.shape[-1])
    said = jnp.matmul(rows.astype(kernel.dtype), kernel, preferred_element_type=x.dtype)
    return said if x.ndim < 3 else said.reshape(*x.shape[:-1], kernel.shape[1])


def scaled(
    rng: np.random.Generator, inputs: int, outputs: int
) -> Float[np.ndarray, "I O"]:
    """Variance 1 / inputs (LeCun et al. 1998): an output is as large as an input."""
    kernel = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
    return kernel.astype(np.float32)


def orthogonal(
    rng: np.random.Generator, inputs: int, outputs: int
) -> Float[np.ndarray, "I O"]:
    """Square orthogonal blocks side by side, one a gate (Saxe et al. 2014)."""
    blocks = [
        np.linalg.qr(rng.normal(size=(inputs, inputs)))
        for _ in range(outputs // inputs)
    ]
    kernel = np.concatenate([q * np.sign(np.diag(r)) for q, r in blocks], axis=1)
    return kernel.astype(np.float32)


def zeros(
    rng: np.random.Generator, inputs: int, outputs: int
) -> Float[np.ndarray, "I O"]:
    """Says nothing until it is trained."""
    del rng
    return np.zeros((inputs, outputs), np.float32)


def _row(vector: nnx.Param, like: Array) -> Array:
    """The vector with as many axes as what it is added to."""
    return vector[...].reshape((1,) * (like.ndim - 1) + (-1,))
