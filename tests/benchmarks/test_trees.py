"""`bench=trees`: one booster, read by everyone."""

import numpy as np
import pytest

from benchmarks import trees
from benchmarks.peers import is_here
from bot4jax.config import load
from bot4jax.errors import Bot4JaxError
from bot4jax.trees import fit
from bot4jax.trees.forest import FOLDED
from tests.trees.test_forest import deepest

TINY = ("debug=tiny", "features.names=[mean,skewness,rsi_14]")


@pytest.fixture(scope="module")
def result(serve):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trees, "SAMPLES", 300)
        return serve("trees")


def test_predictors_and_fitting_are_measured(result):
    expected = {"bot4jax", "xgboost", "xgboost_dmatrix"}
    compiles = is_here("tl2cgen", "treelite")
    expected |= {"tl2cgen"} if compiles else set()
    assert {row.impl for row in result.rows if row.stage == "forest"} == expected
    own = {"bot4jax", "xgboost", "xgboost_dmatrix"}
    assert {row.impl for row in result.rows if row.stage == "deep"} == own
    fits = result.row("fit", "ms of 100 samples")
    assert (fits.n, fits.p50 > 0) == (trees.FITS, True)
    assert set(result.ratios) == {"xgboost"} | (
        {"compiled_trees"} if compiles else set()
    )


def test_samples_are_worth_splitting():
    x, y = trees.samples(4, seed=0)
    assert np.isnan(x).mean() == pytest.approx(trees.MISSING, rel=0.1)
    np.testing.assert_allclose(np.bincount(y) / len(y), [0.25, 0.5, 0.25], atol=0.01)
    settings = fit.Settings(2, 3, 0.3, 3.0, 0.1, 0.8, 0.8, 1.0, seed=0)
    booster = trees.fitted(x, y, settings)
    leaves = [text.count("leaf") for text in booster.get_dump()]
    assert min(leaves) > 2**3 / 2


@pytest.mark.parametrize("stage", ["forest", "deep"])
def test_another_forest_is_refused(monkeypatch, stage):
    """Fitted on other labels, and given to XGBoost's predictor alone."""
    own = trees.xgboost_entries

    def spoilt(which, booster, rows, *where):
        if which != stage:
            return own(which, booster, rows, *where)
        x, y = trees.samples(rows.shape[1], seed=5)
        settings = fit.Settings(2, 2, 0.3, 3.0, 0.1, 0.8, 0.8, 1.0, seed=0)
        return own(which, trees.fitted(x, 2 - y, settings), rows, *where)

    monkeypatch.setattr(trees, "SAMPLES", 300)
    monkeypatch.setattr(trees, "xgboost_entries", spoilt)
    with pytest.raises(Bot4JaxError, match="xgboost differs from ours"):
        trees.measure(load(TINY), 1, 0, lambda *told: None)


def test_deep_trees_are_walked_down():
    settings = trees.deeper(fit.Settings(1, 4, 0.1, 3.0, 0.1, 0.8, 0.8, 1.0, seed=0))
    booster = trees.fitted(*trees.samples(20, seed=0), settings)
    assert deepest(booster) == trees.DEEP > FOLDED
