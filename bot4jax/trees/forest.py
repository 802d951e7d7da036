"""A gradient-boosted forest inside the compiled step: every node compared at once.

All trees are padded to complete binary trees of one depth, the symbols lie on the minor
axis, and the leaves fold into each other by `where`, deepest level first. Every node is
an operation of its own: the compiler fuses those, but writes out the steps of a whole
level at once, which takes several times as long. Trees of more than `FOLDED` levels
have too many nodes for that: each row walks down them, a gather a level.

The arrays are parameters and the number of trees is a declared capacity: a retrained
forest takes the place of the old one without a new compilation.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from bot4jax.errors import Bot4JaxError

if TYPE_CHECKING:
    from xgboost import Booster


FOLDED = 8
"""Levels up to which all nodes are compared: more are too many for one program."""

MAX_DEPTH = 14
"""Complete trees of more would fill the memory: a level more is twice the nodes."""


class ForestError(Bot4JaxError):
    """A forest that cannot be used: says which, what was found, what was expected."""

    exit_code = 3


class Forest(NamedTuple):
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


class Counts(NamedTuple):
    """What a forest was fitted to, its padding left out."""

    trees: int
    splits: int
    leaves: int


class Tree(NamedTuple):
    """One tree as XGBoost writes it: the columns of its nodes, the root first."""

    left: Int[np.ndarray, " nodes"]
    right: Int[np.ndarray, " nodes"]
    feature: Int[np.ndarray, " nodes"]
    value: Float[np.ndarray, " nodes"]
    """the threshold of a node, the weight of a leaf"""
    default_left: Bool[np.ndarray, " nodes"]


BLANK = Tree(
    left=np.array([-1]),
    right=np.array([-1]),
    feature=np.array([0]),
    value=np.array([0.0]),
    default_left=np.array([True]),
)
"""A leaf that adds nothing: fills the forest up to its capacity."""


def pack(booster: "Booster", capacity_trees: int, depth: int, classes: int) -> Forest:
    """The forest's arrays; the same shapes for every forest of these three numbers.

    `capacity_trees` counts the trees of all classes together; trees shallower than
    `depth` repeat their leaves. Raises `ForestError` if the booster does not fit.
    """
    if not 1 <= depth <= MAX_DEPTH:
        raise ForestError(
            f"depth {depth}: the fused forest has 1 to {MAX_DEPTH} levels; choose "
            "trees.depth within them, and more trees.rounds for what is finer"
        )
    document = model_document(booster)
    trees, owners = read_trees(document, classes)
    share = capacity_trees // classes
    if capacity_trees % classes or np.bincount(owners, minlength=1).max() > share:
        raise ForestError(
            f"{len(trees)} trees of {classes} classes do not fit into a capacity of "
            f"{capacity_trees}: declare a multiple of {classes}, at least {len(trees)}"
        )
    grouped: list[list[Tree]] = [[] for _ in range(classes)]
    for tree, owner in zip(trees, owners, strict=True):
        grouped[owner].append(tree)
    padded = [tree for own in grouped for tree in own + [BLANK] * (share - len(own))]
    columns = zip(*(_complete(tree, depth) for tree in padded), strict=True)
    packed = [jnp.asarray(np.stack(column, axis=1)) for column in columns]
    return Forest(*packed, base=jnp.asarray(base_score(document, classes)))


def blank(capacity_trees: int, depth: int, classes: int) -> Forest:
    """A forest of these shapes that says nothing."""
    columns = [
        jnp.asarray(np.stack([column] * capacity_trees, axis=1))
        for column in _complete(BLANK, depth)
    ]
    return Forest(*columns, base=jnp.zeros(classes, jnp.float32))


def counts(forest: Forest) -> Counts:
    """How many trees say something, and their splits and leaves.

    Below a leaf a padded tree has blank nodes and the leaf's own value again and again;
    no split has the same value on both sides, for it would save nothing.
    """
    value = np.asarray(forest.leaf)
    same, splits = np.ones(value.shape, bool), np.zeros(value.shape[1], np.int64)
    while len(value) > 1:
        left, right = value[0::2], value[1::2]
        same = same[0::2] & same[1::2] & (left == right)
        splits += (~same).sum(0)
        value = left
    leaves = splits + 1
    says = (splits > 0) | (value[0] != 0)
    return Counts(*(int(x[says].sum()) for x in (np.ones_like(leaves), splits, leaves)))


def margins(forest: Forest, x: Float[Array, "S F"]) -> Float[Array, "S C"]:
    """Log odds of the classes up to a constant; NaN is a missing value.

    Infinities compare like any number; subnormal numbers (below 1e-38) count as zero,
    as the device takes them, on whichever side of a subnormal threshold zero lies.
    A missing value is sent right by comparing +inf in its place, and left by comparing
    NaN itself, for NaN >= threshold is false. The trees are added one after the other
    onto the base, in the order in which XGBoost adds them: the result is bit-equal to
    its own, and a loop costs no more than a reduction.
    """
    trees, classes = forest.feature.shape[1], forest.base.shape[0]
    columns = x.T
    lifted = jnp.where(jnp.isnan(columns), jnp.inf, columns)
    doubled = jnp.concatenate([columns, lifted])
    row = forest.feature + jnp.where(forest.nan_right, columns.shape[0], 0)
    reached = _fold if len(row) < 2**FOLDED else _walk
    leaf = reached(forest, doubled, row).reshape(classes, trees // classes, x.shape[0])
    base = jnp.broadcast_to(forest.base[:, None], (classes, x.shape[0]))

    def add(tree: Array, total: Array) -> Array:
        return total + leaf[:, tree]

    return lax.fori_loop(0, trees // classes, add, base).T


def log_probability(forest: Forest, x: Float[Array, "S F"]) -> Float[Array, "S C"]:
    """Log-probabilities of the classes; NaN is a missing value."""
    return jax.nn.log_softmax(margins(forest, x), axis=-1)


def predict(forest: Forest, x: Float[Array, "S F"]) -> Float[Array, "S C"]:
    """Probabilities of the classes; NaN is a missing value."""
    return jax.nn.softmax(margins(forest, x), axis=-1)


def model_document(booster: "Booster") -> dict[str, Any]:
    """The booster as the JSON document that XGBoost saves; floats keep every bit."""
    return json.loads(bytes(booster.save_raw("json")))


def read_trees(
    document: Mapping[str, Any], classes: int
) -> tuple[list[Tree], list[int]]:
    """The trees of a saved model in the order of fitting, and the class of each."""
    learner = document["learner"]
    found = int(learner["learner_model_param"]["num_class"])
    kind = learner["gradient_booster"]["name"]
    if found != classes or kind != "gbtree":
        raise ForestError(
            f"the model is a {kind} of {found} classes; expected a gbtree of {classes}"
        )
    model = learner["gradient_booster"]["model"]
    if any(any(tree["split_type"]) for tree in model["trees"]):
        raise ForestError("the model splits on categories; expected numbers only")
    widest = max((_leaf_width(tree) for tree in model["trees"]), default=1)
    if widest > 1:
        raise ForestError(
            f"the model's leaves are vectors of {widest} numbers; expected one number "
            "each (multi_strategy=one_output_per_tree)"
        )
    return [_read_tree(tree) for tree in model["trees"]], list(model["tree_info"])


def base_score(
    document: Mapping[str, Any], classes: int
) -> Float[np.ndarray, " classes"]:
    """Log odds before the first tree: a string of a vector since XGBoost 3.1."""
    text = document["learner"]["learner_model_param"]["base_score"]
    score = np.asarray(json.loads(text), np.float32)
    return np.array(np.broadcast_to(score, (classes,)))


def _leaf_width(columns: Mapping[str, Any]) -> int:
    return int(columns["tree_param"]["size_leaf_vector"])


def _read_tree(columns: Mapping[str, Any]) -> Tree:
    return Tree(
        left=np.asarray(columns["left_children"], np.int32),
        right=np.asarray(columns["right_children"], np.int32),
        feature=np.asarray(columns["split_indices"], np.int32),
        value=np.asarray(columns["split_conditions"], np.float32),
        default_left=np.asarray(columns["default_left"], bool),
    )


def _complete(tree: Tree, depth: int) -> tuple[np.ndarray, ...]:
    """The tree's column of each of the forest's arrays; a leaf is its own child."""
    at = np.zeros(1, np.int32)
    levels = []
    for _ in range(depth):
        is_leaf = tree.left[at] < 0
        feature = np.where(is_leaf, 0, tree.feature[at])
        threshold = np.where(is_leaf, 0, tree.value[at])
        levels.append((feature, threshold, ~is_leaf & ~tree.default_left[at]))
        children = [np.where(is_leaf, at, side[at]) for side in (tree.left, tree.right)]
        at = np.stack(children, axis=1).ravel()
    if (tree.left[at] >= 0).any():
        raise ForestError(
            f"a tree is deeper than {depth} levels: declare the depth of its fitting"
        )
    feature, threshold, nan_right = (
        np.concatenate(parts) for parts in zip(*levels, strict=True)
    )
    return (
        feature.astype(np.int32),
        _normal(threshold.astype(np.float32)),
        nan_right,
        tree.value[at].astype(np.float32),
    )


def _normal(threshold: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
    """Thresholds that part the same numbers and are not subnormal themselves.

    The device would take such a one for zero. Zero lies below the least normal number,
    as below a positive subnormal one, and not below zero, as not below a negative one.
    """
    least = np.finfo(np.float32).tiny
    is_subnormal = (np.abs(threshold) < least) & (threshold != 0)
    return np.where(is_subnormal, np.where(threshold > 0, least, 0.0), threshold)


def _fold(
    forest: Forest, doubled: Float[Array, "F2 S"], row: Int[Array, "N trees"]
) -> Float[Array, "trees S"]:
    """The leaf that each row reaches in each tree."""
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
    forest: Forest, doubled: Float[Array, "F2 S"], row: Int[Array, "N trees"]
) -> Float[Array, "trees S"]:
    """The same by one node a level: as many levels as there are, whatever the rows."""
    nodes, trees = row.shape
    tree = jnp.arange(trees, dtype=jnp.int32)[:, None]
    symbol = jnp.arange(doubled.shape[1], dtype=jnp.int32)[None]
    at = jnp.zeros((trees, doubled.shape[1]), jnp.int32)
    for _ in range(nodes.bit_length()):
        which = row.at[at, tree].get(mode="clip")
        value = doubled.at[which, symbol].get(mode="clip")
        is_right = value >= forest.threshold.at[at, tree].get(mode="clip")
        at = 2 * at + 1 + is_right.astype(jnp.int32)
    return forest.leaf.at[at - nodes, tree].get(mode="clip")
