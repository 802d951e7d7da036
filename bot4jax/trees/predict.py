"""What a fitted forest says, asked of XGBoost itself: log odds, and their reasons."""

from collections.abc import Callable, Sequence

import numpy as np
import xgboost
from jaxtyping import Float


def asker(
    booster: xgboost.Booster, threads: int = 2
) -> Callable[[Float[np.ndarray, "S F"]], Float[np.ndarray, "S C"]]:
    """The booster's log odds as a function of feature scores, NaN a missing value.

    Scores are read where they lie. The answer is a copy: XGBoost hands out a view of a
    buffer that its next answer overwrites, while the device may still read this one.
    """
    booster.set_param({"nthread": threads, "device": "cpu"})

    def margins(scores: Float[np.ndarray, "S F"]) -> Float[np.ndarray, "S C"]:
        return np.array(booster.inplace_predict(scores, predict_type="margin"))

    return margins


def probabilities(
    booster: xgboost.Booster, features: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "N C"]:
    """Class probabilities, all rows at once."""
    return np.array(booster.inplace_predict(features))


def gain(booster: xgboost.Booster, names: Sequence[str]) -> dict[str, float]:
    """Each feature's share of the loss that all splits together have saved."""
    score = booster.get_score(importance_type="total_gain")
    saved = np.array([score.get(f"f{i}", 0.0) for i in range(len(names))], np.float64)
    return _shares(saved, names)


def contributions(
    booster: xgboost.Booster, features: Float[np.ndarray, "N F"], names: Sequence[str]
) -> dict[str, float]:
    """Each feature's share of what moves the log odds away from their mean.

    Mean absolute SHAP values over rows and classes. Source: Lundberg et al. (2020),
    From local explanations to global understanding with explainable AI for trees.
    """
    return _shares(shap_values(booster, features)[..., :-1], names)


def shap_values(
    booster: xgboost.Booster, features: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "N C P"]:
    """What each feature adds to each class's log odds; last, what all rows share."""
    return booster.predict(xgboost.DMatrix(features), pred_contribs=True)


def _shares(parts: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Shares of the absolute parts, the last axis by name; 0 where all are nothing."""
    size = np.abs(parts).reshape(-1, len(names)).sum(0, dtype=np.float64)
    return dict(zip(names, (size / (size.sum() or 1.0)).tolist(), strict=True))
