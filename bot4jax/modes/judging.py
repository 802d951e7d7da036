"""From a traded span to its story: labels, figures of every forecaster, money, time."""

from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.data.bound import Bound, bayes_log_loss
from bot4jax.data.simulator import Simulator
from bot4jax.learn import evaluate, matches, pairs
from bot4jax.learn.evaluate import PRIOR, RECENT, Judged, Outcome
from bot4jax.learn.labelling import rows_of
from bot4jax.learn.labels import (
    bars_lived,
    class_shares,
    outcomes,
    sample_weights,
)
from bot4jax.learn.matches import Rival
from bot4jax.learn.pairs import Ahead
from bot4jax.learn.params import Learned
from bot4jax.modes import summary
from bot4jax.modes.forecasters import as_members
from bot4jax.modes.ratios import ratios_of
from bot4jax.modes.setting import Setting
from bot4jax.modes.story import MarketFacts, TradeFacts
from bot4jax.modes.trading import Traded
from bot4jax.runtime.limits import Reason
from bot4jax.types import BUY, SELL


def outcome_of(setting: Setting, threshold: float, traded: Traded) -> Outcome:
    """What the test span's decisions turned into."""
    record, horizon = traded.record, setting.settings.layout.horizon
    terms = (
        record.price("mid_entry"),
        record.price("mid_close"),
        traded.volatility,
        threshold,
        horizon,
        setting.settings.has_barriers,
    )
    returns, classes = outcomes(*terms)
    weights = sample_weights(
        returns,
        traded.volatility,
        record.live(),
        horizon,
        bars_lived(*terms),
        record.settled(),
    )
    return Outcome(returns, classes, weights, horizon, evaluate.one_fold(returns))


def forecasts_of(
    setting: Setting, traded: Traded, learned: Learned | None, outcome: Outcome
) -> dict[str, Float[np.ndarray, "U S C"]]:
    """What simple forecasters say of the calibration span, a gap and the test.

    Nobody where no training data is at hand.
    """
    if learned is None:
        return {}
    rows = rows_of(learned.data, setting.split.train)
    labels, horizon = learned.labels, setting.settings.layout.horizon
    close = traded.record.price("mid_close")
    return evaluate.baseline_forecasts(
        learned.data.features[rows],
        evaluate.bar_returns(learned.data.close[rows]),
        evaluate.outcome_of(labels, rows, horizon),
        evaluate.asked_of(
            learned.data, labels, setting.split, horizon, traded.features, close
        ),
        setting.config.run.seed,
    )


def bound_of(
    setting: Setting, threshold: float, traded: Traded, outcome: Outcome
) -> Bound | None:
    """Log loss of the best possible forecast, which only a simulator knows.

    It knows that of returns at the end of the horizon, not of barriers on the way.
    """
    if not isinstance(setting.source, Simulator) or setting.settings.has_barriers:
        return None
    layout, first = setting.settings.layout, traded.record.first
    edge = threshold * traded.volatility * np.sqrt(layout.horizon)
    counted = len(edge) - layout.horizon
    return bayes_log_loss(
        setting.source,
        first,
        first + counted,
        layout.horizon,
        layout.latency / 2**20,
        edge[:counted],
        outcome.weights[:counted] > 0,
    )


class Skill(NamedTuple):
    """Every forecaster on the test span."""

    members: dict[str, Judged]
    ensemble: Judged
    baselines: dict[str, Judged]
    ahead: Ahead | None
    """of the best baseline; None where there is none to compare with"""
    bound: Bound | None


def skill(
    setting: Setting,
    threshold: float,
    traded: Traded,
    learned: Learned | None,
    outcome: Outcome,
) -> Skill:
    """Members, ensemble, baselines and the bound, on the same labels."""
    members, bars = setting.settings.members, len(outcome.classes)
    asked = forecasts_of(setting, traded, learned, outcome)
    best, by_figure = None, {}
    if learned is not None:
        known = known_of(setting, learned)
        best = evaluate.best_baseline(asked, known)
        by_figure = matches.best_by_figure(asked, known)
        asked = as_members(setting.settings, asked, known)
    simple = {name: one[-bars:] for name, one in asked.items()}
    flat = {"prior": simple.get(PRIOR), "recent": simple.get(RECENT)}
    judge = partial(evaluate.judge, outcome=outcome, **flat)
    said = dict(zip(members, traded.member_probability, strict=True))
    ahead = None
    if best is not None:
        everyone = said | {"ensemble": traded.probability}
        ahead = pairs.beside(everyone, simple[best], (best,), *outcome[1:4])
        rivals = {name: Rival((who,), simple[who]) for name, who in by_figure.items()}
        ahead = ahead._replace(contests=matches.contests(everyone, rivals, outcome))
    return Skill(
        {name: judge(one) for name, one in said.items()},
        judge(traded.probability),
        {name: judge(one) for name, one in simple.items()},
        ahead,
        bound_of(setting, threshold, traded, outcome),
    )


def known_of(setting: Setting, learned: Learned) -> Outcome:
    """What the calibration span turned into."""
    rows = rows_of(learned.data, setting.split.calibrate)
    horizon = setting.settings.layout.horizon
    return evaluate.outcome_of(learned.labels, rows, horizon)


def market_facts(
    setting: Setting, learned: Learned | None, outcome: Outcome | None
) -> MarketFacts:
    """What was read."""
    config, source = setting.config, setting.source
    shares = {}
    if outcome is not None:
        shares["test"] = class_shares(outcome.classes, outcome.weights)
    if learned is not None:
        for name in ("train", "calibrate"):
            rows = rows_of(learned.data, getattr(setting.split, name))
            shares[name] = class_shares(
                learned.labels.classes[rows], learned.labels.weights[rows]
            )
    return MarketFacts(
        source=config.data.source,
        simulated=source.simulated,
        symbols=len(source.universe.instruments),
        bar_seconds=config.data.bar_seconds,
        spans={name: len(span) for name, span in setting.split._asdict().items()},
        class_shares=shares,
        labels=0 if outcome is None else outcome.counted,
        effective_labels=0 if outcome is None else outcome.effective,
        rejected=getattr(source, "rejected", {}),
        refused={},
    )


def trade_facts(setting: Setting, traded: Traded) -> TradeFacts:
    """What trading came to."""
    own, curve = setting.config.venue, traded.portfolio.curve
    totals = traded.totals
    rates = f"taker {own.taker_fee_bps:g} bps, maker {own.maker_fee_bps:g} bps"
    currency = traded.portfolio.base
    return TradeFacts(
        tier=f"{own.tier} ({rates})",
        currency=currency,
        curve=curve,
        pnl=summary.pnl(curve[-1] if curve else None, currency),
        orders=totals.orders,
        fills=totals.fills.total(),
        partial_fills=totals.partial_fills,
        buys=totals.fills[BUY],
        sells=totals.fills[SELL],
        denials=totals.denials,
        sentences={reason.name: reason.sentence for reason in Reason},
        horizon=setting.settings.layout.horizon,
        ratios=ratios_of(setting, curve),
        transitions=traded.transitions,
    )
