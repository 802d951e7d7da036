"""Whether the nets learn: gradients that vanish, explode or are not numbers.

On the device an update judges its own gradient and learns nothing from a bad one
(`learn.update`); here it is told which layer was to blame, and when to give up.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from bot4jax.errors import TrainingError
from bot4jax.learn.update import Health
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes

VANISHED = 1e-4
"""Gradient of a layer's entries over that of its net's head, below which the layer
learns nothing while the head does: Adam divides both by their own size, so what is left
of the smaller one is rounding (Hochreiter 1991)."""


OF_MEMBERS = ("loss", "gradient_norm", "update_ratio")
"""Rows of `Health` with a column a net; other rows have one a layer."""


class History(NamedTuple):
    """What each update did: a row an update; a column a net, or a layer."""

    members: tuple[str, ...]
    layers: tuple[str, ...]
    loss: Float[np.ndarray, "U M"]
    gradient_norm: Float[np.ndarray, "U M"]
    update_ratio: Float[np.ndarray, "U M"]
    layer_gradient: Float[np.ndarray, "U L"]
    not_finite: Float[np.ndarray, "U L"]
    norm: Float[np.ndarray, " U"]
    clipped: Float[np.ndarray, " U"]
    """1 where the gradient was longer than the norm it is clipped to"""
    skipped: Float[np.ndarray, " U"]
    """1 where it was not finite or had exploded, and nothing was learnt from it"""


def history(sizes: NetSizes, rows: list[Health]) -> History:
    """Of all updates so far."""
    columns = (
        np.stack(column).astype(np.float32) for column in zip(*rows, strict=True)
    )
    return History(tuple(sizes.members), zoo.layers(sizes), *columns)


def values_of(
    members: tuple[str, ...], layers: tuple[str, ...], row: Health
) -> dict[str, float]:
    """What a logger hears of one update: `loss/lstm`, `layer_gradient/stem`, `norm`."""
    told = {}
    for name, value in row._asdict().items():
        found = np.atleast_1d(value).tolist()
        owners = members if name in OF_MEMBERS else layers
        keys = [name] if np.ndim(value) == 0 else [f"{name}/{own}" for own in owners]
        told |= dict(zip(keys, found, strict=True))
    return told


def require_learning(layers: tuple[str, ...], last: list[Health], most: int) -> None:
    """Stop where each of the last `most` updates was skipped, naming the layer."""
    if len(last) < most or not all(bool(row.is_skipped) for row in last[-most:]):
        return
    row = last[-1]
    share, size = np.asarray(row.not_finite), np.asarray(row.layer_gradient)
    if share.any():
        worst = int(share.argmax())
        what = f"{100 * share[worst]:.3g} % are not finite in {layers[worst]}"
    else:
        worst = int(np.nanargmax(size))
        what = f"the norm is {float(row.norm):.3g}, most of it in {layers[worst]}"
    raise TrainingError(
        f"nothing was learnt from {most} updates in a row; of the last gradient "
        f"{what}: look for values without bounds in the features (features.clip), "
        "lower train.learning_rate, or allow more with train.most_skipped"
    )


def vanished(told: History) -> Bool[np.ndarray, "U L"]:
    """Where a layer's gradient was too small beside that of its own head.

    Not in the first update: heads are zero then and pass nothing back.
    """
    head = {name.split()[1]: i for i, name in enumerate(told.layers) if "heads" in name}
    column = [head.get(name.split()[0], -1) for name in told.layers]
    reference = told.layer_gradient[:, column]
    found = told.layer_gradient <= VANISHED * reference
    found[:, [own < 0 for own in column]] = False
    found[:1] = False
    return found & (told.skipped == 0)[:, None]


def in_words(told: History) -> dict[str, Any]:
    """What a summary says of the gradients."""
    skipped, is_broken = told.skipped > 0, told.not_finite.any(1)
    small = vanished(told).mean(0) if len(told.loss) else np.zeros(len(told.layers))
    return {
        "updates": len(told.loss),
        "clipped": float(told.clipped.mean()) if len(told.loss) else 0.0,
        "skipped": {
            "not_finite": int((skipped & is_broken).sum()),
            "exploded": int((skipped & ~is_broken).sum()),
        },
        "vanished": {
            name: float(share)
            for name, share in zip(told.layers, small, strict=True)
            if share > 0
        },
    }
