"""A fit of seconds: thirty updates of two small nets on samples from a seed.

As a program it fits in the folder it is given and tells each update on stdout.
"""

import sys
from functools import cache
from pathlib import Path

import jax
import msgspec
import numpy as np

from bot4jax.config import load
from bot4jax.learn import fit
from bot4jax.learn.schedule import Samples
from bot4jax.nets.sizes import CNNSizes, LSTMSizes, NetSizes

BARS, SYMBOLS, FEATURES = 30, 10, 5
UPDATES = 30
"""Two epochs of five chunks of three groups, the last of them half empty."""
EVERY = 4
"""Updates between two checkpoints: most lie within an epoch and a chunk."""

CONFIG = load(
    [
        "train.epochs=2",
        "train.symbols_per_batch=4",
        "train.chunk=6",
        f"train.checkpoint_every={EVERY}",
    ]
)
SIZES = NetSizes(
    stem=6,
    lstm=LSTMSizes(widths=(5, 4)),
    cnn=CNNSizes(channels=(4,), dilations=(2,), kernel=2),
    members=("lstm", "cnn"),
)
"""A net whose memory is rewritten at every bar, and one with a ring."""


def samples(seed=1) -> Samples:
    """Random scores, classes that lean on the first of them, and weights."""
    random = np.random.default_rng(seed)
    shape = (BARS, SYMBOLS)
    features = random.normal(size=(*shape, FEATURES)).astype(np.float32)
    labels = np.digitize(features[..., 0] + random.normal(size=shape), (-0.7, 0.7))
    weights = random.uniform(0.5, 1.5, shape).astype(np.float32)
    return Samples(features, labels.astype(np.int32), weights)


def settings(**changed):
    """How it is trained."""
    return msgspec.structs.replace(CONFIG.train, **changed)


def hardware(**changed):
    """What it runs on."""
    return msgspec.structs.replace(CONFIG.hardware, **changed)


def fitted(
    folder=None, data=None, report=None, own=None, on=None, log=None, sizes=SIZES
):
    """Weights and history."""
    place = fit.Place(folder, log or fit.NOWHERE.log)
    return fit.fit_nets(
        sizes,
        samples() if data is None else data,
        own or settings(),
        on or hardware(),
        3,
        report or (lambda *told: None),
        place,
    )


@cache
def undisturbed():
    """The fit that all others are compared with, made once for all tests."""
    return fitted()


def assert_same_bits(found, expected):
    pairs = zip(*map(jax.tree.leaves, (found, expected)), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


def main(folder: str) -> None:
    fitted(Path(folder), report=lambda *told: print(*told, flush=True))


if __name__ == "__main__":
    main(sys.argv[1])
