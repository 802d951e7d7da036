"""What mids take back of the half spreads that resting orders have earned."""

import numpy as np
import pytest

from bot4jax.data.universe import universe
from bot4jax.modes import summary
from bot4jax.modes.report_trade import adverse_bps, at_costs, made
from bot4jax.modes.story import TradeFacts
from bot4jax.runtime.adverse import Adverse, Rested
from bot4jax.runtime.equity import EquityRow
from bot4jax.runtime.messages import CorporateAction
from bot4jax.runtime.mids import Mids
from bot4jax.runtime.orders import Fill, Order, order_id
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.targets import Tactic
from bot4jax.types import BUY, Instrument
from tests.runtime.scene import BAR_NS, Scene, compared, repeating

MARKET = universe(
    [
        Instrument(symbol="SHARE", kind="equity", increment=0.5),
        Instrument(
            symbol="COIN",
            kind="inverse",
            increment=0.5,
            multiplier=100.0,
            base="BTC",
            settlement="BTC",
        ),
    ]
)


@pytest.mark.parametrize("bars", [1, 3])
def test_sums_equal_a_walk_fill_by_fill(bars):
    """Random fills and mids: each is looked at so many boundaries behind its own bar,
    and not before."""
    rng, found = np.random.default_rng(bars), Adverse(2, bars)
    mids = np.exp(rng.normal(0, 0.01, (30, 2)).cumsum(0)) * 100
    fills = []
    for bar, prices in enumerate(mids):
        for _ in range(rng.integers(3)):
            lots, before = int(rng.choice([-3, -1, 2])), prices[0] + rng.normal()
            price = before - 0.25 * np.sign(lots)
            fills.append((bar, lots, before, price))
            found.add(Rested(0, lots, before, price))
        found.look(MARKET, prices)
    over = [one for one in fills if one[0] + bars < len(mids)]
    assert 0 < len(over) < len(fills)
    turnover = sum(abs(lots) * price for _, lots, _, price in over)
    lost = sum(lots * (then - mids[bar + bars, 0]) for bar, lots, then, _ in over)
    assert found.turnover.tolist() == pytest.approx([turnover, 0])
    assert found.earned[0] == pytest.approx(sum(abs(x[1]) * 0.25 for x in over))
    assert found.lost[0] == pytest.approx(lost)


def test_a_coin_loses_in_coins_and_unknown_mids_tell_nothing():
    found = Adverse(2, 1)
    found.add(Rested(1, -2, 100.0, 101.0))
    found.add(Rested(1, -2, np.nan, 101.0))
    found.add(Rested(0, 5, 100.0, 99.0))
    for mids in ([100.0, 100.0], [np.nan, 104.0]):
        found.look(MARKET, np.array(mids))
    assert found.lost.tolist() == pytest.approx([0, 200 * (1 / 100 - 1 / 104)])
    assert found.earned.tolist() == pytest.approx([0, 200 * (1 / 100 - 1 / 101)])
    assert found.turnover.tolist() == pytest.approx([0, 200 / 101])


def test_prices_of_other_terms_are_not_compared():
    """Half a share's price after a split is no fall."""
    found = Adverse(2, 2)
    found.add(Rested(0, 5, 100.0, 99.0))
    found.look(MARKET, np.array([100.0, 1.0]))
    found.add(Rested(0, 5, 100.0, 99.0))
    found.forget(0)
    for _ in range(3):
        found.look(MARKET, np.array([50.0, 1.0]))
    assert not found.turnover.any()


@pytest.mark.parametrize("is_split", [False, True])
def test_a_split_before_the_look_leaves_its_fills_untold(is_split):
    """Ten shares at 50 that are twenty at 25 have lost nothing."""
    own = Portfolio(MARKET, 1e6, horizon=2)
    sent = Order(order_id("test", 1, 0, 0), 0, BUY, 10, "limit", 100)
    own.working.expect(sent, 50.0)
    own.apply(Fill(sent.id, 0, BUY, 10, 100, 0.0, is_maker=True, event_ns=5))
    own.fall_short(Mids(np.array([201, 201]), []))
    own.value(1, 10, np.array([50.0, 100.0]), {"BTC": 1.0})
    if is_split:
        said = CorporateAction(symbol=0, event_ns=11, action="split", factor=2.0)
        own.hear(said)
    price = 25.0 if is_split else 50.0
    for step in (2, 3):
        prices = np.array([price, 100.0])
        row = own.value(step, 10 * step, prices, {"BTC": 1.0})
    expected = (0, 0) if is_split else (500.0, 2.5)
    assert (row.rested, row.adverse) == pytest.approx(expected)


MIDS = (200, 196, 190, 190, 190)
"""A bid at 199 is run over by an ask of 197, and the market falls on."""

LOTS = 1_000
"""A tenth of the capital, at 100 dollars."""

PASSIVE = Tactic("limit", is_passive=True, rest_ns=9 * BAR_NS)


def once(step: int) -> tuple[float | None, ...]:
    """Bought by a bid that waits; what is held is kept from then on."""
    return (0.1 if step == 1 else None, 0, 0)


def run_over(folder, tactic: Tactic = PASSIVE) -> tuple[Scene, list, list]:
    """The scene, its bars, and the account at each of them."""
    scene = Scene(folder, once)
    scene.account.tactic = tactic
    scene.trader.start()
    bars, rows = [], []
    for bar, mid in enumerate(MIDS):
        bars.append(scene.closed(bar, (mid, 200, 200)))
        rows.append(scene.trader.step(bars[-1]).equity)
    assert scene.account.portfolio.lots[0] == LOTS
    return scene, bars, rows


def test_who_is_run_over_keeps_nothing_of_what_was_earned(tmp_path):
    """Half a dollar a lot, of a mid of 100 dollars that a bar later is 95."""
    _, _, rows = run_over(tmp_path)
    assert [row.rested > 0 for row in rows] == [False, False, True, True, True]
    row = rows[-1]
    assert row.rested == pytest.approx(99.5 * LOTS)
    assert (row.earned, row.adverse) == pytest.approx((0.5 * LOTS, 5.0 * LOTS))
    assert row.earned == -row.spread


def test_who_takes_is_not_meant(tmp_path):
    row = run_over(tmp_path, Tactic("ioc"))[2][-1]
    assert row.turnover > 0
    assert (row.rested, row.earned, row.adverse) == (0, 0, 0)


def test_a_replay_finds_what_the_run_found(tmp_path):
    scene, bars, _ = run_over(tmp_path)
    again = repeating(once, tactic=PASSIVE)
    assert compared(again, bars, scene.journal.read()).is_equal
    assert again.account.portfolio.curve == scene.account.portfolio.curve
    assert again.account.portfolio.curve[-1].adverse > 0


def test_who_rests_pays_by_it_and_is_told_so(tmp_path):
    """What was earned of the spread hid the cost before; mids that went one's way are
    the forecasts', and no discount."""
    _, _, rows = run_over(tmp_path)
    told = summary.pnl(rows[-1], "USD")
    assert summary.cost(told) == pytest.approx(4.5 * LOTS)
    assert at_costs(told)["0"] - at_costs(told)["2"] == pytest.approx(9 * LOTS)
    assert summary.cost(told | {"adverse": -9.0}) == pytest.approx(-0.5 * LOTS)
    blank = TradeFacts(**dict.fromkeys(TradeFacts._fields))
    trade = blank._replace(curve=rows, horizon=1, currency="USD")
    said = made(trade)
    assert "traded 99,500.00 USD and earned 50.251 bps" in said
    assert "mids moved 502.513" in said
    assert "-452.261 bps are left" in said
    assert made(trade._replace(curve=rows[:2])) == ""


def test_the_interval_is_that_of_the_bars():
    """Two bars of equal trades: their mean, and no more certain than two bars are."""
    blank = EquityRow(**dict.fromkeys(EquityRow._fields, 0.0))
    sums = [(0, 0), (1.0, 100.0), (1.0, 100.0), (4.0, 200.0)]
    rows = [blank._replace(adverse=a, rested=r) for a, r in sums]
    found = adverse_bps(rows, 1)
    assert found.value == pytest.approx(200)
    assert found.low < 0 < found.high
