"""Fitting, saving and loading a gradient-boosted forest with XGBoost.

XGBoost is imported by whoever fits or asks a forest of its own: it brings scikit-learn
and pandas where they are installed, and an engine that is started anew needs none.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bot4jax import durable
from bot4jax.trees.forest import MAX_LEAVES
from bot4jax.trees.model import (
    ForestError,
    base_score,
    model_document,
    read_trees,
)

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix
    from xgboost.callback import TrainingCallback

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
) -> "Booster":
    """Boosted trees of the class probabilities; NaN is a missing value.

    Rows of weight 0 are left out, and the others' weights are scaled to a mean of 1, so
    that `min_child_weight` counts samples however much their labels overlap.
    """
    import xgboost

    require_device(settings.device)
    matrix = _matrix(Rows(features, labels, weights), settings)
    callbacks = [] if progress is None else [_telling(settings.rounds, progress)]
    return xgboost.train(
        _parameters(settings), matrix, settings.rounds, callbacks=callbacks
    )


def best_rounds(fitted: Rows, watched: Rows, settings: Settings, patience: int) -> int:
    """Rounds after which `watched` has the least log loss.

    Boosting stops once `patience` rounds in a row have not lowered it.
    """
    import xgboost

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
    import xgboost

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


def save(booster: "Booster", path: Path) -> None:
    """Write the forest as XGBoost's JSON, with a digest among its attributes.

    A reader sees the old file or all of the new one.
    """
    document = model_document(booster)
    document["learner"]["attributes"][DIGEST] = _digest(document)
    path.parent.mkdir(parents=True, exist_ok=True)
    durable.write(path, json.dumps(document))


def intact(path: Path, features: int, classes: int) -> dict[str, Any]:
    """The document of a forest that `save` wrote, or a `ForestError` that names it.

    It is read without XGBoost. What damaged files raise is of many kinds: all are
    caught. A digest may be of a document that means nothing, so its trees are read node
    by node.
    """
    with _refusing(path):
        document = json.loads(path.read_bytes())
        written = document["learner"]["attributes"].pop(DIGEST)
        if written != _digest(document):
            raise ValueError("its contents do not match their digest")
        sizes = document["learner"]["learner_model_param"]
        found = int(sizes["num_feature"]), int(sizes["num_class"])
        written = ".".join(str(int(number)) for number in document["version"])
    _require_known(path, written)
    if found != (features, classes):
        raise ForestError(
            f"{path}: a forest of {found[0]} features and {found[1]} classes; "
            f"expected {features} and {classes}: fit it again for these features"
        )
    with _refusing(path):
        read_trees(document, classes)
        base_score(document, classes)
    return document


def revived(path: Path, document: Mapping[str, Any]) -> "Booster":
    """The booster of an `intact` document, or a `ForestError` that names the file.

    XGBoost follows a damaged index out of its memory, so it sees no other file.
    """
    import xgboost

    with _refusing(path):
        return xgboost.Booster(model_file=bytearray(json.dumps(document).encode()))


def _require_known(path: Path, written: str) -> None:
    """Refuse what a newer XGBoost wrote: it may mean other things by the same words."""
    own = version("xgboost")
    if _release(written) > _release(own):
        raise ForestError(
            f"{path}: written by XGBoost {written}, and {own} is installed: install "
            "that one or a later one, or fit the forest again"
        )


def _release(found: str) -> list[int]:
    """Its first two numbers; the third changes no file."""
    return [int(number) for number in found.split(".")[:2]]


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Whatever goes wrong with a file's contents is told as a `ForestError`."""
    try:
        yield
    except FileNotFoundError as error:
        raise ForestError(f"{path}: no such file; fit the forest first") from error
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        raise ForestError(
            f"{path}: not a forest that was saved whole "
            f"({type(error).__name__}: {reason}); fit it again or restore the file"
        ) from error


def _telling(rounds: int, progress: Progress) -> "TrainingCallback":
    """Tells `progress` after every round."""
    from xgboost.callback import TrainingCallback

    class Telling(TrainingCallback):
        def after_iteration(self, model, epoch: int, evals_log) -> bool:
            progress(epoch + 1, rounds)
            return False

    return Telling()


def _parameters(settings: Settings) -> dict[str, object]:
    return {
        "objective": "multi:softprob",
        "num_class": settings.classes,
        "tree_method": "hist",
        "device": settings.device,
        "nthread": settings.threads,
        "seed": settings.seed,
        "max_depth": settings.depth,
        "max_leaves": MAX_LEAVES,
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


def _matrix(
    rows: Rows, settings: Settings, bins: "QuantileDMatrix | None" = None
) -> "QuantileDMatrix":
    """The rows that count, in quantiles of their own or in those of `bins`."""
    from xgboost import QuantileDMatrix

    features, labels, weights = rows
    kept = _usable_rows(features, labels, weights, settings.classes)
    weight = weights[kept] / weights[kept].mean(dtype=np.float64)
    return QuantileDMatrix(
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
