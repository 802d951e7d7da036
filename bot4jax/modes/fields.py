"""The fields that the summary of every run has that decided over unseen bars."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bot4jax.decisions import Decided
from bot4jax.learn.evaluate import Judged
from bot4jax.learn.pairs import Ahead
from bot4jax.modes import summary
from bot4jax.modes.feature_facts import share_beyond
from bot4jax.modes.setting import Setting, account_currency
from bot4jax.modes.story import FeatureFacts, MarketFacts, TradeFacts
from bot4jax.modes.trading import Traded
from bot4jax.nets import zoo
from bot4jax.registry import catalogue_hash
from bot4jax.runtime.folder import RunFolder
from bot4jax.state import Params
from bot4jax.trees import forest


class Judgement(NamedTuple):
    """How good forecasts were."""

    members: Mapping[str, Judged]
    ensemble: Judged
    baselines: Mapping[str, Judged]
    ahead: Ahead | None
    """of the best baseline; None where there is none to compare with"""


def shared(
    folder: RunFolder,
    setting: Setting,
    market: MarketFacts,
    features: FeatureFacts,
    judged: Judgement,
    decided: Sequence[Decided],
    trade: TradeFacts | None,
    traded: Sequence[Traded],
) -> dict[str, Any]:
    """All of them; without orders where nothing was traded."""
    return {
        **of_the_run(folder, setting, market),
        **of_the_forecasts(market, judged, decided),
        **of_the_trade(setting, trade),
        **of_the_engine(traded),
        **of_the_features(features),
    }


def of_the_run(
    folder: RunFolder, setting: Setting, market: MarketFacts
) -> dict[str, Any]:
    """What was run, on what."""
    return {
        "schema": summary.SCHEMA,
        "mode": setting.config.mode,
        "data": market.source,
        "simulated": market.simulated,
        "symbols": market.symbols,
        "bars": market.spans,
        "seed": setting.config.run.seed,
        "config_hash": folder.hash,
        "catalogue_hash": catalogue_hash(setting.settings.plan.specs),
    }


def of_the_forecasts(
    market: MarketFacts, judged: Judgement, decided: Sequence[Decided]
) -> dict[str, Any]:
    """Labels, and how well each forecaster met them."""
    weight = np.mean([one.weight for one in decided], axis=0).tolist()
    return {
        "classes": market.class_shares["test"].tolist(),
        "labels": {"counted": market.labels, "effective": market.effective_labels},
        "too_short": judged.ensemble.is_too_short,
        "members": {
            name: summary.member(one, own)
            for (name, one), own in zip(judged.members.items(), weight, strict=False)
        },
        "ensemble": summary.forecaster(judged.ensemble),
        "baselines": {
            name: summary.forecaster(one) for name, one in judged.baselines.items()
        },
        "best_baseline": judged.ahead and summary.ahead(judged.ahead),
        "decisions": sum(int((one.flags & 1 == 0).sum()) for one in decided),
    }


def of_the_members(setting: Setting, params: Params) -> dict[str, Any]:
    """How many numbers each member was fitted to; of a backtest those of the last fold.

    Nets share a stem, and each has a head; a forest has splits and leaves.
    """
    nets = zoo.parameter_counts(setting.settings.sizes, params.nets)
    has_trees = "trees" in setting.settings.members
    grown = forest.counts(params.forest)._asdict() if has_trees else None
    return {"parameters": nets, "forest": grown}


def of_the_trade(setting: Setting, trade: TradeFacts | None) -> dict[str, Any]:
    """What became of the decisions."""
    if trade is None:
        return summary.untraded(account_currency(setting.source.universe))
    return {
        "orders": trade.orders,
        "fills": trade.fills,
        "partial_fills": trade.partial_fills,
        "denials": trade.denials,
        "pnl": trade.pnl,
        "account": trade.ratios and summary.finite(trade.ratios._asdict()),
        "resting": resting(trade),
    }


def resting(trade: TradeFacts) -> dict[str, float]:
    """What orders that rested traded, earned of half spreads, and lost of it to mids
    that moved on, `bars` later."""
    row = trade.curve[-1] if trade.curve else None
    names = "rested", "earned", "adverse"
    sums = {name: 0.0 if row is None else getattr(row, name) for name in names}
    return {**sums, "bars": trade.horizon}


def of_the_engine(traded: Sequence[Traded]) -> dict[str, Any]:
    """Ticks and compilations of all spans, the time that steps took in the last."""
    ticks = [summary.ticks(one.counters) for one in traded]
    return {
        "ticks": {name: sum(one[name] for one in ticks) for name in summary.TICKS},
        "latency_ms": traded[-1].stages if traded else {},
        "information_age_ms": traded[-1].ages if traded else {},
        "recompiles": sum(one.recompiles for one in traded),
    }


def of_the_features(features: FeatureFacts) -> dict[str, Any]:
    """Which were masked how often, which are absent; how new, and worth what."""
    return {
        "masked": {name: n for name, n in features.masked.items() if n},
        "silent": features.silent,
        "absent": {name: list(columns) for name, columns in features.absent.items()},
        "novelty": {
            "beyond": share_beyond(features.novelty),
            "segments": [summary.finite(one._asdict()) for one in features.novelty],
        },
        "importance": {
            family: {name: list(one) for name, one in told.items()}
            for family, told in features.importance.items()
        },
    }
