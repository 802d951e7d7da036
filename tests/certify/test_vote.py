"""The vote in float64 beside the engine's, in two regimes, with curves and without."""

from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax import engine
from bot4jax.certify import vote
from bot4jax.kernels import planning
from bot4jax.learn import isotonic
from bot4jax.nets.fallback import FallbackParams, fallback
from bot4jax.state import Settings
from bot4jax.types import Layout
from tests.small_nets import SMALL

BARS, SYMBOLS, FEATURES = 5, 400, 4


@pytest.fixture(scope="module")
def drawn():
    """Forecasts of two members, scores, weights, and parameters with bent curves."""
    rng = np.random.default_rng(0)
    margins = rng.normal(size=(BARS, 2, SYMBOLS, 3))
    said = np.exp(margins) / np.exp(margins).sum(-1, keepdims=True)
    classes = (said[:, 0] ** 3).reshape(-1, 3).argmax(1)
    classes = np.where(rng.random(len(classes)) < 0.5, 1, classes)
    own = isotonic.fit_curves(said[:, 0].reshape(-1, 3), classes, np.ones(len(classes)))
    assert own is not None
    squared = own._replace(meant=own.meant**2)
    weight = rng.normal(size=(FEATURES, 3)).astype(np.float32)
    params: Any = SimpleNamespace(
        curves=isotonic.stacked(
            [isotonic.joined([None, None, one], 3) for one in (own, squared)]
        ),
        vote_temperature=jnp.asarray([0.7, 1.6]),
        fallback=FallbackParams(jnp.asarray(weight), jnp.zeros(3)),
    )
    scores = rng.normal(size=(BARS, SYMBOLS, FEATURES)).astype(np.float32)
    regime = rng.integers(0, 2, (BARS, SYMBOLS)).astype(np.int32)
    weight = np.array([0.5, 0.3], np.float32)
    return said.astype(np.float32), scores, weight, params, regime


@pytest.fixture(scope="module", params=[True, False], ids=["isotonic", "temperature"])
def voted(request, drawn):
    """What the engine says, bar by bar, and where it must lie."""
    said, scores, weight, params, regime = drawn
    layout = Layout(SYMBOLS, 64, 512, 5, 0, ())
    own = Settings(planning.plan(layout, ()), SMALL, ("a", "b"), False, request.param)
    found = [
        engine.pooled(
            own,
            params,
            jnp.asarray(weight),
            jnp.log(said[t]),
            fallback(params.fallback, jnp.asarray(scores[t])),
            jnp.asarray(regime[t]),
        ).probability
        for t in range(BARS)
    ]
    weights = np.tile(weight.astype(float), (BARS, 1))
    forecast = vote.pooled(said.astype(float), weights, scores, params, regime)
    curves = params.curves if request.param else None
    interval = vote.meant(forecast, curves, regime)
    return np.stack(found), interval, forecast, request.param


def test_the_engines_vote_lies_where_it_must(voted):
    found, interval, _, _ = voted
    assert vote.outside(found, interval).max() <= vote.TOLERANCE
    width = interval.high - interval.low
    assert np.median(width) < 1e-4, "what passes anything proves nothing"


def test_a_vote_that_is_off_or_leaves_its_curves_out_is_seen(voted):
    found, interval, forecast, is_isotonic = voted
    assert vote.outside(found + 1e-3, interval).max() > 100 * vote.TOLERANCE
    if is_isotonic:
        assert vote.outside(forecast, interval).max() > 0.05
