"""The end of a run: its story gathered, its summary and report written."""

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import msgspec
import numpy as np

from bot4jax.errors import DataError
from bot4jax.kernels import vote
from bot4jax.learn import health, labelling, metrics
from bot4jax.learn.evaluate import PRIOR, Outcome
from bot4jax.learn.params import Learned
from bot4jax.modes import fields, judging, trials
from bot4jax.modes.feature_facts import before_a_test, in_a_test
from bot4jax.modes.keeping import Kept
from bot4jax.modes.report import write_report
from bot4jax.modes.setting import Setting
from bot4jax.modes.story import FeatureFacts, MarketFacts, Story, TradeFacts
from bot4jax.modes.summary import finite
from bot4jax.modes.trading import Traded
from bot4jax.runtime.folder import RunFolder
from bot4jax.types import CLASSES

MEASURES = ("log_loss", "brier", "ece")
"""Of forecasts, by their names in `metrics` and in `Calibration`."""


class Unlabelled(DataError):
    """Nothing that was decided has come true yet."""


class Played(NamedTuple):
    """What a run did, before it is judged."""

    learned: Learned | None
    """None where the members come from another run"""
    kept: Kept
    traded: Traded
    resumed_from: str | None
    seconds: dict[str, float]
    """what each part took"""
    rollout: dict[str, Any] | None = None
    """of a live run that is part of one: `Rollout.told`"""


def tell(folder: RunFolder, setting: Setting, played: Played) -> None:
    """Judge, and write `summary.json` and `report.html`."""
    edge, traded = float(played.kept.params.threshold), played.traded
    outcome = judging.outcome_of(setting, edge, traded)
    check_labels(folder.path, outcome)
    found = judging.skill(setting, edge, traded, played.learned, outcome)
    facts = judging.market_facts(setting, played.learned, outcome)
    facts = facts._replace(refused=refused(traded))
    trade = judging.trade_facts(setting, traded)
    earned = trials.account_earned(trade.curve, setting.config.strategy.capital)
    trials.enter(folder, setting.config, earned)
    features = in_a_test(setting, played.learned, played.kept, traded, outcome)
    counts = finite(figures(folder, setting, played, found, facts, features, trade))
    folder.write_json("summary.json", counts)
    story = Story(
        title=folder.name,
        manifest=folder.manifest,
        summary=counts,
        market=facts,
        members=found.members,
        ensemble=found.ensemble,
        baselines=found.baselines,
        ahead=found.ahead,
        bound=found.bound,
        calibration={} if played.learned is None else played.learned.calibration,
        reliability=reliability(traded, outcome),
        weights=traded.weight,
        training=training(played.learned, "loss"),
        gradients=training(played.learned, "gradient_norm"),
        ratios=ratios(played.learned),
        saturated=saturated(played.learned),
        features=features,
        trade=trade,
        latency_ms=traded.stages,
        information_age_ms=traded.ages,
        seconds=played.seconds,
    )
    write_report(folder.path / "report.html", story)


def check_labels(folder: Path, outcome: Outcome, least: int = 1) -> None:
    """Refuse to judge a run that was ended before so many bars had a label."""
    before = "the first label was" if least == 1 else f"labels of {least} bars were"
    if (outcome.weights > 0).any(1).sum() < least:
        raise Unlabelled(
            f"{folder.name} ended after {len(outcome.classes)} bars, before "
            f"{before} known ({outcome.horizon} bars on): there is nothing to judge, "
            f"and no report. mode=journal journal.run={folder} shows what it did."
        )


def tell_training(
    folder: RunFolder, setting: Setting, learned: Learned, seconds: dict[str, float]
) -> None:
    """The same of a fit that nothing was traded with yet.

    Members are judged on the calibration span, on which one number of each was fitted.
    """
    enter_if_swept(folder, setting)
    facts = judging.market_facts(setting, learned, None)
    features = before_a_test(setting, learned)
    counts = fields.of_the_run(folder, setting, facts) | {
        "classes": facts.class_shares["calibrate"].tolist(),
        **of_the_calibration(setting, learned),
        "baselines": {PRIOR: of_the_prior(setting, learned)},
        "decisions": 0,
        **fields.of_the_trade(setting, None),
        **fields.of_the_engine([]),
        **fields.of_the_features(features),
        "resumed_from": None,
        **fields.of_the_members(setting, learned.params),
        "gradients": gradients(learned),
        "alarms": list(learned.alarms),
        "seconds": sum(seconds.values()),
    }
    folder.write_json("summary.json", counts)
    story = Story(
        title=folder.name,
        manifest=folder.manifest,
        summary=counts,
        market=facts,
        members={},
        ensemble=None,
        baselines={},
        ahead=None,
        bound=None,
        calibration=learned.calibration,
        reliability={},
        weights=np.empty((0, 0)),
        training=training(learned, "loss"),
        gradients=training(learned, "gradient_norm"),
        ratios=ratios(learned),
        saturated=saturated(learned),
        features=features,
        trade=None,
        latency_ms={},
        information_age_ms={},
        seconds=seconds,
    )
    write_report(folder.path / "report.html", story)


def enter_if_swept(folder: RunFolder, setting: Setting) -> None:
    """Write a job of a sweep down as a look: of several fits one is chosen by theirs.

    Of several processes that learn together the first does.
    """
    config = setting.config
    if config.run.sweep is not None and config.hardware.process == 0:
        trials.written(folder, config, 0)


def of_the_calibration(setting: Setting, learned: Learned) -> dict[str, Any]:
    """Members with the weights that trading would begin with, and the ensemble."""
    judged = {
        name: {kind: getattr(one, kind)[1] for kind in MEASURES}
        for name, one in learned.calibration.items()
    }
    ensemble, members = judged.pop("ensemble"), setting.settings.members
    everyone = jnp.ones(len(members), bool)
    weight = vote.weights(learned.params.vote, learned.deciding.vote, everyone)
    for name, own in zip(members, np.asarray(weight).tolist(), strict=True):
        judged[name]["weight"] = own
    return {"members": judged, "ensemble": ensemble}


def of_the_prior(setting: Setting, learned: Learned) -> dict[str, float]:
    """Always saying the training classes' shares, on the same labels."""
    rows = labelling.rows_of(learned.data, setting.split.calibrate)
    labels, weights = learned.labels.classes[rows], learned.labels.weights[rows]
    said = np.broadcast_to(learned.labels.shares, (*labels.shape, len(CLASSES)))
    return {kind: getattr(metrics, kind)(said, labels, weights) for kind in MEASURES}


def reliability(traded: Traded, outcome: Outcome) -> dict[str, metrics.Reliability]:
    """How often each class came true where the ensemble gave it such a probability."""
    probability = traded.probability
    return {
        name: metrics.reliability_curve(
            probability[..., c], outcome.classes == c, outcome.weights
        )
        for c, name in enumerate(CLASSES)
    }


def refused(traded: Traded) -> dict[str, int]:
    """Ticks that were not let in, by the name of the reason."""
    dropped = traded.counters.dropped.items()
    return {reason.name.lower(): count for reason, count in sorted(dropped)}


def history_of(learned: Learned | None) -> health.History | None:
    """What each update of the nets' fit did, where that is known."""
    return None if learned is None else learned.members.history


def training(learned: Learned | None, column: str) -> dict[str, Any]:
    """One row of the nets' fit, by net."""
    if (history := history_of(learned)) is None:
        return {}
    values = getattr(history, column)
    return {name: values[:, i] for i, name in enumerate(history.members)}


def ratios(learned: Learned | None) -> dict[str, Any]:
    """First layer's gradient over the last one's, by net that has both."""
    if (history := history_of(learned)) is None:
        return {}
    return health.first_to_last(history, history.layer_gradient)


def saturated(learned: Learned | None) -> dict[str, Any]:
    """Share of gates that are nearly shut or open, by layer that has any."""
    if (history := history_of(learned)) is None:
        return {}
    return dict(zip(history.gated, history.saturated.T, strict=True))


def gradients(learned: Learned | None) -> dict[str, Any] | None:
    """What went wrong with them in the nets' fit, if it was this run's."""
    history = history_of(learned)
    return None if history is None else health.in_words(history)


def figures(
    folder: RunFolder,
    setting: Setting,
    played: Played,
    found: judging.Skill,
    facts: MarketFacts,
    features: FeatureFacts,
    trade: TradeFacts,
) -> dict[str, Any]:
    """The fields of `summary.json`."""
    traded = played.traded
    judged = fields.Judgement(
        found.members, found.ensemble, found.baselines, found.ahead
    )
    return {
        **fields.shared(
            folder, setting, facts, features, judged, traded.decided, trade, [traded]
        ),
        "decisions": traded.totals.decisions,
        "traded_bars": traded.steps,
        "ended_early": traded.steps < len(setting.split.test),
        "judged_bars": len(traded.decided),
        "bayes_bound": found.bound and found.bound._asdict(),
        "state": traded.state.name,
        "transitions": [msgspec.to_builtins(one) for one in traded.transitions],
        "resumed_from": played.resumed_from,
        "gradients": gradients(played.learned),
        "alarms": [] if played.learned is None else list(played.learned.alarms),
        **fields.of_the_members(setting, played.kept.params),
        "rollout": played.rollout,
        "seconds": sum(played.seconds.values()),
    }
