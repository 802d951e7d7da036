"""What a fitted forest says, asked of XGBoost itself: log odds, and their reasons."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import jax
import jax.dlpack
import numpy as np
from jaxtyping import Array, Float

from bot4jax.trees.fit import require_device
from bot4jax.trees.model import ForestError, base_score, model_document, read_trees
from bot4jax.trees.shapley import shapley_values

if TYPE_CHECKING:
    from xgboost import Booster

Scores = Float[np.ndarray, "S F"] | Float[Array, "S F"]
Margins = Callable[[Scores], Float[np.ndarray, "S C"] | Float[Array, "S C"]]
"""Log odds of feature scores."""

MARGINS: dict[str, Any] = {"predict_type": "margin"}


def asker(booster: "Booster", threads: int = 2, device: str = "cpu") -> Margins:
    """The booster's log odds as a function of feature scores, NaN a missing value.

    Scores are read where they lie. The answer is a copy: XGBoost hands out a view of a
    buffer that its next answer overwrites, while the device may still read this one.
    """
    require_device(device)
    booster.set_param({"nthread": threads, "device": device})
    if device != "cpu":
        return handed_over(booster, *cupy())

    def margins(scores: Scores) -> Float[np.ndarray, "S C"]:
        return np.array(booster.inplace_predict(np.asarray(scores), **MARGINS))

    return margins


def handed_over(booster: "Booster", arrays: Any, finish: Callable[[], None]) -> Margins:
    """The same on the device that scores lie on: by DLPack nothing crosses to the host.

    `arrays` is the module whose arrays XGBoost takes there. It computes in a stream of
    its own, which JAX does not wait for: `finish` does, once the answer is copied.
    """

    def margins(scores: Scores) -> Float[Array, "S C"]:
        rows = arrays.from_dlpack(scores)
        answer = arrays.array(booster.inplace_predict(rows, **MARGINS))
        finish()
        return jax.dlpack.from_dlpack(answer)

    return margins


def cupy() -> tuple[Any, Callable[[], None]]:
    """CuPy, and what waits for all that its device is doing."""
    try:
        found = import_module("cupy")
    except ImportError as error:
        raise ForestError(
            "trees.predictor=xgboost on a GPU takes rows from CuPy, which is not "
            'there: pip install -e ".[cuda]", or use trees.predictor=fused'
        ) from error
    return found, lambda: found.cuda.Device().synchronize()


def probabilities(
    booster: "Booster", features: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "N C"]:
    """Class probabilities, all rows at once.

    By a matrix, which is copied to wherever the booster computes: `inplace_predict`
    would warn of rows that lie on the host when that is a GPU, and do the same.
    """
    from xgboost import DMatrix

    return booster.predict(DMatrix(features))


def gain(booster: "Booster", names: Sequence[str]) -> dict[str, float]:
    """Each feature's share of the loss that all splits together have saved."""
    own = _own_names(booster, names)
    score = booster.get_score(importance_type="total_gain")
    return _shares(np.array([score.get(one, 0.0) for one in own], np.float64), names)


def contributions(
    booster: "Booster", features: Float[np.ndarray, "N F"], names: Sequence[str]
) -> dict[str, float]:
    """Each feature's share of what moves the log odds away from their mean.

    Mean absolute SHAP values over rows and classes. Source: Lundberg et al. (2020),
    From local explanations to global understanding with explainable AI for trees.
    """
    _own_names(booster, names)
    return _shares(shap_values(booster, features)[..., :-1], names)


def shap_values(
    booster: "Booster", features: Float[np.ndarray, "N F"]
) -> Float[np.ndarray, "N C P"]:
    """What each feature adds to each class's log odds; last, what all rows share."""
    _require_count(booster, features.shape[1])
    document = model_document(booster)
    classes = int(document["learner"]["learner_model_param"]["num_class"])
    trees, owners = read_trees(document, classes)
    return shapley_values(trees, owners, base_score(document, classes), features)


def _own_names(booster: "Booster", names: Sequence[str]) -> Sequence[str]:
    """What the booster calls its features: as we do, or by their places."""
    _require_count(booster, len(names))
    own = booster.feature_names
    if own is None:
        return [f"f{place}" for place in range(len(names))]
    for place, pair in enumerate(zip(own, names, strict=True)):
        if pair[0] != pair[1]:
            raise ForestError(
                f"the forest was fitted on {pair[0]} as its feature {place}; expected "
                f"{pair[1]}: fit it again on these features, in this order"
            )
    return own


def _require_count(booster: "Booster", features: int) -> None:
    if booster.num_features() != features:
        raise ForestError(
            f"the forest was fitted on {booster.num_features()} features; expected "
            f"{features}: fit it again on these"
        )


def _shares(parts: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Shares of the absolute parts, the last axis by name; 0 where all are nothing."""
    size = np.abs(parts).reshape(-1, len(names)).sum(0, dtype=np.float64)
    return dict(zip(names, (size / (size.sum() or 1.0)).tolist(), strict=True))
