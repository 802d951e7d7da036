"""Labels mature when their horizon has passed, and equal the labels of hindsight."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.kernels import outcome
from bot4jax.kernels.history import Scales
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar

SYMBOLS = 6

mature = jax.jit(outcome.mature, static_argnames="has_barriers")
push_pending = jax.jit(outcome.push_pending)
push_moments = jax.jit(outcome.push_moments)


def bar_of(**columns):
    ints = {name: jnp.zeros(SYMBOLS, jnp.int32) for name in BAR_INTS}
    floats = {name: jnp.zeros(SYMBOLS, jnp.float32) for name in BAR_FLOATS}
    known = {"anchor": jnp.full(SYMBOLS, 1e4, jnp.float32)}
    return Bar(**(ints | floats | known | columns))


def walk(bars, seed=0):
    """Closing and entry mids `[T, S]`, and which symbols were live."""
    rng = np.random.default_rng(seed)
    close = rng.integers(-8, 9, (bars, SYMBOLS)).cumsum(0).astype(np.int32)
    entry = close + rng.integers(-3, 4, close.shape, dtype=np.int32)
    return close, entry, rng.random(close.shape) > 0.2


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_matured_labels_equal_labels_of_hindsight(horizon):
    close, entry, live = walk(40)
    scale = np.full(SYMBOLS, 4e-4, np.float32)
    pending = outcome.init_pending(horizon, 1, SYMBOLS)
    for t in range(len(close)):
        bar = bar_of(
            mid_close=jnp.asarray(close[t]),
            mid_entry=jnp.asarray(entry[t]),
            live=jnp.asarray(live[t].astype(np.int32)),
        )
        matured = mature(pending, bar, jnp.float32(0.7))
        made = t - horizon
        counts = live[[made, made + 1, t]].all(0) if made >= 0 else np.zeros(SYMBOLS)
        np.testing.assert_array_equal(matured.counts, counts)
        if made >= 0:
            prices = 1e4 + np.stack([entry[made + 1], close[t]]) / 2
            r = np.log(prices[1] / prices[0])
            edge = 0.7 * 4e-4 * horizon**0.5
            label = 1 + (r > edge).astype(int) - (r < -edge)
            np.testing.assert_array_equal(matured.label, label)
            assert (matured.log_probability[0, :, 0] == made + 1).all()
        mark = jnp.full((1, SYMBOLS, 3), t + 1, jnp.float32)
        pending = push_pending(pending, mark, jnp.asarray(scale), bar)


@pytest.mark.parametrize("horizon", [1, 5, 8])
def test_with_barriers_the_first_close_beyond_an_edge_decides(horizon):
    close, entry, live = walk(60, seed=3)
    scale, early = np.full(SYMBOLS, 4e-4, np.float32), 0
    pending = outcome.init_pending(horizon, 1, SYMBOLS)
    for t in range(len(close)):
        bar = bar_of(
            mid_close=jnp.asarray(close[t]),
            mid_entry=jnp.asarray(entry[t]),
            live=jnp.asarray(live[t].astype(np.int32)),
        )
        matured = mature(pending, bar, jnp.float32(0.7), has_barriers=True)
        made, edge = t - horizon, 0.7 * 4e-4 * horizon**0.5
        for s in range(SYMBOLS) if made >= 0 else ():
            start, label = np.log(1e4 + entry[made + 1, s] / 2), 1
            for ahead in range(made + 1, t + 1):
                r = np.log(1e4 + close[ahead, s] / 2) - start
                if abs(r) > edge:
                    label = 2 if r > 0 else 0
                    break
            end = np.log(1e4 + close[t, s] / 2) - start
            early += label != 1 + (end > edge) - (end < -edge)
            assert matured.label[s] == label
        said = jnp.zeros((1, SYMBOLS, 3), jnp.float32)
        pending = push_pending(pending, said, jnp.asarray(scale), bar)
    assert (early > 0) == (horizon > 1)  # barriers make a difference


def test_running_variance_equals_the_recursion_and_waits_for_live_bars():
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 1e-3, (50, SYMBOLS)).astype(np.float32)
    live = rng.random(returns.shape) > 0.3
    start = np.full(SYMBOLS, 2e-3, np.float32)
    scales = Scales(jnp.asarray(start), jnp.ones(SYMBOLS), jnp.ones(5))
    moments = outcome.init_moments(scales)
    expected = start.astype(np.float64) ** 2
    for r, is_live in zip(returns, live, strict=True):
        columns = {
            "log_return": jnp.asarray(r),
            "live": jnp.asarray(is_live.astype(np.float32)),
        }
        moments = push_moments(moments, columns)
        expected = np.where(is_live, 0.97 * expected + 0.03 * r**2, expected)
    np.testing.assert_allclose(moments.variance, expected, 1e-5)


def test_a_long_calm_leaves_the_running_variance_exact():
    """What is rounded the same way bar after bar would add up: 1e-5 was seen."""
    start = np.full(SYMBOLS, 2e-3, np.float32)
    scales = Scales(jnp.asarray(start), jnp.ones(SYMBOLS), jnp.ones(5))
    moments, calm = outcome.init_moments(scales), jnp.zeros(SYMBOLS)
    for _ in range(1000):
        columns = {"log_return": calm, "live": calm + 1}
        moments = push_moments(moments, columns)
    expected = start.astype(np.float64) ** 2 * 0.97**1000
    np.testing.assert_allclose(moments.variance, expected, 3e-6)
