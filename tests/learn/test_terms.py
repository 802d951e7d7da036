"""Recorded bars whose prices mean something else from one bar to the next."""

import numpy as np

from bot4jax.learn.dataset import BarRecord, price_factors
from bot4jax.runtime.device_terms import unchanged
from bot4jax.types import BAR_FLOATS, BAR_INTS

BARS, SYMBOLS = 6, 2


def test_a_price_is_in_the_terms_of_the_first_bar_whatever_part_is_looked_at():
    """The second symbol is counted in quarters behind bar 1, and split behind bar 3."""
    price = np.ones(SYMBOLS, np.float32)
    finer, split = (
        unchanged(SYMBOLS)._replace(price=np.where([False, True], factor, price))
        for factor in (np.float32(4), np.float32(0.5))
    )
    times = np.array([1, 1, 4, 4, 2, 2])
    mids = np.array([[100, 101, 102, 103, 104, 105], [60, 61, 60, 63, 60, 62]]).T
    ints = np.zeros((BARS, len(BAR_INTS), SYMBOLS), np.int32)
    floats = np.zeros((BARS, len(BAR_FLOATS), SYMBOLS), np.float32)
    own = mids * np.stack([np.ones(BARS), times], axis=1)
    floats[:, BAR_FLOATS.index("anchor")] = own.round() - 7
    ints[:, BAR_INTS.index("mid_close")] = 14
    changes = [None, finer, None, split, None, finer]
    factor = price_factors(changes, SYMBOLS)
    record = BarRecord(10, ints, floats, price_factor=factor)
    np.testing.assert_array_equal(record.price("mid_close"), mids)
    some = record.part(range(11, 15))
    np.testing.assert_array_equal(some.price("mid_close"), mids[1:5])


def test_where_no_terms_change_prices_are_what_they_were():
    assert price_factors([None] * BARS, SYMBOLS) is None
