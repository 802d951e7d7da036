"""Who is judged in a backtest: members, ensemble, and six baselines beside them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.engine import Decided, Params
from bot4jax.learn import evaluate, research, rivals
from bot4jax.learn.alpha158 import Candles
from bot4jax.learn.boosting import tree_settings
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.labelling import Labels, rows_of
from bot4jax.learn.splits import Split
from bot4jax.modes.setting import Setting

ENSEMBLE = "ensemble"
PRIOR = "class_prior"
"""Always flat: forecasts the shares of the training classes and holds nothing."""


class Fitted(NamedTuple):
    """One fold: what was known before its test, and what was decided in it."""

    split: Split
    params: Params
    before: Dataset
    """every bar before the test"""
    labels: Labels
    record: BarRecord
    """every bar up to the end of the test"""
    test: Dataset
    decided: Sequence[Decided]


class Forecast(NamedTuple):
    """What one forecaster said of the test; NaN for symbols that it leaves out."""

    probability: Float[np.ndarray, "T S C"]
    confidence: Float[np.ndarray, "T S"]


def forecasts_of(setting: Setting, fold: Fitted) -> dict[str, Forecast]:
    """Everyone: the members in their order, the ensemble, then the baselines."""
    by_member = np.stack([one.member_probability for one in fold.decided], axis=1)
    members = dict(zip(setting.settings.members, by_member, strict=True))
    others = baselines(setting, fold, members.get("trees"))
    said = {
        name: Forecast(one, research.confidence(one))
        for name, one in (members | others).items()
    }
    own = Forecast(
        np.stack([one.probability for one in fold.decided]),
        np.stack([one.confidence for one in fold.decided]),
    )
    said[ENSEMBLE] = own
    said[PRIOR] = said[PRIOR]._replace(confidence=np.zeros_like(own.confidence))
    return {name: said[name] for name in (*members, ENSEMBLE, *others)}


def baselines(
    setting: Setting, fold: Fitted, boosted: Float[np.ndarray, "T S C"] | None
) -> dict[str, Float[np.ndarray, "T S C"]]:
    """What each says of the test, fitted on the fold's training span.

    Gradient boosting alone is the ensemble's own forest, where it has one. Whoever was
    fitted is tempered on the calibration span, as the members are.
    """
    rows, first = rows_of(fold.before, fold.split.train), fold.split.calibrate.start
    horizon = setting.settings.layout.horizon
    trees = tree_settings(setting.config)
    trained = evaluate.outcome_of(fold.labels, rows, horizon)
    features, test = fold.before.features[rows], fold.test
    asked = evaluate.asked_of(
        fold.before, fold.labels, fold.split, horizon, test.features, test.close
    )
    said = evaluate.baseline_forecasts(
        features,
        evaluate.bar_returns(fold.before.close[rows]),
        trained,
        asked,
        setting.config.run.seed,
    )
    if boosted is not None:
        said["gradient_boosting"] = boosted
    later = slice(first, fold.split.test.stop)
    raw = {
        "alpha158_boosting": rivals.alpha_boosting(
            candles(fold.record), trained, rows, later, trees
        ),
        "per_symbol_boosting": rivals.own_boosting(
            features, trained, asked.features, trees
        ),
    }
    return said | {
        name: evaluate.tempered(one, asked.known, asked.bars)
        for name, one in raw.items()
    }


def candles(record: BarRecord) -> Candles:
    """The mids of recorded bars, increments, and what was traded."""
    prices = ("mid_open", "mid_high", "mid_low", "mid_close")
    volume = record.column("base_turnover").astype(np.float64)
    first, high, low, last = (record.price(name) for name in prices)
    return Candles(first, high, low, last, volume)
