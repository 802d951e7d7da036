"""Prices that hardly vary about a trend: what float32 tells of them, and what not.

Sums of powers cancel there. Of a price that rises straight, kurtosis was 246 in place
of −1.2, and nobody was told. What is said must be the definition, and what is masked
must have none.
"""

import numpy as np
import pytest

from bot4jax.certify import features
from bot4jax.kernels import CATALOGUE
from tests import recorded
from tests.checks import BARS, Evidence

LOOKED_AT = (285, 301, 330, BARS - 1)


def paths():
    """Anchors and closing mids, half increments, one column a kind of price."""
    t, rng = np.arange(BARS), np.random.default_rng(11)
    walk = rng.standard_t(4, BARS)
    kinds = {
        "rises": (10_000, 2 * t),
        "rises, dear": (1_000_000, 2 * t),
        "falls": (100_000, -2 * t),
        "grows": (100_000, 200_000 * np.expm1(1e-4 * t)),
        "drifts": (1_000_000, 2 * rng.integers(48, 53, BARS).cumsum()),
        "drifts evenly": (1_000_000, 2 * (100 + (rng.random(BARS) < 0.01)).cumsum()),
        "bends": (10_000, t**2 / 50),
        "swings": (1_000_000, 600_000 * np.sin(t / 20)),
        "to and fro": (10_000, 2 * (t % 2)),
        "walks, then rises": (100_000, np.where(t < 150, 8 * walk, 2).cumsum()),
    }
    anchors, closes = zip(*kinds.values(), strict=True)
    return list(kinds), np.array(anchors), np.rint(np.stack(closes, 1)).astype(np.int32)


@pytest.fixture(scope="module")
def straight(evidence):
    """Bars of those prices, which open and close at their highs and lows."""
    _, anchors, close = paths()
    bars = recorded.at_mids(recorded.recorded_bars(7, BARS), anchors, close)
    bars = bars._replace(
        ask=close - bars.bid,
        trade_close=bars.bid,
        trade_count=np.maximum(bars.trade_count, 1),
    )
    price = anchors + close / 2
    moves = np.sqrt((np.diff(np.log(price), axis=0) ** 2).mean(0))
    found = Evidence(evidence.plan.specs, bars)
    found.units = recorded.units()._replace(returns=moves.astype(np.float32))
    found.chunk = evidence.chunk
    return found


MENDED = [
    *("standard_deviation", "skewness", "excess_kurtosis", "range_over_deviation"),
    *("autocorrelation_1", "autocorrelation_2", "autocorrelation_5"),
    *("autocorrelation_10", "absolute_autocorrelation", "complexity_estimate"),
    *("third_order_cumulant_1", "third_order_cumulant_2", "third_order_cumulant_3"),
    *("market_correlation", "residual_return", "hurst_exponent"),
    *("wavelet_kurtosis_1", "wavelet_kurtosis_4"),
]


@pytest.mark.parametrize("name", MENDED)
def test_what_is_said_is_so_and_what_is_masked_has_no_value(name, straight):
    spec = CATALOGUE[name]
    values, usable = straight.of(spec, straight.whole)
    reach = straight.reach(spec)
    for symbol, kind in enumerate(paths()[0]):
        cells = features.Cells(
            np.array(LOOKED_AT), np.full(len(LOOKED_AT), symbol, int)
        )
        with np.errstate(all="ignore"):
            truth = features.defined(spec, straight.columns, reach, cells)
        said, is_said = values[cells], usable[cells]
        error = np.abs(said - truth) / np.maximum(1, np.abs(truth))
        assert (error[is_said] <= spec.tolerance).all(), (kind, said, truth)
        assert not features.is_inside(spec, truth[~is_said]).any(), (kind, truth)


@pytest.mark.parametrize(
    ("name", "value"),
    [("excess_kurtosis", -1.2), ("skewness", 0.0), ("range_over_deviation", 12**0.5)],
)
def test_the_moments_of_a_straight_price_are_those_of_an_even_spread(
    name, value, straight
):
    """Its returns fall evenly, from the first to the last of the window."""
    values, usable = straight.of(CATALOGUE[name], straight.whole)
    rises = paths()[0].index("rises")
    assert usable[285:, rises].all()
    np.testing.assert_allclose(values[285:, rises], value, 0, 0.05)
