"""Calibrated forecasts: a fitted temperature, and curves of what was said and meant."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

KNOTS = 64
"""Of each curve: block ends of an isotonic fit beyond them lie a hundredth apart."""


class Curves(NamedTuple):
    """Of every forecaster and class: a rising line from what is said to its worth.

    Those of several regimes have an axis before all others.
    """

    given: Float[Array, "*R K C N"]
    meant: Float[Array, "*R K C N"]
    least: Float[Array, "*R K"]
    """of any probability"""


def identity(forecasters: int, classes: int) -> Curves:
    """Curves that change nothing above a millionth."""
    line = jnp.linspace(0, 1, KNOTS, dtype=jnp.float32)
    lines = jnp.tile(line, (forecasters, classes, 1))
    return Curves(lines, lines, jnp.full(forecasters, 1e-6, jnp.float32))


def straighten(
    curves: Curves, probability: Float[Array, "K S C"]
) -> Float[Array, "K S C"]:
    """What is meant, renormalised and held within its bounds; NaN stays NaN.

    The bounds come last, or the division would undercut them: what is below the least
    is raised to it, and what is above gives that off in proportion, so that the sum
    stays 1 and the most is one less the least of all others.
    """

    def of_class(said: Array, given: Array, meant: Array) -> Array:
        return jnp.interp(said, given, meant)

    of_one = jax.vmap(of_class, (1, 0, 0), 1)
    found = jax.vmap(of_one)(probability, curves.given, curves.meant)
    least = curves.least[:, None, None]
    found = jnp.maximum(found, least)
    found = jnp.maximum(found / found.sum(-1, keepdims=True), least)
    above = found - least
    left = 1 - found.shape[-1] * least
    return least + above * (left / above.sum(-1, keepdims=True))


def straighten_by(
    curves: Curves, probability: Float[Array, "K S C"], regime: Int[Array, " S"]
) -> Float[Array, "K S C"]:
    """The same by the curves of each symbol's regime."""
    each = jax.vmap(straighten, (0, None))(curves, probability)
    if len(each) == 1:
        return each[0]
    at = jnp.broadcast_to(regime[None, None, :, None], (1, *probability.shape))
    return jnp.take_along_axis(each, at, axis=0)[0]


def temper(
    log_probability: Float[Array, "*S C"], temperature: Float[Array, "*#S #C"]
) -> Float[Array, "*S C"]:
    """Calibrated log-probabilities: log softmax(log p / T).

    T > 1 flattens what was over-confident, T < 1 sharpens (Guo et al. 2017, On
    Calibration of Modern Neural Networks). The temperature is a scalar or has the rank
    of the forecasts. A forecast of NaN, +inf or nothing but −inf comes out as NaN: it
    must stay visible, so that the vote finds the member unhealthy.
    """
    return jax.nn.log_softmax(log_probability / temperature, axis=-1)


def apply_temperature(
    log_probability: Float[Array, "*S C"], temperature: Float[Array, "*#S #C"]
) -> Float[Array, "*S C"]:
    """Calibrated probabilities, which sum to 1; see `temper`."""
    return jnp.exp(temper(log_probability, temperature))
