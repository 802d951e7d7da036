"""The forest inside the step against XGBoost's own predictor."""

import json
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xgboost

from bot4jax.trees import forest as trees_forest
from bot4jax.trees.forest import (
    FOLDED,
    Folded,
    Walked,
    blank,
    counts,
    is_same,
    log_probability,
    margins,
    pack,
    predict,
)
from bot4jax.trees.model import ForestError, base_score, model_document, read_trees

FEATURES = 7
TINY = np.finfo(np.float32).tiny
log_odds = jax.jit(margins)
probability = jax.jit(predict)


def training_rows(classes: int, rows: int = 1500, seed: int = 0):
    """Labels that depend on values and on what is missing; class 0 is rare."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, FEATURES)).astype(np.float32)
    x[:, 3] = np.round(x[:, 3])  # ties, so that rows lie exactly on thresholds
    x[rng.random(rows) < 0.3, 1] = np.nan
    x[:, 2] = np.where(rng.random(rows) < 0.5, np.nan, 1)  # only its absence tells
    score = np.nan_to_num(x[:, 0] + x[:, 1] * x[:, 3]) + np.isnan(x[:, 2])
    edges = np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1] ** 0.5)
    return x, np.digitize(score, edges)


BALANCED = 14
"""Levels that trees of `training_rows` grow to."""


def boosted(classes: int, depth: int, rounds: int = 5, **changes) -> xgboost.Booster:
    """Trees of just these levels."""
    if depth > BALANCED:
        return lopsided(classes, depth, rounds, **changes)
    x, y = training_rows(classes)
    parameters = {
        "objective": "multi:softprob",
        "num_class": classes,
        "max_depth": depth,
        "nthread": 1,
        "eta": 0.3,
        "min_child_weight": 0.1,
        **changes,
    }
    return xgboost.train(parameters, xgboost.DMatrix(x, y), rounds)


def lopsided(
    classes: int,
    depth: int,
    rounds: int = 5,
    before: xgboost.Booster | None = None,
    **changes,
) -> xgboost.Booster:
    """Labels in turns along each feature: a split parts few rows from all others."""
    rng = np.random.default_rng(0)
    x = np.sort(rng.normal(size=(200, FEATURES)).astype(np.float32), axis=0)
    x[rng.random(x.shape) < 0.1] = np.nan
    parameters = {
        "objective": "multi:softprob",
        "num_class": classes,
        "max_depth": depth,
        "nthread": 1,
        "min_child_weight": 0,
        "reg_lambda": 0,
        "colsample_bytree": 0.15,
        **changes,
    }
    matrix = xgboost.DMatrix(x, np.arange(200) % classes)
    return xgboost.train(parameters, matrix, rounds, xgb_model=before)


def levels(booster: xgboost.Booster) -> list[dict[int, int]]:
    """The level of each node, of each tree's text: a line's indent."""
    return [
        {
            int(line.split(":")[0]): len(line) - len(line.lstrip("\t"))
            for line in text.splitlines()
        }
        for text in booster.get_dump()
    ]


def deepest(booster: xgboost.Booster) -> int:
    return max(max(tree.values()) for tree in levels(booster))


def reached(booster: xgboost.Booster, x: np.ndarray) -> int:
    """Levels that the rows walk down at most, as XGBoost tells their leaves."""
    rows = np.where(np.isinf(x), np.sign(x) * 3e38, x)  # a matrix holds no infinities
    leaves = booster.predict(xgboost.DMatrix(rows), pred_leaf=True).astype(int)
    own = zip(levels(booster), leaves.T, strict=True)
    return max(tree[leaf] for tree, column in own for leaf in np.unique(column))


def planted_rows(
    booster: xgboost.Booster, classes: int, count: int = 600
) -> np.ndarray:
    """Random rows, with NaN, ±inf, thresholds and the floats beside them."""
    rng = np.random.default_rng(1)
    trees, _ = read_trees(model_document(booster), classes)
    x = rng.normal(size=(count, FEATURES)).astype(np.float32)
    for feature in range(FEATURES):
        chosen = [(tree.feature == feature) & (tree.left >= 0) for tree in trees]
        own = [tree.value[own] for tree, own in zip(trees, chosen, strict=True)]
        at = np.concatenate([*own, np.ones(1, np.float32)])
        step = np.maximum(np.spacing(abs(at)), TINY)  # the device flushes subnormals
        near = np.concatenate([at, at - step, at + step])
        planted = rng.random(count) < 0.5
        x[planted, feature] = rng.choice(near, planted.sum())
    for value in (np.nan, np.inf, -np.inf, 0.0, TINY, -TINY, 3.4e38):
        x[rng.random(x.shape) < 0.02] = value
    x[0], x[1], x[2] = np.nan, np.inf, -np.inf
    return x


SHALLOW = [(2, 1), (3, 4), (4, 3), (5, 2), (3, FOLDED)]
DEEP = [(3, FOLDED + 1), (2, 11), (3, 14), (2, 15), (3, 20), (5, 41), (4, 60)]
"""Trees whose rows walk down them, a node a level."""


def test_the_layout_goes_by_depth():
    for layout, shapes in ((Folded, SHALLOW), (Walked, DEEP)):
        for classes, depth in shapes:
            assert isinstance(blank(classes, depth, classes), layout)


def assert_equals_xgboost(booster: xgboost.Booster, classes: int, depth: int):
    x = planted_rows(booster, classes)
    assert reached(booster, x) == deepest(booster)
    capacity = len(booster.get_dump()) + classes
    forest = pack(booster, capacity_trees=capacity, depth=depth, classes=classes)
    expected = booster.inplace_predict(x, predict_type="margin")
    # both add float32 leaves onto the base in the order of fitting: no rounding apart
    np.testing.assert_array_equal(log_odds(forest, x), expected)


@pytest.mark.parametrize(("classes", "depth"), SHALLOW + DEEP)
def test_equals_xgboost(classes, depth):
    booster = boosted(classes, depth)
    assert deepest(booster) == depth
    assert_equals_xgboost(booster, classes, depth)


@pytest.mark.parametrize("policy", ["depthwise", "lossguide"])
def test_trees_that_nothing_bounds_equal_xgboost(policy):
    booster = boosted(3, BALANCED + 1, max_depth=0, grow_policy=policy)
    assert deepest(booster) > 60
    assert_equals_xgboost(booster, 3, deepest(booster))


def test_deep_trees_among_shallow_ones_equal_xgboost():
    booster = lopsided(3, 2, rounds=4, before=lopsided(3, 60, rounds=1))
    own = [max(tree.values()) for tree in levels(booster)]
    assert (min(own), max(own)) == (2, 60)
    assert_equals_xgboost(booster, 3, 60)
    assert_equals_xgboost(booster, 3, 75)


@pytest.mark.parametrize("depth", [3, 20])
@pytest.mark.parametrize("score", [0.7, -3.0, [0.1, 0.9, -0.4]])
def test_a_base_score_counts(depth, score):
    booster = boosted(3, depth, base_score=score)
    base = pack(booster, 15, depth, 3).base
    np.testing.assert_array_equal(base, np.full(3, score, np.float32))
    assert_equals_xgboost(booster, 3, depth)


def test_rows_walk_as_many_levels_as_are_declared():
    """No loop waits for what a row holds: all are of a length that is known."""
    program = str(jax.make_jaxpr(margins)(blank(3, 60, 3), jnp.zeros((4, FEATURES))))
    assert "while" not in program
    assert "length=60" in program


def test_probabilities_equal_xgboost():
    booster = boosted(3, 2)
    x = planted_rows(booster, 3)
    forest = pack(booster, 15, 2, 3)
    found = probability(forest, x)
    np.testing.assert_allclose(found, booster.inplace_predict(x), atol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    logs = jax.jit(log_probability)(forest, x)
    np.testing.assert_allclose(np.exp(logs), found, rtol=1e-5)


def test_planted_rows_tell_left_from_right():
    """The rows at thresholds catch `<=` in place of `<`, and NaN sent the wrong way."""
    booster = boosted(3, 4)
    x = planted_rows(booster, 3)
    forest = pack(booster, 15, 4, 3)
    assert isinstance(forest, Folded)
    right = log_odds(forest, x)
    nudged = forest._replace(threshold=jnp.nextafter(forest.threshold, jnp.inf))
    assert (log_odds(nudged, x) != right).any()
    flipped = forest._replace(nan_right=~forest.nan_right)
    assert (log_odds(flipped, x) != right).any()


@pytest.mark.parametrize("levels", [4, FOLDED + 1])
def test_subnormal_thresholds_part_what_the_device_can_tell_apart(levels):
    """It takes subnormal numbers for zero, thresholds among them: zero went right of a
    positive one, where XGBoost sends it left."""
    booster = boosted(3, 4)
    document = json.loads(bytes(booster.save_raw("json")))
    trees = document["learner"]["gradient_booster"]["model"]["trees"]
    rng = np.random.default_rng(0)
    for tree in trees:
        inner = [i for i, left in enumerate(tree["left_children"]) if left >= 0]
        for node in inner:
            tree["split_conditions"][node] = float(rng.choice([-1e-40, 1e-40, 0.0]))
    changed = xgboost.Booster(model_file=bytearray(json.dumps(document).encode()))
    values = np.array([0.0, -0.0, TINY, -TINY, 1.0, -1.0, np.nan], np.float32)
    x = rng.choice(values, (400, FEATURES))
    expected = changed.inplace_predict(x, predict_type="margin")
    found = log_odds(pack(changed, 18, levels, 3), x)
    np.testing.assert_array_equal(found, expected)


def test_shallow_trees_fit_into_a_deeper_forest():
    booster = boosted(3, 2)
    x = planted_rows(booster, 3)
    wide = log_odds(pack(booster, 15, 4, 3), x)
    np.testing.assert_array_equal(wide, log_odds(pack(booster, 15, 2, 3), x))


@pytest.mark.parametrize("depth", [2, 20])
def test_a_retrained_forest_of_the_same_capacity_does_not_recompile(depth):
    x = jnp.zeros((4, FEATURES))
    traces = []

    @jax.jit
    def step(forest, x):
        traces.append(1)
        return log_probability(forest, x)

    first = step(pack(boosted(3, depth, rounds=2), 30, depth, 3), x)
    second = step(pack(boosted(3, depth, rounds=9), 30, depth, 3), x)
    assert len(traces) == 1
    assert (np.asarray(first) != np.asarray(second)).all()


@pytest.mark.parametrize("depth", [0, 1, 2, 40])
def test_a_forest_of_constants_predicts_its_base(depth):
    """Labels that nothing explains leave single-leaf trees and the class shares."""
    x = np.ones((40, FEATURES), np.float32)
    y = np.repeat([0, 1, 2], [10, 20, 10])
    settings = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    booster = xgboost.train(settings, xgboost.DMatrix(x, y), 1)
    forest = pack(booster, 3, depth, 3)
    np.testing.assert_array_equal(forest.base, base_score(model_document(booster), 3))
    found = probability(forest, x[:2])
    np.testing.assert_allclose(found, [[0.25, 0.5, 0.25]] * 2, atol=1e-5)


@pytest.mark.parametrize("depth", [2, FOLDED + 1, 20])
def test_a_blank_forest_has_the_shapes_of_a_full_one_and_no_opinion(depth):
    empty, full = blank(15, depth, 3), pack(boosted(3, depth), 15, depth, 3)
    kinds = [jax.tree.map(lambda x: (x.shape, x.dtype), f) for f in (empty, full)]
    assert kinds[0] == kinds[1]
    found = probability(empty, jnp.ones((2, FEATURES)))
    np.testing.assert_allclose(found, 1 / 3, rtol=1e-6)


@pytest.mark.parametrize(
    ("capacity", "depth", "classes", "found"),
    [
        (12, 4, 3, "15 trees of 3 classes do not fit into a capacity of 12"),
        (16, 4, 3, "declare a multiple of 3, at least 15"),
        (15, 3, 3, "tree 0 has 4 levels of splits; expected at most 3"),
        (15, 0, 3, "tree 0 has 4 levels of splits; expected at most 0"),
        (15, 4, 2, "gbtree of 3 classes; expected a gbtree of 2"),
    ],
)
def test_a_forest_that_does_not_fit_is_refused(capacity, depth, classes, found):
    with pytest.raises(ForestError, match=found):
        pack(boosted(3, 4), capacity, depth, classes)


def test_trees_of_more_leaves_than_declared_are_refused():
    booster = boosted(3, 20)
    most = max(text.count("leaf") for text in booster.get_dump())
    pack(booster, 15, 20, 3, leaves=most)
    with pytest.raises(ForestError, match=rf"has {most} leaves; expected at most"):
        pack(booster, 15, 20, 3, leaves=most - 1)


OTHERS = {
    "dart": ({"booster": "dart", "rate_drop": 0.5}, "the model is a dart of 3"),
    "linear": ({"booster": "gblinear"}, "the model is a gblinear of 3 classes"),
    "categories": ({"max_cat_to_onehot": 1}, "splits on categories"),
    "a regression": ({"objective": "reg:squarederror"}, "gbtree of 0 classes"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_forests_that_mean_something_else_are_refused(other):
    """As XGBoost itself makes them."""
    changes, found = OTHERS[other]
    own = {"objective": "multi:softprob", "nthread": 1, **changes}
    own |= {"num_class": 3} if own["objective"].startswith("multi") else {}
    x, y = training_rows(3)
    x = np.nan_to_num(np.abs(np.round(x)))
    kinds = ["c" if other == "categories" else "float"] * FEATURES
    matrix = xgboost.DMatrix(x, y, feature_types=kinds, enable_categorical=True)
    with pytest.raises(ForestError, match=found):
        pack(xgboost.train(own, matrix, 3), 9, 6, 3)


def test_a_class_that_never_occurs_is_said_alike():
    """Its trees are single leaves, its base the log of almost nothing."""
    x, y = training_rows(3)
    own = {"objective": "multi:softprob", "num_class": 3, "max_depth": 4, "nthread": 1}
    booster = xgboost.train(own, xgboost.DMatrix(x, np.minimum(y, 1)), 5)
    assert_equals_xgboost(booster, 3, 4)
    said = probability(pack(booster, 15, 4, 3), x)
    assert 0 < said[:, 2].max() < 0.01


def test_several_trees_a_round_equal_xgboost():
    booster = boosted(3, 4, num_parallel_tree=3, subsample=0.5)
    assert len(booster.get_dump()) == 45
    assert_equals_xgboost(booster, 3, 4)


def test_a_forest_of_vector_leaves_is_refused():
    """One tree for all classes: its arrays have the same names, and mean another thing.

    Its probabilities were off by .28, without an error.
    """
    x, y = training_rows(3)
    parameters = {
        "objective": "multi:softprob",
        "num_class": 3,
        "max_depth": 2,
        "nthread": 1,
        "tree_method": "hist",
        "multi_strategy": "multi_output_tree",
    }
    booster = xgboost.train(parameters, xgboost.DMatrix(x, y), 5)
    with pytest.raises(ForestError, match="leaves are vectors of 3 numbers"):
        pack(booster, 15, 2, 3)


def test_no_number_of_another_forest_is_the_same_by_chance():
    """Each array counts, to its last number; so do shapes and layout."""
    booster = boosted(3, 4)
    for levels in (4, FOLDED + 1):
        own = pack(booster, 15, levels, 3)
        assert is_same(own, pack(booster, 15, levels, 3))
        for name, column in own._asdict().items():
            last = column.at[(-1,) * column.ndim]
            changed = last.set(~column[-1, -1]) if column.dtype == bool else last.add(1)
            assert not is_same(own, own._replace(**{name: changed})), name
    shapes = ((15, 4), (18, 4), (15, 5), (15, FOLDED + 1), (15, FOLDED + 2))
    forests = [pack(booster, *shape, 3) for shape in shapes]
    assert not any(is_same(*pair) for pair in combinations(forests, 2))


@pytest.mark.parametrize(("classes", "depth"), [(2, 1), (3, 4), (3, 8), (3, 41)])
def test_splits_and_leaves_are_those_of_xgboost(classes, depth):
    """Its padding, to more levels and more trees, is counted by nobody."""
    booster = boosted(classes, depth)
    nodes = booster.trees_to_dataframe()
    is_leaf = nodes["Feature"] == "Leaf"
    truth = (classes * 5, int((~is_leaf).sum()), int(is_leaf.sum()))
    packed = pack(booster, classes * 7, depth=depth + 1, classes=classes)
    assert counts(packed) == truth
    assert counts(blank(classes * 7, depth + 1, classes)) == (0, 0, 0)


def test_rows_that_walk_reach_what_folding_reaches(monkeypatch):
    """The same trees by both ways, and padded to more levels than are folded."""
    booster = boosted(3, 5)
    x = planted_rows(booster, 3)
    packed = pack(booster, 18, 5, 3)
    folded = log_odds(packed, x)
    deeper = log_odds(pack(booster, 18, FOLDED + 2, 3), x)
    monkeypatch.setattr(trees_forest, "FOLDED", 1)
    walked = log_odds(pack(booster, 18, 5, 3), x)
    np.testing.assert_array_equal(walked, folded)
    np.testing.assert_array_equal(deeper, folded)
