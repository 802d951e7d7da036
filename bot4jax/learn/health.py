"""Whether the nets learn: gradients that vanish, explode or are not numbers, and gates
that no longer move.

On the device an update judges its own gradient and learns nothing from a bad one
(`learn.update`); here it is told which layer was to blame, and when to give up.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

from bot4jax.errors import TrainingError
from bot4jax.learn.gates import OPEN, SHUT
from bot4jax.learn.update import Health
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes

VANISHED = 1e-4
"""Gradient of a layer's entries over that of its net's head, below which the layer
learns nothing while the head does: Adam divides both by their own size, so what is left
of the smaller one is rounding (Hochreiter 1991)."""


SATURATED = 0.5
"""Share of a layer's gates beyond `gates.SHUT` and `OPEN` above which it is warned of.
Sound fits that were looked at ended with at most .17."""

FADING, GROWING = 1e-2, 1e2
"""Norm of the gradient of a net's first layer over its last one's, outside of which it
is warned of. Sound fits that were looked at stayed between .1 and 4."""

END = 0.1
"""Share of the updates, the last ones, that warnings judge."""

OF_MEMBERS = ("loss", "gradient_norm", "update_ratio")
"""Rows of `Health` with a column a net; other rows have one a layer."""

SOMETIMES = ("saturated/", "first_to_last/")
"""What is not known of every update, and not told where it is not."""


class Names(NamedTuple):
    """Of the columns of all that is told."""

    members: tuple[str, ...]
    layers: tuple[str, ...]
    gated: tuple[str, ...]
    """of the layers, those that have gates"""
    ends: dict[str, zoo.Ends]
    """first and last layer of the nets that have more than one"""


class Row(NamedTuple):
    """What is told of one update."""

    health: Health
    saturated: Float[Array, " G"] | Float[np.ndarray, " G"]
    """share of the gates that were nearly shut or open before it (`learn.gates`); NaN
    where nobody looked"""


class History(NamedTuple):
    """What each update did: a row an update; a column a net, a layer, a gated layer."""

    members: tuple[str, ...]
    layers: tuple[str, ...]
    gated: tuple[str, ...]
    ends: dict[str, zoo.Ends]
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
    saturated: Float[np.ndarray, "U G"]


class Course(NamedTuple):
    """How something was when training began, and when it ended."""

    first: float
    last: float


def names_of(sizes: NetSizes) -> Names:
    """Of nets of these sizes."""
    members, layers = tuple(sizes.members), zoo.layers(sizes)
    return Names(members, layers, zoo.gated(sizes), zoo.ends(sizes))


def blank(sizes: NetSizes, updates: int) -> Row:
    """Zeros of the types and shapes of so many rows, one below the other."""
    names, flag = names_of(sizes), np.zeros(updates, bool)
    by_member, by_layer, by_gated = (
        np.zeros((updates, len(own)), np.float32) for own in names[:3]
    )
    columns: dict[str, Any] = {
        **dict.fromkeys(OF_MEMBERS, by_member),
        **dict.fromkeys(("layer_gradient", "not_finite"), by_layer),
        "norm": np.zeros(updates, np.float32),
        **dict.fromkeys(("is_clipped", "is_skipped"), flag),
    }
    return Row(Health(**columns), by_gated)


def history(sizes: NetSizes, rows: list[Row]) -> History:
    """Of all updates so far."""
    told = jax.tree.map(lambda *own: np.stack(own), *rows) if rows else blank(sizes, 0)
    columns = (np.asarray(own, np.float32) for own in (*told.health, told.saturated))
    return History(*names_of(sizes), *columns)


def values_of(names: Names, row: Row) -> dict[str, float]:
    """What a logger hears of one update: `loss/lstm`, `layer_gradient/stem`, `norm`."""
    told = {}
    for name, value in (*row.health._asdict().items(), ("saturated", row.saturated)):
        found = np.atleast_1d(value).tolist()
        owners = _owners(names, name)
        keys = [name] if np.ndim(value) == 0 else [f"{name}/{own}" for own in owners]
        told |= dict(zip(keys, found, strict=True))
    ratios = first_to_last(names, np.asarray(row.health.layer_gradient))
    told |= {f"first_to_last/{own}": float(ratio) for own, ratio in ratios.items()}
    return {
        key: value
        for key, value in told.items()
        if np.isfinite(value) or not key.startswith(SOMETIMES)
    }


def first_to_last(
    names: Names | History, gradient: Float[np.ndarray, "*U L"]
) -> dict[str, Float[np.ndarray, "*U"]]:
    """Norm of the gradient of each net's first layer over its last one's, from root
    mean squares as in `layer_gradient`.

    NaN where there is none: heads are zero at first and pass nothing back.
    """
    column = {name: i for i, name in enumerate(names.layers)}
    found = {}
    for own, (first, last, larger) in names.ends.items():
        above = gradient[..., column[first]] * np.float32(np.sqrt(larger))
        below = gradient[..., column[last]]
        is_told = np.isfinite(above) & (below > 0) & np.isfinite(below)
        none = np.full_like(below, np.nan)
        found[own] = np.divide(above, below, out=none, where=is_told)
    return found


def _owners(names: Names, row: str) -> tuple[str, ...]:
    """Of a row's columns."""
    if row == "saturated":
        return names.gated
    return names.members if row in OF_MEMBERS else names.layers


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


def saturation(told: History) -> dict[str, Course]:
    """Median of the share of saturated gates, of each layer that has gates."""
    rows = told.saturated[told.skipped == 0]
    pairs = zip(told.gated, rows.T, strict=True)
    found = {name: _course(own[np.isfinite(own)]) for name, own in pairs}
    return {name: one for name, one in found.items() if one is not None}


def ratios(told: History) -> dict[str, Course]:
    """Median of the first layer's gradient over the last's, of nets that have both."""
    rows = told.layer_gradient[told.skipped == 0]
    pairs = first_to_last(told, rows).items()
    found = {name: _course(own[np.isfinite(own)]) for name, own in pairs}
    return {name: one for name, one in found.items() if one is not None}


def _course(values: Float[np.ndarray, " U"]) -> Course | None:
    """Medians of the first and of the last values, `END` of them and at least one."""
    if not len(values):
        return None
    count = max(1, round(END * len(values)))
    return Course(float(np.median(values[:count])), float(np.median(values[-count:])))


def warnings(told: History) -> Iterator[str]:
    """Sentences about nets that ended ill; none about sound ones."""
    for name, share in saturation(told).items():
        if share.last > SATURATED:
            yield (
                f"{name} ended its training with {100 * share.last:.0f} % of its gates "
                f"below {SHUT:g} or above {OPEN:g}, more than {100 * SATURATED:.0f} %: "
                "it no longer learns when to remember; lower train.learning_rate, "
                "raise train.weight_decay, or look for values without bounds in the "
                "features (features.clip)"
            )
    for name, ratio in ratios(told).items():
        if ratio.last < FADING:
            yield (
                f"{name} ended its training with a gradient that is {ratio.last:.1g} × "
                f"as large in its first layer as in its last, less than {FADING:g}: "
                "the first layers learn next to nothing; take fewer or wider ones "
                f"(nets.{name})"
            )
        if ratio.last > GROWING:
            yield (
                f"{name} ended its training with a gradient that is {ratio.last:.1g} × "
                f"as large in its first layer as in its last, more than {GROWING:g}: "
                "it grows on its way back; lower train.learning_rate, or take fewer "
                f"layers (nets.{name})"
            )


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
        "saturated": {name: one._asdict() for name, one in saturation(told).items()},
        "first_to_last": {name: one._asdict() for name, one in ratios(told).items()},
        "warnings": list(warnings(told)),
    }
