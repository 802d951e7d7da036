"""How often intervals of saved log loss hold the truth.

Run `python -m benchmarks.coverage`.

A forecaster of volatility, fitted once on the simulator without a link, is judged on
many spans of the same market; the truth is its mean over all of them. Minutes of one
core; nothing is written.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bot4jax.data.simulator import Simulator
from bot4jax.learn import baselines, bootstrap, labels, metrics, student
from bot4jax.learn.evaluate import independent_bars

SYMBOLS, BARS, TRAIN, FIRST = 64, 60_000, 5_000, 6_000
SPANS = (84, 250, 600, 1_200, 2_400, 4_800, 9_600)

TUNED = ((1, 3), (2, 5), (3, 3), (4, 5))
"""Seeds and horizons by which `evaluate.LEAST_BARS` was chosen."""

JUDGED = ((11, 3), (12, 5), (13, 3), (14, 5))
"""Others, named before and looked at once, after it."""


def averaged(
    squares: Float[np.ndarray, "T S"], rate: float
) -> Float[np.ndarray, "T S"]:
    """Exponentially weighted mean of squared returns."""
    found, now = np.empty_like(squares), squares[:200].mean(0)
    for t, square in enumerate(squares):
        now = now + rate * (square - now)
        found[t] = now
    return found


def saved(
    seed: int, horizon: int
) -> tuple[Float[np.ndarray, "T S"], Float[np.ndarray, "T S"]]:
    """Log loss above always flat's of who knows volatility, and labels' weights."""
    market = Simulator(
        symbols=SYMBOLS, bars=BARS, seed=seed, ticks_per_bar=6.0, predictive_r2=0.0
    )
    mids, train = market.mids.astype(float), slice(0, TRAIN)
    squares = np.diff(np.log(mids), axis=0) ** 2
    slow, fast = averaged(squares, 0.03), averaged(squares, 0.15)
    sigma = np.sqrt(slow)
    moved = labels.forward_returns(mids[:-1], mids[1:], horizon)
    weights = labels.sample_weights(moved, sigma, ~market.halted, horizon)
    edge = labels.fit_threshold(
        moved[train], sigma[train], horizon, 0.5, weights[train]
    )
    classes = labels.classify(moved, sigma, edge, horizon)
    prior = baselines.class_prior(classes[train], weights[train], moved.shape)
    ratio = np.log(fast / slow)
    place = np.digitize(ratio, np.quantile(ratio[train], np.arange(0.1, 1, 0.1)))
    said = shares(place[train], classes[train], weights[train])[place]
    losses = [metrics.sample_log_loss(one, classes) for one in (said, prior)]
    own = slice(FIRST, BARS - horizon - 1)
    return (losses[0] - losses[1])[own], weights[own]


def shares(
    place: Int[np.ndarray, "T S"],
    classes: Int[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
) -> Float[np.ndarray, "10 3"]:
    """Classes of each tenth, one more of each than were seen."""
    counts = np.ones((10, 3))
    known = weights > 0
    np.add.at(counts, (place[known], classes[known]), weights[known])
    return counts / counts.sum(1, keepdims=True)


class Held(NamedTuple):
    """Spans of one length; what is of the truth, as if that were told."""

    is_held: Bool[np.ndarray, " N"]
    """by the interval"""
    is_better: Bool[np.ndarray, " N"]
    """p < .05 of saving more"""
    is_worse: Bool[np.ndarray, " N"]
    """p < .05 of saving less: what somebody would be called better by whom storms cost
    what this one saves in them"""
    seems_long: Bool[np.ndarray, " N"]
    """300 independent bars or more, by the span's own account"""


def held(
    above: Float[np.ndarray, "T S"],
    weights: Float[np.ndarray, "T S"],
    horizon: int,
    bars: int,
) -> Held:
    """Every span of so many bars, each half a span after the one before."""
    truth = metrics.weighted_mean(above, weights)
    starts = range(0, len(above) - bars, max(bars // 2, 100))
    cuts = [slice(start, start + bars) for start in starts]
    found = [bootstrap.mean(above[x], weights[x], horizon) for x in cuts]
    scores = [((truth - x.value) / x.error, x.degrees) for x in found]
    worth = [independent_bars(above[x], weights[x], horizon) for x in cuts]
    return Held(
        np.array([x.interval.low <= truth <= x.interval.high for x in found]),
        np.array([student.chance(t, degrees) < 0.05 for t, degrees in scores]),
        np.array([student.chance(-t, degrees) < 0.05 for t, degrees in scores]),
        np.array(worth) >= 300,
    )


def main() -> None:
    for name, markets in (("tuned on", TUNED), ("judged on", JUDGED)):
        whole = [(saved(seed, horizon), horizon) for seed, horizon in markets]
        for bars in SPANS:
            each = [held(*market, horizon, bars) for market, horizon in whole]
            one = Held(*map(np.concatenate, zip(*each, strict=True)))
            of_long = one.is_held[one.seems_long]
            print(
                f"{name} {markets}: {bars:5} bars, {len(one.is_held):4} spans: hold it "
                f"in {100 * one.is_held.mean():.1f} %, p < .05 of saving more in "
                f"{100 * one.is_better.mean():.1f} %, of saving less in "
                f"{100 * one.is_worse.mean():.1f} %; of {len(of_long)} that seem long "
                f"{of_long.sum()} hold it"
            )


if __name__ == "__main__":
    main()
