"""Frozen units: the weights of the book's levels are the first principal component."""

import numpy as np
import pytest
from sklearn.decomposition import PCA

from bot4jax.learn.dataset import BarRecord, fit_scales
from bot4jax.types import BAR_FLOATS, BAR_INTS

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
