"""A look at a test span: entered in the ledger, and charged for all that were taken."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.learn import ledger, selection
from bot4jax.learn.ledger import Ledger, Trial
from bot4jax.learn.selection import Deflated
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.folder import RunFolder
from bot4jax.schema import Config


class Tried(NamedTuple):
    """A look at a test span, among all that were taken at its market."""

    own: Trial
    known: Ledger

    @property
    def charged(self) -> int:
        """Trials whose luck it answers for."""
        return self.known.charged(self.own)

    def told(self) -> dict[str, Any]:
        """The fields of `summary.json`."""
        return {
            "count": self.known.count,
            "charged": self.charged,
            "damaged": list(self.known.damaged),
        }


class Luck(NamedTuple):
    """The ensemble's profit beside what was tried."""

    deflated: Deflated
    tried: Tried


def enter(folder: RunFolder, config: Config, profits: Float[np.ndarray, " T"]) -> Luck:
    """Write the trial down and deflate its Sharpe ratio.

    Periods are as long as labels look ahead: profits of neighbouring bars share them.
    """
    horizon = config.labels.horizon
    periods = selection.period_profits(profits, horizon)
    length = horizon * config.data.bar_seconds
    sharpe, net = selection.period_sharpe(periods), float(profits.sum())
    tried = written(folder, config, len(periods), length, sharpe, net)
    known = tried.known.sharpes(length)
    return Luck(selection.deflated_sharpe(periods, tried.charged, known), tried)


def written(
    folder: RunFolder,
    config: Config,
    periods: int,
    seconds: float | None = None,
    sharpe: float | None = None,
    net: float | None = None,
) -> Tried:
    """Write a look down; beside it all that were taken at its market.

    One that came to no profit has no ratio, and counts as any other.
    """
    market, path = market_of(config), Path(config.run.root) / ledger.NAME
    trial = Trial(
        folder.name,
        config.mode,
        market,
        folder.hash,
        config.run.seed,
        sharpe,
        seconds,
        periods,
        net,
        config.run.sweep,
        config.run.jobs,
    )
    ledger.append(path, trial)
    return Tried(trial, ledger.read(path).on(market))


def market_of(config: Config) -> str:
    """What was looked at: a source with its files, or the simulator with its seed.

    Another horizon or another length of bars is another trial on the same market.
    """
    data = config.data
    if data.path is None:
        return f"{data.source} {config.run.seed}"
    return f"{data.source} {Path(data.path).resolve()}"


def account_profits(
    curve: Sequence[EquityRow], capital: float
) -> Float[np.ndarray, " T"]:
    """Profit of each bar, share of the capital; bars without a known worth are left
    out, and what happened in them falls to the next. A curve that has lost its
    beginning begins with its first worth."""
    worth = np.array([row.nav for row in curve])
    known = worth[np.isfinite(worth)]
    is_whole = not curve or curve[0].step <= 1
    return np.diff(known, prepend=capital if is_whole else known[:1]) / capital
