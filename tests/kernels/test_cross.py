"""Columns that compare symbols, bar by bar against SciPy and NumPy."""

import numpy as np
import pytest
from scipy import stats

from bot4jax.certify.columns import Columns
from tests import recorded

BARS = 340


@pytest.fixture(scope="module")
def columns():
    return Columns(recorded.recorded_bars(7, BARS), *recorded.units())


@pytest.mark.parametrize(
    ("rank", "of"), [("return_rank", "log_return"), ("volume_rank", "volume")]
)
def test_a_rank_is_the_middle_one_of_equals(columns, rank, of):
    values, live = columns.by_name[of], np.asarray(columns.bars.live) > 0
    assert any(len(set(row)) < len(row) for row in values), "no ties"
    for bar, here in enumerate(live):
        places = stats.rankdata(values[bar, here].astype(np.float32))
        expected = (places - 0.5) / max(here.sum(), 1) - 0.5
        np.testing.assert_allclose(columns.by_name[rank][bar, here], expected)
        assert not columns.by_name[rank][bar, ~here].any()


def test_dispersion_is_the_deviation_across_live_symbols(columns):
    z, live = columns.by_name["standardised_return"], np.asarray(columns.bars.live) > 0
    expected = [row[here].std() for row, here in zip(z, live, strict=True)]
    for slot in range(z.shape[1]):
        np.testing.assert_allclose(columns.by_name["dispersion"][:, slot], expected)
