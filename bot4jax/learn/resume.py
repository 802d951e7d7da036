"""A fit that was killed goes on: all that the rest of it depends on, kept on disk.

The order of samples is a function of the seed and of the number of the update
(`learn.schedule`); what is kept is what updates hand on, the carried states included.
So a fit that goes on ends with the same bits as one that was never cut off.
"""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import msgspec
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Float, Int

from bot4jax.learn import checkpoint, health
from bot4jax.learn.checkpoint import Identity
from bot4jax.learn.health import Row
from bot4jax.learn.schedule import Samples
from bot4jax.learn.update import Fitting, Form, Health, begin
from bot4jax.nets import zoo
from bot4jax.schema.learning import Train

SEEN = 64
"""Bars of features that a fit is known by."""


class Progress(NamedTuple):
    """A fit between two updates."""

    done: Int[np.ndarray, ""]
    """updates"""
    fitting: Fitting
    carries: tuple[zoo.NetCarry, ...]
    """of each group of symbols; zeros before its first chunk"""
    rows: Row
    """of every update, `[U, …]`; zeros from `done` on"""


def identity(
    form: Form, samples: Samples, devices: int, settings: Train, seed: int
) -> Identity:
    """What a fit must share with the one that it goes on from.

    Other devices add gradients up in another order, so their number is told by name.
    Labels and weights come from every price there is, features by formulas that may
    have changed: `SEEN` bars of them stand for the rest, which may be long and on disk.
    """
    settings = msgspec.structs.replace(settings, checkpoint_every=0, samples="memory")
    shape = samples.features.shape
    words = [form.sizes, form.parts, form.products, shape, settings, seed]
    found = hashlib.sha256(msgspec.json.encode(words))
    for column in (samples.labels, samples.weights):
        found.update(np.ascontiguousarray(column).data)
    features = digest(samples.features)
    own = f"{found.hexdigest()[:16]} on {devices} device{'s' * (devices > 1)}"
    return Identity(own, catalogue_hash=features, features=())


def digest(features: Float[np.ndarray, "T S F"]) -> str:
    """Of the bits of some bars, evenly over the span and the last among them."""
    bars = np.linspace(0, len(features) - 1, min(SEEN, len(features))).astype(int)
    found = hashlib.sha256()
    for bar in bars:
        found.update(np.ascontiguousarray(features[bar]).data)
    return found.hexdigest()[:16]


def blank(form: Form, features: int, lanes: int, groups: int, updates: int) -> Progress:
    """Zeros of the types and shapes of a fit's progress, for a checkpoint to fill."""
    fitting, carry = jax.eval_shape(
        lambda: (
            begin(zoo.init(form.sizes, features, 0)),
            zoo.init_carry(form.sizes, lanes),
        )
    )
    rows = health.blank(form.sizes, updates)
    progress = Progress(np.zeros((), np.int32), fitting, (carry,) * groups, rows)
    return jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), progress)


def save(folder: Path, progress: Progress, name: Identity) -> None:
    """Keep it as the newest; the two before it stay."""
    checkpoint.save(folder, int(progress.done), progress, name)


def restore(folder: Path, like: Progress, name: Identity) -> Progress | None:
    """The newest that every process has whole; None where there is none.

    A torn one is passed over for the one before it.
    """
    newest = checkpoint.newest_intact(folder)
    own = -1 if newest is None else newest
    if jax.process_count() > 1:
        own = int(multihost_utils.process_allgather(np.int32(own)).min())
    if own < 0:
        return None
    return checkpoint.restore(folder, like, name, at_most=own)[0]


def stacked(rows: list[Row], updates: int) -> Row:
    """Rows of all updates, those to come filled with zeros."""

    def column(*leaves: Any) -> np.ndarray:
        found = np.stack(leaves)
        missing = [(0, updates - len(found))] + [(0, 0)] * (found.ndim - 1)
        return np.pad(found, missing)

    return jax.tree.map(column, *rows)


def unstacked(rows: Row, done: int) -> list[Row]:
    """Rows of the updates that are done."""
    return [
        Row(Health(*(column[i] for column in rows.health)), rows.saturated[i])
        for i in range(done)
    ]
