"""How a forecaster is judged beside the class prior, on labels of a common market."""

import numpy as np
import pytest

from bot4jax.learn import baselines
from bot4jax.learn.evaluate import Outcome, judge

BARS, SYMBOLS, HORIZON = 240, 12, 3


@pytest.fixture
def outcome() -> Outcome:
    """Whole bars move together, so that a loss by itself is very unsure."""
    random = np.random.default_rng(0)
    common = random.normal(size=(BARS, 1))
    returns = common + 0.3 * random.normal(size=(BARS, SYMBOLS))
    classes = np.digitize(returns, (-0.7, 0.7)).astype(np.int32)
    return Outcome(returns, classes, np.ones((BARS, SYMBOLS), np.float32), HORIZON)


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
