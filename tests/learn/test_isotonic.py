"""Isotonic curves against scikit-learn's, and what they may not do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from bot4jax.kernels.calibration import KNOTS, Curves, identity, straighten
from bot4jax.learn.calibrate import calibrate, softened, straightened
from bot4jax.learn.isotonic import (
    LEAST_EFFECTIVE,
    fit_curve,
    fit_curves,
    independent,
    pooled,
)
from bot4jax.learn.metrics import classwise_ece

numbers = st.lists(
    st.tuples(st.floats(0, 1, width=32), st.floats(0.125, 8, width=32)), min_size=1
)


@given(numbers)
def test_pooling_is_scikit_learns(rows):
    mean, weight = np.array(rows).T
    level, first = pooled(mean, weight)
    found = np.repeat(level, np.diff([*first, len(mean)]))
    truth = IsotonicRegression().fit_transform(
        np.arange(len(mean)), mean, sample_weight=weight
    )
    np.testing.assert_allclose(found, truth, atol=1e-9)
    assert (np.diff(level) > 0).all()


def over_confident(count: int = 6_000, seed: int = 0):
    """Forecasts that say too much, and the labels that came."""
    rng = np.random.default_rng(seed)
    true = rng.dirichlet((2, 3, 2), count)
    labels = (rng.random(count)[:, None] > true.cumsum(1)).sum(1)
    said = true**2.5 / (true**2.5).sum(1, keepdims=True)
    return said.astype(np.float32), labels, rng.uniform(0.5, 1.5, count)


def test_a_curve_is_scikit_learns_between_its_knots_too():
    said, labels, weights = over_confident(300)
    given, meant = fit_curve(said[:, 2], labels == 2, weights)
    asked = np.linspace(0, 1, 501)
    truth = IsotonicRegression(out_of_bounds="clip")
    truth.fit(said[:, 2].astype(float), labels == 2, weights)
    # with so few rows every end of a block is a knot: nothing is left out
    assert len(np.unique(given)) < len(given)
    np.testing.assert_allclose(
        np.interp(asked, given, meant), truth.predict(asked), atol=1e-12
    )


def test_values_that_are_said_twice_are_one():
    said = np.array([0.2, 0.2, 0.2, 0.6, 0.6])
    given, meant = fit_curve(said, np.array([0, 1, 1, 0, 1]), np.ones(5))
    pooled_once = 3 / 5  # .667 before .5 violates: all five are one block
    np.testing.assert_allclose(meant, pooled_once)
    assert (given[0], given[-1]) == (0.2, 0.6)


def test_the_device_follows_the_curves_and_renormalises():
    said, labels, weights = over_confident()
    curves = fit_curves(said, labels, weights)
    assert curves is not None
    found = np.asarray(jax.jit(straighten)(curves, said[None]))[0]
    each = np.stack(
        [
            np.interp(said[:, c], curves.given[0, c], curves.meant[0, c])
            for c in range(3)
        ],
        axis=1,
    )
    n = 1 / curves.least[0] - 2
    assert n == pytest.approx(weights.sum(), rel=1e-5)
    least = 1 / (n + 2)
    each = np.maximum(each, least)
    each = np.maximum(each / each.sum(1, keepdims=True), least) - least
    each *= (1 - 3 * least) / each.sum(1, keepdims=True)
    np.testing.assert_allclose(found, least + each, atol=1e-6)


def test_no_probability_is_beyond_its_bounds():
    """Two that say always and one never: half of the least, if clipped first."""
    line = np.linspace(0, 1, KNOTS, dtype=np.float32)
    given = np.tile(line, (1, 3, 1))
    for meant in ([1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]):
        told = np.repeat(np.array(meant, np.float32), KNOTS).reshape(1, 3, KNOTS)
        curves = Curves(given, told, np.full(1, 0.01, np.float32))
        (found,) = np.asarray(straighten(curves, np.full((1, 1, 3), 1 / 3, np.float32)))
        assert found.sum() == pytest.approx(1)
        assert found.min() >= 0.01 - 1e-7
        assert found.max() <= 0.99 + 1e-7


def test_symbols_that_move_as_one_are_worth_one():
    """And those that share nothing all of them; labels that overlap one of five."""
    rng, bars, symbols = np.random.default_rng(0), 4_000, 40
    draw = rng.integers(0, 3, (bars, symbols))
    even, few = np.ones(draw.shape), 0.25
    apart = independent(draw, even, 1)
    as_one = independent(np.repeat(draw[:, :1], symbols, axis=1), even, 1)
    assert apart == pytest.approx(bars * symbols, rel=few)
    assert as_one == pytest.approx(bars, rel=few)
    moved = rng.normal(size=(bars + 4, 1)) * np.ones(symbols)
    overlapping = np.sign(sum(moved[k : k + bars] for k in range(5))).astype(int)
    # of signs: the sum of (2/π) arcsin of the returns' correlations
    lags = np.arange(-4, 5)
    known = np.arcsin(1 - np.abs(lags) / 5).sum() * 2 / np.pi
    found = independent(overlapping, even / 5, 5)
    assert found == pytest.approx(bars / known, rel=few)


def test_curves_are_no_surer_than_independent_labels_allow():
    said, labels, weights = over_confident()
    found = fit_curves(said, labels, weights, worth=98.0)
    assert found is not None
    assert found.least[0] == pytest.approx(0.01)


def test_curves_mend_what_a_temperature_cannot():
    """Of three classes one is overstated, whatever the others are."""
    said, labels, weights = over_confident()
    bent = said * np.array([1.0, 1.0, 8.0], np.float32)
    logs = np.log(bent / bent.sum(1, keepdims=True)).astype(np.float32)
    first = calibrate(logs, labels, weights)
    found = straightened(first, logs, labels, weights)
    assert found.curves is not None
    assert found.log_loss[1] < first.log_loss[1] - 0.05
    tempered = softened(logs, first.temperature).astype(np.float32)
    after = np.asarray(straighten(found.curves, tempered[None])[0])
    errors = [classwise_ece(x, labels, weights).max() for x in (tempered, after)]
    assert errors[1] < 0.03 < 0.1 < errors[0]


def test_too_few_labels_fit_no_curve():
    said, labels, weights = over_confident(1_000)
    enough = weights * LEAST_EFFECTIVE / weights.sum() * 1.001
    assert fit_curves(said, labels, weights) is None
    assert fit_curves(said, labels, enough) is not None
    logs = np.log(said)
    first = calibrate(logs, labels, weights)
    assert straightened(first, logs, labels, weights) == first


def test_rows_of_no_weight_and_of_no_number_do_not_count():
    said, labels, weights = over_confident()
    plain = fit_curves(said, labels, weights)
    more = fit_curves(
        np.concatenate([said, np.full((9, 3), np.nan, np.float32), said[:9]]),
        np.concatenate([labels, np.zeros(9, int), 2 - labels[:9]]),
        np.concatenate([weights, np.ones(9), np.zeros(9)]),
    )
    assert plain is not None
    assert more is not None
    for one, other in zip(plain, more, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_identity_changes_nothing_and_nan_stays_visible():
    said = jnp.asarray([[[0.2, 0.3, 0.5], [0.98, 0.01, 0.01], [np.nan, 0.5, 0.5]]])
    found = np.asarray(straighten(identity(1, 3), said))[0]
    np.testing.assert_allclose(found[:2], said[0, :2], atol=1e-6)
    assert np.isnan(found[2]).all()
