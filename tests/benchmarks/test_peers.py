"""A peer counts only where it computes what the feature is defined to be."""

import numpy as np
import pytest

from benchmarks.peers.peer import called, one_by_one, peer, reach
from benchmarks.peers.registry import PEERS
from bot4jax.certify.columns import Columns
from bot4jax.kernels import CATALOGUE
from tests import recorded

BARS = 340
WINDOW = 256
ORDINARY = (recorded.DEAR, recorded.WILD)
"""Symbols where everything is defined: libraries differ in what they make of edges."""

CLOSE = 5e-7
"""Over the largest value: libraries begin Wilder's averages otherwise, and an average
of averages forgets its beginning over 256 bars to 256 / 14 × (13/14)²⁵⁶ = 1e-7."""


@pytest.fixture(scope="module")
def columns():
    bars = recorded.recorded_bars(7, BARS)
    units = recorded.units()
    return Columns(bars, *units)


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
    asked = [CATALOGUE[feature].columns for feature in one.features]
    names = {name for some in (one.columns, *asked) for name in some}
    windows = windows_of(columns, names, length)
    found, worst = called(one, windows), 0.0
    for feature, values in found.items():
        rows = range(len(values))
        cut = [{name: windows[name][row] for name in windows} for row in rows]
        expected = np.array([CATALOGUE[feature].reference(row) for row in cut])
        assert np.isfinite(expected).all()
        assert np.ptp(expected) > 0
        apart = np.abs(values - expected).max() / np.abs(expected).max()
        worst = max(worst, float(apart / CLOSE))
    return worst


@pytest.mark.parametrize(
    "one", PEERS, ids=lambda one: f"{one.library}-{one.features[0]}"
)
def test_computes_what_the_feature_is_defined_to_be(one, columns):
    assert furthest(one, columns) <= 1


def test_what_computes_something_else_is_seen(columns):
    @peer("numpy", "standard_deviation")
    def of_samples(standardised_return):
        return standardised_return.std(1, ddof=1)

    @one_by_one("numpy", "mean")
    def shifted(standardised_return):
        return standardised_return[1:].mean()

    assert furthest(of_samples, columns) > 1
    assert furthest(shifted, columns) > 1
