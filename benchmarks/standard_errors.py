"""How uncertain is a fractal feature's value on one window of a random walk?

    python -m benchmarks.standard_errors

draws windows of independent normal returns from a seed, takes each feature's float64
definition of them, and prints mean and standard deviation over the draws. What a
feature registers as its `standard_error` is the second of them.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bot4jax.kernels import CATALOGUE
from bot4jax.registry import FeatureSpec

DRAWS = 600
SEED = 1
SIGMA = 1e-3
"""Log return of a bar, standard deviation."""


class Spread(NamedTuple):
    """Of one feature's values over the draws."""

    mean: float
    deviation: float


def columns(log_return: Float[np.ndarray, " W"]) -> dict[str, np.ndarray]:
    """What fractal features read of a window."""
    level = np.cumsum(log_return)
    return {
        "log_return": log_return,
        "standardised_return": log_return / SIGMA,
        "close_path": np.expm1(level - level[-1]),
    }


def spread(spec: FeatureSpec, draws: int) -> Spread:
    """Mean and standard deviation of the feature over windows drawn from the seed."""
    random = np.random.default_rng(SEED)
    shape = (draws, spec.window + spec.lag)
    walks = random.normal(0.0, SIGMA, shape)
    values = [spec.reference(columns(one)) for one in walks]
    return Spread(float(np.mean(values)), float(np.std(values)))


def estimates() -> list[FeatureSpec]:
    """The features whose uncertainty is told."""
    return [spec for spec in CATALOGUE.values() if spec.category == "fractal"]


def main() -> None:
    for spec in estimates():
        found = spread(spec, DRAWS)
        print(f"{spec.name}\t{found.mean:.4g}\t{found.deviation:.2g}")


if __name__ == "__main__":
    main()
