"""A forecaster's skill in a few words, as tables tell it."""

from collections.abc import Mapping
from typing import Any

from bot4jax.learn import pairs, student
from bot4jax.modes import markup

DEGREES = {
    "excess": "degrees",
    "recent_excess": "recent_degrees",
    "direction": "direction_degrees",
}
"""Of freedom of each figure's error, by their name in a summary."""

NORMAL = 1.96
"""Standard errors of an interval at 95 % whose run kept no degrees of freedom."""


def less(
    excess: float | None, error: float | None, degrees: float | None = None
) -> str:
    """A difference of log losses in thousandths; – where there is none."""
    if excess is None or error is None:
        return "–"
    shown = round(1e3 * excess, 2) + 0.0  # no sign for what is rounded away
    return f"{shown:+.2f} ± {1e3 * reach(degrees) * error:.2f}"


def saved(
    one: Mapping[str, Any], what: str
) -> tuple[float | None, float | None, float | None]:
    """A forecaster's `excess`, `recent_excess` or `direction`, its error, and what that
    is worth; nothing of a run that did not ask."""
    return one.get(what), one.get(f"{what}_error"), one.get(DEGREES[what])


def reach(degrees: float | None) -> float:
    """Standard errors of an interval at 95 %."""
    return NORMAL if degrees is None else student.reach(degrees)


def chance(p: float | None) -> str:
    """A p-value, none smaller than the draws can tell; – where nothing was asked."""
    return "–" if p is None else markup.chance(p)


def beyond_flat(one: Mapping[str, Any]) -> str:
    """The p value of being better than always flat, with either span's shares.

    Runs that asked of the training span's alone have theirs in brackets: it may be the
    drift of the shares, and is no verdict.
    """
    told = chance(one["p_value"])
    return told if "recent_p_value" in one or told == "–" else f"({told})"


def order(one: Mapping[str, Any]) -> str:
    """The correlation with what came; – for a forecaster that never varies."""
    mean, t = one["information_coefficient"], one["information_t"]
    if mean is None or t is None:
        return "–"
    p = one.get("information_p_value")
    return f"{mean:+.3f} ({t:.1f}{'' if p is None else f'; {chance(p)}'})"


def together(beside: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None]:
    """Holm's p values of everyone beside the best baseline, of p values as told."""
    asked = {name: one["p_value"] for name, one in beside.items()}
    told = {n: max(p, pairs.LEAST_CHANCE) for n, p in asked.items() if p is not None}
    return dict.fromkeys(asked) | pairs.holm(told)
