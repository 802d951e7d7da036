"""Fitting, saving and loading a gradient-boosted forest with XGBoost."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xgboost
from jaxtyping import Float, Int
from xgboost.callback import TrainingCallback

from bot4jax import durable
from bot4jax.trees.forest import ForestError, model_document

Progress = Callable[[int, int], None]
"""called with the rounds that are done and those that are due"""

DIGEST = "bot4jax.sha256"
"""Attribute of a saved model: the SHA-256 of the rest of its document."""


class Rows(NamedTuple):
    """What a forest is fitted on or watched by."""

    features: Float[np.ndarray, "N F"]
    labels: Int[np.ndarray, " N"]
    weights: Float[np.ndarray, " N"]


class Settings(NamedTuple):
    """Sizes and penalties of the boosting; one round is one tree a class."""

    rounds: int
    depth: int
    learning_rate: float
    min_child_weight: float
    """least sum of second derivatives in a leaf, at a mean sample weight of 1"""
    gamma: float
    """least gain of a split"""
    subsample: float
    colsample: float
    reg_lambda: float
    seed: int
    classes: int = 3
    threads: int = 2
    """told, for sums in another order may give another forest"""
    device: str = "cpu"


def fit_forest(
    features: Float[np.ndarray, "N F"],
    labels: Int[np.ndarray, " N"],
    weights: Float[np.ndarray, " N"],
    settings: Settings,
    progress: Progress | None = None,
) -> xgboost.Booster:
    """Boosted trees of the class probabilities; NaN is a missing value.

    Rows of weight 0 are left out, and the others' weights are scaled to a mean of 1, so
    that `min_child_weight` counts samples however much their labels overlap.
    """
    require_device(settings.device)
    matrix = _matrix(Rows(features, labels, weights), settings)
    callbacks = [] if progress is None else [_Rounds(settings.rounds, progress)]
    return xgboost.train(
        _parameters(settings), matrix, settings.rounds, callbacks=callbacks
    )


def best_rounds(fitted: Rows, watched: Rows, settings: Settings, patience: int) -> int:
    """Rounds after which `watched` has the least log loss.

    Boosting stops once `patience` rounds in a row have not lowered it.
    """
    require_device(settings.device)
    matrix = _matrix(fitted, settings)
    booster = xgboost.train(
        _parameters(settings) | {"eval_metric": "mlogloss"},
        matrix,
        settings.rounds,
        evals=[(_matrix(watched, settings, matrix), "watched")],
        early_stopping_rounds=patience,
        verbose_eval=False,
    )
    return booster.best_iteration + 1


def require_device(device: str) -> None:
    """Refuse what XGBoost does not run on: it would only warn and take the CPU."""
    with warnings.catch_warnings():
        # Builds word it differently; what is read back decides.
        warnings.filterwarnings("ignore", ".*(Device is changed|No visible GPU)")
        nothing = xgboost.DMatrix(np.zeros((1, 1)), np.zeros(1))
        probe = xgboost.train({"device": device}, nothing, num_boost_round=0)
        configuration = json.loads(probe.save_config())
    found = configuration["learner"]["generic_param"]["device"]
    if found.split(":")[0] != device.split(":")[0]:
        raise ForestError(
            f"trees were to run on {device}, but XGBoost has only {found}: "
            "install its CUDA build and check the driver, or use hardware=cpu"
        )


def save(booster: xgboost.Booster, path: Path) -> None:
    """Write the forest as XGBoost's JSON, with a digest among its attributes.

    A reader sees the old file or all of the new one.
    """
    document = model_document(booster)
    document["learner"]["attributes"][DIGEST] = _digest(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, json.dumps(document))


def load(path: Path, features: int, classes: int) -> xgboost.Booster:
    """Read a forest that `save` wrote, or raise a `ForestError` that names the file.

    The digest is compared before XGBoost sees the file, for it follows a damaged index
    out of its memory. What else damaged files raise is of many kinds: all are caught.
    """
    try:
        document = json.loads(path.read_bytes())
        written = document["learner"]["attributes"].pop(DIGEST)
        if written != _digest(document):
            raise ValueError("its contents do not match their digest")
        text = json.dumps(document).encode()
        booster = xgboost.Booster(model_file=bytearray(text))
    except FileNotFoundError as error:
        raise ForestError(f"{path}: no such file; fit the forest first") from error
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ForestError(
            f"{path}: not a forest that was saved whole "
            f"({type(error).__name__}: {reason}); fit it again or restore the file"
        ) from error
    _expect_shape(path, booster, document, features, classes)
    return booster


class _Rounds(TrainingCallback):
    """Tells `progress` after every round."""

    def __init__(self, rounds: int, progress: Progress) -> None:
        super().__init__()
        self.rounds = rounds
        self.progress = progress

    def after_iteration(self, model, epoch: int, evals_log) -> bool:
        self.progress(epoch + 1, self.rounds)
        return False


def _parameters(settings: Settings) -> dict[str, object]:
    return {
        "objective": "multi:softprob",
        "num_class": settings.classes,
        "tree_method": "hist",
        "device": settings.device,
        "nthread": settings.threads,
        "seed": settings.seed,
        "max_depth": settings.depth,
        "eta": settings.learning_rate,
        "min_child_weight": settings.min_child_weight,
        "gamma": settings.gamma,
        "subsample": settings.subsample,
        "colsample_bytree": settings.colsample,
        "lambda": settings.reg_lambda,
    }


def _digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of the document in a spelling that does not depend on its order."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _expect_shape(
    path: Path,
    booster: xgboost.Booster,
    document: Mapping[str, Any],
    features: int,
    classes: int,
) -> None:
    found_classes = int(document["learner"]["learner_model_param"]["num_class"])
    found = (booster.num_features(), found_classes)
    if found != (features, classes):
        raise ForestError(
            f"{path}: a forest of {found[0]} features and {found[1]} classes; "
            f"expected {features} and {classes}: fit it again for these features"
        )


def _matrix(
    rows: Rows, settings: Settings, bins: xgboost.QuantileDMatrix | None = None
) -> xgboost.QuantileDMatrix:
    """The rows that count, in quantiles of their own or in those of `bins`."""
    features, labels, weights = rows
    kept = _usable_rows(features, labels, weights, settings.classes)
    weight = weights[kept] / weights[kept].mean(dtype=np.float64)
    return xgboost.QuantileDMatrix(
        features[kept],
        labels[kept],
        weight=weight,
        nthread=settings.threads,
        ref=bins,
    )


def _usable_rows(
    features: np.ndarray, labels: np.ndarray, weights: np.ndarray, classes: int
) -> Int[np.ndarray, " kept"]:
    """Rows that count; raises `ForestError` where a number has no meaning."""
    if not (features.ndim == 2 and labels.shape == weights.shape == features.shape[:1]):
        raise ForestError(
            f"features {features.shape}, labels {labels.shape} and weights "
            f"{weights.shape} do not describe the same rows"
        )
    if not ((weights >= 0) & np.isfinite(weights)).all():
        raise ForestError("weights must be finite and not negative")
    kept = np.flatnonzero(weights)
    if not kept.size:
        raise ForestError(f"none of the {len(weights)} rows has a weight above 0")
    if not ((labels[kept] >= 0) & (labels[kept] < classes)).all():
        raise ForestError(
            f"labels from {labels[kept].min()} to {labels[kept].max()}; expected "
            f"0 to {classes - 1}"
        )
    infinite = np.isinf(features[kept]).any(axis=0)
    if infinite.any():
        raise ForestError(
            f"infinite values in feature columns {np.flatnonzero(infinite).tolist()}: "
            "mask what is unusable as NaN"
        )
    return kept
