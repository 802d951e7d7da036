"""Who is judged in a backtest: members, ensemble, and seven baselines beside them."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bot4jax.decisions import Decided
from bot4jax.kernels.calibration import straighten
from bot4jax.learn import evaluate, isotonic, matches, research, rivals
from bot4jax.learn.alpha158 import Candles
from bot4jax.learn.boosting import stopping_of, tree_settings
from bot4jax.learn.dataset import BarRecord, Dataset
from bot4jax.learn.evaluate import FLAT, Asked, Outcome
from bot4jax.learn.labelling import Labels, rows_of
from bot4jax.learn.splits import Split
from bot4jax.modes.setting import Setting
from bot4jax.state import Params, Settings
from bot4jax.trees import forest

ENSEMBLE = "ensemble"

FITTED = (
    "logistic_regression",
    "gradient_boosting",
    "alpha158_boosting",
    "per_symbol_boosting",
)
"""Baselines that are calibrated, as members are."""


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


class Said(NamedTuple):
    """Everyone on a fold's test, and who was the best baseline before it."""

    forecasts: dict[str, Forecast]
    """the members in their order, the ensemble, then the baselines"""
    rival: str
    """by log loss"""
    by_figure: dict[str, str]
    """and by each of `matches.MEASURES`"""


def forecasts_of(setting: Setting, fold: Fitted) -> Said:
    """What everyone said of the test."""
    by_member = np.stack([one.member_probability for one in fold.decided], axis=1)
    members = dict(zip(setting.settings.members, by_member, strict=True))
    others, rival, by_figure = baselines(setting, fold, members.get("trees"))
    said = {
        name: Forecast(one, research.confidence(one))
        for name, one in (members | others).items()
    }
    own = Forecast(
        np.stack([one.probability for one in fold.decided]),
        np.stack([one.confidence for one in fold.decided]),
    )
    said[ENSEMBLE] = own
    for name in FLAT:
        said[name] = said[name]._replace(confidence=np.zeros_like(own.confidence))
    ordered = {name: said[name] for name in (*members, ENSEMBLE, *others)}
    return Said(ordered, rival, by_figure)


def baselines(
    setting: Setting, fold: Fitted, boosted: Float[np.ndarray, "T S C"] | None
) -> tuple[dict[str, Float[np.ndarray, "T S C"]], str, dict[str, str]]:
    """What each says of the test, fitted on the fold's training span; and the best, by
    log loss and by each figure.

    Gradient boosting alone is the forest that is fitted with every ensemble, and as the
    ensemble's own it is `boosted`. Whoever was fitted is calibrated on the calibration
    span as the members are, by a temperature and, where they are asked for, curves. Who
    is best there is whom they have to beat: with the temperature alone, for curves
    flatter where they were fitted.
    """
    rows = rows_of(fold.before, fold.split.train)
    horizon = setting.settings.layout.horizon
    terms = tree_settings(setting.config), stopping_of(setting.config, horizon)
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
    said["gradient_boosting"] = forest_alone(fold, asked)
    behind = range(fold.split.calibrate.start, fold.split.test.stop)
    later = rows_of(fold.record, behind)
    raw = {
        "alpha158_boosting": rivals.alpha_boosting(
            candles(fold.record), trained, rows, later, *terms
        ),
        "per_symbol_boosting": rivals.own_boosting(
            features, trained, asked.features, *terms
        ),
    }
    said |= {name: evaluate.tempered(one, asked.known) for name, one in raw.items()}
    best = evaluate.best_baseline(said, asked.known)
    by_figure = matches.best_by_figure(said, asked.known)
    said = as_members(setting.settings, said, asked.known)
    tested = {name: one[-asked.bars :] for name, one in said.items()}
    if boosted is not None:
        tested["gradient_boosting"] = boosted
    return tested, best, by_figure


def as_members(
    settings: Settings,
    said: Mapping[str, Float[np.ndarray, "U S C"]],
    known: Outcome,
) -> dict[str, Float[np.ndarray, "U S C"]]:
    """Tempered baselines with the curves that members have, where they have them.

    Fitted on the first bars, the calibration span, of the symbols that each forecasts.
    Constants and the last return were not fitted to be sure of anything.
    """
    bent = FITTED if settings.is_isotonic else ()
    return {
        name: straightened(one, known) if name in bent else one
        for name, one in said.items()
    }


def straightened(
    said: Float[np.ndarray, "U S C"], known: Outcome
) -> Float[np.ndarray, "U S C"]:
    """A forecast behind the curves that suit its first bars, if those are enough."""
    first = said[: len(known.classes)]
    weights = np.where(np.isfinite(first).all(-1), known.weights, 0.0)
    curves = isotonic.fit_curves(
        first.reshape(-1, said.shape[-1]),
        known.classes.ravel(),
        weights.ravel(),
        worth=isotonic.independent(known.classes, weights, known.horizon),
    )
    if curves is None:
        return said
    lines = said.reshape(1, -1, said.shape[-1])
    return np.array(straighten(curves, jnp.asarray(lines))).reshape(said.shape)


def forest_alone(fold: Fitted, asked: Asked) -> Float[np.ndarray, "U S C"]:
    """What the fold's forest says of all bars asked, whether or not it has a vote."""
    predict, own = jax.jit(forest.log_probability), fold.params.forest
    logs = np.stack([np.asarray(predict(own, bar)) for bar in asked.features])
    return evaluate.tempered(np.exp(logs), asked.known)


def candles(record: BarRecord) -> Candles:
    """The mids of recorded bars, increments, and what was traded."""
    prices = ("mid_open", "mid_high", "mid_low", "mid_close")
    volume = record.column("base_turnover").astype(np.float64)
    first, high, low, last = (record.price(name) for name in prices)
    return Candles(first, high, low, last, volume)
