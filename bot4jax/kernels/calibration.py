"""Calibrated forecasts: log-probabilities divided by a fitted temperature."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


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
