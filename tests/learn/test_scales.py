"""Frozen units: the weights of the book's levels are the first principal component, and
who has no unit of its own is measured in that of the others."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.decomposition import PCA

from bot4jax.engine import observe
from bot4jax.kernels import planning
from bot4jax.kernels.clean import init_scaler
from bot4jax.kernels.outcome import init_moments, volatility
from bot4jax.learn import dataset
from bot4jax.learn.dataset import LEAST_RETURN_SCALE, BarRecord, fit_scales
from bot4jax.registry import select
from bot4jax.state import Settings, Units, init_observing
from bot4jax.types import BAR_FLOATS, BAR_INTS, Bar, Layout
from tests.small_nets import SMALL

BARS, SYMBOLS = 400, 3
FLOWS = ["flow", "flow_2", "flow_3", "flow_4", "flow_5"]
TRAIN = range(100, 500)
"""Numbers of the training bars; the record begins at 100 and goes on after them."""


def record(flows) -> BarRecord:
    """Bars of which only live and the order flow `[L, T, S]` say anything."""
    count = flows.shape[1]
    ints = np.zeros((count, len(BAR_INTS), SYMBOLS), np.int32)
    floats = np.zeros((count, len(BAR_FLOATS), SYMBOLS), np.float32)
    ints[:, BAR_INTS.index("live")] = 1
    floats[:, BAR_FLOATS.index("anchor")] = 1_000
    for name, flow in zip(FLOWS, flows, strict=True):
        floats[:, BAR_FLOATS.index(name)] = flow
    return BarRecord(TRAIN.start, ints, floats)


def planted(seed) -> np.ndarray:
    """One common flow that reaches the levels unequally, and noise of each."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 3, (1, BARS, SYMBOLS)) + 5
    loading = np.array([1.0, 0.8, 0.5, -0.2, 0.1]).reshape(5, 1, 1)
    return loading * common + rng.normal(0, 0.5, (5, BARS, SYMBOLS))


def component(flow) -> np.ndarray:
    first = PCA(1).fit(flow).components_[0]
    return first / np.abs(first).sum() * np.sign(first.sum())


def test_levels_are_weighted_by_their_first_component():
    flow = np.repeat(planted(1)[:, :, :1], SYMBOLS, 2).astype(np.float32)
    # Symbols that trade a thousand times as much count no more than the others.
    flow *= np.array([1.0, 1e3, 1e-3], np.float32)
    weights = np.asarray(fit_scales(record(flow), TRAIN).levels)
    # float32 bars; the components of one symbol and of its multiples are the same
    np.testing.assert_allclose(weights, component(flow[:, :, 0].T), atol=1e-5)
    assert np.abs(weights).sum() == pytest.approx(1, abs=1e-6)


def test_levels_are_weighted_from_training_bars_alone():
    flow = planted(2)
    later = np.concatenate([flow, 100 * planted(3)[::-1]], 1)
    own, longer = (fit_scales(record(one), TRAIN).levels for one in (flow, later))
    np.testing.assert_array_equal(own, longer)


def test_levels_that_were_never_shown_weigh_nothing():
    flow = planted(4)
    flow[1:] = 0
    weights = fit_scales(record(flow), TRAIN).levels
    np.testing.assert_allclose(weights, [1, 0, 0, 0, 0], atol=1e-7)
    silent = fit_scales(record(np.zeros_like(flow)), TRAIN).levels
    np.testing.assert_allclose(silent, [0.2] * 5)


MOVING, RESTING, LATE = range(3)
"""Slots: who moves and trades from the first bar on · who is quoted at one price and
never trades in training · who is first live behind it."""

LATER = 40
"""Bars behind training."""


def arrivals(seed: int = 5) -> BarRecord:
    """A market of which two of three symbols have no unit of their own."""
    rng = np.random.default_rng(seed)
    bars = len(TRAIN) + LATER
    ints = np.zeros((bars, len(BAR_INTS), SYMBOLS), np.int32)
    floats = np.zeros((bars, len(BAR_FLOATS), SYMBOLS), np.float32)
    floats[:, BAR_FLOATS.index("anchor")] = 100_000
    walk = np.cumsum(rng.normal(0, 400, (bars, SYMBOLS)), axis=0)
    walk[: len(TRAIN), [RESTING, LATE]] = 0
    ints[:, [BAR_INTS.index(one) for one in BAR_INTS if one.startswith("mid_")]] = walk[
        :, None
    ]
    live, traded = np.ones((bars, SYMBOLS)), rng.uniform(50, 150, (bars, SYMBOLS))
    live[: len(TRAIN), LATE] = 0
    traded[: len(TRAIN), [RESTING, LATE]] = 0
    ints[:, BAR_INTS.index("live")] = live
    floats[:, BAR_FLOATS.index("base_turnover")] = traded
    return BarRecord(TRAIN.start, ints, floats)


def test_who_did_not_move_in_training_has_the_unit_of_the_others():
    """Of returns and of volume; the volatility begins with it."""
    scales = fit_scales(arrivals(), TRAIN)
    own = np.asarray(scales.returns)
    # 400 half increments of 100,000 whole ones
    assert own[MOVING] == pytest.approx(2e-3, rel=0.15)
    np.testing.assert_array_equal(own, own[MOVING])
    np.testing.assert_array_equal(scales.volume, scales.volume[MOVING])
    assert scales.volume[MOVING] == pytest.approx(100, rel=0.1)
    np.testing.assert_allclose(volatility(init_moments(scales)), own, rtol=1e-6)


def test_where_nobody_moved_there_is_a_least_unit():
    still = fit_scales(record(np.zeros((5, BARS, SYMBOLS))), TRAIN)
    np.testing.assert_array_equal(still.returns, np.float32(LEAST_RETURN_SCALE))
    np.testing.assert_array_equal(still.volume, 1)


def test_a_newcomer_takes_the_dispersion_from_nobody():
    """Who moves as all do spreads the market's returns no wider than they do."""
    market = arrivals()
    layout = Layout(SYMBOLS, 16, 64, 5, 0, Bar._fields)
    plan = planning.plan(layout, select(("dispersion",)))
    settings = Settings(plan, SMALL, ("lstm",))
    scales = fit_scales(market, TRAIN)
    units = Units(scales, init_scaler(1), jnp.float32(3e38), jnp.int32(0))
    seen = dataset.observe_bars(
        jax.jit(partial(observe, settings)),
        units,
        init_observing(settings, scales),
        market,
        lambda done: None,
    )[1]
    later = slice(len(TRAIN) + 20, None)
    assert seen.usable[later].all()
    # a standard deviation of three symbols that all move by one unit: about .7
    assert 0.3 < np.median(seen.features[later]) < 1.5
