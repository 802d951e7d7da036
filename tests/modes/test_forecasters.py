"""Who is compared with the members is calibrated as they are."""

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.kernels import planning
from bot4jax.kernels.calibration import straighten
from bot4jax.learn import crossfit, metrics
from bot4jax.learn.evaluate import Outcome, tempered
from bot4jax.learn.labelling import Labels
from bot4jax.modes.forecasters import FITTED, as_members
from bot4jax.state import Settings
from bot4jax.types import Layout
from tests.small_nets import SMALL

BARS, SYMBOLS, HORIZON = 1_000, 16, 2


def settings(is_isotonic: bool) -> Settings:
    layout = Layout(SYMBOLS, 64, 512, HORIZON, 0, ())
    return Settings(planning.plan(layout, ()), SMALL, ("a",), False, is_isotonic)


@pytest.fixture
def market():
    """What a forecaster says whose odds are wrong by a factor a class, which one
    temperature does not mend; the classes that came, and what was right to say."""
    random = np.random.default_rng(0)
    truth = random.dirichlet([2, 4, 2], (2 * BARS, SYMBOLS))
    chance = random.random((2 * BARS, SYMBOLS, 1))
    classes = (chance > truth.cumsum(-1)[..., :2]).sum(-1)
    said = truth * np.array([2.0, 0.6, 1.0])
    said /= said.sum(-1, keepdims=True)
    return said.astype(np.float32), classes, truth


def first(classes) -> Outcome:
    """Of the calibration span."""
    weights, moved = np.full((BARS, SYMBOLS), 0.5), np.zeros((BARS, SYMBOLS))
    return Outcome(moved, classes[:BARS], weights, HORIZON, np.zeros(BARS, np.int64))


@pytest.mark.parametrize("name", FITTED)
def test_a_rival_has_the_curves_of_a_member(market, name):
    """Regression: with isotonic calibration members had curves and rivals a temperature
    alone. One and the same forecaster is as good as either."""
    said, classes, truth = market
    own, known = settings(is_isotonic=True), first(classes)
    soft = tempered(said, known)
    rival = as_members(own, {name: soft}, known)[name]
    third = np.full(3, 1 / 3)
    terms = known.returns, known.classes, known.weights, 1.0, third, third, third
    logs = np.log(said[:BARS])
    found = crossfit.calibration(own, logs, Labels(*terms), 0, range(BARS))
    assert found.curves is not None
    member = straighten(found.curves, jnp.asarray(soft.reshape(1, -1, 3)))
    np.testing.assert_allclose(rival, np.reshape(member, said.shape), atol=1e-6)
    bent, plain, bound = (
        metrics.log_loss(one[BARS:], classes[BARS:]) for one in (rival, soft, truth)
    )
    assert bent - bound < 0.1 * (plain - bound)


def test_nobody_has_curves_without_labels_or_without_being_asked(market):
    """Symbols that are left out stay so and do not count; constants stay."""
    said, classes, _ = market
    known, few = first(classes), said.copy()
    said[:, 0], few[:, 2:] = np.nan, np.nan
    all_said = {"logistic_regression": said, "per_symbol_boosting": few, "prior": said}
    found = as_members(settings(is_isotonic=True), all_said, known)
    line = found.pop("logistic_regression")
    assert np.isnan(line[:, 0]).all()
    assert (line[:, 1:] != said[:, 1:]).any(-1).all()
    for name, one in found.items():
        np.testing.assert_array_equal(one, all_said[name])
    unasked = as_members(settings(is_isotonic=False), all_said, known)
    np.testing.assert_array_equal(unasked["logistic_regression"], said)
