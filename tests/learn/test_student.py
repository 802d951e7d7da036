"""What an error of few bars is worth: matrices written out, and published tables."""

import numpy as np
import pytest
from scipy import stats
from scipy.linalg import toeplitz

from bot4jax.learn import student

BARS = 60


@pytest.mark.parametrize("is_even", [True, False])
@pytest.mark.parametrize(
    ("by_lag", "overlap"),
    [
        (student.of_blocks(BARS, 12.0), 3),
        (student.of_blocks(BARS, 1.0), 1),
        (student.triangle(BARS, 6), 5),
    ],
    ids=["blocks", "bars", "newey_west"],
)
def test_share_and_degrees_are_those_of_the_whole_matrix(by_lag, overlap, is_even):
    """A quadratic form of normal bars has mean tr(AΩ) and variance 2·tr(A²)."""
    mass = np.ones(BARS)
    if not is_even:
        mass = np.random.default_rng(0).integers(0, 4, BARS).astype(float)
    apart = np.eye(BARS) - np.outer(np.ones(BARS), mass) / mass.sum()
    form = apart.T @ (np.outer(mass, mass) * toeplitz(by_lag)) @ apart
    shared = toeplitz(np.maximum(1 - np.arange(BARS) / overlap, 0))
    found = student.trust(by_lag, mass, overlap)
    assert found.share == pytest.approx(
        np.trace(form @ shared) / (mass @ shared @ mass)
    )
    assert found.degrees == pytest.approx(np.trace(form) ** 2 / np.sum(form * form.T))


def test_single_bars_are_the_textbooks():
    """Independent bars: a share of 1 − 1/T, T − 1 degrees."""
    found = student.trust(student.of_blocks(30, 1.0), np.ones(30), 1)
    assert found == pytest.approx((29 / 30, 29))
    assert student.reach(29) == pytest.approx(stats.t.ppf(0.975, 29))
    assert student.chance(2.0, 29) == pytest.approx(stats.t.sf(2.0, 29))


@pytest.mark.parametrize("part", [0.02, 0.05, 0.1, 0.2])
def test_critical_values_are_those_of_kiefer_and_vogelsang(part):
    """Bartlett's weights over a part of the span; their table 1, two sides of 95 %."""
    bars = 500
    by_lag = student.triangle(bars, round(part * bars))
    share, degrees = student.trust(by_lag, np.ones(bars), 1)
    table = 1.9600 + 2.9694 * part + 0.4160 * part**2 - 0.5324 * part**3
    assert student.reach(degrees) / share**0.5 == pytest.approx(table, rel=0.02)


def test_of_one_bar_nothing_is_known():
    for mass in ([0.0, 0.0], [0.0, 3.0], [1.0]):
        by_lag = student.of_blocks(len(mass), 4.0)
        assert np.isnan(student.trust(by_lag, np.array(mass), 1)).all()
