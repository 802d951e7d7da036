"""What is left of a run's result at other costs, after luck, and past the sentinels."""

from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.origins import Runs

KEPT = ("deflated_sharpe", "overfitting", "net_at_cost")
SENTINELS = ("shuffled_t", "moved", "alarms")
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


def rows(runs: Runs) -> Iterable[tuple[str, ...]]:
    """Every run of which it was kept."""
    for name, run in runs.items():
        if "luck" in run:
            yield name, *row(run["luck"])


def row(own: Mapping[str, Any]) -> Iterable[str]:
    """Of one run; – for what was not asked or is not defined."""
    deflated, overfit = own["deflated_sharpe"], own["overfitting"] or {}
    yield " … ".join(f"{100 * x:+.2f}" for x in own["scanned"][WHO].values())
    traded = own["net_at_cost"]
    yield "–" if traded is None else " … ".join(f"{x:+,.0f}" for x in traded.values())
    yield str(own["trials"])
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
