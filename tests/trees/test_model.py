"""Forests as XGBoost writes them, and tables of nodes that mean nothing."""

import json

import numpy as np
import pytest

from bot4jax.trees.model import ForestError, base_score, model_document, read_trees
from tests.trees.test_forest import FEATURES, boosted, levels

AT = 7
"""The tree that is spoilt."""


@pytest.fixture(scope="module")
def text() -> str:
    return json.dumps(model_document(boosted(3, 4)))


def saved_trees(document: dict) -> list:
    return document["learner"]["gradient_booster"]["model"]["trees"]


@pytest.mark.parametrize("depth", [4, 41])
def test_trees_are_read_level_by_level(depth):
    booster = boosted(3, depth)
    trees, owners = read_trees(model_document(booster), 3)
    assert owners == [0, 1, 2] * 5
    for tree, own in zip(trees, levels(booster), strict=True):
        level = np.zeros(len(tree.left), int)
        for node in np.flatnonzero(tree.left >= 0):
            first = tree.left[node]
            level[first : first + 2] = level[node] + 1
        assert level.tolist() == sorted(own.values())
        splits = np.bincount(level[tree.left >= 0], minlength=len(tree.splits))
        assert splits.tolist() == list(tree.splits)


def test_nodes_that_pruning_cut_off_are_left_out(text):
    """XGBoost leaves them in the table, with a feature that is none."""
    document = json.loads(text)
    tree = saved_trees(document)[AT]
    nodes = len(tree["left_children"])
    cut = next(  # a split of two leaves becomes a leaf
        node
        for node in range(1, nodes)
        if tree["left_children"][node] > 0
        and tree["left_children"][tree["left_children"][node]] < 0
        and tree["left_children"][tree["right_children"][node]] < 0
    )
    for side in ("left_children", "right_children"):
        tree["split_indices"][tree[side][cut]] = 2**31 - 1
        tree[side][cut] = -1
    whole, short = (read_trees(one, 3)[0][AT] for one in (json.loads(text), document))
    assert len(short.left) == len(whole.left) - 2
    assert sum(short.splits) == sum(whole.splits) - 1


def inner(tree: dict) -> int:
    """A split below a split that is not the root."""
    left, parents = tree["left_children"], tree["parents"]
    return next(i for i, x in enumerate(left) if x > 0 and 0 < parents[i] < len(left))


def set_at(name: str, value, node: int = 0):
    def spoil(tree: dict) -> None:
        tree[name][node] = value

    return spoil


def cycle(tree: dict) -> None:
    """A node whose first child is the node above it."""
    tree["left_children"][inner(tree)] = tree["parents"][inner(tree)]


def ring(tree: dict) -> None:
    """Two pointers changed for each other: nobody arrives at the ring of one node."""
    node, left = inner(tree), tree["left_children"]
    side = "left_children" if left[tree["parents"][node]] == node else "right_children"
    tree[side][tree["parents"][node]], left[node] = left[node], node


def cut_short(tree: dict) -> None:
    tree["split_conditions"].pop()


def all_cut_short(tree: dict) -> None:
    """Every column lacks its last node, to which a pointer leads."""
    for column in tree.values():
        if isinstance(column, list) and column:
            column.pop()
    tree["tree_param"]["num_nodes"] = str(len(tree["left_children"]))


def leaf_of(value: float):
    def spoil(tree: dict) -> None:
        tree["split_conditions"][tree["left_children"].index(-1)] = value

    return spoil


def child_of_a_leaf(tree: dict) -> None:
    tree["right_children"][tree["left_children"].index(-1)] = 1


FAULTS = {
    "a pointer behind the table": (
        set_at("right_children", 99),
        r"node 0: its right child is 99; expected 1 to \d+, or -1 as both",
    ),
    "a pointer before the table": (set_at("left_children", -2), "its left child is -2"),
    "a pointer to the root": (set_at("left_children", 0), "its left child is 0"),
    "one child alone": (set_at("right_children", -1), "its right child is -1"),
    "a leaf with one child": (child_of_a_leaf, "its right child is 1; expected"),
    "a pointer that is a fraction": (
        set_at("left_children", 1.5),
        ": left_children has the shape .* and the type float64",
    ),
    "a pointer beyond all numbers": (set_at("left_children", 2**70), "type object"),
    "a cycle": (cycle, "its number of parents is 2; expected one"),
    "a ring": (ring, "its place is -1; expected one below the root"),
    "a feature that is none": (
        set_at("split_indices", FEATURES),
        f"node 0: its feature is {FEATURES}; expected below {FEATURES}",
    ),
    "a threshold that is none": (set_at("split_conditions", np.nan), "value is nan"),
    "an infinite leaf": (leaf_of(np.inf), "its value is inf; expected a number"),
    "a leaf beyond float32": (leaf_of(-1e300), "its value is -inf; expected a number"),
    "a column of columns": (
        set_at("split_conditions", [0.5]),
        ": split_conditions has",
    ),
    "a column that is missing": (
        lambda tree: tree.pop("default_left"),
        r": default_left has the shape \(\) and the type object; expected",
    ),
    "a column cut short": (cut_short, ": split_conditions has the shape"),
    "all columns cut short": (all_cut_short, "child is"),
    "no node": (set_at("tree_param", "0", "num_nodes"), ": left_children has the sha"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_table_that_means_nothing_is_refused_by_tree_and_node(text, fault):
    document = json.loads(text)
    spoil, found = FAULTS[fault]
    spoil(saved_trees(document)[AT])
    with pytest.raises(ForestError, match=rf"tree {AT}.*{found}"):
        read_trees(document, 3)


def test_trees_that_are_missing_or_of_no_class_are_refused(text):
    short, foreign = json.loads(text), json.loads(text)
    saved_trees(short).pop()
    with pytest.raises(ForestError, match="holds 14 trees and the classes of 15"):
        read_trees(short, 3)
    foreign["learner"]["gradient_booster"]["model"]["tree_info"][AT] = 3
    with pytest.raises(ForestError, match=rf"tree {AT}: its class is 3; expected"):
        read_trees(foreign, 3)


@pytest.mark.parametrize("score", ["[NaN,0E0,0E0]", "[0E0,Infinity,0E0]", "[0E0,1E0]"])
def test_a_base_score_that_is_none_is_refused(text, score):
    """The fused forest said NaN of everything, or broke at a shape."""
    document = json.loads(text)
    document["learner"]["learner_model_param"]["base_score"] = score
    with pytest.raises(ForestError, match=r"base score is \[.*; expected a finite"):
        base_score(document, 3)
