"""How a forecaster is judged beside the class prior, on labels of a common market."""

import numpy as np
import pytest

from bot4jax.learn import baselines
from bot4jax.learn.evaluate import (
    LEAST_BARS,
    PRIOR,
    RECENT,
    Asked,
    Outcome,
    baseline_forecasts,
    best_baseline,
    judge,
    tempered,
)

BARS, SYMBOLS, HORIZON = 240, 12, 3


@pytest.fixture
def outcome() -> Outcome:
    """Whole bars move together, so that a loss by itself is very unsure."""
    random = np.random.default_rng(0)
    common = random.normal(size=(BARS, 1))
    returns = common + 0.3 * random.normal(size=(BARS, SYMBOLS))
    classes = np.digitize(returns, (-0.7, 0.7)).astype(np.int32)
    return Outcome(
        returns,
        classes,
        np.ones((BARS, SYMBOLS), np.float32),
        HORIZON,
        np.zeros(BARS, int),
    )


@pytest.fixture
def prior(outcome):
    return baselines.class_prior(outcome.classes, outcome.weights, (BARS, SYMBOLS))


def leaning(prior, outcome, share):
    """The prior, moved towards what came true."""
    return (1 - share) * prior + share * np.eye(3)[outcome.classes]


def test_the_prior_exceeds_itself_by_nothing(outcome, prior):
    found = judge(prior, outcome, prior)
    assert (found.excess, found.excess_error) == (0, 0)


def test_excess_is_the_difference_of_the_losses(outcome, prior):
    found = judge(leaning(prior, outcome, 0.01), outcome, prior)
    expected = found.log_loss - judge(prior, outcome).log_loss
    assert found.excess == pytest.approx(expected, abs=1e-12)
    assert found.excess < 0


def test_bars_that_remember_are_worth_fewer(outcome, prior):
    """Skill that comes and goes in stretches of twenty bars, or bar by bar."""
    random = np.random.default_rng(3)
    bar_by_bar = random.choice([0.0, 0.02], (BARS, 1, 1))
    stretches = random.choice([0.0, 0.02], (BARS // 20, 1, 1)).repeat(20, axis=0)
    steady, slow = (
        judge(leaning(prior, outcome, share), outcome, prior)
        for share in (bar_by_bar, stretches)
    )
    assert steady.bars == slow.bars == BARS
    assert steady.effective_bars > BARS / 2
    assert 0 < slow.effective_bars < BARS / 5


@pytest.mark.parametrize(
    ("bars", "is_short"), [(LEAST_BARS - 1, True), (LEAST_BARS, False)]
)
def test_a_span_is_long_enough_by_its_bars_whatever_they_show(bars, is_short):
    """Calm that remembers nothing is worth all its bars, and no sign of a long span."""
    random = np.random.default_rng(5)
    classes = random.integers(0, 3, (bars, 1)).astype(np.int32)
    ones, folds = np.ones((bars, 1), np.float32), np.zeros(bars, int)
    calm = Outcome(random.normal(size=(bars, 1)), classes, ones, 1, folds)
    flat = np.full((bars, 1, 3), 1 / 3, np.float32)
    found = judge(leaning(flat, calm, 0.01), calm, flat)
    assert found.effective_bars > 2_400
    assert found.is_too_short is is_short


def test_bars_without_a_label_do_not_count(outcome, prior):
    weights = outcome.weights.copy()
    weights[::4], weights[1, 1:] = 0, 0
    found = judge(prior, outcome._replace(weights=weights), prior)
    assert found.bars == BARS * 3 // 4


def test_without_a_prior_no_bar_tells_what_is_saved(outcome, prior):
    assert np.isnan(judge(prior, outcome).effective_bars)


def test_pairing_shows_what_two_losses_apart_do_not(outcome, prior):
    found = judge(leaning(prior, outcome, 0.01), outcome, prior)
    assert abs(found.excess) > 5 * found.excess_error
    assert abs(found.excess) < 2 * found.log_loss_error


def test_without_a_prior_there_is_no_excess(outcome, prior):
    assert np.isnan(judge(prior, outcome).excess)


def drifted(flat: float) -> Outcome:
    """Labels of which such a share is flat, whatever the past was."""
    random = np.random.default_rng(round(100 * flat))
    moved = (1 - flat) / 2
    classes = random.choice(3, (BARS, SYMBOLS), p=(moved, flat, moved))
    ones = np.ones((BARS, SYMBOLS), np.float32)
    return Outcome(0.0 * ones, classes, ones, HORIZON, np.zeros(BARS, int))


def constants(trained: Outcome, known: Outcome):
    """Both constants on the calibration span, a gap of six bars, and the test."""
    bars, shape = np.zeros((BARS, SYMBOLS, 1)), (2 * BARS + 6, SYMBOLS)
    asked = Asked(np.zeros((*shape, 1)), np.zeros(shape), known, BARS)
    return baseline_forecasts(bars, bars[..., 0], trained, asked, seed=0)


def test_who_only_knows_how_the_shares_have_drifted_is_not_better_than_flat():
    """Regression: a market that had come to rest was told as skill, p ≤ .002.

    A constant brought up to date saves a third of the loss; members are, by their
    temperature. Somebody with skill is better than both constants.
    """
    trained, known, test = drifted(0.6), drifted(0.94), drifted(0.95)
    said = {n: one[-BARS:] for n, one in constants(trained, known).items()}
    flat = said[PRIOR], said[RECENT]
    modest = tempered(
        np.broadcast_to((0.12, 0.76, 0.12), (2 * BARS, SYMBOLS, 3)), known
    )[-BARS:]
    drift, skill = (
        judge(one, test, *flat) for one in (modest, leaning(said[RECENT], test, 0.1))
    )
    assert drift.prior_p_value <= 0.002
    assert drift.p_value == drift.recent_p_value > 0.05
    assert skill.p_value <= 0.002
    for one in flat:
        assert np.isnan(judge(one, test, *flat).p_value)


def test_who_only_keeps_the_old_shares_is_not_better_than_flat():
    """The other way round: a calibration span that was odd, and a test as before."""
    trained, known, test = drifted(0.6), drifted(0.94), drifted(0.61)
    flat = [constants(trained, known)[n][-BARS:] for n in (PRIOR, RECENT)]
    found = judge(0.999 * flat[0] + 0.001 / 3, test, *flat)
    assert found.recent_p_value <= 0.002
    assert found.p_value == found.prior_p_value > 0.05


@pytest.mark.parametrize(("flat", "best"), [(0.94, RECENT), (0.6, PRIOR)])
def test_the_better_constant_is_told_by_the_calibration_span(flat, best):
    """Of two that know nothing; the recent one does not win by having seen it."""
    trained, known = drifted(0.6), drifted(flat)
    if best == PRIOR:
        known = turned_within(known)
    said = constants(trained, known)
    two = {name: said[name] for name in (PRIOR, RECENT)}
    assert best_baseline(two, known) == best


def turned_within(known: Outcome) -> Outcome:
    """The first half mostly falls, the second mostly rises: a mean that nobody knew."""
    random, half = np.random.default_rng(9), BARS // 2
    falls, rises = (0.25, 0.6, 0.15), (0.15, 0.6, 0.25)
    parts = [random.choice(3, (half, SYMBOLS), p=p) for p in (falls, rises)]
    return known._replace(classes=np.concatenate(parts))


def test_an_overconfident_baseline_is_tempered_where_members_are(outcome):
    """Sure of what is right three times of five: the first bars mend the last."""
    random = np.random.default_rng(1)
    is_right = random.random((BARS, SYMBOLS)) < 0.6
    guess = np.where(is_right, outcome.classes, (outcome.classes + 1) % 3)
    sure = np.where(np.eye(3)[guess] > 0, 0.98, 0.01).astype(np.float32)
    sure[:, 0] = np.nan  # a symbol that is left out stays so
    known = outcome._replace(
        classes=outcome.classes[:100], weights=outcome.weights[:100]
    )
    found = tempered(sure, known)[100:]
    assert found.shape == (140, SYMBOLS, 3)
    assert np.isnan(found[:, 0]).all()
    # the least loss is where a class is as probable as it is right; 1,100 first labels
    # tell that share to .015, one standard error
    np.testing.assert_allclose(found[:, 1:].max(-1), 0.6, atol=0.03)
