"""How many new words the signs of returns are made of: Lempel and Ziv's parse.

A word ends with the first sign that makes it new: whatever came before, it cannot be
copied from there. Words are counted from a window's oldest bar on, so every window has
words of its own: one parse is begun at every bar and read when its window is full. A
bar then moves all parses by one sign, and none is ever parsed anew.
"""

import math
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from bot4jax.numerics import pairwise_maximum
from bot4jax.registry import Incremental, Scalar, feature

information = partial(feature, category="information")

Window = Float[np.ndarray, " W"]
Counts = Int[Array, " W"]

STRIDE = 16
"""Places whose largest is found at once; two rounds cover a window of 256."""


class Parses(NamedTuple):
    """One parse a bar of the window, and what they share."""

    alike: Counts
    """signs up to the newest that equal those so many bars before, by place in the
    window: the lags W − 1 … 0, none at lag 0"""
    found: Counts
    """complete words, times 2 W, and the signs they cover: the parse that begins with
    bar b lies at `b % W`"""


def grown(alike: Counts, returns: Float[Array, " W"], newest: Scalar) -> Counts:
    """How far back signs equal earlier ones, with the newest sign in."""
    is_earlier = jnp.arange(alike.size) < alike.size - 1
    is_same = is_earlier & ((returns < 0) == (newest < 0))
    return jnp.where(is_same, jnp.minimum(alike + 1, alike.size), 0)


def largest_from(values: Counts) -> Counts:
    """The largest of each place and those behind it.

    A round of neighbours, then one of every sixteenth, as a loop: XLA would do the
    first anew for every reader of the second.
    """
    window = values.size
    rounds = math.ceil(math.log(window, STRIDE))
    beyond = (STRIDE - 1) * STRIDE ** (rounds - 1)

    def farther(step: Int[Array, ""], values: Counts) -> Counts:
        padded = jnp.pad(values, (0, beyond))
        ahead = STRIDE**step * jnp.arange(STRIDE, dtype=step.dtype)
        parts = [lax.dynamic_slice_in_dim(padded, k, window) for k in ahead]
        return pairwise_maximum(parts)

    return lax.fori_loop(0, rounds, farther, values)


@information(
    unit="1",
    low=0.0,
    high=3.0,
    source="Lempel & Ziv (1976), On the Complexity of Finite Sequences",
)
class LempelZivComplexity(Incremental):
    """New words in the signs of returns, over n / log₂ n; standing counts as rising."""

    @staticmethod
    def init(window: int) -> Parses:
        return Parses(*(jnp.zeros(window, jnp.int32) for _ in Parses._fields))

    @staticmethod
    def update(
        state: Parses,
        standardised_return: Scalar,
        standardised_return_window: Float[Array, " W"],
        bar: Int[Array, ""],
    ) -> tuple[Parses, Scalar]:
        window, one_word = state.found.size, 2 * state.found.size
        alike = grown(state.alike, standardised_return_window, standardised_return)
        seen = (bar - jnp.arange(window, dtype=bar.dtype)) % window + 1
        found = jnp.where(seen == 1, 0, state.found)
        covered = found % one_word
        # A word is copied from between the beginning of its parse and its own.
        copied = largest_from(alike)
        copied = copied.at[window - 1 - covered].get(mode="promise_in_bounds")
        is_new = copied < seen - covered
        found = jnp.where(is_new, found - covered + one_word + seen, found)
        full = lax.dynamic_index_in_dim(found, (bar + 1) % window, 0, False)
        is_unfinished = full % one_word < window
        words = full // one_word + is_unfinished.astype(full.dtype)
        share = words.astype(jnp.float32) * float(np.log2(window) / window)
        return Parses(alike, found), share

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
