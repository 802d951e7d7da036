"""What a fit has found, kept beside its checkpoint for a run that is cut off later.

Losses, gradients and calibration cannot be made anew without fitting once more.
"""

import hashlib
import logging
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import msgspec
import numpy as np

from bot4jax import durable
from bot4jax.learn.crossfit import Calibrations
from bot4jax.learn.health import History
from bot4jax.learn.params import Learned

FILE = "fit.bin"
"""The SHA-256 of the rest, then MessagePack."""

DIGEST = 32
"""Bytes of it"""

LOST = (
    f"This run was cut off after its fit, and {FILE}, which holds what the fit had "
    "found, is missing or damaged: losses and gradients of the fit, the calibration's "
    "table, and what traps around the fit have caught are not told. All other figures "
    "are those of a run that was never cut off; run.fresh=true makes everything anew."
)

logger = logging.getLogger(__name__)


class Told(NamedTuple):
    """What cannot be made anew without fitting once more."""

    history: History | None
    """None: not known any more"""
    calibration: Calibrations
    alarms: tuple[str, ...]


def write(folder: Path, learned: Learned) -> Path:
    """Keep it in the run's folder, whole or not at all."""
    told = Told(learned.members.history, learned.calibration, learned.alarms)
    raw = msgspec.msgpack.encode(told, enc_hook=_plain)
    return durable.write(folder / FILE, hashlib.sha256(raw).digest() + raw)


def read(folder: Path) -> Told:
    """What was kept; where that is lost, an alarm that says what is not told."""
    try:
        whole = (folder / FILE).read_bytes()
        if hashlib.sha256(whole[DIGEST:]).digest() != whole[:DIGEST]:
            raise ValueError("it does not match its SHA-256")
        return msgspec.msgpack.decode(whole[DIGEST:], type=Told, dec_hook=_array)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        logger.warning("%s: %s. %s", folder / FILE, error, LOST)
        return Told(None, {}, (LOST,))


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and JAX, as MessagePack has them."""
    if isinstance(value, np.generic):
        return value.item()
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes()


def _array(kind: Any, told: Any) -> Any:
    """An array of the library that the field is annotated with."""
    dtype, shape, raw = told
    array = np.frombuffer(raw, dtype).reshape(shape)
    return array if kind.array_type is np.ndarray else jnp.asarray(array)
