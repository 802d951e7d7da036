"""Features at the ends of their ranges: straight, regular and coarse prices.

What lies outside its range is masked, and the nets read the centre of training in its
place. Where a feature says its most, a rounding must not do that.
"""

import numpy as np
import pytest

from bot4jax.kernels import CATALOGUE
from tests import recorded
from tests.checks import BARS, Evidence

SPECS = list(CATALOGUE.values())
WARM = 280
"""Bars after which every feature is warm."""


def paths():
    """Anchors and closing mids, half increments, one column a kind of price."""
    t, rng = np.arange(BARS), np.random.default_rng(11)
    wander = np.rint(rng.standard_t(4, BARS) * 2e5).cumsum()
    kinds = {
        "rises": (10_000, 2 * t),
        "falls": (100_000, -2 * t),
        "rises faster and faster": (10_000, t * t // 50),
        "climbs stairs": (10_000, 2 * (t // 7)),
        "to and fro": (10_000, 2 * (t % 2)),
        "to and fro by twos": (10_000, 8 * (t // 2 % 2)),
        "stands": (9_000, 0 * t),
        "few increments": (100, 2 * np.abs(rng.integers(-1, 2, BARS).cumsum())),
        "many increments": (70_000_000, wander),
        "random": (10_000, np.rint(rng.standard_t(4, BARS) * 20).cumsum()),
    }
    anchors, closes = zip(*kinds.values(), strict=True)
    return list(kinds), np.array(anchors), np.stack(closes, 1).astype(np.int32)


@pytest.fixture(scope="module")
def straight(evidence):
    """Bars of those prices, which open and close at their highs and lows."""
    _, anchors, close = paths()
    bars = recorded.at_mids(recorded.recorded_bars(7, BARS), anchors, close)
    bars = bars._replace(ask=bars.bid + 1)
    moves = np.abs(np.diff(close, axis=0)).mean(0) / 2 / anchors
    units = recorded.units()
    found = Evidence(evidence.plan.specs, bars)
    found.units = units._replace(returns=moves.clip(1e-6).astype(np.float32))
    found.chunk = evidence.chunk
    return found


def outside(spec, values):
    """How far values lie outside the range of a feature; 0 within."""
    return np.maximum(np.float32(spec.low) - values, values - np.float32(spec.high))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_no_value_leaves_its_range_by_a_rounding(spec, straight):
    """A mean of three places of 100 was 100.00001, and a line's dimension .9999999."""
    values, usable = straight.of(spec, straight.whole)
    over = outside(spec, values[WARM:])
    nearest = np.where(values[WARM:] < spec.low, abs(spec.low), abs(spec.high))
    hair = (over > 0) & (over <= spec.tolerance * np.maximum(1, nearest))
    kinds = np.array(paths()[0])
    assert not hair.any(), f"{spec.name} where the price {kinds[hair.any(0)]}"
    np.testing.assert_array_equal(usable[WARM:], over <= 0)


@pytest.mark.parametrize(
    ("name", "rising", "falling"),
    [
        ("stochastic_d_14", 100, 0),
        ("stochastic_k_14", 100, 0),
        ("williams_r_28", 0, -100),
        ("donchian_position", 1, 0),
        ("aroon_oscillator_25", 100, -100),
        ("katz_dimension", 1, 1),
        ("rsi_14", 100, 0),
    ],
)
def test_a_straight_price_is_at_the_end_of_the_range(name, rising, falling, straight):
    spec = CATALOGUE[name]
    values, usable = straight.of(spec, straight.whole)
    assert usable[WARM:, :2].all()
    allowed = spec.tolerance * max(1, abs(rising), abs(falling))
    np.testing.assert_allclose(values[WARM:, 0], rising, 0, allowed)
    np.testing.assert_allclose(values[WARM:, 1], falling, 0, allowed)


@pytest.mark.parametrize(
    "name", ["stochastic_d_14", "katz_dimension", "approximate_entropy"]
)
def test_what_is_kept_in_its_range_is_so_by_definition_too(name, straight):
    spec = CATALOGUE[name]
    values, _ = straight.of(spec, straight.whole)
    for bar in range(WARM, BARS, 17):
        for symbol in range(values.shape[1]):
            with np.errstate(divide="ignore"):  # to and fro, Katz's has no end
                truth = spec.reference(straight.asked(spec, symbol, bar))
            if np.isfinite(truth) and truth <= spec.high:
                assert truth >= spec.low
                error = abs(values[bar, symbol] - truth)
                assert error <= spec.tolerance * max(1, abs(truth))
