"""Columns that compare symbols, bar by bar against SciPy and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from bot4jax.certify.columns import Columns
from bot4jax.kernels import history
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


@pytest.mark.parametrize("symbols", [1, 2, 300])
def test_who_is_asleep_or_brings_no_number_has_no_place(symbols):
    rng = np.random.default_rng(symbols)
    values = rng.choice([-2.0, -0.0, 0.0, 0.5, np.nan, np.inf], symbols)
    awake = rng.random(symbols) < 0.9
    found = history._rank(jnp.asarray(values, jnp.float32), jnp.asarray(awake))
    number = np.isfinite(values)
    counted = awake & number
    expected = np.where(number, 0.0, np.nan)
    places = stats.rankdata(values[counted])
    expected[counted] = (places - 0.5) / max(counted.sum(), 1) - 0.5
    np.testing.assert_allclose(found, expected, atol=1e-7)  # rounding at a half


@pytest.mark.parametrize("asked", [(), ("volume_rank",), ("return_rank",)])
def test_a_rank_that_is_asked_for_alone_is_the_same(asked):
    """And what nobody asks for is not there."""
    bar = jax.tree.map(lambda rows: jnp.asarray(rows[-1]), recorded.recorded_bars(7, 2))
    past = history.init_past(len(bar.live))
    units = history.Scales(*map(jnp.asarray, recorded.units()))
    both, alone = (
        history.bar_columns(bar, past, units, ranks)
        for ranks in (tuple(history.RANKED), asked)
    )
    assert set(both) - set(alone) == set(history.RANKED) - set(asked)
    for name, column in alone.items():
        np.testing.assert_array_equal(column, both[name])


def test_dispersion_is_the_deviation_across_live_symbols(columns):
    z, live = columns.by_name["standardised_return"], np.asarray(columns.bars.live) > 0
    expected = [row[here].std() for row, here in zip(z, live, strict=True)]
    for slot in range(z.shape[1]):
        np.testing.assert_allclose(columns.by_name["dispersion"][:, slot], expected)
