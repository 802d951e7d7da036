"""What does the last return foretell on a simulated market that nothing foretells?

    python -m benchmarks.last_return [SEEDS]

Markets, spans and folds are those of `experiment=no_link`; a trace was seen in the
first 20 seeds, the others are fresh. The efficient price there is a martingale; what is
quoted is that price rounded to the grid of increments, which two neighbouring returns
might share. Three questions, each with the error over seeds, which are independent, and
with how far Newey–West t values lie apart: by 1, if they are what they claim to be.

- the last return's sign turned round, of quoted prices: is there a bounce?
- the same of efficient prices: what does the method say where there is nothing?
- the baseline `last return` itself, its table fitted fold by fold.
"""

import sys
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from benchmarks.markdown import table
from bot4jax.config import load
from bot4jax.data.simulator import Simulator
from bot4jax.data.sources import open_source
from bot4jax.kernels.outcome import DECAY
from bot4jax.learn import baselines, labels, metrics
from bot4jax.learn.folds import walk_forward
from bot4jax.learn.metrics import Skill
from bot4jax.learn.splits import purge_gap
from bot4jax.modes.spans import spans

SUSPECTED = 20
"""Seeds in which the experiment's page saw a trace."""
SEEDS = 120
CONFIG = load(["experiment=no_link"])
HORIZON = CONFIG.labels.horizon
DELAY = CONFIG.labels.latency_ms / 1e3 / CONFIG.data.bar_seconds
SPLIT = spans(CONFIG)
WARM = 64
"""Bars whose mean square the running volatility begins with."""


class Closed(NamedTuple):
    """Closed bars of one market, increments."""

    close: Float[np.ndarray, "T S"]
    entry: Float[np.ndarray, "T S"]
    """what an order decided on the bar before meets"""


def markets(seed: int) -> dict[str, Closed]:
    """One market as it is quoted, and as it would be without a grid."""
    config = load(["experiment=no_link", f"run.seed={seed}"])
    market = open_source(config, SPLIT.bars)
    assert isinstance(market, Simulator)
    met = np.full((SPLIT.bars, len(market.anchors)), np.nan)
    for bar in range(SPLIT.bars):
        mids, is_known = market.entry_mids(bar, DELAY)
        met[bar, is_known] = mids[is_known] / 2
    price = market.edges.price
    return {
        "quoted": Closed(market.mids[1:] / 2, met),
        "efficient": Closed(price[1:], price[:-1]),
    }


def skills(own: Closed) -> dict[str, Skill]:
    """Of the sign turned round, and of the baseline, on the test span."""
    moved = np.diff(np.log(own.close), axis=0, prepend=np.nan)
    ahead = labels.forward_returns(own.entry, own.close, HORIZON)
    test = rows(SPLIT.test)
    fitted = np.concatenate(list(forecasts(moved, ahead)))
    said = {"turned round": -np.sign(moved[test]), "baseline": fitted}
    return {name: skill(one, ahead[test]) for name, one in said.items()}


def forecasts(
    moved: Float[np.ndarray, "T S"], ahead: Float[np.ndarray, "T S"]
) -> Iterator[Float[np.ndarray, "U S"]]:
    """P(up) − P(down) of the baseline, fold by fold."""
    scale = volatility(moved)
    gap = purge_gap(HORIZON, latency_bars=1)
    for fold in walk_forward(SPLIT, CONFIG.backtest.folds, gap):
        train, test = rows(fold.train), rows(fold.test)
        known = np.isfinite(ahead[train]).astype(np.float32)
        k = labels.fit_threshold(
            ahead[train], scale[train], HORIZON, CONFIG.labels.flat_share, known
        )
        classes = labels.classify(ahead[train], scale[train], k, HORIZON)
        said = baselines.last_return(moved[train], classes, known, moved[test])
        yield metrics.direction(said)


def volatility(moved: Float[np.ndarray, "T S"]) -> Float[np.ndarray, "T S"]:
    """Root of an exponential mean of squared returns, from the first bars' mean on."""
    square = np.nan_to_num(moved) ** 2
    mean = square[1 : 1 + WARM].mean(0)
    found = np.empty_like(square)
    for t, one in enumerate(square):
        mean = mean + (1 - DECAY) * (one - mean)
        found[t] = np.sqrt(mean)
    return found


def skill(forecast: Float[np.ndarray, "U S"], ahead: Float[np.ndarray, "U S"]) -> Skill:
    """Across symbols, as every forecaster is judged."""
    is_known = np.isfinite(ahead)
    returns, weights = np.where(is_known, ahead, 0.0), is_known.astype(float)
    return metrics.information_coefficient(forecast, returns, weights, HORIZON)


def rows(span: range) -> slice:
    return slice(span.start, span.stop)


def line(name: str, seeds: range, found: list[Skill]) -> tuple[str, ...]:
    """Mean over seeds and its error; mean and deviation of the t values."""
    means, ts = np.array([(one.mean, one.t) for one in found]).T
    error = means.std(ddof=1) / len(means) ** 0.5
    return (
        name,
        f"{seeds.start} … {seeds.stop - 1}",
        f"{1e3 * means.mean():+.2f} ± {1.96e3 * error:.2f}",
        f"{means.mean() / error:+.1f}",
        f"{ts.std(ddof=1):.2f}",
    )


def main(seeds: int) -> None:
    found: dict[str, list[Skill]] = {}
    for seed in range(seeds):
        for price, own in markets(seed).items():
            for name, one in skills(own).items():
                found.setdefault(f"{price}: {name}", []).append(one)
    parts = [range(min(SUSPECTED, seeds)), range(SUSPECTED, seeds)]
    heads = ("prices: forecast", "seeds", "IC, 10⁻³ ± 95 %", "in errors", "sd of t")
    lines = (
        line(name, part, own[part.start : part.stop])
        for name, own in found.items()
        for part in parts
        if len(part) > 1
    )
    print(table(heads, lines))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
