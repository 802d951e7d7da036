"""How many new words the signs of returns are made of: Lempel and Ziv's parse.

A word ends with the first sign that makes it new: whatever came before, it cannot be
copied from there. Which lags it can still be copied from is kept as bits of a few
whole numbers, so that a sign rules out many lags at a time.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, UInt32

from bot4jax.kernels.bank import intermediate
from bot4jax.registry import Scalar, Shared, feature

information = partial(feature, category="information")

Window = Float[np.ndarray, " W"]

BITS = 32
ALL = np.uint32(0xFFFFFFFF)


def lag_masks(window: int) -> UInt32[np.ndarray, "W N"]:
    """Lags that a word may be copied from if it begins after each bar.

    Bit `b` of the n-th word from the right is lag `32 n + b + 1`.
    """
    lags = np.arange(-(-window // BITS) * BITS)
    may = lags[None] <= np.arange(window)[:, None]
    words = np.packbits(may, axis=1, bitorder="little").view("<u4")
    return np.ascontiguousarray(words[:, ::-1])


def signs_before(falls: UInt32[Array, "W S"]) -> UInt32[Array, "M 32 S"]:
    """Of every bar the 32 signs before it, the nearest in bit 0, in rows of 32 bars.

    As many empty rows as a window has stand in front.
    """
    window, symbols = falls.shape
    seen = falls
    for k in (1, 2, 4, 8, 16):
        seen = seen.at[k:].set(seen[k:] | (seen[:-k] << k))
    rows = -(-window // BITS) * BITS
    empty = jnp.zeros((rows + 1, symbols), falls.dtype)
    rest = jnp.zeros((rows - window, symbols), falls.dtype)
    return jnp.concatenate([empty, seen[:-1], rest]).reshape(-1, BITS, symbols)


@intermediate
def word_count(standardised_return: Float[Array, "S W"]) -> Float[Array, " S"]:
    """Words of the exhaustive parse of the signs, an unfinished last one included."""
    symbols, window = standardised_return.shape
    falls = (standardised_return.T < 0).astype(jnp.uint32)
    before, masks = signs_before(falls), jnp.asarray(lag_masks(window))
    words = masks.shape[1]

    def bar(t: Array, carried: tuple[Array, ...]) -> tuple[Array, ...]:
        lags, count, _ = carried
        earlier = lax.dynamic_slice(
            before, (t // BITS + 1, t % BITS, jnp.zeros_like(t)), (words, 1, symbols)
        )
        fell = lax.dynamic_index_in_dim(falls, t, 0)
        left = lags & (earlier[:, 0] ^ jnp.where(fell > 0, 0, ALL).astype(jnp.uint32))
        is_new = lax.reduce(left, np.uint32(0), lax.bitwise_or, (0,)) == 0
        anew = lax.dynamic_index_in_dim(masks, t, 0, keepdims=False)
        lags = jnp.where(is_new[None], anew[:, None], left)
        return lags, count + is_new.astype(jnp.float32), is_new

    start = jnp.zeros((words, symbols), jnp.uint32), jnp.zeros(symbols)
    _, count, is_new = jax.lax.fori_loop(
        0, window, bar, (*start, jnp.ones(symbols, bool))
    )
    return count + (~is_new).astype(jnp.float32)


@information(
    unit="1",
    low=0.0,
    high=3.0,
    source="Lempel & Ziv (1976), On the Complexity of Finite Sequences",
)
class LempelZivComplexity(Shared):
    """New words in the signs of returns, over n / log₂ n; standing counts as rising."""

    @staticmethod
    def value(word_count: Scalar, standardised_return: Float[Array, " W"]) -> Scalar:
        window = standardised_return.size
        return word_count * float(np.log2(window) / window)

    @staticmethod
    def reference(standardised_return: Window) -> float:
        signs = "".join("-" if z < 0 else "+" for z in standardised_return)
        begin, words = 0, 0
        while begin < len(signs):
            end = begin + 1
            while end <= len(signs) and signs[begin:end] in signs[: end - 1]:
                end += 1
            begin, words = end, words + 1
        return words * np.log2(len(signs)) / len(signs)
