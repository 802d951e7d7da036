"""How far each update goes: rates as Optax has them, over whole trainings."""

import numpy as np
import optax
import pytest

from bot4jax.learn.schedule import AVERAGED, paces
from tests.learn.small_fit import settings


@pytest.mark.parametrize("updates", [7, 30, 1_000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.5])
def test_rates_are_those_of_optax(updates, warmup):
    """A line up and half a cosine down; the last update is at a rate of 0."""
    own = settings(learning_rate=3e-3, warmup=warmup)
    warm = max(1, round(warmup * updates))
    truth = optax.warmup_cosine_decay_schedule(0.0, 3e-3, warm, updates)
    expected = [float(truth(done)) for done in range(1, updates + 1)]
    found = [one.rate for one in paces(own, updates)]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-9)
    assert np.argmax(found) == warm - 1
    assert found[-1] == 0


@pytest.mark.parametrize("updates", [1, 5])
def test_a_training_that_is_all_warm_up_ends_at_the_peak(updates):
    """Where Optax refuses: it leaves nothing to fall in."""
    found = [one.rate for one in paces(settings(warmup=1.0), updates)]
    peak = settings().learning_rate
    np.testing.assert_allclose(found, peak * np.arange(1, updates + 1) / updates)


def test_the_mean_of_weights_is_that_of_the_last_updates():
    """Moves of 1, ½, ⅓ … make a plain mean of what is left of the training."""
    updates, values = 40, np.random.default_rng(0).normal(size=40)
    mean = 0.0
    for one, value in zip(paces(settings(), updates), values, strict=True):
        mean += float(one.averaging) * (value - mean)
    last = updates - int((1 - AVERAGED) * updates)
    np.testing.assert_allclose(mean, values[-last:].mean(), rtol=1e-6)
