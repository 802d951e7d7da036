"""What each fold of a backtest leaves behind, before it is judged."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax.decisions import Decided
from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.folds import Fold
from bot4jax.learn.params import Learned
from bot4jax.learn.redundancy import Pair
from bot4jax.learn.splits import Split
from bot4jax.modes import judging, summary
from bot4jax.modes.setting import Setting
from bot4jax.modes.trading import Traded
from bot4jax.schema.modes import Backtest
from bot4jax.state import Params


class Late(NamedTuple):
    """The span traded with one latency, currency of the account."""

    latency_ms: float
    fills: int
    before: float
    """costs, from the mids as fills traded: what moved on the orders' way is lost"""
    cost: float
    """fees, spread, and adverse selection of what rested"""
    net: float


class Extent(NamedTuple):
    """How much of a backtest there is."""

    asked: int
    """bars of all tests, as configured"""
    is_ended: bool
    """by a person, before all was traded"""


class FoldPlay(NamedTuple):
    """What one fold leaves behind."""

    split: Split
    """as the bars were laid for learning"""
    fold: Fold
    """as they lie in time"""
    learned: Learned | None
    """None where the members come from elsewhere"""
    params: Params
    """that its test was decided with"""
    decided: Sequence[Decided]
    traded: Traded | None
    """None in a scan"""
    late: tuple[Late, ...]
    counts: Int[np.ndarray, "2 F"]
    """symbols masked and clamped, by feature"""
    silent: Int[np.ndarray, " S"]
    """bars at which a symbol had been silent too long"""
    live: int
    """symbols × bars of the test that were live"""
    beyond: Float[np.ndarray, "T S"]
    """1 where a row is novel, NaN where it is not live"""
    importance: dict[str, dict[str, Interval]]
    """of each family to each forecaster; of the last fold alone"""
    twins: list[Pair] | None
    """features that moved together; of the last fold alone"""


def late_trade(latency_ms: float, setting: Setting, traded: Traded) -> Late:
    """What trading with a latency came to."""
    facts = judging.trade_facts(setting, traded)
    cost, net = summary.cost(facts.pnl), facts.pnl["net"]
    return Late(latency_ms, facts.fills, net + cost, cost, net)


def is_causal(own: Backtest) -> bool:
    """Whether every test lies behind all that its members were fitted on."""
    return not own.refit or own.split == "walk_forward"
