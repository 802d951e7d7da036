"""Permutation by family: who carries what was planted matters, and nobody else does."""

from functools import partial

import jax
import numpy as np
import pytest

from bot4jax.config import load
from bot4jax.learn import importance, params
from bot4jax.learn.calibrate import Calibration
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.importance import ENSEMBLE, Asked
from bot4jax.learn.labelling import Labels
from bot4jax.learn.splits import Split
from bot4jax.modes.setting import set_stage
from bot4jax.trees import forest
from tests.modes.ways import silent

MEMBERS = ("gru", "trees")
TELLING, SILENT = "order flow", "statistical"
NAMES = (
    "mean,skewness,excess_kurtosis,quantile_50,standard_deviation,"
    "depth_imbalance_5,depth_imbalance_10,queue_age,microprice_momentum,"
    "top_of_book_lifetime"
)
WORDS = (
    "debug=tiny",
    f"features.names=[{NAMES}]",
    f"ensemble.members=[{','.join(MEMBERS)}]",
    "data.symbols=8",
    "train.epochs=12",
    "trees.rounds=12",
    "trees.learning_rate=0.3",
)
TRAIN, TEST = 300, 200
SPLIT = Split(range(TRAIN), range(TRAIN, TRAIN + 1), range(TRAIN + 1, TRAIN + TEST))


@pytest.fixture(scope="module")
def setting():
    return set_stage(load(WORDS))


@pytest.fixture(scope="module")
def market(setting):
    """Scores of nothing but chance, two of the order flow's telling the class."""
    random = np.random.default_rng(4)
    specs = setting.settings.plan.specs
    shape = TRAIN + TEST, 8
    features = random.normal(0, 1, (*shape, len(specs))).astype(np.float32)
    telling = [i for i, spec in enumerate(specs) if spec.category == TELLING][:2]
    lean = features[:, :, telling].sum(-1) + random.normal(0, 0.7, shape)
    classes = (np.digitize(lean, [-1.0, 1.0])).astype(np.int8)
    return features, classes


@pytest.fixture(scope="module")
def fitted(setting, market):
    """Members fitted as always, on the first bars."""
    features, classes = market
    even = np.ones(classes.shape, np.float32)
    columns = dict.fromkeys(Dataset._fields[2:], even)
    data = Dataset(**(columns | {"first": 0, "features": features}))
    third = np.full(3, 1 / 3)
    labels = Labels(even, classes, even, 1.0, third, third, third)
    config, settings = setting.config, setting.settings
    members = params.fit_members(config, settings, data, labels, SPLIT, silent)
    none = (0.0, 0.0)
    plain = dict.fromkeys(MEMBERS, Calibration(1.0, none, none, none))
    units = None  # nothing here reads them
    universe = setting.source.universe
    edges = np.zeros((classes.shape[1], 0), np.float32)
    return params.assemble(
        config, settings, universe, units, members, labels, plain, edges
    )


@pytest.fixture(scope="module")
def asked(market):
    features, classes = (column[TRAIN:] for column in market)
    weight = np.tile(np.float32([0.5, 0.5, 0.0]), (TEST, 1))
    even, alike = np.ones(classes.shape), np.zeros(classes.shape, np.int32)
    return Asked(features, weight, classes, even, horizon=1, regime=alike)


@pytest.fixture(scope="module")
def found(setting, fitted, asked):
    return importance.permutation_importance(setting.settings, fitted, asked, seed=0)


def test_the_family_that_tells_matters_to_everybody(found):
    for name in (*MEMBERS, ENSEMBLE):
        assert found[TELLING][name].low > 0.05, name


def test_a_family_of_chance_does_not(found):
    """It may mislead a little, and its interval holds nothing near the other's."""
    for name in (*MEMBERS, ENSEMBLE):
        assert abs(found[SILENT][name].value) < 0.1 * found[TELLING][name].value, name


def test_it_speaks_as_the_engine_does(setting, fitted, asked):
    """The forest alone remembers nothing: each bar by itself says the same."""
    walk = jax.jit(partial(importance.forecasts, setting.settings))
    said = np.asarray(walk(fitted, asked.features, asked.weight[:, :-1], asked.regime))
    alone = forest.log_probability(fitted.forest, asked.features[-1])
    np.testing.assert_allclose(said[-1, 1], alone, atol=1e-6)
    mean = np.exp(said[:, :2]).mean(1)
    np.testing.assert_allclose(np.exp(said[:, 2]), mean, atol=1e-5)


def test_a_permutation_keeps_each_symbol_and_what_goes_together(asked):
    columns = np.arange(10) < 3
    moved = importance.shuffled(asked.features, columns, np.random.default_rng(1))
    np.testing.assert_array_equal(moved[:, :, 3:], asked.features[:, :, 3:])
    assert (moved[:, :, :3] != asked.features[:, :, :3]).mean() > 0.9
    for s in range(8):
        rows, before = (
            sorted(map(tuple, one[:, s, :3])) for one in (moved, asked.features)
        )
        assert rows == before


def test_symbols_without_labels_are_not_asked(setting, fitted, asked):
    settings = setting.settings
    weights = asked.weights.copy()
    weights[:, 2] = 0
    assert importance.chosen(weights).tolist() == [0, 1, 3, 4, 5, 6, 7]
    nobody = asked._replace(weights=np.zeros_like(weights))
    assert importance.permutation_importance(settings, fitted, nobody, seed=0) == {}
    many = importance.chosen(np.ones((3, 500)))
    assert len(many) == importance.SYMBOLS
    assert {0, 499} <= set(many.tolist())
