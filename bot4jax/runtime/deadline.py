"""Whose decision counts, and how long the others are waited for."""

import enum
import time
from concurrent.futures import Future, wait
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from bot4jax.kernels.sizing import Clamp


class Voice(enum.Enum):
    """Who has decided a step: the first of them that was there in time."""

    MEMBERS = enum.auto()
    FALLBACK = enum.auto()
    NOBODY = enum.auto()
    """not even the fallback: what is held is kept"""


def voice_of(flags: Int[np.ndarray, " S"]) -> Voice:
    """Who has decided, by what is said of it."""
    if (flags & Clamp.UNSEEN).any():
        return Voice.NOBODY
    return Voice.FALLBACK if (flags & Clamp.TOO_SLOW).any() else Voice.MEMBERS


def is_in_time(work: Future[Any], until_s: float) -> bool:
    """Whether it is done by then, by `time.perf_counter`; a failure is told at once.

    Late is late, even if it is done by the time somebody looks.
    """
    wait([work], max(until_s - time.perf_counter(), 0.0))
    return work.done() and time.perf_counter() <= until_s


def is_there(array: Future[jax.Array]) -> bool:
    """Whether the device was asked for it, and has computed it."""
    if not array.done():
        return False
    return array.result().is_ready()  # pyright: ignore[reportAttributeAccessIssue]
