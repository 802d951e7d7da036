"""What microstructure features are worth where the truth is planted."""

import numpy as np

from bot4jax.kernels.microstructure import SignalToNoise
from bot4jax.kernels.toxicity import BUCKET, Vpin


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


def test_vpin_splits_a_bar_across_buckets():
    """Two thirds of a bucket bought, then two buckets sold: +⅔ − ⅓, −1, and ⅔ open."""
    volume = BUCKET * np.array([2 / 3, 2.0])
    signed = BUCKET * np.array([2 / 3, -2.0])
    expected = (abs(2 / 3 - 1 / 3) + 1) / 2
    assert abs(Vpin.reference(signed, volume) - expected) < 1e-12


def test_vpin_counts_volume_not_time():
    """The same trades in one bar or in many, with empty bars between, are the same."""
    rng = np.random.default_rng(1)
    volume = rng.exponential(BUCKET / 3, 300)
    signed = volume * rng.choice([-1.0, 1.0], 300)
    thinned = np.zeros((2, 900))
    thinned[:, ::3] = signed, volume
    halves = np.repeat(np.stack([signed, volume]) / 2, 2, 1)
    whole = Vpin.reference(signed, volume)
    assert 0 < whole < 1
    for other in (thinned, halves):
        np.testing.assert_allclose(Vpin.reference(*other), whole, rtol=1e-9)
