"""How often luck alone passes for skill: worthless strategies, in sweeps of a hundred.

Run `python -m benchmarks.lucky`.

Each market is the simulator without a link, so nothing that happens can be foretold;
each strategy holds what coins say, and all of a market are jobs of one sweep. A pass is
a deflated Sharpe ratio of `PASS` or more. Counted are strategies, and markets in which
any of theirs passes. Minutes of one core; nothing is written.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float

from bot4jax.data.simulator import Simulator
from bot4jax.learn.ledger import Ledger, Trial
from bot4jax.learn.selection import deflated_sharpe, period_profits, period_sharpe
from bot4jax.modes.report_luck import PASS

JOBS, BARS, SYMBOLS, HORIZON = 100, 500, 8, 5
MARKETS = range(1_000, 1_400)
"""Seeds; nothing was chosen by any."""

WAYS: dict[str, Callable[[Ledger, Trial], int]] = {
    "for itself alone": lambda known, own: 1,
    "for what was tried by then": lambda known, own: known.count,
    "for its whole sweep": Ledger.charged,
}
"""What a job may be charged for; the last is what the ledger charges."""


def worthless(seed: int) -> Float[np.ndarray, "P J"]:
    """Profits before cost of each period and strategy: sides drawn anew each period."""
    market = Simulator(
        symbols=SYMBOLS, bars=BARS, seed=seed, predictive_r2=0.0, halts=False
    )
    moved = np.diff(np.log(market.mids[: BARS + 1].astype(float)), axis=0)
    shape = (len(moved) // HORIZON, SYMBOLS, JOBS)
    side = np.random.default_rng(seed).choice([-1.0, 1.0], shape)
    by_period = [period_profits(one, HORIZON) for one in moved.T]
    return np.einsum("sp,psj->pj", by_period, side)


def passed(
    profits: Float[np.ndarray, "P J"], charged: Callable[[Ledger, Trial], int]
) -> Bool[np.ndarray, " J"]:
    """Which jobs pass, one after the other, each as the ledger stands by then."""
    tried: list[Trial] = []
    found = []
    for number, own in enumerate(profits.T):
        name, ratio = f"job-{number}", period_sharpe(own)
        tried.append(
            Trial(
                run=name,
                kind="backtest",
                data="simulator",
                config_hash=name,
                seed=0,
                sharpe=ratio,
                period_seconds=float(HORIZON),
                periods=len(own),
                net=float(own.sum()),
                sweep="sweep",
                jobs=profits.shape[1],
            )
        )
        known = Ledger(tuple(tried), ())
        others = known.sharpes(float(HORIZON))
        trials = charged(known, tried[-1])
        found.append(deflated_sharpe(own, trials, others).probability >= PASS)
    return np.array(found)


def main() -> None:
    markets = [worthless(seed) for seed in MARKETS]
    for name, charged in WAYS.items():
        found = np.array([passed(one, charged) for one in markets])
        print(
            f"a job is charged {name}: {100 * found.mean():.2f} % of strategies pass, "
            f"and some strategy in {100 * found.any(1).mean():.2f} % of "
            f"{len(markets)} markets"
        )


if __name__ == "__main__":
    main()
