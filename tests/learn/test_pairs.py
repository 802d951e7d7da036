"""Who knows direction, and who is ahead: planted forecasters of a market of our own."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtr
from statsmodels.stats.multitest import multipletests

from bot4jax.learn import metrics, pairs
from bot4jax.learn.evaluate import Outcome, best_baseline

BARS, SYMBOLS, HORIZON = 400, 40, 1
FLAT = 1


def market(seed=0, link=0.0):
    """Classes, their exact chances, and volatility that clusters.

    Bars share a factor, and a signal foretells a share `link` of each move's variance.
    """
    random = np.random.default_rng(seed)
    calm = np.exp(0.8 * np.sin(np.arange(BARS) / 17)[:, None]) * np.ones(SYMBOLS)
    signal, own = random.normal(size=(2, BARS, SYMBOLS))
    common = random.normal(size=(BARS, 1))
    noise = np.sqrt(0.3) * common + np.sqrt(0.7) * own
    moved = calm * (np.sqrt(link) * signal + np.sqrt(1 - link) * noise)
    classes = np.digitize(moved, (-0.7, 0.7))
    spread = calm * np.sqrt(1 - link)
    mean = calm * np.sqrt(link) * signal
    below, under = (ndtr((edge - mean) / spread) for edge in (-0.7, 0.7))
    chances = np.stack([below, under - below, 1 - under], -1)
    return classes, chances


WEIGHTS = np.ones((BARS, SYMBOLS))


ONE = np.zeros(BARS, int)


def knows(chances, classes, folds=ONE):
    return pairs.knows_direction(chances, classes, WEIGHTS, folds, HORIZON)


def test_who_knows_volatility_alone_knows_no_direction():
    """It beats always flat by far, and has nothing here: not even rounding."""
    classes, chances = market()
    always = np.broadcast_to(np.bincount(classes.ravel()) / classes.size, chances.shape)
    above = [metrics.sample_log_loss(x, classes) for x in (chances, always)]
    flat = pairs.paired(above[0] - above[1], WEIGHTS, HORIZON)
    assert flat.p_value == pairs.LEAST_CHANCE
    assert knows(chances, classes).excess == pytest.approx(0, abs=1e-12)
    assert np.isnan(knows(chances, classes).p_value)


@pytest.mark.parametrize("leaning", [0.3, 0.55])
def test_a_leaning_that_luck_proves_right_is_no_direction(leaning):
    """All of the market rose, and who always says so has forecast nothing."""
    classes, chances = market()
    classes = np.where(classes == 0, 2, classes)
    move = 1 - chances[..., FLAT]
    leant = np.stack([(1 - leaning) * move, chances[..., FLAT], leaning * move], -1)
    assert np.isnan(knows(leant, classes).p_value)


def test_leanings_of_folds_that_happen_to_follow_the_market_are_none():
    """Fitted anew, always flat leans another way: with the market, as luck has it."""
    classes, _ = market()
    folds = np.arange(BARS) * 2 // BARS
    half = classes[BARS // 2 :]
    half[half == 0] = 2
    shares = [np.bincount(classes[folds == n].ravel(), minlength=3) for n in (0, 1)]
    said = np.stack([one / one.sum() for one in shares])[folds, None]
    said = np.broadcast_to(said, (BARS, SYMBOLS, 3))
    assert knows(said, classes).p_value < 0.05
    assert np.isnan(knows(said, classes, folds).p_value)


def test_who_knows_direction_is_found():
    classes, chances = market(link=0.02)
    found = knows(chances, classes)
    assert found.p_value == pairs.LEAST_CHANCE
    # what a signal of this strength is worth: its share of the variance, about
    assert -0.02 < found.excess < -0.005


def test_direction_is_what_is_left_of_log_loss_once_moves_are_known():
    """The chain rule: split the own chance of a move by the mean leaning."""
    classes, chances = market(link=0.02)
    moved = classes != FLAT
    share = chances[..., 2] / (chances[..., 0] + chances[..., 2])
    leaning, move = share[moved].mean(), chances[..., 0] + chances[..., 2]
    level = np.stack([(1 - leaning) * move, chances[..., FLAT], leaning * move], -1)
    losses = [metrics.sample_log_loss(x, classes) for x in (chances, level)]
    expected = (losses[0] - losses[1]).sum() / moved.sum()
    assert knows(chances, classes).excess == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shape", [(BARS, SYMBOLS), (BARS, 1)])
def test_guesses_are_found_no_more_often_than_their_p_value_says(shape):
    """Of a hundred markets without a link; of each symbol, or of all in common."""
    found = []
    for seed in range(100):
        classes, chances = market(seed)
        lean = 0.2 * np.random.default_rng(1_000 + seed).normal(size=shape)
        lean = np.broadcast_to(lean, classes.shape)
        chances[..., [0, 2]] *= np.exp(np.stack([-lean, lean], -1))
        found.append(knows(chances / chances.sum(-1, keepdims=True), classes).p_value)
    assert np.mean(np.array(found) < 0.05) <= 0.1


def test_without_a_move_there_is_no_direction():
    classes, chances = market()
    assert np.isnan(knows(chances, np.full_like(classes, FLAT)).excess)


def test_no_p_value_is_below_what_the_draws_can_tell():
    assert pairs.Paired(-1.0, 0.01, 100.0).p_value == 1 / 500
    assert pairs.Paired(1.0, 0.01, 100.0).p_value == 1
    one = pairs.Paired(-2.0, 1.0, 5.0)
    assert one.p_value == pytest.approx(stats.t.sf(2.0, 5))


@pytest.mark.parametrize("p", [(0.03, 0.01, 0.02, 0.9), (0.6, 0.7), (0.02, 0.02)])
def test_holm_is_statsmodels_and_leaves_out_what_is_no_question(p):
    found = pairs.holm(dict(enumerate((np.nan, *p))))
    assert np.isnan(found.pop(0))
    truth = np.asarray(multipletests(p, method="holm")[1])
    np.testing.assert_allclose(list(found.values()), truth)


def test_ahead_of_the_rival_is_tested_on_the_rivals_symbols():
    """Better there by a planted lead, worse where the rival says nothing."""
    classes, chances = market(link=0.1)
    rival = chances.copy()
    rival[:] = chances.mean((0, 1))
    rival[:, 20:] = np.nan
    torn = np.where(np.isnan(rival), [0.98, 0.01, 0.01], chances)
    found = pairs.beside(
        {"knows": torn, "rival": rival, "worse": chances[..., ::-1]},
        rival,
        ("one", "one"),
        classes,
        WEIGHTS,
        HORIZON,
    )
    assert found.p_values["knows"] == 2 * pairs.LEAST_CHANCE
    assert found.p_values["worse"] > 0.5
    assert np.isnan(found.p_values["rival"])


def test_the_best_baseline_is_chosen_before_the_test():
    """Who is lucky in the test is not who was best before it."""
    classes, chances = market(link=0.1)
    shape = chances.shape
    prior = np.broadcast_to(chances.mean((0, 1)), shape)
    late = np.concatenate([chances[:200, :, ::-1], np.eye(3)[classes[200:]]])
    few = np.where(np.arange(SYMBOLS)[:, None] < 5, chances, np.nan)
    known = Outcome(
        chances[:200, :, 0], classes[:200], WEIGHTS[:200], HORIZON, ONE[:200]
    )
    said = {"class_prior": prior, "late": late, "few": few}
    assert best_baseline(said, known) == "few"
    assert best_baseline({"class_prior": prior, "late": late}, known) == "class_prior"
