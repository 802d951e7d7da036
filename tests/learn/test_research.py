"""The quick backtest against a walk by hand, and against the engine's own decisions."""

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.kernels.sizing import SizingParams
from bot4jax.learn.borrowing import Lending, owed
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.research import book, confidence, holdings, moves

BARS, SYMBOLS = 40, 3
FEE = np.full(SYMBOLS, 1e-5)
FREE = Lending(np.zeros(SYMBOLS), np.zeros(BARS, bool))


def market(seed: int = 0) -> Dataset:
    rng = np.random.default_rng(seed)
    shape = BARS, SYMBOLS
    close = 1000 * np.exp(np.cumsum(rng.normal(0, 0.002, shape), axis=0))
    f32 = np.float32
    return Dataset(
        first=0,
        features=np.zeros((*shape, 1), f32),
        usable=np.ones((*shape, 1), bool),
        volatility=rng.uniform(1e-3, 3e-3, shape).astype(f32),
        beta=rng.uniform(0.5, 1.5, shape).astype(f32),
        market_volatility=np.full(BARS, 1e-3, f32),
        half_spread=rng.uniform(1e-5, 5e-5, shape).astype(f32),
        close=close,
        entry=close * np.exp(rng.normal(0, 5e-4, shape)),
        live=rng.random(shape) < 0.9,
    )


def params(**changes) -> SizingParams:
    values = {
        "class_mean": np.array([-1.2, 0.0, 1.2], np.float32),
        "class_square": np.array([1.7, 0.2, 1.7], np.float32),
        "kelly": np.float32(0.25),
        "fee": FEE.astype(np.float32),
        "symbol_cap": np.float32(0.5),
        "gross_cap": np.float32(2.0),
        "net_cap": np.float32(1.0),
        "volatility_cap": np.float32(0.1),
    }
    return SizingParams(**{k: jnp.asarray(v) for k, v in (values | changes).items()})


def forecasts(seed: int = 1):
    rng = np.random.default_rng(seed)
    return rng.dirichlet((2, 3, 2), (BARS, SYMBOLS)).astype(np.float32)


def test_profits_equal_a_walk_by_hand():
    data, held = market(), np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS))
    found = book(held, data, FEE, FREE)
    for t in (0, 7, BARS - 2):
        gross = cost = 0.0
        for s in range(SYMBOLS):
            end = data.close[-1, s] if t == BARS - 2 else data.entry[t + 2, s]
            gross += held[t, s] * (end / data.entry[t + 1, s] - 1)
            before = held[t - 1, s] if t else 0.0
            cost += abs(held[t, s] - before) * (data.half_spread[t, s] + FEE[s])
        assert found.gross[t] == pytest.approx(gross)
        assert found.cost[t] == pytest.approx(cost)
    assert found.gross[-1] == 0
    np.testing.assert_allclose(found.net(2.0), found.gross - 2 * found.cost)


@pytest.mark.parametrize("delay", [0, 1])
def test_leaving_is_paid_for(delay):
    """Everything bought is sold: as much is traded at the end as at the start."""
    data, held = market(), np.full((BARS, SYMBOLS), 0.1)
    found = book(held, data, FEE, FREE, delay)
    np.testing.assert_allclose(found.traded.sum(0), 0.2)
    expected = (0.1 * (data.half_spread[-1] + FEE)).sum()
    assert found.cost[-1] == pytest.approx(expected)


def test_a_delay_meets_the_same_targets_later():
    data, held = market(), np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS))
    found = book(held, data, FEE, FREE, delay=2)
    expected = (held[:-3] * moves(data)[2:]).sum(1)
    np.testing.assert_allclose(found.gross[2:-1], expected)
    assert (found.gross[:2] == 0).all()


@pytest.mark.parametrize("delay", [0, 2])
def test_what_is_short_pays_its_lender_beside_the_rest(delay):
    data, held = market(), np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS))
    nights = np.arange(BARS) % 7 == 3
    lending = Lending(np.array([1e-4, 0.0, 2e-4]), nights)
    free, lent = (book(held, data, FEE, terms, delay) for terms in (FREE, lending))
    np.testing.assert_array_equal(free.gross, lent.gross)
    late = np.concatenate([np.zeros((delay, SYMBOLS)), held[: BARS - delay]])
    paid = lent.cost - free.cost
    np.testing.assert_allclose(paid, owed(late, lending), atol=1e-15)
    assert set(np.flatnonzero(paid)) <= set(np.flatnonzero(nights) - 1)
    assert paid.sum() > 0


def test_a_price_that_is_none_earns_nothing():
    data = market()
    data.entry[10, 0], data.entry[20, 1] = np.nan, 0.0
    earned = moves(data)
    assert np.isfinite(earned).all()
    assert (earned[8:10, 0] == 0).all()
    assert (earned[18:20, 1] == 0).all()


def held_of(data, probability, sure, floor=0.0, **changes):
    return holdings(params(**changes), 5, floor, data, probability, sure)


def test_holdings_stay_within_caps_and_follow_the_forecast():
    data, p = market(), forecasts()
    sure = confidence(p)
    held = held_of(data, p, sure, symbol_cap=np.float32(0.2))
    assert np.abs(held).max() <= 0.2 * (1 + 1e-6)
    assert np.abs(held).max() > 0
    lean = p[..., 2] - p[..., 0]
    # where a position was just opened, it is on the forecast's side
    opened = (held[1:] != 0) & (held[:-1] == 0)
    assert opened.any()
    assert (np.sign(held[1:][opened]) == np.sign(lean[1:][opened])).all()
    closed = held_of(data, p, sure, floor=2.0)
    assert (closed == 0).all()


def test_dear_trading_trades_less():
    data, p = market(), forecasts()
    sure = confidence(p)
    cheap, dear = (
        np.abs(np.diff(held_of(data, p, sure, fee=np.full(3, f, np.float32)), axis=0))
        for f in (0.0, 2e-3)
    )
    assert dear.sum() < 0.5 * cheap.sum()


def test_whoever_is_not_forecast_is_not_opened():
    data, p = market(), forecasts()
    p[:, 1] = np.nan
    held = held_of(data, p, confidence(p))
    assert (held[:, 1] == 0).all()
    assert np.isfinite(held).all()
    assert np.abs(held).max() > 0


def test_confidence_of_a_certain_and_an_even_forecast():
    p = np.array([[[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3]]])
    np.testing.assert_allclose(confidence(p), [[1, 0]], atol=1e-6)
