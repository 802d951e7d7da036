"""How a forecaster is judged beside the class prior, on labels of a common market."""

import numpy as np
import pytest

from bot4jax.learn import baselines
from bot4jax.learn.evaluate import Outcome, judge, tempered

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


def test_pairing_shows_what_two_losses_apart_do_not(outcome, prior):
    found = judge(leaning(prior, outcome, 0.01), outcome, prior)
    assert abs(found.excess) > 5 * found.excess_error
    assert abs(found.excess) < 2 * found.log_loss_error


def test_without_a_prior_there_is_no_excess(outcome, prior):
    assert np.isnan(judge(prior, outcome).excess)


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
