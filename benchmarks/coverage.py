"""How often intervals of saved log loss hold the truth.

Run `python -m benchmarks.coverage`.

A forecaster of volatility, fitted once on the simulator without a link, is judged on
many spans of the same market; the truth is its mean over all of them. Minutes of one
core; nothing is written.
"""

import numpy as np
from jaxtyping import Float, Int

from bot4jax.data.simulator import Simulator
from bot4jax.learn import baselines, bootstrap, labels, metrics, student

SYMBOLS, BARS, TRAIN, FIRST = 64, 60_000, 5_000, 6_000
SPANS = (84, 250, 600, 1_200, 2_400, 4_800)


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


def main() -> None:
    for seed, horizon in ((1, 3), (2, 5)):
        above, weights = saved(seed, horizon)
        truth = metrics.weighted_mean(above, weights)
        for bars in SPANS:
            starts = range(0, len(above) - bars, max(bars // 2, 100))
            cuts = [slice(start, start + bars) for start in starts]
            found = [bootstrap.mean(above[x], weights[x], horizon) for x in cuts]
            held = [abs(x.value - truth) <= reach(x) for x in found]
            lucky = [
                student.chance((truth - x.value) / x.error, x.degrees) < 0.05
                for x in found
            ]
            print(
                f"horizon {horizon}, {bars:5} bars, {len(cuts):3} spans: hold it in "
                f"{100 * np.mean(held):.0f} %, p < .05 of saving more in "
                f"{100 * np.mean(lucky):.1f} %"
            )


def reach(one: bootstrap.Mean) -> float:
    """One side of the interval."""
    return one.interval.high - one.value


if __name__ == "__main__":
    main()
