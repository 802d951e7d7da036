"""The decisions of a step in one array, for one transfer from the device.

Columns by symbol one after the other, then the weights that they were made with.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from bot4jax.kernels.sizing import Clamp
from bot4jax.kernels.vote import Vote
from bot4jax.types import CLASSES, Decisions


class Decided(NamedTuple):
    """The decisions of one step on the host, and the weights they were made with."""

    probability: Float[np.ndarray, "S C"]
    member_probability: Float[np.ndarray, "M S C"]
    confidence: Float[np.ndarray, " S"]
    disagreement: Float[np.ndarray, " S"]
    regime: int
    intent: Float[np.ndarray, " S"]
    flags: Int[np.ndarray, " S"]
    weight: Float[np.ndarray, " W"]
    """of every member, then of the fallback"""


def pack_decisions(decisions: Decisions, voted: Vote) -> Float[Array, " P"]:
    """All of it in float32; flags are small enough to be exact."""
    each = jnp.concatenate(
        [
            decisions.probability.T,
            decisions.member_probability.transpose(0, 2, 1).reshape(
                -1, decisions.intent.shape[0]
            ),
            decisions.confidence[None],
            decisions.disagreement[None],
            decisions.intent[None],
            decisions.flags.astype(jnp.float32)[None],
        ]
    )
    tail = jnp.concatenate(
        [
            voted.weight,
            voted.fallback_weight[None],
            decisions.regime.astype(jnp.float32)[None],
        ]
    )
    return jnp.concatenate([each.ravel(), tail])


def unpack_decisions(
    packed: Float[np.ndarray, " P"], members: int, symbols: int
) -> Decided:
    """The decisions of one step from their packed form."""
    classes = len(CLASSES)
    rows = classes * (1 + members) + 4
    each = packed[: rows * symbols].reshape(rows, symbols)
    tail = packed[rows * symbols :]
    by_member = each[classes:-4].reshape(members, classes, symbols)
    confidence, disagreement, intent, flags = each[-4:]
    return Decided(
        probability=each[:classes].T,
        member_probability=by_member.transpose(0, 2, 1),
        confidence=confidence,
        disagreement=disagreement,
        regime=int(tail[-1]),
        intent=intent,
        flags=flags.astype(np.int32),
        weight=tail[:-1],
    )


def unmoved(held: Float[np.ndarray, " S"], members: int) -> Float[np.ndarray, " P"]:
    """What is decided, packed, where nobody has said anything: what is held is kept.

    Forecasts are even, and nobody has a weight.
    """
    forecasts = np.full((1 + members) * len(CLASSES) * len(held), 1 / len(CLASSES))
    flags = Clamp.NO_MEMBER | Clamp.TOO_SLOW | Clamp.UNSEEN
    doubts, why = np.zeros(2 * len(held)), np.full(len(held), flags.value)
    tail = np.zeros(members + 2)
    return np.concatenate([forecasts, doubts, held, why, tail]).astype(np.float32)
