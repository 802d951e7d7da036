"""What is left of a run's result at other costs, after luck, and past the sentinels.

All runs on a market are charged for the same number of trials: every look at it that
was ever published (`benchmarks.looks`), or the most that one of these runs was charged
for in its own root, if that is more. To have been tried first is no merit.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

from benchmarks.looks import Look, market_of, ratios
from benchmarks.origins import Runs
from bot4jax.learn.selection import expected_best, luck_spread

KEPT = ("deflated_sharpe", "overfitting", "net_at_cost")
SENTINELS = ("shuffled_t", "moved", "alarms")
RATIO = ("sharpe", "probability", "expected_best")
WHO = "ensemble"

HEAD = (
    "run",
    "ensemble by the scan at 0, ½, 1, 2 × cost, % of capital",
    "traded at 0, ½, 1, 2 × cost",
    "trials",
    "Sharpe of a period (best of as many by luck)",
    "deflated Sharpe",
    "PBO",
    "t on shuffled bars",
    "values moved by the future",
    "alarms",
)


def taken(backtest: Mapping[str, Any]) -> dict[str, Any]:
    """What the table needs of a summary's `backtest`."""
    own = {name: backtest[name] for name in KEPT}
    own |= {name: backtest["traps"][name] for name in SENTINELS}
    scanned = {name: one["net_at_cost"] for name, one in backtest["scan"].items()}
    return own | {"trials": backtest["trials"]["count"], "scanned": scanned}


def rows(runs: Runs, looks: Sequence[Look]) -> Iterable[tuple[str, ...]]:
    """Every run of which it was kept."""
    trials = counts(runs, looks)
    for name, run in runs.items():
        if "luck" in run:
            own, market = run["luck"], market_of(run)
            deflated = own["deflated_sharpe"]
            others = ratios(looks, market, deflated["periods"])
            charged = recharged(deflated, trials[market], others)
            yield name, *row(own, charged)


def counts(runs: Runs, looks: Sequence[Look]) -> dict[str, int]:
    """How many trials each market is charged for."""
    found: dict[str, int] = {}
    for one in looks:
        found[one.market] = found.get(one.market, 0) + 1
    for run in runs.values():
        if "luck" in run:
            market, own = market_of(run), run["luck"]["deflated_sharpe"]["trials"]
            found[market] = max(found.get(market, 0), own)
    return found


def recharged(
    deflated: Mapping[str, Any], trials: int, others: Sequence[float]
) -> dict[str, Any]:
    """A deflated Sharpe ratio as it is with another number of trials.

    Φ((S − S₀)·k): k holds the periods, skewness and kurtosis, which the number of
    trials does not change, so it is read off the ratio as it was told. Where that was
    0 or 1 in all digits k is unknown, and so is the new one.
    """
    own, told, before = (deflated[name] for name in RATIO)
    best = expected_best(trials, luck_spread(others, deflated["periods"]))
    new = {**deflated, "trials": trials, "expected_best": best, "probability": None}
    if own is None or told is None or own == before or not 0 < told < 1:
        return new
    normal = NormalDist()
    score = normal.inv_cdf(told) / (own - before) * (own - best)
    return new | {"probability": normal.cdf(score)}


def row(own: Mapping[str, Any], deflated: Mapping[str, Any]) -> Iterable[str]:
    """Of one run; – for what was not asked or is not defined."""
    overfit = own["overfitting"] or {}
    yield " … ".join(f"{100 * x:+.2f}" for x in own["scanned"][WHO].values())
    traded = own["net_at_cost"]
    yield "–" if traded is None else " … ".join(f"{x:+,.0f}" for x in traded.values())
    yield str(deflated["trials"])
    ratio, best = (known(deflated[k], "+.3f") for k in ("sharpe", "expected_best"))
    yield f"{ratio} ({best})"
    yield known(deflated["probability"], ".3f")
    yield known(overfit.get("probability"), ".2f")
    yield known(own["shuffled_t"], "+.1f")
    yield known(own["moved"], "d")
    yield str(len(own["alarms"]))


def known(value: float | None, form: str) -> str:
    """A figure; – where there is none."""
    return "–" if value is None else format(value, form)
