"""Labels against loops that follow the definition one sample at a time."""

from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bot4jax.errors import DataError
from bot4jax.learn.labels import (
    average_uniqueness,
    barrier_returns,
    bars_lived,
    class_shares,
    classify,
    cost_threshold,
    farthest_returns,
    fit_threshold,
    forward_returns,
    outcomes,
    paying_horizon,
    sample_weights,
)

BARS, SYMBOLS = 60, 4


def market(seed: int = 0):
    """Closing and entry prices, volatility, and who is live."""
    rng = np.random.default_rng(seed)
    close = 1000 * np.exp(np.cumsum(rng.normal(0, 0.01, (BARS, SYMBOLS)), axis=0))
    entry = close * np.exp(rng.normal(0, 0.002, close.shape))
    scale = rng.uniform(0.005, 0.02, close.shape).astype(np.float32)
    return entry, close, scale, rng.random(close.shape) < 0.9


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_returns_start_at_the_next_entry_and_end_at_the_close(horizon):
    entry, close, _, _ = market()
    found = forward_returns(entry, close, horizon)
    for t in range(BARS):
        for s in range(SYMBOLS):
            if t + horizon < BARS:
                expected = log(close[t + horizon, s]) - log(entry[t + 1, s])
                assert found[t, s] == pytest.approx(expected, abs=1e-15)
            else:
                assert np.isnan(found[t, s])


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_barrier_returns_are_those_of_a_slow_walk(horizon):
    entry, close, scale, _ = market()
    found = barrier_returns(entry, close, scale, 0.6, horizon)
    classes = classify(found, scale, 0.6, horizon)
    early = 0
    for t in range(BARS):
        for s in range(SYMBOLS):
            if t + horizon >= BARS:
                assert np.isnan(found[t, s])
                continue
            edge, touched = 0.6 * scale[t, s] * sqrt(horizon), 1
            for ahead in range(t + 1, t + horizon + 1):
                moved = log(close[ahead, s]) - log(entry[t + 1, s])
                if abs(moved) > edge:
                    touched = 2 if moved > 0 else 0
                    break
            early += ahead < t + horizon
            assert found[t, s] == pytest.approx(moved, abs=1e-15)
            assert classes[t, s] == touched
    assert (early > 0) == (horizon > 1)


def test_the_farthest_return_says_whether_a_barrier_is_touched():
    entry, close, scale, _ = market()
    far = farthest_returns(entry, close, 5)
    for k in (0.3, 0.9, 1.5):
        returns, classes = outcomes(entry, close, scale, k, 5, has_barriers=True)
        known = np.isfinite(returns)
        np.testing.assert_array_equal(known, np.isfinite(far))
        is_touched = far > k * scale.astype(float) * sqrt(5)
        np.testing.assert_array_equal(is_touched[known], (classes != 1)[known])


def test_barriers_leave_the_asked_share_untouched():
    entry, close, scale, _ = market()
    k = fit_threshold(farthest_returns(entry, close, 5), scale, 5, 0.4)
    returns, classes = outcomes(entry, close, scale, k, 5, has_barriers=True)
    share = (classes == 1)[np.isfinite(returns)].mean()
    # the row on the edge itself may fall on either side of it by rounding
    assert share == pytest.approx(0.4, abs=1.5 / (BARS * SYMBOLS - 20))


@pytest.mark.parametrize("horizon", [1, 5])
def test_barrier_returns_see_no_further_than_their_horizon(horizon):
    entry, close, scale, _ = market()
    before = barrier_returns(entry, close, scale, 0.6, horizon)
    entry[30], close[30] = 1.5 * entry[30], 2 * close[30]
    after = barrier_returns(entry, close, scale, 0.6, horizon)
    same = (before == after) | np.isnan(before)
    changed = np.flatnonzero(~same.all(1))
    assert set(changed) <= set(range(30 - horizon, 30))
    assert {30 - 1} <= set(changed)


@pytest.mark.parametrize("horizon", [1, 5])
def test_returns_see_no_further_than_their_horizon(horizon):
    """Changing a bar changes the labels that live in it and no others."""
    entry, close, _, _ = market()
    before = forward_returns(entry, close, horizon)
    entry[30], close[30] = 1.5 * entry[30], 2 * close[30]
    after = forward_returns(entry, close, horizon)
    same = (before == after) | np.isnan(before)
    changed = np.flatnonzero(~same.all(1))
    np.testing.assert_array_equal(changed, sorted({30 - horizon, 29}))


def test_a_price_that_is_none_makes_its_returns_unknown():
    entry, close, _, _ = market()
    close[20, 0], close[21, 1], entry[22, 2], entry[23, 3] = 0, np.nan, -5, np.inf
    found = forward_returns(entry, close, 5)
    unknown = np.argwhere(np.isnan(found[:-5])).tolist()
    assert unknown == [[15, 0], [16, 1], [21, 2], [22, 3]]


def test_a_span_shorter_than_the_horizon_has_no_label():
    entry, close, _, _ = market()
    assert np.isnan(forward_returns(entry[:5], close[:5], 5)).all()
    assert np.isfinite(forward_returns(entry[:6], close[:6], 5)).sum() == SYMBOLS
    with pytest.raises(ValueError, match="horizon 0"):
        forward_returns(entry, close, 0)


@pytest.mark.parametrize("flat_share", [0.3, 0.5, 0.8])
def test_the_threshold_gives_the_share_that_was_asked_for(flat_share):
    entry, close, scale, _ = market()
    returns = forward_returns(entry, close, 5)
    k = fit_threshold(returns, scale, 5, flat_share)
    known = np.isfinite(returns)
    shares = class_shares(classify(returns, scale, k, 5), known.astype(float))
    assert shares[1] == pytest.approx(flat_share, abs=1.01 / known.sum())


def test_the_threshold_counts_weights_and_leaves_out_what_has_none():
    returns = np.array([[0.1, 0.2, 0.3, 9.0, np.nan, 8.0]])
    scale = np.array([[1.0, 1.0, 1.0, 1.0, 1.0, 0.0]])
    weights = np.array([[1.0, 2.0, 1.0, 0.0, 5.0, 5.0]])
    found = [fit_threshold(returns, scale, 4, q, weights) for q in (0.2, 0.5, 0.9)]
    assert found == pytest.approx([0.05, 0.1, 0.15])


def test_a_threshold_without_data_is_refused():
    with pytest.raises(DataError, match="none of 4 training rows"):
        fit_threshold(np.full((2, 2), np.nan), np.ones((2, 2)), 5)


def test_prices_that_mostly_stand_still_are_flat():
    """More than half exact zeros: k is 0 and a zero return is neither up nor down."""
    returns = np.array([[0.0, 0.0, 0.0, 0.01, -0.01]])
    scale = np.ones_like(returns)
    k = fit_threshold(returns, scale, 1)
    assert k == 0
    assert classify(returns, scale, k, 1).tolist() == [[1, 1, 1, 2, 0]]


def test_classes_at_their_edges():
    scale = np.full((1, 5), 0.5)
    edge = 2 * 0.5 * sqrt(4)
    returns = np.array([[edge, np.nextafter(edge, 9), -edge, -9.0, np.nan]])
    labels = classify(returns, scale, 2.0, 4)
    assert labels.tolist() == [[1, 2, 1, 0, 1]]
    assert labels.dtype == np.int8


def uniqueness_by_hand(counted: np.ndarray, horizon: int) -> np.ndarray:
    """López de Prado's definition, label by label and bar by bar."""
    bars, symbols = counted.shape
    found = np.zeros(counted.shape)
    for s in range(symbols):
        lives = {
            t: set(range(t + 1, t + horizon + 1)) for t in np.flatnonzero(counted[:, s])
        }
        for t, own in lives.items():
            if t + horizon < bars:
                each = [1 / sum(b in other for other in lives.values()) for b in own]
                found[t, s] = np.mean(each)
    return found


@given(
    counted=arrays(bool, st.tuples(st.integers(1, 25), st.just(2))),
    horizon=st.integers(1, 6),
)
def test_average_uniqueness_equals_its_definition(counted, horizon):
    counted[max(len(counted) - horizon, 0) :] = False  # their labels end too late
    found = average_uniqueness(counted, horizon)
    np.testing.assert_allclose(found, uniqueness_by_hand(counted, horizon), rtol=1e-12)


@given(
    counted=arrays(bool, st.tuples(st.integers(1, 25), st.just(2))),
    lived=arrays(int, (25, 2), elements=st.integers(1, 4)),
)
def test_a_label_shares_the_bars_that_it_lived(counted, lived):
    """Every bar of every label counted one by one, by the definition."""
    counted[max(len(counted) - 4, 0) :] = False
    lived = lived[: len(counted)]
    found = average_uniqueness(counted, 4, lived)
    for s in range(2):
        bars = {
            t: range(t + 1, t + 1 + lived[t, s])
            for t in range(len(counted))
            if counted[t, s]
        }
        for t in range(len(counted)):
            if t not in bars:
                assert found[t, s] == 0
                continue
            alone = [1 / sum(u in own for own in bars.values()) for u in bars[t]]
            assert found[t, s] == pytest.approx(np.mean(alone))


def test_a_label_lives_until_the_barrier_that_decides_it():
    entry, close, scale, live = market()
    lived = bars_lived(entry, close, scale, 0.6, 5, has_barriers=True)
    found = barrier_returns(entry, close, scale, 0.6, 5)
    for t in range(BARS - 5):
        for s in range(SYMBOLS):
            end = log(close[t + lived[t, s], s]) - log(entry[t + 1, s])
            assert found[t, s] == pytest.approx(end, abs=1e-15)
    assert set(np.unique(lived)) == {2, 3, 4, 5}  # an entry is next to its own close
    assert (bars_lived(entry, close, scale, 0.6, 5, has_barriers=False) == 5).all()
    own, whole = (sample_weights(found, scale, live, 5, x) for x in (lived, None))
    np.testing.assert_array_equal(own > 0, whole > 0)
    assert own.sum() > whole.sum()


def test_a_lonely_label_is_unique_and_crowded_ones_share():
    counted = np.zeros((40, 1), bool)
    counted[[3, *range(15, 31)]] = True
    found = average_uniqueness(counted, 5)[:, 0]
    assert found[3] == 1
    np.testing.assert_allclose(found[20:26], 1 / 5)
    assert 1 / 5 < found[30] < 1


def test_what_cannot_be_traded_or_measured_weighs_nothing():
    entry, close, scale, live = market()
    live[10], scale[40, 0], scale[41, 1], close[50, 2] = False, 0, np.nan, np.nan
    returns = forward_returns(entry, close, 3)
    weights = sample_weights(returns, scale, live, 3)
    for t in range(BARS):
        for s in range(SYMBOLS):
            counts = (
                t + 3 < BARS
                and live[t, s]
                and live[t + 1, s]
                and live[t + 3, s]
                and np.isfinite(returns[t, s])
                and scale[t, s] > 0
            )
            assert (weights[t, s] > 0) == counts
    assert weights.dtype == np.float32
    assert weights.max() <= 1


def test_class_shares_are_weighed():
    labels = np.array([[0, 1], [1, 2]], np.int8)
    weights = np.array([[1.0, 2.0], [4.0, 1.0]], np.float32)
    np.testing.assert_allclose(class_shares(labels, weights), [1 / 8, 6 / 8, 1 / 8])
    assert np.isnan(class_shares(labels, 0 * weights)).all()


def test_the_edge_at_cost_is_the_median_of_cost_over_spread():
    rng = np.random.default_rng(4)
    cost = rng.uniform(1e-4, 9e-4, (201, 1))
    scale = np.full(cost.shape, 2e-3)
    found = cost_threshold(cost, scale, 4, np.ones(cost.shape))
    assert found == pytest.approx(np.median(cost) / (2e-3 * 2))
    weights = np.zeros(cost.shape)
    weights[7] = 1
    assert cost_threshold(cost, scale, 4, weights) == pytest.approx(cost[7, 0] / 4e-3)
    with pytest.raises(DataError, match="none of 201 training rows"):
        cost_threshold(cost, scale, 4, 0 * weights)


def test_the_horizon_that_pays_moves_twice_the_cost():
    """Steps of exactly one per mille upwards: h bars move h − 0 per mille."""
    steps = np.arange(200)[:, None] * 1e-3
    close = 100 * np.exp(steps)
    entry = np.roll(close, 1, axis=0)  # the bar opens where the last one closed
    live = np.ones(close.shape, bool)
    assert paying_horizon(entry, close, live, cost=1.9e-3, most=50) == 4
    assert paying_horizon(entry, close, live, cost=0.4e-3, most=50) == 1
    assert paying_horizon(entry, close, live, cost=0.1, most=50) is None
