"""The quick backtest against a walk by hand, and against the engine's own decisions."""

import jax.numpy as jnp
import numpy as np
import pytest

from bot4jax.kernels.sizing import Risk, SizingParams, forecast, targets
from bot4jax.learn.borrowing import Lending, owed
from bot4jax.learn.dataset import Dataset
from bot4jax.learn.research import book, confidence, holdings, is_met, moves, worked
from bot4jax.learn.room import Room, boundless

BARS, SYMBOLS, HORIZON = 40, 3, 5
FEE = np.full(SYMBOLS, 1e-5)
FREE = Lending(np.zeros(SYMBOLS), np.zeros(BARS, bool))
WIDE = boundless((BARS, SYMBOLS))
ROUNDED = 1e-6
"""Of shares of the capital up to 1 in float32: a few units in their last place."""


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
        settled=np.ones(shape, bool),
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
    """Whoever is not live in the bar that meets a target keeps what was held."""
    data, targets = market(), np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS))
    assert 0 < (~data.live[1:]).sum() < 20
    found = book(targets, data, FEE, FREE, WIDE)
    held = np.zeros(SYMBOLS)
    for t in range(BARS - 1):
        gross = cost = 0.0
        for s in range(SYMBOLS):
            before = held[s]
            held[s] = targets[t, s] if data.live[t + 1, s] else before
            end = data.close[-1, s] if t == BARS - 2 else data.entry[t + 2, s]
            gross += held[s] * (end / data.entry[t + 1, s] - 1)
            cost += abs(held[s] - before) * (data.half_spread[t, s] + FEE[s])
        assert found.gross[t] == pytest.approx(gross)
        assert found.cost[t] == pytest.approx(cost)
    assert found.gross[-1] == 0
    np.testing.assert_allclose(found.net(2.0), found.gross - 2 * found.cost)


def everybody_lives(data: Dataset) -> Dataset:
    return data._replace(live=np.ones_like(data.live))


@pytest.mark.parametrize("delay", [0, 1])
def test_leaving_is_paid_for(delay):
    """Everything bought is sold: as much is traded at the end as at the start."""
    data, held = everybody_lives(market()), np.full((BARS, SYMBOLS), 0.1)
    found = book(held, data, FEE, FREE, WIDE, delay)
    np.testing.assert_allclose(found.traded.sum(0), 0.2)
    expected = (0.1 * (data.half_spread[-1] + FEE)).sum()
    assert found.cost[-1] == pytest.approx(expected)


def halted(span: slice, then: float) -> tuple[Dataset, np.ndarray]:
    """Bought before the first symbol's halt, to be sold in it; what it reopens at."""
    data = everybody_lives(market())
    close = np.full((BARS, SYMBOLS), 1000.0)
    close[span.stop :, 0] *= then
    live = data.live.copy()
    live[span, 0] = False
    wanted = np.zeros((BARS, SYMBOLS))
    wanted[3 : span.start + 2, 0] = 0.5
    return data._replace(close=close, entry=close, live=live), wanted


@pytest.mark.parametrize("delay", [0, 2])
def test_a_halt_is_sat_through(delay):
    """Regression: the scan sold at the stale price, before a fall of a fifth."""
    data, wanted = halted(slice(10, 20), then=0.8)
    found = book(wanted, data, FEE, FREE, WIDE, delay)
    assert found.gross.sum() == pytest.approx(-0.5 * 0.2)
    # a target of bar t is met in bar t + 1: bought, and sold where it trades again
    assert np.flatnonzero(found.traded[:, 0]).tolist() == [3 + delay, 19]
    assert found.stuck.sum() == 0


def test_who_is_gone_at_the_end_is_not_sold():
    """What nobody can sell is told, and pays no cost of leaving."""
    data, wanted = halted(slice(10, BARS), then=1.0)
    wanted[:, 1] = -0.2
    found = book(wanted, data, FEE, FREE, WIDE)
    assert found.stuck[:-1].sum() == 0
    assert found.stuck[-1] == pytest.approx(0.5)
    np.testing.assert_allclose(found.traded.sum(0), (0.5, 0.4, 0.0))
    assert np.flatnonzero(found.traded[:, 0]).tolist() == [3]


def test_who_cannot_trade_is_sized_from_what_is_held():
    """The engine's sizing meets the holding of before the halt, not its own wish."""
    data, p = everybody_lives(market()), forecasts()
    live = data.live.copy()
    live[15:25, 0] = False
    data = data._replace(live=live)
    held = held_of(data, p, confidence(p))
    assert (held[14:24, 0] == held[13, 0]).all()
    assert held[13, 0] != 0
    assert held[24, 0] != held[23, 0]
    np.testing.assert_array_equal(held, carried(held, is_met(data)))


def carried(targets, met):
    """The last target that was met, nothing before the first: with room for all."""
    rows = np.arange(len(targets))[:, None]
    last = np.maximum.accumulate(np.where(met, rows, -1), axis=0)
    own = np.take_along_axis(targets, np.maximum(last, 0), axis=0)
    return np.where(last < 0, 0.0, own)


def test_a_delay_meets_the_same_targets_later():
    data, held = (
        everybody_lives(market()),
        np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS)),
    )
    found = book(held, data, FEE, FREE, WIDE, delay=2)
    expected = (held[:-3] * moves(data)[2:]).sum(1)
    np.testing.assert_allclose(found.gross[2:-1], expected)
    assert (found.gross[:2] == 0).all()


@pytest.mark.parametrize("delay", [0, 2])
def test_what_is_short_pays_its_lender_beside_the_rest(delay):
    data = everybody_lives(market())
    held = np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS))
    nights = np.arange(BARS) % 7 == 3
    lending = Lending(np.array([1e-4, 0.0, 2e-4]), nights)
    free, lent = (
        book(held, data, FEE, terms, WIDE, delay) for terms in (FREE, lending)
    )
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


def held_of(data, probability, sure, floor=0.0, room=WIDE, **changes):
    return holdings(params(**changes), HORIZON, floor, data, probability, sure, room)


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


def narrow(seed: int = 5) -> Room:
    """Room for less than is asked for, more or less on either side; for nothing in some
    bars, and in a span; for everything in others."""
    rng = np.random.default_rng(seed)
    room = Room(*rng.uniform(0.0, 0.1, (2, BARS, SYMBOLS)).astype(np.float32))
    for side in room:
        side[rng.random(side.shape) < 0.1] = 0.0
        side[rng.random(side.shape) < 0.1] = np.inf
        side[25:29, 2] = 0.0
    return room


def reached(held: float, target: float, buy: float, sell: float) -> float:
    """As far as one symbol's position comes."""
    if target > held:
        return held + min(target - held, buy)
    return held - min(held - target, sell)


def walked(data, probability, sure, room) -> tuple[np.ndarray, int]:
    """Bar by bar and symbol by symbol, with the engine's sizing from what is held; and
    how many targets were not reached for want of room."""
    is_known = np.isfinite(probability).all(-1)
    held, found, short = np.zeros(SYMBOLS, np.float32), [], 0
    for t in range(BARS):
        said = np.where(is_known[t][:, None], probability[t], np.float32(1 / 3))
        scale = jnp.asarray(data.volatility[t]) * HORIZON**0.5
        target, _ = targets(
            params(),
            forecast(params(), jnp.asarray(said), scale),
            Risk(data.volatility[t], data.beta[t], data.market_volatility[t]),
            HORIZON,
            jnp.asarray(np.where(is_known[t], sure[t], 0)),
            data.half_spread[t],
            jnp.asarray(held),
            jnp.asarray(data.live[t] & is_known[t]),
        )
        for s in range(SYMBOLS):
            if t + 1 < BARS and data.live[t + 1, s]:
                own = float(held[s]), float(target[s])
                held[s] = reached(*own, room.buy[t, s], room.sell[t, s])
                short += abs(held[s] - own[1]) > ROUNDED
        found.append(held.copy())
    return np.stack(found), short


def test_what_there_is_no_room_for_waits_and_is_sized_again():
    data, p, room = market(), forecasts(), narrow()
    p[10:14, 1] = np.nan
    expected, short = walked(data, p, confidence(p), room)
    assert short > 20, "it must bind"
    held = held_of(data, p, confidence(p), room=room)
    np.testing.assert_allclose(held, expected, atol=ROUNDED)
    wide = held_of(data, p, confidence(p))
    assert np.abs(held - wide).max() > 0.1
    # not what cutting the changes of the unbounded holdings would have come to
    assert np.abs(held - worked(wide, is_met(data), room)).max() > 0.01


@pytest.mark.parametrize("delay", [0, 1, 2])
def test_no_trade_is_larger_than_the_room_of_its_own_bar(delay):
    """Late ones neither, the closing sale neither; what is left there is stuck."""
    data, p, room = market(), forecasts(), narrow()
    held = held_of(data, p, confidence(p), room=room)
    found = book(held, data, FEE, FREE, room, delay)
    late = np.zeros_like(held)
    late[delay:] = held[: BARS - delay]
    now = np.zeros(SYMBOLS)
    for t in range(BARS):
        target = late[t] if t + 1 < BARS else np.zeros(SYMBOLS)
        live = data.live[min(t + 1, BARS - 1)]
        before, now = now, now.copy()
        for s in np.flatnonzero(live):
            now[s] = reached(before[s], target[s], room.buy[t, s], room.sell[t, s])
        traded = np.abs(now - before)
        np.testing.assert_allclose(found.traded[t], traded, atol=ROUNDED)
        most = np.where(now > before, room.buy[t], room.sell[t])
        assert (found.traded[t] <= most + ROUNDED).all()
    assert found.stuck[-1] == pytest.approx(np.abs(now).sum(), abs=ROUNDED)
    assert found.stuck[-1] > 0.01
    paid = found.traded.copy()
    paid[-1] += np.where(data.live[-1], np.abs(now), 0.0)  # of leaving, all the same
    each = data.half_spread + FEE
    np.testing.assert_allclose(found.cost, (paid * each).sum(1), atol=ROUNDED * 1e-3)


def test_what_was_held_with_room_is_what_is_booked():
    """To the bit: a target that was reached once is not cut again."""
    data, p, room = market(), forecasts(), narrow()
    held = held_of(data, p, confidence(p), room=room)
    np.testing.assert_array_equal(worked(held, is_met(data), room), held)


def test_room_for_everything_is_as_if_nothing_bounded():
    """To the bit, in floats of either size; as little does room for twice the most."""
    data, p = market(), forecasts()
    sure, most = confidence(p), np.full((BARS, SYMBOLS), 4.0, np.float32)
    held = held_of(data, p, sure)
    np.testing.assert_array_equal(held, held_of(data, p, sure, room=Room(most, most)))
    for own in (held, np.random.default_rng(2).normal(0, 0.1, (BARS, SYMBOLS))):
        met = is_met(data)
        np.testing.assert_array_equal(worked(own, met, WIDE), carried(own, met))


def test_a_symbol_without_any_room_is_never_held():
    data, p = everybody_lives(market()), forecasts()
    room = Room(*(side.copy() for side in WIDE))
    room.buy[:, 0] = room.sell[:, 0] = 0.0
    room.sell[:, 1] = 0.0
    held = held_of(data, p, confidence(p), room=room)
    assert (held[:, 0] == 0).all()
    assert (np.diff(held[:, 1]) >= 0).all()
    assert held[-1, 1] > 0
    found = book(held, data, FEE, FREE, room)
    assert found.traded[-1, 1] == 0
    assert found.stuck[-1] == pytest.approx(held[-2, 1], abs=ROUNDED)
