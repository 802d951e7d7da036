"""Whole numbers that stand for floats stand in their order."""

import jax.numpy as jnp
import numpy as np

from bot4jax.numerics import BEYOND, NEARLY_ALL, log_growth, sort_key

LIMITS = np.finfo(np.float32)
EDGES = [0.0, LIMITS.tiny, 1.0, np.nextafter(np.float32(1), 2), LIMITS.max, np.inf]


def test_sort_keys_stand_in_the_order_of_the_floats():
    """Any two are compared; −0 and 0 are equal."""
    drawn = np.random.default_rng(0).normal(size=50)
    values = np.array([*EDGES, *np.negative(EDGES), *drawn], np.float32)
    keys = np.asarray(sort_key(jnp.asarray(values)))
    assert keys.max() < BEYOND
    for compare in (np.less, np.equal):
        expected = compare.outer(values, values)
        np.testing.assert_array_equal(compare.outer(keys, keys), expected)


def test_the_log_of_growth_is_that_of_numpy_and_finite_where_all_is_lost():
    nearly = np.nextafter(np.float32(-1), np.float32(0))
    assert np.float32(NEARLY_ALL) == nearly
    growth = np.array([0, 1e-9, -1e-9, 0.5, -0.5, 2.0**30, nearly], np.float32)
    found = np.asarray(log_growth(jnp.asarray(growth)))
    # two units in the last place: XLA's log1p is not NumPy's
    np.testing.assert_allclose(found, np.log1p(growth), rtol=3e-7)
    lost = np.asarray(log_growth(jnp.asarray([-1.0, -1.5], jnp.float32)))
    np.testing.assert_array_equal(lost, found[-1])
