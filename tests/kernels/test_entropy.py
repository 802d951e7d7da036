"""What rounding returns to a grid costs the entropies."""

import antropy
import numpy as np
import pytest

from bot4jax.kernels import CATALOGUE


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("sample_entropy", antropy.sample_entropy),
        ("approximate_entropy", antropy.app_entropy),
    ],
)
def test_rounding_to_the_grid_adds_no_bias(name, plain):
    """Beside the same entropy of the returns as they are, r = .2: no shift on average.

    Alike within eight steps of a grid of which r is eight would be within 8½: -.06.
    """
    random, spec = np.random.default_rng(6), CATALOGUE[name]
    windows = random.normal(size=(100, spec.window))
    apart = [
        spec.reference({"standardised_return": z}) - plain(z, order=2, tolerance=0.2)
        for z in windows
    ]
    assert abs(np.mean(apart)) < 3 * np.std(apart) / np.sqrt(len(apart)) + 2e-3
