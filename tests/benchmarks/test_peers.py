"""A peer counts only where it computes what the feature is defined to be."""

import numpy as np
import pytest

from benchmarks import bars
from benchmarks.features import LONGEST_LAG
from benchmarks.peers.peer import CLOSE, called, one_by_one, peer, reach
from benchmarks.peers.registry import PEERS
from bot4jax.certify.columns import Columns
from bot4jax.kernels import CATALOGUE
from tests import recorded

BARS = 340
WINDOW = 256
SYMBOLS = 16
ORDINARY = (recorded.DEAR, recorded.WILD)
"""Symbols where everything is defined: libraries differ in what they make of edges."""


@pytest.fixture(scope="module")
def columns():
    return Columns(recorded.recorded_bars(7, BARS), *recorded.units())


def windows_of(columns, names, length):
    """`[symbols and bars, length]` by column."""
    ends = range(BARS - 60, BARS, 7)
    pairs = [(symbol, end) for symbol in ORDINARY for end in ends]
    return {
        name: np.stack([columns.window(name, *pair, length) for pair in pairs])
        for name in names
    }


def furthest(one, columns):
    """Largest difference to the definition, over the tolerance it is allowed."""
    length = reach(one, CATALOGUE, WINDOW)
    return furthest_in(one, windows_of(columns, names_of(one), length))


def furthest_of_random(one, columns):
    """The same of a window a symbol, which are all at the same time."""
    length = reach(one, CATALOGUE, WINDOW)
    windows = {name: columns.window(name, length) for name in names_of(one)}
    return furthest_in(one, windows, common=("dispersion",))


def names_of(one):
    """Columns that the peer or a definition reads."""
    asked = [CATALOGUE[feature].columns for feature in one.features]
    return {name for some in (one.columns, *asked) for name in some}


def furthest_in(one, windows, common=()):
    """`common` is the same for all symbols."""
    found, worst = called(one, windows), 0.0
    for feature, values in found.items():
        rows = range(len(values))
        cut = [{name: windows[name][row] for name in windows} for row in rows]
        expected = np.array([CATALOGUE[feature].reference(row) for row in cut])
        assert np.isfinite(expected).all()
        assert (np.ptp(expected) > 0) != (feature in common)
        apart = np.abs(values - expected).max() / np.abs(expected).max()
        worst = max(worst, float(apart / CLOSE))
    return worst


@pytest.mark.parametrize(
    "one", PEERS, ids=lambda one: f"{one.library}-{one.features[0]}"
)
def test_computes_what_the_feature_is_defined_to_be(one, columns):
    assert furthest(one, columns) <= 1


@pytest.fixture(scope="module")
def random_columns():
    record = bars.random_bars(SYMBOLS, WINDOW + LONGEST_LAG + 1, 3)
    return bars.Columns(record, bars.unit_scales(SYMBOLS))


@pytest.mark.parametrize(
    "one", PEERS, ids=lambda one: f"{one.library}-{one.features[0]}"
)
def test_so_it_does_of_bars_whose_columns_have_nothing_in_common(one, random_columns):
    """Recorded trades all have an aggressor: to count all of them looks right there."""
    assert furthest_of_random(one, random_columns) <= 1


def test_trades_without_an_aggressor_are_seen(random_columns):
    """What `trade_count_imbalance` was divided by at first."""

    @peer("numpy", "trade_count_imbalance")
    def over_all_trades(signed_count, trade_count):
        return signed_count.sum(1) / trade_count.sum(1)

    assert furthest_of_random(over_all_trades, random_columns) > 1


def test_of_peaks_that_count_as_equal_the_slowest_counts():
    """The two differ by 2.5e-4, the slower one is the lower."""
    bars = np.arange(WINDOW)
    slow, quick = (np.cos(2 * np.pi * bars * k / WINDOW) for k in (24, 97))
    z = (slow + (1 + 2.5e-4) ** 0.5 * quick)[None]
    (own,) = (one for one in PEERS if "peak_frequency" in one.features)
    found = called(own, {"standardised_return": z})["peak_frequency"]
    truth = CATALOGUE["peak_frequency"].reference({"standardised_return": z[0]})
    assert found == truth == 24 / WINDOW


def test_what_computes_something_else_is_seen(columns):
    @peer("numpy", "standard_deviation")
    def of_samples(standardised_return):
        return standardised_return.std(1, ddof=1)

    @one_by_one("numpy", "mean")
    def shifted(standardised_return):
        return standardised_return[1:].mean()

    assert furthest(of_samples, columns) > 1
    assert furthest(shifted, columns) > 1
