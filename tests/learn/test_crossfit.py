"""What calibrates a half of the span has not seen it, and flatters nobody."""

import numpy as np
import pytest

from bot4jax.errors import DataError
from bot4jax.kernels import planning
from bot4jax.kernels.calibration import straighten
from bot4jax.learn import crossfit, metrics
from bot4jax.learn.calibrate import Calibration, softened
from bot4jax.learn.labelling import Labels
from bot4jax.learn.splits import purge_gap
from bot4jax.state import Settings
from bot4jax.types import Layout
from tests.small_nets import SMALL

BARS, SYMBOLS, HORIZON = 130, 60, 2
ROWS = range(10, 110)
MIDDLE, GAP = 60, purge_gap(HORIZON, latency_bars=1)
FIRST = 4
"""row of the first forecast"""


def settings(is_isotonic: bool) -> Settings:
    layout = Layout(SYMBOLS, 64, 512, HORIZON, 0, ())
    return Settings(planning.plan(layout, ()), SMALL, ("a", "b"), False, is_isotonic)


def labels(classes) -> Labels:
    even = np.ones(classes.shape)
    third = np.full(3, 1 / 3)
    return Labels(even, classes, even, 1.0, third, third, third)


@pytest.fixture
def drawn():
    """Classes that nothing foretells, and two members that say something anyway."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, (BARS, SYMBOLS))
    scores = random.normal(size=(2, BARS - FIRST, SYMBOLS, 3))
    said = scores - np.log(np.exp(scores).sum(-1, keepdims=True))
    return classes, said.astype(np.float32)


def fitted(is_isotonic, said, classes):
    own, told = settings(is_isotonic), labels(classes)
    whole = crossfit.calibrations(own, said, told, FIRST, ROWS)
    return whole, crossfit.crossed(own, said, told, FIRST, ROWS, whole)


def test_a_member_without_a_forecast_is_named(drawn):
    """Regression: nobody was, and the span was told to be too short."""
    classes, said = drawn
    said[1] = np.nan
    with pytest.raises(DataError, match=r"^b: none of 6,000 calibration samples that"):
        fitted(False, said, classes)


def same(one, other) -> bool:
    pairs = zip(one.curves, other.curves, strict=True)
    is_alike = all((np.asarray(a) == np.asarray(b)).all() for a, b in pairs)
    return is_alike and one.temperature == other.temperature


@pytest.mark.parametrize("half", [0, 1])
def test_labels_of_a_half_do_not_move_what_calibrates_it(drawn, half):
    """Its own labels, and those around the middle that share a bar with them."""
    classes, said = drawn
    own = slice(0, MIDDLE + GAP) if half == 0 else slice(MIDDLE - GAP, BARS)
    turned = classes.copy()
    turned[own] = 2 - turned[own]
    before, after = (fitted(True, said, one)[1] for one in (classes, turned))
    for name in ("a", "b"):
        assert same(before[half][name], after[half][name])
        assert not same(before[1 - half][name], after[1 - half][name])


def test_a_half_that_a_class_is_missing_from_leaves_its_place_to_the_whole(drawn):
    """Where prices stand still, a temperature would end at its bound."""
    classes, said = drawn
    classes[MIDDLE:] = 1
    whole, (for_first, for_second) = fitted(False, said, classes)
    assert for_first == whole
    assert for_second != whole


def loss_of(found: Calibration, said, classes) -> float:
    tempered = softened(said, found.temperature).astype(np.float32)
    (meant,) = np.asarray(straighten(found.curves, tempered.reshape(1, -1, 3)))
    return metrics.log_loss(meant, classes.ravel())


def test_noise_that_curves_flatter_is_flattered_on_its_own_half_alone(drawn):
    """Nothing can be said of these classes: below log 3 is what a curve has seen."""
    classes, said = drawn
    _, (for_first, for_second) = fitted(True, said, classes)
    rows = np.arange(ROWS.start, MIDDLE - GAP)
    own, other = (
        loss_of(one["a"], said[0][rows - FIRST], classes[rows])
        for one in (for_second, for_first)
    )
    assert own < np.log(3) < other


def test_halves_have_curves_where_the_whole_has():
    """A half alone would have too few labels for one."""
    random = np.random.default_rng(1)
    classes = random.integers(0, 3, (BARS, SYMBOLS))
    said = np.log(random.dirichlet((2, 2, 2), (2, BARS - FIRST, SYMBOLS)))
    whole, crossed = fitted(True, said.astype(np.float32), classes)
    assert len(ROWS) * SYMBOLS > crossfit.LEAST_EFFECTIVE
    assert whole["a"].curves is not None
    assert all(one["a"].curves is not None for one in crossed)
    plain, halves = fitted(False, said.astype(np.float32), classes)
    assert plain["a"].curves is halves[0]["a"].curves is None
