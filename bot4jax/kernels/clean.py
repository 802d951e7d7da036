"""What reaches the members: robust scores, clamped, with what is unusable at zero.

Validation happens here, once, and is counted by feature; no kernel repeats it.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bot4jax.kernels.usable import RawFeatures

NORMAL_IQR = 1.349
"""Interquartile range of the standard normal distribution."""


class Scaler(NamedTuple):
    """Centre and width of every feature, pooled over symbols, from training bars."""

    centre: Float[Array, " F"]
    width: Float[Array, " F"]


class Cleaned(NamedTuple):
    """Feature scores and how many live symbols were masked or clamped for each."""

    values: Float[Array, "S F"]
    usable: Bool[Array, "S F"]
    masked: Int[Array, " F"]
    clamped: Int[Array, " F"]


def init_scaler(features: int) -> Scaler:
    """Scores equal values until a scaler is fitted."""
    return Scaler(jnp.zeros(features), jnp.ones(features))


def clean(
    scaler: Scaler, raw: RawFeatures, live: Int[Array, " S"], clip: Float[Array, ""]
) -> Cleaned:
    """Scores within ±`clip`; what is unusable is 0, the training data's centre."""
    # By the reciprocal, as XLA divides by what all symbols share: so that the host,
    # which scores training data, can do the same operations and get the same bits.
    score = (raw.values - scaler.centre[None]) * (1 / scaler.width)[None]
    score = jnp.where(raw.usable, score, 0.0)
    counted = (live > 0)[:, None]
    is_clamped = (jnp.abs(score) > clip) & counted
    return Cleaned(
        values=jnp.clip(score, -clip, clip),
        usable=raw.usable,
        masked=(~raw.usable & counted).sum(0).astype(jnp.int32),
        clamped=is_clamped.sum(0).astype(jnp.int32),
    )


def fit_scaler(
    values: Float[np.ndarray, "N F"], usable: Bool[np.ndarray, "N F"]
) -> Scaler:
    """Median and normal-consistent interquartile range of the usable values.

    A feature that never varies keeps width 1: its score is then constant.
    """
    centre = np.zeros(values.shape[1], np.float32)
    width = np.ones(values.shape[1], np.float32)
    for i in range(values.shape[1]):
        column = values[usable[:, i], i]
        if column.size:
            low, middle, high = np.quantile(column, (0.25, 0.5, 0.75))
            spread = (high - low) / NORMAL_IQR or column.std()
            centre[i], width[i] = middle, spread if spread > 0 else 1.0
    return Scaler(jnp.asarray(centre), jnp.asarray(width))
