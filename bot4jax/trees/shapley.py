"""What each feature adds to the log odds that a forest says: its Shapley values.

Where features are unknown, a tree says the mean of both ways on, weighted by what was
fitted in each. If every other feature is known with probability t, then what one adds
is, for a leaf, a product over the features on its path: a polynomial in t, of which a
few points give the mean exactly, and that mean is the Shapley value. No factor is
negative, and nothing is taken away again: what is said stays exact however long the
path, where XGBoost, which multiplies polynomials out and divides them again in float32,
does not.

Sources: Owen (1972), Multilinear extensions of games; Lundberg et al. (2020), From
local explanations to global understanding with explainable AI for trees.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.trees.model import Tree

BLOCK = 2048
"""Rows that are taken apart at once, which bounds the memory. Nodes are small: of fewer
rows the calls of NumPy take longer than what they compute."""


class Ways(NamedTuple):
    """How the nodes of a tree are reached; the root, 0, has nothing before it."""

    above: Int[np.ndarray, " nodes"]
    asked: Int[np.ndarray, " nodes"]
    """the feature by which one arrives"""
    before: Int[np.ndarray, " nodes"]
    """the last node on the way at which one arrived by the same feature; 0: none"""
    level: Int[np.ndarray, " nodes"]
    """1 of the root"""


class Points(NamedTuple):
    """At each of `Q` probabilities, for a row whose feature led away from the way
    before, leads away here, or leads here: the factor that it brings, and what it adds
    to know the feature, over all factors and times the weight of the point."""

    factor: Float[np.ndarray, "nodes 3 Q"]
    adds: Float[np.ndarray, "nodes 3 Q"]


def shapley_values(
    trees: Sequence[Tree],
    owners: Sequence[int],
    base: Float[np.ndarray, " C"],
    features: Float[np.ndarray, "N F"],
) -> Float[np.ndarray, "N C P"]:
    """What each feature adds to each class's log odds; last, what all rows share."""
    rows, count = features.shape
    found = np.zeros((rows, len(base), count + 1))
    found[..., -1] = base
    for tree, owner in zip(trees, owners, strict=True):
        ways, share = ways_of(tree), shares_of(tree)
        points = points_of(ways, share)
        found[:, owner, -1] += mean_of(tree, share)
        for first in range(0, rows, BLOCK):
            own = slice(first, first + BLOCK)
            add_values(found[own, owner], tree, ways, points, features[own])
    return found.astype(np.float32)


def ways_of(tree: Tree) -> Ways:
    """How one walks down, the last node of each feature kept on the way."""
    above, before = np.zeros((2, len(tree.left)), np.int64)
    inner = np.flatnonzero(tree.left >= 0)
    above[tree.left[inner]] = above[tree.left[inner] + 1] = inner
    asked = tree.feature[above].astype(np.int64)
    last = np.zeros(asked.max() + 1, np.int64)
    for node, is_over in visits(tree.left):
        if not is_over:
            before[node] = last[asked[node]]
        last[asked[node]] = before[node] if is_over else node
    sizes = [1, *(2 * splits for splits in tree.splits)]
    return Ways(above, asked, before, np.repeat(np.arange(len(sizes)) + 1, sizes))


def visits(left: Int[np.ndarray, " nodes"]) -> Iterator[tuple[int, bool]]:
    """Each node twice: as it is reached, and once all below it have been."""
    waiting = [(0, False)]
    while waiting:
        node, is_over = waiting.pop()
        yield node, is_over
        if not is_over:
            first = int(left[node])
            waiting.append((node, True))
            waiting += [(first, False), (first + 1, False)] if first >= 0 else []


def shares_of(tree: Tree) -> Float[np.ndarray, " nodes"]:
    """What of the node above was fitted here; halves where nothing was."""
    share, left = np.ones(len(tree.left)), tree.left[tree.left >= 0]
    pair = np.maximum(tree.cover[np.stack([left, left + 1])], 0).astype(np.float64)
    whole = pair.sum(0)
    halves = np.full_like(pair, 0.5)
    share[left], share[left + 1] = np.divide(pair, whole, out=halves, where=whole > 0)
    return share


def mean_of(tree: Tree, share: Float[np.ndarray, " nodes"]) -> float:
    """What the tree says where nothing is known; children follow their parents."""
    said = tree.value.astype(np.float64)
    for node in np.flatnonzero(tree.left >= 0)[::-1]:
        below = slice(tree.left[node], tree.left[node] + 2)
        said[node] = share[below] @ said[below]
    return float(said[0])


def points_of(ways: Ways, share: Float[np.ndarray, " nodes"]) -> Points:
    """With z for the product of a feature's shares on the way, its factor is
    t + (1 - t) z where it leads here and (1 - t) z where not; knowing it adds 1 - z in
    place of the first and -z in place of the second.

    Both are told against the node before of the same feature: factors divided, what is
    added less what was, with z - z' = z (1 - share) worked out.
    """
    z, many = np.ones(len(share)), np.zeros(len(share), np.int64)
    for node in range(1, len(share)):
        z[node] = z[ways.before[node]] * share[node]
        many[node] = many[ways.above[node]] + (ways.before[node] == 0)
    at, weight = np.polynomial.legendre.leggauss(many.max() // 2 + 1)
    known, unknown = (1 + at) / 2, (1 - at) / 2
    here, before, own = z[:, None], z[ways.before, None], share[:, None]
    leads, led = known + unknown * here, known + unknown * before
    factor = [np.broadcast_to(own, leads.shape), unknown * here / led, leads / led]
    adds = [0 * leads, -1 / (unknown * led), before * (1 - own) / (leads * led)]
    return Points(np.stack(factor, 1), np.stack(adds, 1) * weight / 2)


def add_values(
    found: Float[np.ndarray, "R P"],
    tree: Tree,
    ways: Ways,
    points: Points,
    features: Float[np.ndarray, "R F"],
) -> None:
    """Add what the tree's features add, at each node once all below it is told."""
    case = cases_of(tree, ways, features)
    leaf = np.where(tree.left < 0, tree.value, 0)
    shape = len(tree.splits) + 2, len(features), points.adds.shape[-1]
    product, below = np.ones(shape), np.zeros(shape)
    for node, is_over in visits(tree.left):
        own, level = case[node], ways.level[node]
        if is_over:
            adds = below[level] @ points.adds[node].T
            found[:, ways.asked[node]] += np.choose(own, adds.T)
            below[level - 1] += below[level]
        else:
            product[level] = product[level - 1] * points.factor[node][own]
            below[level] = product[level] * leaf[node]


def cases_of(
    tree: Tree, ways: Ways, features: Float[np.ndarray, "R F"]
) -> Int[np.ndarray, "nodes R"]:
    """0: a row's feature led away before the node; 1: it does here; 2: nowhere yet."""
    goes_left = _goes_left(tree, features)
    leads = np.ones(goes_left.shape, bool)
    for node in range(1, len(leads)):
        above = ways.above[node]
        arrives = goes_left[above] == (node == tree.left[above])
        leads[node] = leads[ways.before[node]] & arrives
    return leads[ways.before].astype(np.int8) + leads


def _goes_left(
    tree: Tree, features: Float[np.ndarray, "R F"]
) -> Bool[np.ndarray, "nodes R"]:
    asked = features.T[np.where(tree.left >= 0, tree.feature, 0)]
    default = tree.default_left[:, None]
    return np.where(np.isnan(asked), default, asked < tree.value[:, None])
