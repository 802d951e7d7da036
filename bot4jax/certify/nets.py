"""What every member must keep: serving is training, bar by bar and slot by slot."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from bot4jax.certify.rows import Check, Row, Subject, moved, same_bits, within
from bot4jax.learn import fit
from bot4jax.nets import zoo
from bot4jax.nets.kept import kept_for_nets
from bot4jax.nets.sizes import NetSizes
from bot4jax.trees import forest
from bot4jax.trees import predict as tree_predict
from bot4jax.trees.forest import Forest

TOLERANCE = 1e-6
"""Of a probability: other shapes are other executables and add in another order."""

LITTER = 1e3
"""What rings hold of others. It is finite, since an unseen row is weighed with 0."""


class Nets(NamedTuple):
    """The fitted nets and the scores they are asked about."""

    sizes: NetSizes
    params: zoo.NetParams
    refitted: zoo.NetParams
    """fitted once more, after the bars behind the training span were changed"""
    scores: Float[np.ndarray, "T S F"]


def rows(nets: Nets, boundary: int, slots: Bool[np.ndarray, " S"]) -> list[Row]:
    """Every check of every net; bars and slots as `boundary` and `slots` say."""
    stepped = by_steps(nets, nets.scores)
    return [
        *parity(nets, stepped),
        *future(nets, boundary),
        *warmup(nets, stepped[:boundary], littered(nets)),
        *slot(nets, boundary, slots),
    ]


def parity(nets: Nets, stepped: Float[np.ndarray, "T M S C"]) -> list[Row]:
    """One bar at a time, as in serving, against the unrolled form that trains."""
    error = apart(stepped, by_unrolling(nets, nets.scores))
    return [within(one, error[:, i], TOLERANCE) for i, one in subjects(nets, "parity")]


def future(nets: Nets, boundary: int) -> list[Row]:
    """Weights and forecasts are the same bits before a bar, whatever comes after it."""
    other = nets.scores.copy()
    other[boundary:] = -50 * other[boundary:] - 1
    said = [(form(nets, nets.scores), form(nets, other)) for form in FORMS]
    first, again = nets.params, nets.refitted
    shared = leaves((first.stem, first.heads), (again.stem, again.heads))
    return [
        same_bits(
            one,
            [
                *((a[:boundary, i], b[:boundary, i]) for a, b in said),
                *leaves(first.nets[i], again.nets[i]),
                *shared,
            ],
            sound=all(moved(a[boundary:, i], b[boundary:, i]) for a, b in said),
        )
        for i, one in subjects(nets, "future")
    ]


def leaves(first: Any, other: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """The arrays of two trees of one structure, side by side."""
    return list(zip(*map(jax.tree.leaves, (first, other)), strict=True))


def warmup(
    nets: Nets, stepped: Float[np.ndarray, "T M S C"], start: zoo.NetCarry
) -> list[Row]:
    """What a net says of its first bars it says whatever its rings hold before them.

    Stepped from empty rings, unrolled from `start`, whose rings are of another symbol.
    """
    first = nets.scores[: len(stepped)]
    unrolled, _ = fit.net_probabilities(nets.sizes, nets.params, first, start)
    error = apart(stepped, unrolled)
    return [within(one, error[:, i], TOLERANCE) for i, one in subjects(nets, "warmup")]


def littered(nets: Nets) -> zoo.NetCarry:
    """A beginning in rings that others have left full."""
    carry = zoo.init_carry(nets.sizes, nets.scores.shape[1])
    rings = tuple(jnp.full_like(ring, LITTER) for ring in carry.rings)
    return carry._replace(rings=rings)


def apart(
    stepped: Float[np.ndarray, "T M S C"], unrolled: Float[np.ndarray, "T M S C"]
) -> Float[np.ndarray, "T M S C"]:
    """How far probabilities are apart, from their logarithms."""
    return np.abs(np.exp(stepped) - np.exp(unrolled))


def slot(nets: Nets, bar: int, slots: Bool[np.ndarray, " S"]) -> list[Row]:
    """A slot reset in the middle says, bit for bit, what one never used says."""
    step = _compiled_step(nets.sizes)
    carry = zoo.init_carry(nets.sizes, nets.scores.shape[1])
    for one in nets.scores[:bar]:
        carry, _ = step(nets.params, carry, one)
    fresh = zoo.init_carry(nets.sizes, nets.scores.shape[1])
    fresh = fresh._replace(index=carry.index)
    reset = zoo.reset(carry, jnp.asarray(slots))
    after = nets.scores[bar:]
    said = [
        served(step, nets.params, own, after)[:, :, slots] for own in (reset, fresh)
    ]
    kept = served(step, nets.params, carry, after)[:, :, slots]
    return [
        same_bits(
            one,
            [(said[0][:, i], said[1][:, i])],
            sound=moved(kept[:, i], said[1][:, i]),
        )
        for i, one in subjects(nets, "slot")
    ]


class Trees(NamedTuple):
    """The fitted forest, the same fitted once more, and what it is asked about."""

    booster: Any
    packed: Forest
    refitted: Forest
    scores: Float[np.ndarray, "T S F"]


def forest_rows(trees: Trees) -> list[Row]:
    """The forest in the step against XGBoost's own predictor; it keeps no memory."""
    predict = jax.jit(forest.predict)
    stepped = np.stack([predict(trees.packed, bar) for bar in trees.scores])
    features = trees.scores.shape[2]
    rows = trees.scores.reshape(-1, features)
    batch = tree_predict.probabilities(trees.booster, rows)
    error = np.abs(stepped - batch.reshape(stepped.shape))
    pairs = zip(trees.packed, trees.refitted, strict=True)
    return [
        within(Subject("trees", "net", "parity"), error, TOLERANCE),
        same_bits(Subject("trees", "net", "future"), pairs),
    ]


def subjects(nets: Nets, check: Check) -> list[tuple[int, Subject]]:
    """Places of the nets, with what their rows speak about."""
    return [
        (i, Subject(name, "net", check)) for i, name in enumerate(nets.sizes.members)
    ]


def by_steps(
    nets: Nets, scores: Float[np.ndarray, "T S F"]
) -> Float[np.ndarray, "T M S C"]:
    """Log probabilities as serving has them."""
    carry = zoo.init_carry(nets.sizes, scores.shape[1])
    return served(_compiled_step(nets.sizes), nets.params, carry, scores)


def by_unrolling(
    nets: Nets, scores: Float[np.ndarray, "T S F"]
) -> Float[np.ndarray, "T M S C"]:
    """Log probabilities as training has them, in passes of many bars."""
    carry = zoo.init_carry(nets.sizes, scores.shape[1])
    return fit.net_probabilities(nets.sizes, nets.params, scores, carry)[0]


def served(
    step: Any, params: zoo.NetParams, carry: zoo.NetCarry, scores: np.ndarray
) -> Float[np.ndarray, "T M S C"]:
    found = []
    for bar in scores:
        carry, one = step(params, carry, bar)
        found.append(np.asarray(one))
    return np.stack(found)


FORMS = (by_steps, by_unrolling)


@kept_for_nets(4)
def _compiled_step(sizes: NetSizes) -> Any:
    return jax.jit(partial(zoo.step, sizes))
