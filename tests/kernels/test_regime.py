"""Which regime a symbol is in, and that its own calibration is what is applied."""

import jax
import jax.numpy as jnp
import numpy as np

from bot4jax.kernels.calibration import Curves, identity, straighten, straighten_by
from bot4jax.kernels.regime import by_volatility, of_regime
from bot4jax.learn.isotonic import stacked

EDGES = np.array([[1.0, 2.0], [10.0, 20.0], [np.inf, np.inf]], np.float32)
"""Of three symbols, the last of which was never live in training."""


def within(*volatility: float) -> list[int]:
    found = jax.jit(by_volatility)(EDGES, np.array(volatility, np.float32))
    return np.asarray(found).tolist()


def test_a_symbol_is_where_its_own_edges_put_it():
    assert within(0.5, 5.0, 99.0) == [0, 0, 0]
    assert within(1.5, 15.0, 99.0) == [1, 1, 0]
    assert within(2.5, 2.5, 99.0) == [2, 0, 0]
    assert within(1.0, 20.0, 0.0) == [0, 1, 0], "an edge belongs to what is below it"
    assert within(np.nan, np.inf, np.nan) == [0, 2, 0]


def test_without_edges_all_are_alike():
    found = by_volatility(jnp.zeros((3, 0)), jnp.ones(3))
    np.testing.assert_array_equal(found, [0, 0, 0])


def test_every_symbol_gets_what_its_regime_has():
    each = jnp.asarray([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    found = of_regime(each, jnp.asarray([2, 0, 1, 2]))
    np.testing.assert_array_equal(found, [[3, 1, 2, 3], [6, 4, 5, 6]])
    alone = of_regime(each[:, :1], jnp.asarray([0, 0, 0, 0]))
    np.testing.assert_array_equal(alone, [[1], [4]])


def test_curves_of_a_regime_bend_its_symbols_alone():
    """Two forecasters, three regimes; symbol by symbol the same as by its own."""
    rng, plain = np.random.default_rng(0), identity(2, 3)
    regimes = [
        Curves(plain.given, plain.meant**power, plain.least) for power in (1, 2, 0.5)
    ]
    said = jnp.asarray(rng.dirichlet((1, 1, 1), (2, 50)), jnp.float32)
    regime = rng.integers(0, 3, 50)
    found = jax.jit(straighten_by)(stacked(regimes), said, jnp.asarray(regime))
    for r, own in enumerate(regimes):
        mine, expected = regime == r, straighten(own, said)
        np.testing.assert_allclose(found[:, mine], expected[:, mine], 1e-6)
    alone = straighten_by(stacked(regimes[1:2]), said, jnp.zeros(50, jnp.int32))
    np.testing.assert_allclose(alone, straighten(regimes[1], said), 1e-6)
