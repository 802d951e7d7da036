"""A look at a test span: entered in the ledger, and charged for all that were taken."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bot4jax.config import config_hash
from bot4jax.learn import earnings, ledger, selection
from bot4jax.learn.earnings import Earned
from bot4jax.learn.ledger import Ledger, Trial
from bot4jax.learn.selection import Deflated, Overfit
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.folder import RunFolder
from bot4jax.schema import Config
from bot4jax.schema.data import ColumnData, PluginData, SimulatorData


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
    overfit: Overfit | None
    """of choosing among the trials of this span by their Sharpe ratio; None of one"""
    compared: int
    """trials of this span whose profits are at hand, this one included"""
    anew: tuple[tuple[Trial, Deflated], ...]
    """each of them charged for all that is known today, the surest first"""


def enter(folder: RunFolder, config: Config, earned: Earned) -> Luck:
    """Write the trial down with what it earned, and deflate its Sharpe ratio.

    Periods are as long as labels look ahead: profits of neighbouring bars share them.
    """
    horizon, root = config.labels.horizon, Path(config.run.root)
    periods = selection.period_profits(earned.profits, horizon)
    length = horizon * config.data.bar_seconds
    sharpe, net = selection.period_sharpe(periods), float(earned.profits.sum())
    digest = earnings.keep(root, earned)
    tried = written(folder, config, len(periods), length, sharpe, net, digest)
    known = tried.known.sharpes(length)
    same = of_the_span(root, tried.known, earned.span)
    return Luck(
        deflated=selection.deflated_sharpe(periods, tried.charged, known),
        tried=tried,
        overfit=selection.overfitting(earnings.side_by_side([x for _, x in same])),
        compared=len(same),
        anew=tuple(sorted(anew(tried, same), key=_surest)),
    )


def of_the_span(
    root: Path, known: Ledger, span: tuple[int, ...]
) -> list[tuple[Trial, Earned]]:
    """Trials of a market that looked at the same bars, with what each earned."""
    found = (
        (trial, earnings.read(root, trial.earned))
        for trial in known.distinct.values()
        if trial.earned is not None
    )
    return [(x, own) for x, own in found if own is not None and own.span == span]


def anew(
    tried: Tried, same: Sequence[tuple[Trial, Earned]]
) -> list[tuple[Trial, Deflated]]:
    """Trials deflated once more, each by all that were tried since, too.

    When the first of them was told, the others were not known.
    """
    return [
        (
            trial,
            selection.deflated_sharpe(
                selection.period_profits(own.profits, trial.horizon),
                max(tried.charged, tried.known.charged(trial)),
                tried.known.sharpes(trial.period_seconds),
            ),
        )
        for trial, own in same
        if trial.horizon is not None and trial.period_seconds is not None
    ]


def _surest(told: tuple[Trial, Deflated]) -> float:
    """Order by deflated ratio, largest first; what has none comes last."""
    return -np.nan_to_num(told[1].probability, nan=-1.0)


def written(
    folder: RunFolder,
    config: Config,
    periods: int,
    seconds: float | None = None,
    sharpe: float | None = None,
    net: float | None = None,
    earned: str | None = None,
) -> Tried:
    """Write a look down; beside it all that were taken at its market.

    One that came to no profit has no ratio, and counts as any other. A replay looks by
    the configuration of the run that it repeats, and is no look of its own.
    """
    market, path = market_of(config), Path(config.run.root) / ledger.NAME
    trial = Trial(
        run=folder.name,
        kind=config.mode,
        data=market,
        config_hash=config_hash(config),
        seed=config.run.seed,
        sharpe=sharpe,
        period_seconds=seconds,
        periods=periods,
        net=net,
        sweep=config.run.sweep,
        jobs=config.run.jobs,
        horizon=None if earned is None else config.labels.horizon,
        earned=earned,
    )
    ledger.append(path, trial)
    return Tried(trial, ledger.read(path).on(market))


def market_of(config: Config) -> str:
    """What was looked at: a source with its files, or the simulator with its seed.

    Another horizon or another length of bars is another trial on the same market. A
    plugin's is told by its name and options: whether a seed draws its market nobody
    knows here, and as one market all its seeds are charged for.
    """
    data = config.data
    if isinstance(data, SimulatorData):
        return f"{data.source} {config.run.seed}"
    path = None if data.path is None else Path(data.path).resolve()
    if isinstance(data, PluginData):
        terms = json.dumps([data.name, data.options], sort_keys=True)
        return f"{data.source} {terms}" + (f" {path}" if path else "")
    if isinstance(data, ColumnData) and path is not None:
        return f"{data.source} {path / data.file}"
    return f"{data.source} {path}"


def account_earned(curve: Sequence[EquityRow], capital: float) -> Earned:
    """Profit of each bar, share of the capital; bars without a known worth are left
    out, and what happened in them falls to the next. A curve that has lost its
    beginning begins with its first worth."""
    worth = np.array([row.nav for row in curve], np.float64)
    ends = np.array([row.boundary_ns for row in curve], np.int64)
    is_known = np.isfinite(worth)
    known = worth[is_known]
    is_whole = not curve or curve[0].step <= 1
    profits = np.diff(known, prepend=capital if is_whole else known[:1]) / capital
    return Earned(ends[is_known], profits)
