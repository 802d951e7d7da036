"""What every member must keep: serving is training, bar by bar and slot by slot."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from bot4jax.certify.rows import Check, Row, Subject, broken, moved, same_bits, within
from bot4jax.learn import fit
from bot4jax.nets import zoo
from bot4jax.nets.sizes import NetSizes
from bot4jax.trees import forest
from bot4jax.trees import predict as tree_predict
from bot4jax.trees.forest import Forest

TOLERANCE = 1e-6
"""Of a probability: other shapes are other executables and add in another order."""


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
        *warmup(nets, stepped),
        *slot(nets, boundary, slots),
    ]


def parity(nets: Nets, stepped: Float[np.ndarray, "T M S C"]) -> list[Row]:
    """One bar at a time, as in serving, against the unrolled form that trains."""
    unrolled = np.exp(by_unrolling(nets, nets.scores))
    return [
        within(one, np.abs(np.exp(stepped[:, i]) - unrolled[:, i]), TOLERANCE)
        for i, one in subjects(nets, "parity")
    ]


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


def warmup(nets: Nets, stepped: Float[np.ndarray, "T M S C"]) -> list[Row]:
    """A probability from the very first bar on: what is not there yet is masked."""
    total = np.exp(stepped.astype(np.float64)).sum(3)
    return [
        broken(one, ~(np.abs(total[:, i] - 1) <= 1e-5))
        for i, one in subjects(nets, "warmup")
    ]


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
    sums = np.abs(stepped.astype(np.float64).sum(2) - 1)
    pairs = zip(trees.packed, trees.refitted, strict=True)
    return [
        within(Subject("trees", "net", "parity"), error, TOLERANCE),
        same_bits(Subject("trees", "net", "future"), pairs),
        broken(Subject("trees", "net", "warmup"), ~(sums <= 1e-5)),
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


@lru_cache(maxsize=4)
def _compiled_step(sizes: NetSizes) -> Any:
    return jax.jit(partial(zoo.step, sizes))
