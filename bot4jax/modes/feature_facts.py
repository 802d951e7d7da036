"""What became of the features in a test span: masks, novelty, what they are worth."""

import numpy as np
from jaxtyping import Float, Int

from bot4jax.learn import importance, novelty
from bot4jax.learn.boosting import explained
from bot4jax.learn.bootstrap import Interval
from bot4jax.learn.evaluate import Outcome
from bot4jax.learn.importance import Asked
from bot4jax.learn.labelling import rows_of
from bot4jax.learn.params import Learned
from bot4jax.learn.redundancy import twins
from bot4jax.learn.regimes import regimes_of
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting
from bot4jax.modes.story import FeatureFacts
from bot4jax.modes.trading import Traded
from bot4jax.trees import predict


def before_a_test(setting: Setting, learned: Learned | None) -> FeatureFacts:
    """What is known of the features before a test span is seen."""
    plan = setting.settings.plan
    names = tuple(spec.name for spec in plan.specs)
    nothing = dict.fromkeys(names, 0)
    return FeatureFacts(
        names=names,
        absent=plan.absent,
        masked=nothing,
        clamped=nothing,
        silent={},
        values=0,
        gain=gains(learned, names),
        contribution=contributions(setting, learned, names),
        family={spec.name: spec.category for spec in plan.specs},
        importance={},
        novelty=[],
        twins=None,
    )


def gains(learned: Learned | None, names: tuple[str, ...]) -> dict[str, float]:
    """Each feature's share of the loss that the forest's splits have saved."""
    if learned is None or learned.members.booster is None:
        return {}
    return predict.gain(learned.members.booster, names)


def contributions(
    setting: Setting, learned: Learned | None, names: tuple[str, ...]
) -> dict[str, float]:
    """What moves the forest on bars that it was not fitted on."""
    if learned is None or learned.members.booster is None:
        return {}
    rows = rows_of(learned.data, setting.split.calibrate)
    return explained(
        learned.members.booster,
        learned.data.features[rows],
        learned.labels.weights[rows],
        names,
        setting.config.run.seed,
    )


def in_a_test(
    setting: Setting,
    learned: Learned | None,
    kept: Kept,
    traded: Traded,
    outcome: Outcome,
) -> FeatureFacts:
    """The same with what a traded span showed."""
    blank = before_a_test(setting, learned)
    live = traded.record.column("live") > 0
    masked, clamped = (
        dict(zip(blank.names, row.tolist(), strict=True)) for row in traded.counts
    )
    absent = dict.fromkeys(blank.absent, 0)  # masked everywhere, and told apart
    regime = regimes_of(np.asarray(kept.params.regime_edges), traded.volatility)
    asked = Asked(traded.features, traded.weight, *outcome[1:4], regime)
    return blank._replace(
        masked=masked | absent,
        clamped=clamped | absent,
        silent=silent_symbols(setting, traded.silent),
        values=traded.totals.decisions,
        importance=family_importance(setting, kept, asked),
        novelty=novelty.segments(novelty.beyond(kept.novelty, traded.features, live)),
        twins=twins(traded.features, blank.names, setting.config.run.seed),
    )


def silent_symbols(setting: Setting, bars: Int[np.ndarray, " S"]) -> dict[str, int]:
    """Who was silent too long, and at how many bars."""
    symbols = setting.source.universe.symbols
    return {one: n for one, n in zip(symbols, bars.tolist(), strict=True) if n}


def family_importance(
    setting: Setting, kept: Kept, asked: Asked
) -> dict[str, dict[str, Interval]]:
    """What permuting each family adds to everybody's loss."""
    return importance.permutation_importance(
        setting.settings, kept.params, asked, setting.config.run.seed
    )


def share_beyond(found: list[novelty.Segment]) -> float | None:
    """Of all rows of a test span; None where there were none."""
    rows = np.array([one.rows for one in found])
    shares: Float[np.ndarray, " N"] = np.array([one.beyond for one in found])
    known = rows > 0
    if not known.any():
        return None
    return float(np.average(shares[known], weights=rows[known]))
