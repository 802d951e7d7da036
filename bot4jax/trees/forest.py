"""A gradient-boosted forest inside the compiled step, in one of two layouts by depth.

*Folded*, up to `FOLDED` levels: all trees are padded to complete binary trees of one
depth, every node is compared at once, and the leaves fold into each other by `where`,
deepest level first. Every node is an operation of its own: the compiler fuses those,
but writes out the steps of a whole level at once, which takes several times as long.

*Walked*, beyond: complete trees would double with every level, so each tree is a table
of the nodes that it has, and each row walks down it, a few gathers a level. Every row
takes as many steps as there are levels, whatever it holds: a leaf leads to itself.

The symbols lie on the minor axis. The arrays are parameters, and the numbers of trees,
levels and leaves are declared capacities: a retrained forest takes the place of the old
one without a new compilation.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.trees.model import (
    ForestError,
    Tree,
    base_score,
    model_document,
    read_trees,
)

if TYPE_CHECKING:
    from xgboost import Booster


FOLDED = 7
"""Levels up to which comparing all nodes is as quick as walking, or quicker: with one
more they are too many for the compiler to fuse."""

MAX_LEAVES = 2**14
"""Leaves of a tree at most, unless told otherwise, and of those that we fit: the least
weight of a leaf in `conf/trees` leaves hardly more to 100,000 rows, whatever the depth,
and tables have to hold as many."""


class Folded(NamedTuple):
    """Complete binary trees (`N` nodes, `L` = N + 1 leaves each), grouped by class.

    Node `n` has the children 2n + 1 (left) and 2n + 2 (right). Trees past the fitted
    ones have leaves of zero.
    """

    feature: Int[Array, "N trees"]
    threshold: Float[Array, "N trees"]
    """a value goes left if it is smaller, compared in float32"""
    nan_right: Bool[Array, "N trees"]
    leaf: Float[Array, "L trees"]
    """log odds up to a constant"""
    base: Float[Array, " C"]
    """log odds before the first tree"""


class Walked(NamedTuple):
    """Tables of `N` nodes a tree, one behind the other, grouped by class.

    Nodes past those of a tree are leaves that nobody reaches, trees past the fitted
    ones leaves of zero.
    """

    asks: Int[Array, "trees N"]
    """0: nothing, for it is a leaf; 2f + 1: feature f; 2f + 2: the same, and what is
    missing goes right"""
    value: Float[Array, "trees N"]
    """a threshold, as above; of a leaf, its log odds"""
    left: Int[Array, "trees N"]
    """place of the first child among all nodes, behind which lies the second; a leaf's
    own place"""
    splits: Int[Array, " depth"]
    """in each level of all trees; a row walks down as many levels as are declared"""
    base: Float[Array, " C"]


Forest = Folded | Walked


class Counts(NamedTuple):
    """What a forest was fitted to, its padding left out."""

    trees: int
    splits: int
    leaves: int


BLANK = Tree(
    left=np.array([-1]),
    feature=np.array([0]),
    value=np.array([0.0], np.float32),
    default_left=np.array([True]),
    cover=np.zeros(1, np.float32),
    splits=(),
)
"""A leaf that adds nothing: fills the forest up to its capacity."""


def pack(
    booster: "Booster",
    capacity_trees: int,
    depth: int,
    classes: int,
    leaves: int = MAX_LEAVES,
) -> Forest:
    """The forest's arrays; the same shapes for every forest of these four numbers.

    `capacity_trees` counts the trees of all classes together; `depth` are the levels of
    splits and `leaves` the leaves that a tree may have. Raises `ForestError` if the
    booster does not fit.
    """
    return packed(model_document(booster), capacity_trees, depth, classes, leaves)


def packed(
    document: Mapping[str, Any],
    capacity_trees: int,
    depth: int,
    classes: int,
    leaves: int = MAX_LEAVES,
) -> Forest:
    """The same of a booster's document."""
    trees, owners = read_trees(document, classes)
    share = capacity_trees // classes
    if capacity_trees % classes or np.bincount(owners, minlength=1).max() > share:
        raise ForestError(
            f"{len(trees)} trees of {classes} classes do not fit into a capacity of "
            f"{capacity_trees}: declare a multiple of {classes}, at least {len(trees)}"
        )
    for number, tree in enumerate(trees):
        _require_room(number, tree, depth, leaves)
    grouped: list[list[Tree]] = [[] for _ in range(classes)]
    for tree, owner in zip(trees, owners, strict=True):
        grouped[owner].append(tree)
    padded = [tree for own in grouped for tree in own + [BLANK] * (share - len(own))]
    return laid_out(padded, depth, base_score(document, classes), leaves)


def blank(
    capacity_trees: int, depth: int, classes: int, leaves: int = MAX_LEAVES
) -> Forest:
    """A forest of these shapes that says nothing."""
    nothing = np.zeros(classes, np.float32)
    return laid_out([BLANK] * capacity_trees, depth, nothing, leaves)


def laid_out(
    trees: Sequence[Tree],
    depth: int,
    base: Float[np.ndarray, " C"],
    leaves: int = MAX_LEAVES,
) -> Forest:
    """Trees that are grouped by class, in the layout of their depth."""
    if depth > FOLDED:
        return _tables(trees, depth, base, 2 * min(2**depth, leaves) - 1)
    columns = zip(*(_complete(tree, depth) for tree in trees), strict=True)
    arrays = [jnp.asarray(np.stack(column, axis=1)) for column in columns]
    return Folded(*arrays, base=jnp.asarray(base))


def is_same(one: Forest, other: Forest) -> bool:
    """Whether both have the same layout, shapes and numbers."""
    return type(one) is type(other) and all(map(np.array_equal, one, other))


def counts(forest: Forest) -> Counts:
    """How many trees say something, and their splits and leaves.

    Below a leaf a padded tree has blank nodes and the leaf's own value again and again;
    no split has the same value on both sides, for it would save nothing.
    """
    if isinstance(forest, Walked):
        own = np.asarray(forest.asks) > 0
        splits, first = own.sum(1), np.asarray(forest.value)[:, 0]
    else:
        splits, first = _folded_splits(np.asarray(forest.leaf))
    says = (splits > 0) | (first != 0)
    return Counts(int(says.sum()), int(splits.sum()), int((splits + 1)[says].sum()))


def margins(forest: Forest, x: Float[Array, "S F"]) -> Float[Array, "S C"]:
    """Log odds of the classes up to a constant; NaN is a missing value.

    Infinities compare like any number; subnormal numbers (below 1e-38) count as zero,
    as the device takes them, on whichever side of a subnormal threshold zero lies.
    A missing value is sent right by comparing +inf in its place, and left by comparing
    NaN itself, for NaN >= threshold is false. The trees are added one after the other
    onto the base, in the order in which XGBoost adds them: the result is bit-equal to
    its own, and a loop costs no more than a reduction.
    """
    classes, columns = forest.base.shape[0], x.T
    lifted = jnp.where(jnp.isnan(columns), jnp.inf, columns)
    reached = (
        _walk(forest, columns, lifted)
        if isinstance(forest, Walked)
        else _fold(forest, columns, lifted)
    )
    leaf = reached.reshape(classes, -1, x.shape[0])
    base = jnp.broadcast_to(forest.base[:, None], (classes, x.shape[0]))

    def add(tree: Array, total: Array) -> Array:
        return total + leaf[:, tree]

    return lax.fori_loop(0, leaf.shape[1], add, base).T


def log_probability(forest: Forest, x: Float[Array, "S F"]) -> Float[Array, "S C"]:
    """Log-probabilities of the classes; NaN is a missing value."""
    return jax.nn.log_softmax(margins(forest, x), axis=-1)


def predict(forest: Forest, x: Float[Array, "S F"]) -> Float[Array, "S C"]:
    """Probabilities of the classes; NaN is a missing value."""
    return jax.nn.softmax(margins(forest, x), axis=-1)


def _require_room(number: int, tree: Tree, depth: int, leaves: int) -> None:
    deep, wide = len(tree.splits), sum(tree.splits) + 1
    if not deep <= depth:
        raise ForestError(
            f"tree {number} has {deep} levels of splits; expected at most {depth}: "
            "declare the depth of its fitting"
        )
    if not wide <= leaves:
        raise ForestError(
            f"tree {number} has {wide} leaves; expected at most {leaves}: fit it with "
            "fewer (max_leaves), or declare as many"
        )


def _folded_splits(
    value: Float[np.ndarray, "L trees"],
) -> tuple[Int[np.ndarray, " trees"], Float[np.ndarray, " trees"]]:
    """Splits of each complete tree, and its first leaf."""
    same, splits = np.ones(value.shape, bool), np.zeros(value.shape[1], np.int64)
    while len(value) > 1:
        left, right = value[0::2], value[1::2]
        same = same[0::2] & same[1::2] & (left == right)
        splits += (~same).sum(0)
        value = left
    return splits, value[0]


def _complete(tree: Tree, depth: int) -> tuple[np.ndarray, ...]:
    """The tree's column of each of the forest's arrays; a leaf is its own child."""
    at = np.zeros(1, np.int32)
    levels = [(np.zeros(0), np.zeros(0), np.zeros(0, bool))]
    for _ in range(depth):
        is_leaf = tree.left[at] < 0
        feature = np.where(is_leaf, 0, tree.feature[at])
        threshold = np.where(is_leaf, 0, tree.value[at])
        levels.append((feature, threshold, ~is_leaf & ~tree.default_left[at]))
        first = np.where(is_leaf, at, tree.left[at])
        at = np.stack([first, first + ~is_leaf], axis=1).ravel()
    feature, threshold, nan_right = (
        np.concatenate(parts) for parts in zip(*levels, strict=True)
    )
    return (
        feature.astype(np.int32),
        _normal(threshold.astype(np.float32)),
        nan_right,
        tree.value[at].astype(np.float32),
    )


def _tables(
    trees: Sequence[Tree], depth: int, base: Float[np.ndarray, " C"], nodes: int
) -> Walked:
    splits = np.zeros(depth, np.int32)
    for tree in trees:
        splits[: len(tree.splits)] += np.array(tree.splits, np.int32)
    columns = zip(*(_table(tree, nodes) for tree in trees), strict=True)
    asks, value, left = (np.stack(column) for column in columns)
    left += nodes * np.arange(len(trees), dtype=np.int32)[:, None]
    return Walked(*(jnp.asarray(one) for one in (asks, value, left, splits, base)))


def _table(tree: Tree, nodes: int) -> tuple[np.ndarray, ...]:
    """The tree's row of each table; places are counted from its root."""
    is_split, spare = tree.left >= 0, (0, nodes - len(tree.left))
    asks = np.where(is_split, 2 * tree.feature + 1 + ~tree.default_left, 0)
    value = np.where(is_split, _normal(tree.value), tree.value)
    here = np.arange(nodes, dtype=np.int32)
    left = np.where(np.pad(is_split, spare), np.pad(tree.left, spare), here)
    padded = np.pad(asks, spare), np.pad(value, spare), left
    kinds = (np.int32, np.float32, np.int32)
    return tuple(x.astype(kind) for x, kind in zip(padded, kinds, strict=True))


def _normal(threshold: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Thresholds that part the same numbers and are not subnormal themselves.

    The device would take such a one for zero. Zero lies below the least normal number,
    as below a positive subnormal one, and not below zero, as not below a negative one.
    """
    least = np.finfo(np.float32).tiny
    is_subnormal = (np.abs(threshold) < least) & (threshold != 0)
    return np.where(is_subnormal, np.where(threshold > 0, least, 0.0), threshold)


def _fold(
    forest: Folded, columns: Float[Array, "F S"], lifted: Float[Array, "F S"]
) -> Float[Array, "trees S"]:
    """The leaf that each row reaches in each tree."""
    doubled = jnp.concatenate([columns, lifted])
    row = forest.feature + jnp.where(forest.nan_right, columns.shape[0], 0)
    nodes, trees = row.shape
    right = [
        doubled.at[row[i]].get(mode="clip") >= forest.threshold[i][:, None]
        for i in range(nodes)
    ]
    shape = (trees, doubled.shape[1])
    value = [jnp.broadcast_to(leaf[:, None], shape) for leaf in forest.leaf]
    while len(value) > 1:
        first = len(value) // 2 - 1
        value = [
            jnp.where(right[first + k], value[2 * k + 1], value[2 * k])
            for k in range(len(value) // 2)
        ]
    return value[0]


def _walk(
    forest: Walked, columns: Float[Array, "F S"], lifted: Float[Array, "F S"]
) -> Float[Array, "trees S"]:
    """The same: a leaf asks for NaN, which is never greater, and leads to itself."""
    symbols, nothing = columns.shape[1], jnp.full_like(columns[:1], jnp.nan)
    pairs = jnp.stack([columns, lifted], axis=1).reshape(-1, symbols)
    asked = jnp.concatenate([nothing, pairs])
    asks, value, left = (x.ravel() for x in (forest.asks, forest.value, forest.left))
    symbol = jnp.arange(symbols, dtype=jnp.int32)[None]

    def descend(_: Array, at: Int[Array, "trees S"]) -> Int[Array, "trees S"]:
        found = asked.at[asks.at[at].get(mode="clip"), symbol].get(mode="clip")
        is_right = found >= value.at[at].get(mode="clip")
        return left.at[at].get(mode="clip") + is_right.astype(jnp.int32)

    trees, nodes = forest.asks.shape
    root = jnp.arange(trees, dtype=jnp.int32)[:, None] * nodes
    at = jnp.broadcast_to(root, (trees, symbols))
    at = lax.fori_loop(0, len(forest.splits), descend, at)
    return value.at[at].get(mode="clip")
