"""Contributions of features: by all subsets, by XGBoost, in closed form."""

import json
from itertools import combinations
from math import comb

import numpy as np
import pytest
import xgboost

from bot4jax.trees.forest import BLANK
from bot4jax.trees.model import Tree, model_document
from bot4jax.trees.predict import asker, shap_values
from bot4jax.trees.shapley import BLOCK, shapley_values
from tests.trees.test_forest import FEATURES, boosted, deepest, levels, lopsided

FEW = 5
"""Features of forests whose subsets are all gone through."""


def fitted(
    classes: int,
    depth: int,
    features: int = FEW,
    rows: int = 400,
    rounds: int = 2,
    before: xgboost.Booster | None = None,
    **changes,
) -> tuple[xgboost.Booster, np.ndarray]:
    """Labels that nothing tells are learnt by heart, with every feature."""
    rng = np.random.default_rng(classes + depth)
    x = rng.normal(size=(rows, features)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    parameters = {
        "objective": "multi:softprob",
        "num_class": classes,
        "max_depth": depth,
        "nthread": 1,
        "min_child_weight": 0.1,
        **changes,
    }
    matrix = xgboost.DMatrix(x, rng.integers(0, classes, rows))
    return xgboost.train(parameters, matrix, rounds, xgb_model=before), x


def said(saved: dict, row: np.ndarray, known: set[int], node: int = 0) -> float:
    """As the file has it: both ways of what is unknown, weighted by their cover."""
    left, right = saved["left_children"][node], saved["right_children"][node]
    if left < 0:
        return saved["split_conditions"][node]
    feature = saved["split_indices"][node]
    if feature in known:
        goes_left = (
            saved["default_left"][node]
            if np.isnan(row[feature])
            else row[feature] < np.float32(saved["split_conditions"][node])
        )
        return said(saved, row, known, left if goes_left else right)
    cover = np.array([saved["sum_hessian"][child] for child in (left, right)])
    both = [said(saved, row, known, child) for child in (left, right)]
    return cover / cover.sum() @ both


def by_subsets(saved: dict, row: np.ndarray) -> np.ndarray:
    """Shapley's sum: what a feature adds to each set of the others; last, the mean."""
    count = len(row)
    worth = {
        frozenset(own): said(saved, row, set(own))
        for size in range(count + 1)
        for own in combinations(range(count), size)
    }
    parts = np.zeros(count + 1)
    parts[-1] = worth[frozenset()]
    for own, value in worth.items():
        for one in set(range(count)) - own:
            share = 1 / (count * comb(count - 1, len(own)))
            parts[one] += share * (worth[own | {one}] - value)
    return parts


def truth(booster: xgboost.Booster, x: np.ndarray, classes: int) -> np.ndarray:
    """Of every row and class, by all subsets, in float64."""
    learner = model_document(booster)["learner"]
    model = learner["gradient_booster"]["model"]
    parts = np.zeros((len(x), classes, x.shape[1] + 1))
    parts[..., -1] = json.loads(learner["learner_model_param"]["base_score"])
    for tree, owner in zip(model["trees"], model["tree_info"], strict=True):
        for row, own in zip(x, parts, strict=True):
            own[owner] += by_subsets(tree, row)
    return parts


@pytest.mark.parametrize(
    ("classes", "depth"), [(2, 1), (3, 4), (2, 12), (3, 9), (6, 8)]
)
def test_contributions_are_the_sum_over_all_subsets(classes, depth):
    booster, x = fitted(classes, depth)
    assert deepest(booster) == depth
    asked = np.concatenate([x[:8], np.full((1, FEW), np.nan, np.float32)])
    # the values are told in float32, after sums of at most four trees
    found, expected = shap_values(booster, asked), truth(booster, asked, classes)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert np.abs(found).max() > 0.05


def test_deep_trees_among_shallow_ones_are_taken_apart_alike():
    first, x = fitted(3, 14, rounds=1)
    booster, _ = fitted(3, 2, rounds=2, before=first)
    own = [max(tree.values()) for tree in levels(booster)]
    assert (min(own), max(own)) == (2, 14)
    found, expected = shap_values(booster, x[:5]), truth(booster, x[:5], 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("classes", "depth"), [(2, 2), (3, 5), (3, 8), (7, 6)])
def test_contributions_equal_xgboosts_of_short_paths(classes, depth):
    """Its own are float32 throughout: 1e-6 is what that leaves of eight features."""
    booster, x = fitted(classes, depth, features=40, rounds=3, max_leaves=40)
    expected = booster.predict(xgboost.DMatrix(x), pred_contribs=True)
    found = shap_values(booster, x)
    assert found.shape == expected.shape == (len(x), classes, 41)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def told_apart(classes: int, features: int) -> tuple[xgboost.Booster, np.ndarray]:
    """Rows that differ from the others in one feature: each split parts ten of them."""
    rng, own = np.random.default_rng(0), np.arange(10 * features) % features
    x = np.zeros((len(own), features), np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    x[np.arange(len(own)), own] = 1
    parameters = {
        "objective": "multi:softprob",
        "num_class": classes,
        "max_depth": 0,
        "nthread": 1,
        "min_child_weight": 0,
    }
    return xgboost.train(parameters, xgboost.DMatrix(x, own % classes), 2), x


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_contributions_of_long_paths_add_up_to_what_is_said(classes):
    """Of two classes XGBoost's own were off by 131, where margins reach .5."""
    booster, x = told_apart(classes, 40 * classes)
    assert deepest(booster) > 30
    parts, margins = shap_values(booster, x), asker(booster)(x)
    np.testing.assert_allclose(parts.sum(2), margins, rtol=0, atol=2e-6)
    assert np.abs(parts).max() < 2 * np.abs(margins).max()


@pytest.mark.parametrize("depth", [8, 41, 60])
def test_contributions_of_one_feature_are_all_that_moves(depth):
    """Trees of one feature each: what a leaf says less what the tree says unasked."""
    booster = boosted(3, depth) if depth > 8 else lopsided(3, depth)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * BLOCK + 1, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 0.2] = np.nan
    parts = shap_values(booster, x)
    np.testing.assert_allclose(parts.sum(2), asker(booster)(x), rtol=0, atol=1e-6)
    for place in (0, BLOCK, 2 * BLOCK):
        alone = shap_values(booster, x[place : place + 1])
        np.testing.assert_allclose(alone[0], parts[place], rtol=0, atol=1e-7)


def chain(length: int, features: int) -> Tree:
    """A way on for each feature in turn that is below zero; all of them lead to one."""
    nodes, split = 2 * length + 1, np.arange(length)
    at = np.maximum(2 * split - 1, 0)
    left, cover = np.full(nodes, -1), np.ones(nodes)
    feature, value = np.zeros(nodes, int), np.zeros(nodes, np.float32)
    left[at], feature[at] = 2 * split + 1, split % features
    cover[2 * split + 1] = cover[2 * split + 2] = 0.5 ** (split + 1)
    value[2 * length - 1] = 1
    own = left, feature, value, np.zeros(nodes, bool), cover.astype(np.float32)
    return Tree(*own, splits=(1,) * length)


@pytest.mark.parametrize(
    ("length", "features"), [(1, 1), (2, 2), (9, 9), (41, 41), (120, 120), (1500, 3)]
)
def test_features_that_only_tell_together_share_alike(length, features):
    """Each halves what is left: all together they add 1 - 2^-n, and each as much."""
    tree, nothing = chain(length, features), np.zeros(1, np.float32)
    x = np.full((1, features), -1, np.float32)
    (parts,) = shapley_values([tree], [0], nothing, x)[0]
    whole = 0.5**length
    np.testing.assert_allclose(parts[:-1], (1 - whole) / features, rtol=1e-6)
    np.testing.assert_allclose(parts[-1], whole, rtol=1e-6)


def test_a_leaf_alone_is_what_all_rows_share():
    tree = BLANK._replace(value=np.array([0.25], np.float32))
    x, base = np.zeros((2, 3), np.float32), np.array([0.5, 1], np.float32)
    parts = shapley_values([tree], [1], base, x)
    np.testing.assert_array_equal(parts[..., -1], [[0.5, 1.25]] * 2)
    assert not parts[..., :-1].any()


def test_where_nothing_was_fitted_both_ways_weigh_alike():
    """A split without cover: its share of nothing was NaN, and so were all shares."""
    tree = chain(2, 2)._replace(cover=np.zeros(5, np.float32))
    x = np.full((1, 2), -1, np.float32)
    (parts,) = shapley_values([tree], [0], np.zeros(1, np.float32), x)[0]
    np.testing.assert_allclose(parts, [3 / 8, 3 / 8, 1 / 4])
