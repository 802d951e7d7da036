"""What microstructure features are worth where the truth is planted."""

import numpy as np
import pytest

from bot4jax.certify.columns import Columns
from bot4jax.kernels.liquidity import RollSpread
from bot4jax.kernels.microstructure import SignalToNoise
from bot4jax.kernels.toxicity import BUCKET, Vpin
from bot4jax.types import Bar
from tests import recorded


def test_two_scales_are_unbiased_with_few_trades():
    """Each trade ends a fast and a slow return, however few a window holds.

    Taking n̄ = (n − K + 1) / K for slow returns that reach back before the window
    leaves noise in: from eight trades that said 1.18 times the variance.
    """
    rng = np.random.default_rng(0)
    variance, noise, trades, windows = 1.0, 0.1, 8, 16_000
    steps = rng.normal(0, (variance / trades) ** 0.5, trades * windows)
    seen = np.cumsum(steps) + rng.normal(0, noise**0.5, steps.size)
    fast = (np.diff(seen)[4:] ** 2)[: trades * (windows - 1)].reshape(-1, trades)
    slow = ((seen[5:] - seen[:-5]) ** 2)[: fast.size].reshape(-1, trades) / 5
    efficient = np.mean(
        [
            SignalToNoise.reference(f, s, np.ones(trades)) * f.sum() / 2
            for f, s in zip(fast, slow, strict=True)
        ]
    )
    # a standard error of 1 % over the windows
    np.testing.assert_allclose(efficient, variance, rtol=0.03)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_rolls_spread_does_not_fade_where_few_bars_trade(share):
    """Prices that only bounce, in every bar or in one of ten, tell one spread."""
    rng, count, anchor = np.random.default_rng(5), 4_000, 10_000
    shape = (count, len(recorded.LOT))
    trades = (rng.random(shape) < share).astype(int)
    bounce = recorded.standing(rng.choice([-5, 5], shape), trades)
    still = Bar(*(np.zeros(shape) for _ in Bar._fields))
    bars = still._replace(
        live=np.ones(shape, int),
        anchor=np.full(shape, anchor),
        trade_close=bounce,
        trade_count=trades,
    )
    columns = Columns(bars, *recorded.units())
    names = ("trade_return", "earlier_trade_return", "trade_pair")
    slots = range(shape[1])
    windows = [[columns.window(n, s, count, count) for n in names] for s in slots]
    found = np.mean([RollSpread.reference(*one) for one in windows])
    # a standard error of some 3 % where one bar in ten trades
    np.testing.assert_allclose(found, 10 / anchor, rtol=0.1)


def test_vpin_splits_a_bar_across_buckets():
    """Two thirds of a bucket bought, then two buckets sold: +⅔ − ⅓, −1, and ⅔ open."""
    volume = BUCKET * np.array([2 / 3, 2.0])
    signed = BUCKET * np.array([2 / 3, -2.0])
    expected = (abs(2 / 3 - 1 / 3) + 1) / 2
    assert abs(Vpin.path(signed, volume)[-1] - expected) < 1e-12


def test_vpin_counts_volume_not_time():
    """The same trades in one bar or in many, with empty bars between, are the same."""
    rng = np.random.default_rng(1)
    volume = rng.exponential(BUCKET / 3, 300)
    signed = volume * rng.choice([-1.0, 1.0], 300)
    thinned = np.zeros((2, 900))
    thinned[:, ::3] = signed, volume
    halves = np.repeat(np.stack([signed, volume]) / 2, 2, 1)
    whole = Vpin.path(signed, volume)[-1]
    assert 0 < whole < 1
    for other in (thinned, halves):
        np.testing.assert_allclose(Vpin.path(*other)[-1], whole, rtol=1e-9)
