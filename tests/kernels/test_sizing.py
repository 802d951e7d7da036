"""Targets: worth against cost, and clamps that only ever shrink."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.kernels import sizing
from bot4jax.kernels.sizing import Clamp

SYMBOLS = 4
HORIZON = 5

forecast = jax.jit(sizing.forecast)
size = jax.jit(partial(sizing.targets, horizon=HORIZON))


def params(**changed):
    values = {
        "class_mean": [-1.3, 0.0, 1.3],
        "class_square": [2.0, 0.1, 2.0],
        "kelly": 0.25,
        "fee": np.full(SYMBOLS, 1e-5),
        "symbol_cap": 0.1,
        "gross_cap": 1.0,
        "net_cap": 0.5,
        "volatility_cap": 1.0,
    }
    return sizing.SizingParams(
        **{k: jnp.asarray(v, jnp.float32) for k, v in (values | changed).items()}
    )


def targets(probability, held=0.0, may_open=True, **changed):
    own = params(**changed)
    probability = jnp.tile(jnp.asarray(probability, jnp.float32), (SYMBOLS, 1))
    risk = sizing.Risk(
        jnp.full(SYMBOLS, 4e-4), jnp.full(SYMBOLS, 1.0), jnp.float32(1e-4)
    )
    found, flags = size(
        own,
        forecast(own, probability, risk.volatility * HORIZON**0.5),
        risk,
        confidence=jnp.full(SYMBOLS, 0.5),
        half_spread=jnp.full(SYMBOLS, 5e-5),
        held=jnp.full(SYMBOLS, held, jnp.float32),
        may_open=jnp.full(SYMBOLS, may_open),
    )
    return np.asarray(found), np.asarray(flags)


def test_forecast_is_the_mixture_of_the_classes():
    own = params()
    p = jnp.asarray([[0.2, 0.5, 0.3]], jnp.float32)
    found = forecast(own, p, jnp.asarray([2.0], jnp.float32))
    mean = (-0.2 * 1.3 + 0.3 * 1.3) * 2
    assert float(found.mean[0]) == pytest.approx(mean, rel=1e-5)
    square = (0.2 * 2 + 0.5 * 0.1 + 0.3 * 2) * 4
    assert float(found.variance[0]) == pytest.approx(square - mean**2, rel=1e-5)


@pytest.mark.parametrize("held", [0.0, 0.02, -0.02])
def test_a_forecast_worth_less_than_its_cost_moves_nothing(held):
    found, flags = targets([0.25, 0.5, 0.25], held=held)
    np.testing.assert_allclose(found, held)
    found, flags = targets([0.245, 0.5, 0.255], held=0.0)
    assert (found == 0).all()
    assert (flags & Clamp.COST).all()


def test_a_strong_forecast_trades_its_way_and_is_capped():
    up, flags = targets([0.1, 0.4, 0.5])
    assert (up > 0).all()
    assert (up <= 0.1 + 1e-6).all()
    assert (flags & Clamp.SYMBOL_CAP).all()
    down, _ = targets([0.5, 0.4, 0.1])
    np.testing.assert_allclose(down, -up, rtol=1e-5)


def test_gross_net_and_volatility_scale_all_targets_by_one_factor():
    free, _ = targets([0.1, 0.4, 0.5])
    gross, flags = targets([0.1, 0.4, 0.5], gross_cap=0.2)
    np.testing.assert_allclose(np.abs(gross).sum(), 0.2, rtol=1e-5)
    assert (flags & Clamp.GROSS).all()
    net, flags = targets([0.1, 0.4, 0.5], net_cap=0.1)
    np.testing.assert_allclose(net.sum(), 0.1, rtol=1e-5)
    assert (flags & Clamp.NET).all()
    calm, flags = targets([0.1, 0.4, 0.5], volatility_cap=2e-5)
    assert (flags & Clamp.VOLATILITY).all()
    np.testing.assert_allclose(calm / free, calm[0] / free[0], rtol=1e-5)


def test_book_volatility_is_that_of_the_full_covariance():
    rng = np.random.default_rng(0)
    beta, market = rng.normal(1, 0.3, 30), 2e-3
    own = rng.uniform(1e-3, 3e-3, 30)
    total = np.sqrt(own**2 + (beta * market) ** 2)
    weight = rng.normal(0, 0.1, 30)
    covariance = np.outer(beta, beta) * market**2 + np.diag(own**2)
    risk = sizing.Risk(*(jnp.asarray(x, jnp.float32) for x in (total, beta, market)))
    found = sizing.book_volatility(risk, jnp.asarray(weight, jnp.float32))
    assert float(found) == pytest.approx(np.sqrt(weight @ covariance @ weight), 1e-4)


def test_what_is_held_inside_the_smaller_band_is_left_alone():
    sides = np.linspace(0.01, 0.05, 9)
    found = [
        float(targets([0.1, 0.4, 0.5], held=h, gross_cap=0.2)[0][0]) for h in sides
    ]
    assert max(found) <= 0.05 + 1e-6
    same = np.isclose(found, sides, rtol=1e-6)
    assert same.any()
    assert not same.all()


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-0.3, 0.3),
    st.lists(st.floats(0.01, 1), min_size=3, max_size=3),
)
def test_where_opening_is_barred_positions_only_shrink(held, p):
    found, _ = targets(np.array(p) / np.sum(p), held=held, may_open=False)
    assert (np.abs(found) <= abs(np.float32(held))).all()
    assert (found * held >= 0).all()


def test_nan_keeps_what_is_held():
    found, flags = targets([np.nan, 0.5, 0.5], held=0.03)
    np.testing.assert_allclose(found, 0.03)
    assert (flags & Clamp.NOT_FINITE).all()
