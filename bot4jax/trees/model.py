"""A forest as XGBoost writes it, read node by node: what it cannot mean is refused.

XGBoost follows whatever a file points to, out of its memory or in circles for ever; so
every pointer is looked at before anyone follows it.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.errors import Bot4JaxError

if TYPE_CHECKING:
    from xgboost import Booster


class ForestError(Bot4JaxError):
    """A forest that cannot be used: says which, what was found, what was expected."""

    exit_code = 3


class Tree(NamedTuple):
    """One tree, level by level from the root; the children of a node are neighbours."""

    left: Int[np.ndarray, " nodes"]
    """the first child, behind which the second lies; -1: a leaf"""
    feature: Int[np.ndarray, " nodes"]
    value: Float[np.ndarray, " nodes"]
    """the threshold of a node, the weight of a leaf"""
    default_left: Bool[np.ndarray, " nodes"]
    cover: Float[np.ndarray, " nodes"]
    """sum of second derivatives of what was fitted there"""
    splits: tuple[int, ...]
    """in each level; below the last are leaves alone"""


COLUMNS = {
    "left_children": "i",
    "right_children": "i",
    "split_indices": "i",
    "split_conditions": "fi",
    "default_left": "ib",
    "sum_hessian": "fi",
}
"""What a saved tree says of each node, and of which kinds its numbers are."""


def model_document(booster: "Booster") -> dict[str, Any]:
    """The booster as the JSON document that XGBoost saves; floats keep every bit."""
    return json.loads(bytes(booster.save_raw("json")))


def read_trees(
    document: Mapping[str, Any], classes: int
) -> tuple[list[Tree], list[int]]:
    """The trees of a saved model in the order of fitting, and the class of each."""
    learner = document["learner"]
    _require_plain(learner, classes)
    model, sizes = learner["gradient_booster"]["model"], learner["learner_model_param"]
    trees, owners = model["trees"], list(model["tree_info"])
    count = int(model["gbtree_model_param"]["num_trees"])
    if not len(trees) == len(owners) == count:
        raise ForestError(
            f"the model holds {len(trees)} trees and the classes of {len(owners)}; "
            f"expected {count}"
        )
    _require(
        np.isin(owners, range(classes)), "tree", "class", owners, f"below {classes}"
    )
    features = int(sizes["num_feature"])
    return [_read_tree(i, tree, features) for i, tree in enumerate(trees)], owners


def base_score(
    document: Mapping[str, Any], classes: int
) -> Float[np.ndarray, " classes"]:
    """Log odds before the first tree: a string of a vector since XGBoost 3.1."""
    text = document["learner"]["learner_model_param"]["base_score"]
    score = np.atleast_1d(np.asarray(json.loads(text), np.float32))
    if score.shape not in ((1,), (classes,)) or not np.isfinite(score).all():
        raise ForestError(
            f"the model's base score is {text}; expected a finite number, or one a "
            f"class: {classes}"
        )
    return np.array(np.broadcast_to(score, (classes,)))


def _require_plain(learner: Mapping[str, Any], classes: int) -> None:
    """Sums of trees whose nodes compare one number and whose leaves hold one."""
    found = int(learner["learner_model_param"]["num_class"])
    kind = learner["gradient_booster"]["name"]
    if found != classes or kind != "gbtree":
        raise ForestError(
            f"the model is a {kind} of {found} classes; expected a gbtree of {classes}"
        )
    trees = learner["gradient_booster"]["model"]["trees"]
    if any(any(tree["split_type"]) for tree in trees):
        raise ForestError("the model splits on categories; expected numbers only")
    widest = max((_leaf_width(tree) for tree in trees), default=1)
    if widest > 1:
        raise ForestError(
            f"the model's leaves are vectors of {widest} numbers; expected one number "
            "each (multi_strategy=one_output_per_tree)"
        )


def _leaf_width(columns: Mapping[str, Any]) -> int:
    return int(columns["tree_param"]["size_leaf_vector"])


def _read_tree(number: int, saved: Mapping[str, Any], features: int) -> Tree:
    """The tree in our order; nodes that pruning has cut off are left out."""
    columns = [_column(number, saved, *which) for which in COLUMNS.items()]
    left, right, feature, value, default_left, cover = columns
    with np.errstate(over="ignore"):
        value = value.astype(np.float32)  # as XGBoost does: what is too large is none
    _require_nodes(number, left, right, feature, value, features)
    levels = _levels(left, right)
    order, place = np.concatenate(levels), np.full(len(left), -1, np.int32)
    place[order] = np.arange(len(order))
    is_split = left >= 0
    below, where = ~is_split | (place >= 0), f"tree {number}, node"
    _require(below, where, "place", place, "one below the root")
    return Tree(
        left=np.where(is_split, place[left], -1)[order],
        feature=feature[order].astype(np.int32),
        value=value[order],
        default_left=default_left[order].astype(bool),
        cover=cover[order].astype(np.float32),
        splits=tuple(len(level) // 2 for level in levels[1:]),
    )


def _column(
    number: int, saved: Mapping[str, Any], name: str, kinds: str
) -> Int[np.ndarray, " nodes"] | Float[np.ndarray, " nodes"]:
    """One number of each node, as many as the tree says that it has."""
    nodes = max(int(saved["tree_param"]["num_nodes"]), 1)
    try:
        found = np.asarray(saved.get(name))
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.shape != (nodes,) or found.dtype.kind not in kinds:
        raise ForestError(
            f"tree {number}: {name} has the shape {found.shape} and the type "
            f"{found.dtype}; expected a number of each of its {nodes} nodes"
        )
    return found


def _require_nodes(
    number: int,
    left: Int[np.ndarray, " nodes"],
    right: Int[np.ndarray, " nodes"],
    feature: Int[np.ndarray, " nodes"],
    value: Float[np.ndarray, " nodes"],
    features: int,
) -> None:
    """Every node has two children or none, one parent, and numbers that mean it."""
    where, nodes, is_leaf = f"tree {number}, node", len(left), left == -1
    for side, name in ((left, "left child"), (right, "right child")):
        within = np.where(is_leaf, side == -1, (side > 0) & (side < nodes))
        _require(within, where, name, side, f"1 to {nodes - 1}, or -1 as both")
    parents = np.bincount(np.append(left, right)[~np.tile(is_leaf, 2)], minlength=nodes)
    _require(parents <= 1, where, "number of parents", parents, "one")
    known = is_leaf | ((feature >= 0) & (feature < features))
    _require(known, where, "feature", feature, f"below {features}")
    sound = ~np.isnan(value) & ~(is_leaf & np.isinf(value))
    _require(sound, where, "value", value, "a number")


def _require(
    sound: Bool[np.ndarray, " N"], where: str, what: str, found: Any, expected: str
) -> None:
    """Name the first of those that are not sound."""
    if not sound.all():
        worst = int(np.argmin(sound))
        raise ForestError(
            f"{where} {worst}: its {what} is {found[worst]}; expected {expected}"
        )


def _levels(
    left: Int[np.ndarray, " nodes"], right: Int[np.ndarray, " nodes"]
) -> list[Int[np.ndarray, " level"]]:
    """The nodes that are reached, by their distance from the root."""
    levels = [np.zeros(1, np.int64)]
    while (inner := levels[-1][left[levels[-1]] >= 0]).size:
        levels.append(np.stack([left[inner], right[inner]], axis=1).ravel())
    return levels
