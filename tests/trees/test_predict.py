"""XGBoost's own predictor beside the forest of the step, and what it says of itself."""

import sys

import jax
import numpy as np
import pytest
import xgboost

from bot4jax.trees import forest
from bot4jax.trees.fit import fit_forest
from bot4jax.trees.model import ForestError, model_document
from bot4jax.trees.predict import (
    asker,
    contributions,
    cupy,
    gain,
    handed_over,
    probabilities,
    shap_values,
)
from tests.trees.test_fit import rows, settings
from tests.trees.test_forest import (
    FEATURES,
    boosted,
    lopsided,
    planted_rows,
    training_rows,
)

LETTERS = "abcdefg"
NAMES = ("told", "noise", "absent")
ROWS = 100_000


def asked_rows(seed: int = 3) -> np.ndarray:
    """Random rows, a seventh of their values missing, some rows altogether."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    x[rng.random(x.shape) < 1 / 7] = np.nan
    x[rng.random(ROWS) < 0.01] = np.nan
    return x


SHAPES = [
    *((3, depth) for depth in (*range(1, 10), 14, 15, 20, 41, 60)),
    *((2, depth) for depth in (4, 41)),
    *((4, depth) for depth in (6, 20)),
    *((5, depth) for depth in (3, 60)),
]
"""Classes and levels."""


@pytest.mark.parametrize(("classes", "depth"), SHAPES)
def test_both_predictors_say_the_same_of_a_hundred_thousand_rows(classes, depth):
    booster, x = boosted(classes, depth, rounds=2), asked_rows()
    packed = forest.pack(booster, classes * 2, depth, classes)
    own = asker(booster)(x)
    fused = jax.jit(forest.predict)(packed, x)
    softmax = np.exp(own - own.max(1, keepdims=True))
    softmax /= softmax.sum(1, keepdims=True)
    np.testing.assert_allclose(fused, softmax, rtol=0, atol=1e-6)
    np.testing.assert_allclose(fused, probabilities(booster, x), rtol=0, atol=1e-6)
    assert np.ptp(np.asarray(fused), axis=0).min() > 0.05  # it has something to say
    planted = planted_rows(booster, classes, ROWS)
    same = np.asarray(jax.jit(forest.margins)(packed, planted))
    np.testing.assert_array_equal(same, asker(booster)(planted))


def test_what_was_boosted_past_the_best_round_counts_for_everyone():
    """Neither predictor leaves it out; who wants fewer rounds fits fewer."""
    (x, y), own = training_rows(3), {"objective": "multi:softprob", "num_class": 3}
    booster = xgboost.train(
        own | {"max_depth": 4, "nthread": 1},
        xgboost.DMatrix(x, y),
        9,
        evals=[(xgboost.DMatrix(x, 2 - y), "turned")],
        early_stopping_rounds=3,
        verbose_eval=False,
    )
    rounds = booster.num_boosted_rounds()
    assert booster.best_iteration + 1 < rounds
    planted = planted_rows(booster, 3)
    every = booster.inplace_predict(
        planted, iteration_range=(0, rounds), predict_type="margin"
    )
    np.testing.assert_array_equal(asker(booster)(planted), every)
    packed = forest.pack(booster, 3 * rounds, 4, 3)
    np.testing.assert_array_equal(jax.jit(forest.margins)(packed, planted), every)
    parts = shap_values(booster, x)
    np.testing.assert_allclose(parts.sum(2), asker(booster)(x), rtol=0, atol=1e-6)


def test_rows_handed_over_by_dlpack_get_the_same_answer():
    """With NumPy in CuPy's place: what the hand-over does, not that a GPU does it."""
    booster = boosted(3, 4)
    booster.set_param({"nthread": 2})
    first, second = (jax.device_put(x) for x in asked_rows()[:200].reshape(2, 100, -1))
    waits = []
    ask = handed_over(booster, np, lambda: waits.append(1))
    said = ask(first)
    assert isinstance(said, jax.Array)
    before, _ = np.array(said), ask(second)
    np.testing.assert_array_equal(said, before)  # XGBoost's buffer is not shown
    np.testing.assert_array_equal(said, asker(booster)(first))
    assert len(waits) == 2


def test_a_gpu_that_is_not_there_is_refused():
    if any(one.platform == "gpu" for one in jax.devices()):
        pytest.skip("there is a GPU")
    with pytest.raises(ForestError, match="run on cuda, but XGBoost has only cpu"):
        asker(boosted(3, 2), device="cuda")


def test_a_gpu_without_cupy_is_told_what_lacks(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(ForestError, match=r"CuPy, which is not there: pip install"):
        cupy()


def test_an_answer_outlives_the_next_one():
    """XGBoost's own is a view of a buffer that its next answer overwrites."""
    booster = boosted(3, 2)
    ask, first, second = asker(booster), *asked_rows().reshape(2, -1, FEATURES)
    said = ask(first)
    before = said.copy()
    assert (ask(second) != said).any()
    np.testing.assert_array_equal(said, before)


def test_scores_on_the_device_are_read_where_they_lie():
    """A view goes to XGBoost: rows as the device holds them, in C order, float32."""
    scores = jax.device_put(asked_rows()[:64])
    view = np.asarray(scores)
    assert view.ctypes.data == scores.unsafe_buffer_pointer()
    assert view.flags.c_contiguous
    assert not view.flags.owndata


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    return fit_forest(*rows(), settings())


def test_gain_is_of_the_feature_that_tells(booster):
    share = gain(booster, NAMES)
    assert list(share) == list(NAMES)
    assert share["told"] > 0.9
    assert share["absent"] == 0
    assert sum(share.values()) == pytest.approx(1)


@pytest.mark.parametrize(("classes", "depth"), [(2, 4), (3, 20), (5, 41)])
def test_gain_is_what_the_splits_saved(classes, depth):
    """As the file has it, node by node; a shallow tree follows the deep ones."""
    booster = boosted(classes, depth, colsample_bytree=0.3)
    booster = lopsided(classes, 2, rounds=1, before=booster)
    saved, learner = np.zeros(FEATURES), model_document(booster)["learner"]
    for tree in learner["gradient_booster"]["model"]["trees"]:
        inner = np.array(tree["left_children"]) >= 0
        places, loss = (
            np.array(tree[name])[inner] for name in ("split_indices", "loss_changes")
        )
        np.add.at(saved, places, loss)
    found = gain(booster, LETTERS)
    # the booster adds in float32
    np.testing.assert_allclose(list(found.values()), saved / saved.sum(), atol=1e-6)
    assert min(found.values()) > 0


def test_gain_of_features_that_have_names_is_found_by_them():
    """Told by their places, it was nothing at all."""
    x, y, _ = rows()
    matrix = xgboost.DMatrix(x, y, feature_names=list(NAMES))
    own = {"objective": "multi:softprob", "num_class": 3, "nthread": 1}
    named = xgboost.train(own, matrix, 3)
    assert gain(named, NAMES)["told"] > 0.9
    said = r"fitted on noise as its feature 1; expected absent: fit it again"
    for ask in (gain, lambda *a: contributions(a[0], x, a[1])):
        with pytest.raises(ForestError, match=said):
            ask(named, ("told", "absent", "noise"))


def test_other_features_than_were_fitted_on_are_refused_by_their_count(booster):
    x, *_ = rows()
    said = "fitted on 3 features; expected 2: fit it again"
    with pytest.raises(ForestError, match=said):
        gain(booster, NAMES[:2])
    with pytest.raises(ForestError, match=said):
        contributions(booster, x, NAMES[:2])
    with pytest.raises(ForestError, match=said):
        shap_values(booster, x[:, :2])


def test_gain_of_a_forest_without_splits_is_zero():
    x, y, weights = rows()
    booster = fit_forest(x, y, weights, settings(gamma=1e9))
    assert gain(booster, NAMES) == dict.fromkeys(NAMES, 0.0)


def test_contributions_add_up_to_what_is_said(booster):
    x, *_ = rows()
    parts = shap_values(booster, x)
    assert parts.shape == (len(x), 3, len(NAMES) + 1)
    # float32 sums of some twenty parts, in another order than the margins' own
    np.testing.assert_allclose(parts.sum(2), asker(booster)(x), atol=1e-5)


def test_contributions_of_one_split_are_shapleys():
    """Of one feature that splits, all that moves is its own: leaf less their mean."""
    x, y, weights = rows()
    x[:, 1] = 0
    booster = fit_forest(x, y, weights, settings(rounds=1, depth=1))
    parts = shap_values(booster, x)
    said = asker(booster)(x)
    assert (parts[..., 1] == 0).all()
    np.testing.assert_allclose(parts[..., 0], said - parts[..., -1], atol=1e-6)
    assert contributions(booster, x, NAMES) == {"told": 1.0, "noise": 0, "absent": 0}


def test_contributions_by_name_sum_to_one(booster):
    share = contributions(booster, rows()[0], NAMES)
    assert share["told"] > 0.8 > share["noise"] > share["absent"] == 0
    assert sum(share.values()) == pytest.approx(1)
