"""Isotonic calibration: what each class's probability has been worth, rising.

Source: Zadrozny & Elkan (2002), Transforming classifier scores into accurate multiclass
probability estimates: one regression a class, then renormalised. The regression pools
adjacent violators (Ayer et al. 1955).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from bot4jax.kernels.calibration import KNOTS, Curves, identity
from bot4jax.learn import student

LEAST_EFFECTIVE = 2_000
"""Labels without overlap below which a curve would follow chance: none is fitted."""


def fit_curves(
    probability: Float[np.ndarray, "N C"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    least: float = LEAST_EFFECTIVE,
    worth: float | None = None,
) -> Curves | None:
    """One forecaster's curves; None where fewer than `least` share no bar.

    Nothing is made more certain than its evidence allows: probabilities lie within
    [1/(n + 2), 1 − 1/(n + 2)], with n the `worth` of the labels (`independent`), or
    all that share no bar where every one speaks for itself.
    """
    kept = (weights > 0) & np.isfinite(probability).all(1)
    effective = float(weights[kept].sum())
    if effective < least:
        return None
    said, truth, weight = probability[kept], labels[kept], weights[kept]
    lines = [
        fit_curve(said[:, c], truth == c, weight) for c in range(probability.shape[1])
    ]
    given, meant = (jnp.asarray([one], jnp.float32) for one in zip(*lines, strict=True))
    known = effective if worth is None else min(worth, effective)
    return Curves(given, meant, jnp.full(1, 1 / (known + 2), jnp.float32))


def independent(
    labels: Int[np.ndarray, "T S"], weights: Float[np.ndarray, "T S"], horizon: int
) -> float:
    """How many labels that share nothing tell as much of how often classes come.

    Symbols move together: a bar of many is worth a few. Formula: p(1 − p) over the
    variance of the share p of a class, of bars' sums with Bartlett weights over twice
    the horizon; the least of all classes that occur, at most the labels that share no
    bar. Source: Kish (1965), Survey Sampling: the design effect.
    """
    mass = weights.sum(1, dtype=np.float64)
    found = [float(mass.sum())]
    by_lag = student.triangle(len(mass), 2 * horizon + 1)
    missing, _ = student.trust(by_lag, mass, horizon)
    for c in np.unique(labels[weights > 0]):
        share = float(np.average(labels == c, weights=weights))
        sums = (weights * ((labels == c) - share)).sum(1)
        variance = student.within(by_lag, sums) / missing / mass.sum() ** 2
        if variance > 0:
            found.append(share * (1 - share) / variance)
    return min(found)


def fit_curve(
    said: Float[np.ndarray, " N"],
    came_true: np.ndarray,
    weights: Float[np.ndarray, " N"],
) -> tuple[Float[np.ndarray, " K"], Float[np.ndarray, " K"]]:
    """Knots of a rising line through the ends of the pooled blocks.

    Of more ends than there are knots, a part is kept, evenly over their order.
    """
    values, place = np.unique(said.astype(np.float64), return_inverse=True)
    weight = np.bincount(place, weights.astype(np.float64))
    mean = np.bincount(place, weights * came_true) / weight
    level, first = pooled(mean, weight)
    last = np.append(first[1:], len(values)) - 1
    given = np.stack([values[first], values[last]], axis=1).ravel()
    meant = np.repeat(level, 2)
    chosen = np.rint(np.linspace(0, len(given) - 1, KNOTS)).astype(int)
    return given[chosen], meant[chosen]


def pooled(
    mean: Float[np.ndarray, " N"], weight: Float[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, " B"], Int[np.ndarray, " B"]]:
    """Levels of the nearest rising step function, and where each step begins."""
    levels: list[float] = []
    sizes: list[float] = []
    starts: list[int] = []
    pairs = zip(mean.tolist(), weight.tolist(), strict=True)
    for at, (level, size) in enumerate(pairs):
        start = at
        while levels and levels[-1] >= level:
            before, own = levels.pop(), sizes.pop()
            level = (before * own + level * size) / (own + size)
            size, start = own + size, starts.pop()
        levels.append(level)
        sizes.append(size)
        starts.append(start)
    return np.array(levels), np.array(starts)


def shrunk(own: Curves, whole: Curves, trust: float) -> Curves:
    """Between one forecaster's curves of a regime and those of all, as trusted.

    Both are lines between knots, and so is what lies between; of the knots of both a
    part is kept, evenly over their order.
    """
    chosen = np.rint(np.linspace(0, 2 * KNOTS - 1, KNOTS)).astype(int)
    given, meant = np.empty((2, *own.given.shape), np.float32)
    for at in np.ndindex(own.given.shape[:-1]):
        lines = [
            (np.asarray(x.given[at]), np.asarray(x.meant[at])) for x in (own, whole)
        ]
        knots = np.sort(np.concatenate([line[0] for line in lines]))[chosen]
        told, all_told = (np.interp(knots, *line) for line in lines)
        given[at], meant[at] = knots, trust * told + (1 - trust) * all_told
    least = trust * own.least + (1 - trust) * whole.least
    return Curves(jnp.asarray(given), jnp.asarray(meant), least)


def stacked(rows: list[Curves]) -> Curves:
    """Curves of every regime, in their order."""
    return Curves(*(jnp.stack(column) for column in zip(*rows, strict=True)))


def joined(rows: list[Curves | None], classes: int) -> Curves:
    """The curves of all forecasters; who has none keeps what was said."""
    found = [identity(1, classes) if one is None else one for one in rows]
    return Curves(*(jnp.concatenate(column) for column in zip(*found, strict=True)))
