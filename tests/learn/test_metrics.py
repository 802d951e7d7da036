"""Every metric against scikit-learn, SciPy, statsmodels or its definition."""

from typing import Any

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from sklearn import metrics as truth
from sklearn.calibration import calibration_curve

from bot4jax.learn import student
from bot4jax.learn.metrics import (
    average_ranks,
    brier,
    classwise_ece,
    confusion,
    direction,
    ece,
    hit_rate,
    information_coefficient,
    log_loss,
    macro_f1,
    mcc,
    newey_west_t,
    reliability_curve,
    student_t,
)

CLASSES = [0, 1, 2]


def forecasts(count: int = 500, seed: int = 0):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet((2, 3, 2), count)
    labels = (np.log(probability) + rng.gumbel(size=probability.shape)).argmax(1)
    return probability, labels.astype(np.int8), rng.uniform(0, 2, count)


def test_log_loss_and_brier_equal_scikit_learn():
    p, labels, weights = forecasts()
    for w in (None, weights):
        expected = truth.log_loss(labels, p, sample_weight=w)
        assert log_loss(p, labels, w) == pytest.approx(expected, rel=1e-12)
        expected = truth.brier_score_loss(labels, p, sample_weight=w)
        assert brier(p, labels, w) == pytest.approx(expected, rel=1e-12)


def test_bars_and_symbols_score_as_one_list():
    p, labels, weights = forecasts()
    shaped = p.reshape(50, 10, 3), labels.reshape(50, 10), weights.reshape(50, 10)
    assert log_loss(*shaped) == pytest.approx(log_loss(p, labels, weights))
    assert ece(*shaped) == pytest.approx(ece(p, labels, weights))


def test_log_loss_of_constant_shares_is_their_cross_entropy():
    _, labels, weights = forecasts()
    shares = np.array([0.25, 0.5, 0.25])
    held = np.bincount(labels, weights) / weights.sum()
    expected = -(held * np.log(shares)).sum()
    said = np.broadcast_to(shares, (*labels.shape, 3))
    assert log_loss(said, labels, weights) == pytest.approx(expected)


def test_the_impossible_that_happens_costs_much_but_not_infinitely():
    p = np.array([[1.0, 0.0, 0.0]])
    assert log_loss(p, np.array([2])) == pytest.approx(-np.log(1e-15))
    assert brier(p, np.array([2])) == 2


def test_rows_without_weight_do_not_count_and_broken_forecasts_show():
    p, labels, weights = forecasts()
    expected = [m(p[9:], labels[9:], weights[9:]) for m in (log_loss, brier, ece)]
    weights[:9], p[:9] = 0, np.nan
    found = [m(p, labels, weights) for m in (log_loss, brier, ece)]
    assert found == pytest.approx(expected)
    weights[0] = 1
    assert np.isnan([m(p, labels, weights) for m in (log_loss, brier, ece)]).all()
    nothing = np.zeros_like(weights)
    assert np.isnan([m(p, labels, nothing) for m in (log_loss, brier, ece)]).all()


def test_the_reliability_curve_equals_scikit_learn():
    p, labels, _ = forecasts()
    observed, forecast = calibration_curve(labels == 2, p[:, 2], n_bins=10)
    curve = reliability_curve(p[:, 2], labels == 2, bins=10)
    np.testing.assert_allclose(curve.observed, observed)
    np.testing.assert_allclose(curve.forecast, forecast)
    assert curve.share.sum() == pytest.approx(1)


def error_by_hand(forecast, happened, weights, bins):
    total = 0.0
    for b in range(bins):
        inside = (forecast > b / bins) & (forecast <= (b + 1) / bins)
        if b == 0:
            inside |= forecast == 0
        if weights[inside].sum() > 0:
            gap = np.average((forecast - happened)[inside], weights=weights[inside])
            total += abs(gap) * weights[inside].sum() / weights.sum()
    return total


@pytest.mark.parametrize("bins", [4, 15])
def test_calibration_errors_equal_their_definition(bins):
    p, labels, weights = forecasts()
    p[:4] = [[1, 0, 0], [0, 0, 1], [0.25, 0.5, 0.25], [0.75, 0.25, 0]]  # on edges
    right = p.argmax(1) == labels
    expected = error_by_hand(p.max(1), right, weights, bins)
    assert ece(p, labels, weights, bins) == pytest.approx(expected)
    each = [error_by_hand(p[:, c], labels == c, weights, bins) for c in CLASSES]
    np.testing.assert_allclose(classwise_ece(p, labels, weights, bins), each)


def test_confidence_in_what_never_comes_true_is_all_error():
    p = np.tile([0.9, 0.05, 0.05], (20, 1))
    assert ece(p, np.full(20, 2)) == pytest.approx(0.9)
    assert ece(p, np.repeat([0, 1], [18, 2])) == pytest.approx(0)


def test_classification_scores_equal_scikit_learn():
    p, labels, weights = forecasts()
    chosen = p.argmax(1)
    counts = confusion(labels, chosen, weights)
    expected = truth.confusion_matrix(labels, chosen, sample_weight=weights)
    np.testing.assert_allclose(counts, expected)
    f1 = truth.f1_score(labels, chosen, average="macro", sample_weight=weights)
    assert macro_f1(counts) == pytest.approx(f1)
    correlation = truth.matthews_corrcoef(labels, chosen, sample_weight=weights)
    assert mcc(counts) == pytest.approx(correlation)


def test_a_class_nobody_meets_or_chooses_is_left_out():
    labels, chosen = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    expected = truth.f1_score(labels, chosen, average="macro")
    assert macro_f1(confusion(labels, chosen)) == pytest.approx(expected)
    constant = confusion(labels, np.ones(4, int), np.full(4, 0.1))
    assert mcc(constant) == 0


def test_direction_and_hits():
    p = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6], [0.3, 0.4, 0.3], [0.0, 0.1, 0.9]])
    signed = direction(p)
    np.testing.assert_allclose(signed, [-0.3, 0.5, 0.0, 0.9])
    returns = np.array([-1.0, -1.0, 5.0, 0.0])
    assert hit_rate(signed, returns) == 0.5
    assert hit_rate(signed, returns, np.array([3.0, 1.0, 9.0, 9.0])) == 0.75
    assert np.isnan(hit_rate(np.zeros(4), returns))


def test_ranks_equal_scipy_ties_included():
    values = np.array([3.0, 1.0, 3.0, 2.0, 3.0, 1.0, -7.0])
    np.testing.assert_array_equal(average_ranks(values), stats.rankdata(values))


def skilled(bars: int, symbols: int):
    rng = np.random.default_rng(3)
    forecast = rng.normal(size=(bars, symbols))
    returns = 0.2 * forecast + rng.standard_t(3, size=forecast.shape)
    return forecast, returns, (rng.random(forecast.shape) < 0.8).astype(float)


@pytest.mark.parametrize("ranks", [False, True])
def test_the_information_coefficient_is_the_mean_of_each_bars_correlation(ranks):
    forecast, returns, weights = skilled(80, 40)
    weights[7] = 0
    returns[8] = 1.0  # a constant has no correlation
    correlate: Any = stats.spearmanr if ranks else stats.pearsonr
    counts = weights > 0
    series = [
        correlate(forecast[t, counts[t]], returns[t, counts[t]])[0]
        for t in range(80)
        if t not in (7, 8)
    ]
    found = information_coefficient(forecast, returns, weights, 5, ranks)
    assert found.mean == pytest.approx(np.mean(series))
    assert found.bars == 78
    t, degrees = student_t(np.array(series), 4, 5)
    assert (found.t, found.degrees) == pytest.approx((t, degrees))
    assert found.p_value == pytest.approx(stats.t.sf(t, degrees))
    assert found.t > 2


@pytest.mark.parametrize("ranks", [False, True])
def test_with_few_symbols_it_is_taken_over_time(ranks):
    forecast, returns, weights = skilled(300, 2)
    counts = weights > 0
    correlate = stats.spearmanr if ranks else stats.pearsonr
    found = information_coefficient(forecast, returns, weights, 5, ranks)
    assert found.mean == pytest.approx(correlate(forecast[counts], returns[counts])[0])
    assert found.bars == counts.any(1).sum()


def test_without_samples_there_is_no_coefficient():
    forecast, returns, weights = skilled(30, 2)
    found = information_coefficient(forecast, returns, 0 * weights, 5)
    assert np.isnan(found.mean)
    assert found.bars == 0


@pytest.mark.parametrize("lag", [0, 1, 7])
def test_newey_west_equals_statsmodels(lag):
    rng = np.random.default_rng(0)
    series = np.convolve(rng.normal(0.1, 1, 205), np.ones(6) / 6, "valid")
    fitted = sm.OLS(series, np.ones_like(series)).fit(
        cov_type="HAC", cov_kwds={"maxlags": lag, "use_correction": False}
    )
    assert newey_west_t(series, lag) == pytest.approx(fitted.tvalues[0])


@pytest.mark.parametrize("bars", [80, 300])
def test_t_without_skill_is_as_rarely_large_as_students(bars):
    """Of few bars with overlapping labels too; Newey & West's own is beyond the normal
    5 % of one side in 11 of 100 markets of 80 bars."""
    rng, markets = np.random.default_rng(bars), 4_000
    noise = rng.normal(size=(markets, bars + 4))
    series = np.stack([noise[:, k : k + bars] for k in range(5)]).mean(0)
    found = [student_t(one, 4, 5) for one in series]
    p = np.array([student.chance(*one) for one in found])
    for level in (0.05, 0.95):
        # 3 sd of 4,000 markets, and that the degrees are approximate
        assert np.mean(p < level) == pytest.approx(level, abs=0.0103 + 0.004)


def test_too_short_or_constant_series_have_no_t():
    assert np.isnan(newey_west_t(np.arange(5.0), 4))
    assert np.isnan(newey_west_t(np.ones(50), 4))


def test_a_forecast_that_is_no_number_is_no_miss():
    """Nor does it count where it weighs nothing."""
    said, came = np.array([1.0, np.nan, -1.0]), np.array([1.0, 1.0, 1.0])
    assert np.isnan(hit_rate(said, came))
    assert hit_rate(said, came, np.array([1.0, 0.0, 1.0])) == 0.5


def test_without_a_weight_there_is_nothing_to_score():
    nothing = np.zeros((3, 3))
    assert np.isnan(macro_f1(nothing))
    assert np.isnan(mcc(nothing))
