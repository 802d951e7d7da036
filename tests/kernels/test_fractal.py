"""Standard errors that the catalogue prints, and exponents of known motions."""

import antropy
import numpy as np
import pytest

from benchmarks.standard_errors import estimates, spread
from bot4jax.kernels import CATALOGUE
from tests.oracles.fractal import higuchi_length

DRAWS = 200
"""A standard deviation from so many draws is off by 5 %, if tails are normal."""


@pytest.mark.parametrize("spec", estimates(), ids=lambda spec: spec.name)
def test_standard_error_is_what_is_measured(spec):
    assert spread(spec, DRAWS).deviation == pytest.approx(spec.standard_error, rel=0.2)


@pytest.mark.parametrize("name", ["detrended_fluctuation", "hurst_exponent"])
def test_exponents_of_a_random_walk_are_a_half(name):
    """Without their correction for small samples they say .538 and .6."""
    found = spread(CATALOGUE[name], 600)
    assert found.mean == pytest.approx(0.5, abs=0.015)


def chaotic(random, bars):
    """A logistic map at its fullest, whose exponent is ln 2, in its own σ."""
    path = [random.uniform(0.1, 0.9)]
    while len(path) < bars + 100:
        path.append(4 * path[-1] * (1 - path[-1]))
    path = np.array(path[100:])
    return (path - path.mean()) / path.std()


def test_lyapunov_exponent_of_a_chaotic_map():
    """Near ln 2; a little under, since distances stop growing at the map's width."""
    random, spec = np.random.default_rng(3), CATALOGUE["lyapunov_exponent"]
    windows = [chaotic(random, spec.window) for _ in range(40)]
    found = np.mean([spec.reference({"standardised_return": one}) for one in windows])
    assert found == pytest.approx(np.log(2), rel=0.15)


def test_hurst_exponent_of_persistent_returns():
    """Above ½ where moves persist, below it where they are taken back."""
    random, spec = np.random.default_rng(4), CATALOGUE["hurst_exponent"]

    def mean_exponent(share):
        found = []
        for _ in range(40):
            z = random.normal(size=spec.window)
            for t in range(1, len(z)):
                z[t] += share * z[t - 1]
            found.append(spec.reference({"standardised_return": z}))
        return np.mean(found)

    assert mean_exponent(0.5) > 0.6
    assert mean_exponent(-0.5) < 0.4


@pytest.mark.parametrize("bars", [250, 256, 264])
def test_lengths_of_higuchi_are_those_of_a_library(bars):
    """antropy fits all steps from 1 on, each within the same closes: its phases of
    three, five … steps are of unequal number, so its dimension is another estimate.
    Its straight line is fitted with sums that are not centred, which costs 1e-10."""
    walk, steps = np.cumsum(np.random.default_rng(bars).normal(size=bars)), range(1, 9)
    lengths = [higuchi_length(walk, k) for k in steps]
    slope = np.polyfit(np.log(steps), np.log(lengths), 1)[0]
    assert -slope == pytest.approx(antropy.higuchi_fd(walk, kmax=8), abs=1e-9)
