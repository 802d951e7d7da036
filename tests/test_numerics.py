"""Whole numbers that stand for floats stand in their order."""

import jax.numpy as jnp
import numpy as np

from bot4jax.numerics import BEYOND, sort_key

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
