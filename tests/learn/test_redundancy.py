"""Twins are named, mirrored ones too; what never varies is nobody's twin."""

import numpy as np

from bot4jax.kernels import CATALOGUE
from bot4jax.learn.redundancy import IDENTITIES, ROWS, correlations, paired, twins

NAMES = ("one", "twin", "mirror", "other", "flat")


def scores(bars=100, symbols=4):
    random = np.random.default_rng(1)
    one, other, blur, smear = random.normal(size=(4, bars, symbols))
    columns = (one, one + 0.1 * blur, 0.1 * smear - one, other, 0 * one + 3)
    return np.stack(columns, 2).astype(np.float32)


def test_pairs_that_move_together_are_named_the_closest_first():
    found = twins(scores(), NAMES, 0)
    pairs = {(one.first, one.second): one.correlation for one in found}
    assert set(pairs) == {("one", "twin"), ("one", "mirror"), ("twin", "mirror")}
    assert (found[-1].first, found[-1].second) == ("twin", "mirror")
    assert pairs["one", "twin"] > 0.95
    assert pairs["one", "mirror"] < -0.95


def test_correlations_are_numpys():
    rows = scores().reshape(-1, len(NAMES))
    expected = np.corrcoef(rows[:, :4].astype(np.float64), rowvar=False)
    found = correlations(rows)
    np.testing.assert_allclose(found[:4, :4], expected, atol=1e-12)
    np.testing.assert_array_equal(found[4], 0)


def test_a_sample_of_many_rows_finds_the_same_pairs():
    many = scores(bars=ROWS // 2)
    assert [one[:2] for one in twins(many, NAMES, 0)[2:]] == [("twin", "mirror")]


def test_identities_are_exempt_by_name_in_either_order():
    for first, second in IDENTITIES:
        assert {first, second} <= set(CATALOGUE)
        assert paired(first, second, 1.0).identity
        assert paired(second, first, 1.0).identity
    assert not paired("macd", "sma_distance_50", 1.0).identity
