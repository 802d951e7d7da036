"""The fitted temperature against SciPy's optimiser and against a known distortion."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from bot4jax.errors import DataError
from bot4jax.learn.calibrate import (
    COLDEST,
    HOTTEST,
    calibrate,
    fit_temperature,
    golden_section,
    softened,
)


def forecasts(true_temperature: float, count: int = 4000):
    """Labels drawn from the forecasts as they are at the true temperature."""
    rng = np.random.default_rng(0)
    logs = log_softmax(rng.normal(0, 1.5, (count, 3)), axis=1)
    true = log_softmax(logs / true_temperature, axis=1)
    labels = (true + rng.gumbel(size=true.shape)).argmax(1)
    return logs.astype(np.float32), labels, rng.uniform(0, 1, count)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_equals_scipy_and_finds_the_distortion(true):
    logs, labels, weights = forecasts(true)

    def loss(temperature):
        given = log_softmax(logs.astype(np.float64) / temperature, axis=1)
        return -np.average(given[np.arange(len(labels)), labels], weights=weights)

    best: Any = minimize_scalar(loss, bounds=(0.05, 20), method="bounded")
    found = fit_temperature(logs, labels, weights)
    assert found == pytest.approx(best.x, rel=1e-3)
    assert found == pytest.approx(true, rel=0.1)


def test_has_the_bits_of_a_search_sample_by_sample():
    """To the last digit, however the numbers lie in memory."""
    logs, labels, weights = forecasts(0.7)

    def loss(log_temperature: float) -> float:
        scaled = logs.astype(np.float64) * np.exp(-log_temperature)
        peak = scaled.max(1)
        total = peak + np.log(np.exp(scaled - peak[:, None]).sum(1))
        of_label = scaled[np.arange(len(labels)), labels]
        return float(np.average(total - of_label, weights=weights))

    exact = np.exp(golden_section(loss, np.log(COLDEST), np.log(HOTTEST)))
    assert fit_temperature(logs, labels, weights) == exact


def test_over_confidence_is_reduced():
    fitted = calibrate(*forecasts(3.0))
    assert fitted.temperature > 2
    assert fitted.log_loss[1] < fitted.log_loss[0] - 0.05
    assert fitted.ece[1] < 0.05 < fitted.ece[0]


def test_rows_without_weight_or_number_do_not_count():
    logs, labels, weights = forecasts(2.0)
    expected = fit_temperature(logs, labels, weights)
    broken = np.array([[np.nan] * 3, [-np.inf] * 3, [0, -np.inf, -np.inf]])
    more = (
        np.concatenate([logs, broken]).astype(np.float32),
        np.concatenate([labels, [0, 0, 1]]),
        np.concatenate([weights, [1, 1, 0]]),
    )
    assert fit_temperature(*more) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(calibrate(*more).ece).all()


def test_one_certain_error_does_not_make_the_loss_infinite():
    logs, labels, weights = forecasts(1.0)
    logs[0], labels[0], weights[0] = (0, -np.inf, -np.inf), 2, 1.0
    assert 1 < fit_temperature(logs, labels, weights) < 2


@pytest.mark.parametrize(("right", "bound"), [(True, COLDEST), (False, HOTTEST)])
def test_the_bounds_hold(right, bound):
    logs, _, weights = forecasts(1.0)
    labels = logs.argmax(1) if right else logs.argmin(1)
    found = fit_temperature(logs, labels, weights)
    assert found == pytest.approx(bound, rel=1e-4)


def test_nothing_to_fit_on_is_refused():
    logs, labels, weights = forecasts(1.0, count=10)
    with pytest.raises(DataError, match="none of 10 calibration samples"):
        fit_temperature(logs, labels, 0 * weights)


def test_a_forecast_that_is_none_is_no_want_of_labels():
    """Regression: of a member that said NaN alone it was told that none of 0 samples
    had a weight, and to lengthen the span."""
    logs, labels, weights = forecasts(1.0, count=10)
    weights[:4] = 0
    with pytest.raises(DataError) as told:
        calibrate(np.full_like(logs, np.nan), labels, weights)
    assert str(told.value).startswith("none of 6 calibration samples that have a label")
    assert "train.learning_rate" in str(told.value)


def test_softened_rows_sum_to_one():
    logs, *_ = forecasts(1.0, count=50)
    np.testing.assert_allclose(softened(logs, 1.0), np.exp(logs), rtol=1e-6)
    np.testing.assert_allclose(softened(logs, 7.0).sum(1), 1)


def test_golden_section_encloses_a_minimum_anywhere():
    for at in (-2.0, 0.3, 5.0):
        found = golden_section(lambda x, at=at: abs(x - at), -2.0, 5.0)
        assert found == pytest.approx(at, abs=2e-6)
