"""The report's section on paths: what hangs on the bars that were fitted on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bot4jax.learn.evaluate import FLAT
from bot4jax.modes.markup import paragraph, section, table
from bot4jax.modes.paths import Path

MIXED = (
    "<b>Not causal</b>: every test is forecast by members that were fitted on bars on "
    "both sides of it. Nobody could have traded so. Money below, traded or scanned, "
    "says whether forecasts would have paid, not what could have been earned; for that "
    "use <code>backtest.split=walk_forward</code>."
)
"""What is said of splits whose training reaches beyond the test."""


def spread_over(paths: Sequence[Path]) -> str:
    """Every forecaster over all paths; nothing where there is but one."""
    if len(paths) < 2:
        return ""
    heads = (
        "forecaster",
        "log loss saved, 10⁻³ nats: mean (least … most)",
        "net by the scan, % of capital",
        "Sharpe ratio of a period ± standard deviation (least … most)",
        "paths that lose",
    )
    text = paragraph(
        f"{len(paths)} paths go through the same bars, each with other fits; all other "
        "tables are of the first. Paths share bars and most of their training: their "
        "spread says how much hangs on what was fitted on, and is no standard error. "
        "Saved is the less of what is saved against always flat with the training "
        "span's shares and with the calibration span's. " + overfit(paths)
    )
    rows = [row(name, paths) for name in paths[0].figures if name not in FLAT]
    return section("Paths") + text + table(heads, rows)


def row(name: str, paths: Sequence[Path]) -> tuple[str, ...]:
    """One forecaster's figures."""
    saved, net, sharpe = np.array([one.figures[name] for one in paths]).T
    middle = f"{sharpe.mean():.3f} ± {sharpe.std(ddof=1):.3f}"
    return (
        name.replace("_", " "),
        within(1e3 * saved),
        within(100 * net),
        f"{middle} {reach(sharpe)}" if np.isfinite(sharpe).all() else "–",
        f"{int((net < 0).sum())} of {len(paths)}",
    )


def overfit(paths: Sequence[Path]) -> str:
    """The probability of overfitting, path by path."""
    found = [one.overfit.probability for one in paths if one.overfit is not None]
    if not found:
        return ""
    return f"The probability of overfitting by CSCV is {within(np.array(found))}."


def within(values: np.ndarray) -> str:
    """Mean, least and most."""
    return f"{values.mean():.3f} {reach(values)}"


def reach(values: np.ndarray) -> str:
    return f"({values.min():.3f} … {values.max():.3f})"


def in_words(paths: Sequence[Path]) -> dict[str, Any]:
    """The same for scripts: lists over paths, None for a ratio that there is not."""
    names = paths[0].figures
    return {
        "count": len(paths),
        "overfitting": [one.overfit and one.overfit.probability for one in paths],
        "forecasters": {name: listed(name, paths) for name in names},
    }


def listed(name: str, paths: Sequence[Path]) -> dict[str, list[float | None]]:
    """One forecaster's figures by path."""
    rows = [one.figures[name] for one in paths]
    return {
        key: [x if np.isfinite(x) else None for x in (getattr(r, key) for r in rows)]
        for key in ("saved", "net", "sharpe")
    }
