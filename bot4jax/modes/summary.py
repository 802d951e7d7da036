"""`summary.json`: the counts and figures of a run, in the fields that scripts read."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bot4jax.learn.evaluate import Judged
from bot4jax.learn.matches import LEVEL
from bot4jax.learn.pairs import Ahead, Contest
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.publishers import Counters

SCHEMA = "bot4jax.summary/1"

COSTS = (0.0, 0.5, 1.0, 2.0)
"""Times the cost at which the same decisions are paid for."""

PARTS = ("gross", "fees", "spread", "delay", "slippage", "adverse", "funding", "net")

CHANCES = ("p_value", "prior_p_value", "recent_p_value", "direction_p_value")
"""Of a forecaster, beside its figures."""

TICKS = ("sent", "absorbed", "late", "dropped", "conflated", "reordered", "unordered")


def ticks(counters: Counters) -> dict[str, int]:
    """What became of the ticks of the traded span."""
    dropped = sum(counters.dropped.values())
    told = {name: getattr(counters, name) for name in TICKS}
    return told | {"dropped": dropped}


def member(judged: Judged, weight: float) -> dict[str, float | None]:
    """A member's figures on the test span and its mean weight there."""
    return {**forecaster(judged), "weight": weight}


def forecaster(judged: Judged) -> dict[str, float | None]:
    """A forecaster's figures on the test span."""
    return finite(
        {**judged._asdict(), **{name: getattr(judged, name) for name in CHANCES}}
    )


def ahead(found: Ahead) -> dict[str, Any]:
    """Who the best baseline of each fold was, and everyone's loss above it."""
    beside = {
        name: finite(
            {**one._asdict(), "p_value": one.p_value, "holm": found.p_values[name]}
        )
        for name, one in found.beside.items()
    }
    contests = {figure: contest(one) for figure, one in found.contests.items()}
    return {"rivals": list(found.rivals), "beside": beside, "contests": contests}


def contest(found: Contest) -> dict[str, Any]:
    """Who the best baseline of a figure was, and everyone's lead on it."""
    beside = {
        name: finite(
            {**one._asdict(), "p_value": one.p_value, "holm": found.p_values[name]}
        )
        | {"verdict": found.verdict(name, LEVEL)}
        for name, one in found.beside.items()
    }
    return {"rivals": list(found.rivals), "beside": beside}


def finite(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures that JSON can hold: what is not a finite number is null."""
    return {name: _finite(value) for name, value in figures.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return finite(value)
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def untraded(currency: str | None) -> dict[str, Any]:
    """What became of decisions where nothing was traded."""
    counts = dict.fromkeys(("orders", "fills", "partial_fills"), 0)
    return {**counts, "denials": {}, "pnl": pnl(None, currency)}


def pnl(row: EquityRow | None, currency: str | None) -> dict[str, Any]:
    """Profit and loss: gross at the mids of the decisions, what it fell short by, and
    what is left; slippage is spread and delay together, adverse a part of gross."""
    if row is None:
        return {**dict.fromkeys(PARTS, 0.0), "currency": currency}
    traded = row.realised + row.unrealised
    return {
        "gross": traded + row.slippage,
        "fees": row.fees,
        "spread": row.spread,
        "delay": row.delay,
        "slippage": row.slippage,
        "adverse": row.adverse,
        "funding": row.funding,
        "net": traded - row.fees - row.funding,
        "currency": currency,
    }


def cost(pnl: Mapping[str, Any]) -> float:
    """What a market asks for trading: another would ask more or less of it.

    Who rests earns the spread and pays by adverse selection; mids that went its way
    are no discount. What moved before the orders arrived, and what is paid for holding,
    is no price.
    """
    return pnl["fees"] + pnl["spread"] + max(pnl["adverse"], 0.0)


def net_at_cost(pnl: Mapping[str, Any]) -> dict[str, float]:
    """What the same trades come to at other costs, by how many times the cost."""
    return {f"{times:g}": pnl["net"] + (1 - times) * cost(pnl) for times in COSTS}
