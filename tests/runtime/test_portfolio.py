"""The account equals an exact replay of its fills in fractions."""

from fractions import Fraction
from itertools import permutations

import numpy as np
import pytest

from bot4jax.data.universe import notional, profit, universe
from bot4jax.errors import Halted
from bot4jax.runtime.contracts import contracts, exposures, profits
from bot4jax.runtime.equity import DAY_NS, Losses
from bot4jax.runtime.messages import CorporateAction
from bot4jax.runtime.mids import Mids
from bot4jax.runtime.orders import (
    Ack,
    Expired,
    Fill,
    Foreign,
    Order,
    Side,
    order_id,
)
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.recovery import _booked
from bot4jax.runtime.tracking import OrderError
from bot4jax.runtime.venue import PaperVenue
from bot4jax.types import BUY, SELL, Instrument
from tests.runtime.small_market import new_terms

INSTRUMENTS = [
    Instrument(symbol="SPOT", kind="spot", increment=0.5, lot=0.25),
    Instrument(symbol="LINEAR", kind="linear", increment=0.5, lot=2.0, multiplier=0.5),
    Instrument(
        symbol="INVERSE",
        kind="inverse",
        increment=0.5,
        multiplier=100.0,
        base="BTC",
        settlement="BTC",
    ),
    Instrument(symbol="SHARE", kind="equity", increment=0.25),
]
CAPITAL = 1_000_000.0
RATES = {"BTC": 250.0}


def book() -> Portfolio:
    return Portfolio(universe(INSTRUMENTS), CAPITAL)


def order(number: int, symbol: int, side: Side, lots: int) -> Order:
    return Order(order_id("test", number, symbol, 0), symbol, side, lots, "market")


def trade(
    portfolio: Portfolio, number: int, symbol: int, signed: int, price: int, **extra
) -> Fill:
    """One order that is filled at once."""
    side = BUY if signed > 0 else SELL
    sent = order(number, symbol, side, abs(signed))
    portfolio.working.expect(sent, extra.pop("reference", np.nan))
    mids = extra.pop("mids", None)
    fill = Fill(
        sent.id,
        symbol,
        side,
        abs(signed),
        price,
        extra.pop("fee", 0.0),
        is_maker=False,
        event_ns=number,
    )
    portfolio.apply(fill)
    portfolio.fall_short(mids)
    return fill


def worth_exactly(instrument: Instrument, lots: int, price: Fraction) -> Fraction:
    size = Fraction(instrument.lot) * Fraction(instrument.multiplier) * lots
    return -size / price if instrument.kind == "inverse" else size * price


def test_asset_value_equals_an_exact_replay_of_the_fills():
    random = np.random.default_rng(3)
    portfolio, prices = book(), np.array([400, 420, 380, 800])
    money, lots = [Fraction(0)] * 4, [0] * 4
    for number in range(400):
        symbol = int(random.integers(4))
        signed = int(random.integers(1, 40)) * int(random.choice([-1, 1]))
        prices[symbol] += random.integers(-9, 10)
        fee = float(random.integers(0, 8)) / 8
        trade(portfolio, number, symbol, signed, int(prices[symbol]), fee=fee)
        one = INSTRUMENTS[symbol]
        price = int(prices[symbol]) * Fraction(one.increment)
        money[symbol] -= worth_exactly(one, signed, price) + Fraction(fee)
        lots[symbol] += signed
    increments = [one.increment for one in INSTRUMENTS]
    row = portfolio.value(0, 0, prices * np.array(increments), RATES)
    expected = Fraction(CAPITAL)
    for one, cash, held, price in zip(INSTRUMENTS, money, lots, prices, strict=True):
        worth = worth_exactly(one, held, int(price) * Fraction(one.increment))
        rate = Fraction(250 if one.settlement == "BTC" else 1)
        expected += rate * (cash + worth)
    assert portfolio.lots.tolist() == lots
    assert row.nav == pytest.approx(float(expected), rel=1e-12)
    assert portfolio.nav() == row.nav


def test_a_flat_account_has_only_realised_profit_and_cash():
    portfolio = book()
    for number, (symbol, signed, price) in enumerate(
        [(0, 8, 400), (0, -12, 410), (0, 4, 405), (2, 3, 200), (2, -3, 250)]
    ):
        trade(portfolio, number, symbol, signed, price, fee=0.5)
    row = portfolio.value(0, 0, np.array([200.0, 1.0, 125.0, 1.0]), {"BTC": 100.0})
    assert (row.gross, row.net, row.unrealised) == (0, 0, 0)
    assert row.cash == pytest.approx(row.nav)
    assert row.nav == pytest.approx(CAPITAL + row.realised - row.fees)
    spot = 8 * 0.25 * 5.0 - 4 * 0.25 * -2.5
    coin = 3 * 100 * (1 / 100 - 1 / 125)
    assert row.realised == pytest.approx(spot + coin * 100.0)
    assert np.isnan(portfolio.entry).all()


def test_average_entry_is_harmonic_where_the_coin_is_paid():
    portfolio = book()
    for symbol in (1, 2):
        trade(portfolio, symbol, symbol, 10, 200)
        trade(portfolio, 10 + symbol, symbol, 30, 400)
    assert portfolio.entry[1] == pytest.approx((10 * 100 + 30 * 200) / 40)
    assert portfolio.entry[2] == pytest.approx(40 / (10 / 100 + 30 / 200))


def test_turning_round_closes_at_the_old_entry_and_opens_at_the_new():
    portfolio = book()
    trade(portfolio, 1, 3, 10, 400)
    trade(portfolio, 2, 3, -25, 420)
    assert portfolio.lots[3] == -15
    assert portfolio.entry[3] == 105.0
    assert portfolio.realised[3] == pytest.approx(10 * 5.0)


def test_vectors_equal_the_formulas_of_one_instrument():
    units = contracts(universe(INSTRUMENTS))
    lots, entry = np.array([3, -4, 5, -6]), np.array([10.0, 20.0, 30.0, 40.0])
    now = np.array([11.0, 19.0, 33.0, 44.0])
    each = zip(INSTRUMENTS, lots.tolist(), entry.tolist(), now.tolist(), strict=True)
    rows = [(notional(one, n, p), profit(one, n, e, p)) for one, n, e, p in each]
    np.testing.assert_allclose(exposures(units, lots, now), [row[0] for row in rows])
    expected = [row[1] for row in rows]
    np.testing.assert_allclose(profits(units, lots, entry, now), expected)


def test_a_fill_counts_once():
    portfolio = book()
    fill = trade(portfolio, 1, 0, 4, 400, fee=1.0)
    before = portfolio.lots.copy(), portfolio.nav()
    assert not portfolio.apply(fill)
    assert (portfolio.lots == before[0]).all()
    assert portfolio.nav() == before[1]


def test_overfills_and_strangers_are_refused_and_change_nothing():
    portfolio = book()
    sent = order(1, 0, BUY, 4)
    portfolio.working.expect(sent)
    too_much = Fill(sent.id, 0, BUY, 5, 400, 0.0, is_maker=False, event_ns=1)
    stranger = Fill("f" * 16, 0, BUY, 1, 400, 0.0, is_maker=False, event_ns=1)
    for fill in (too_much, stranger):
        with pytest.raises(OrderError):
            portfolio.apply(fill)
    with pytest.raises(OrderError):
        portfolio.working.expect(sent)
    assert portfolio.lots.tolist() == [0, 0, 0, 0]
    assert portfolio.working.buys.tolist() == [4, 0, 0, 0]


def test_open_orders_count_until_they_end():
    portfolio = book()
    buy, sell = order(1, 0, BUY, 10), order(2, 0, SELL, 7)
    portfolio.working.expect(buy)
    portfolio.working.expect(sell)
    portfolio.apply(Ack(buy.id, 1))
    portfolio.apply(Fill(buy.id, 0, BUY, 4, 400, 0.0, is_maker=False, event_ns=2))
    assert (portfolio.working.buys[0], portfolio.working.sells[0]) == (6, 7)
    portfolio.apply(Expired(buy.id, 6, 3))
    assert (portfolio.working.buys[0], portfolio.working.sells[0]) == (0, 7)


def test_without_mids_all_that_was_lost_is_spread_on_both_sides():
    portfolio = book()
    trade(portfolio, 1, 0, 8, 402, reference=200.0)
    trade(portfolio, 2, 3, -8, 398, reference=100.0)
    trade(portfolio, 3, 2, 2, 202, reference=100.0)
    assert portfolio.spread[0] == pytest.approx(8 * 0.25 * 1.0)
    assert portfolio.spread[3] == pytest.approx(8 * 0.5)
    assert portfolio.spread[2] == pytest.approx(2 * 100 * (1 / 100 - 1 / 101))
    assert not portfolio.delay.any()


def test_what_a_fill_lost_is_spread_and_delay():
    """Decided at 100, traded half an increment from a mid that had moved: a gain of
    delay is a cost of spread all the same, in the coin too; what nobody decided lost
    nothing."""
    portfolio, mids = book(), Mids(np.array([392, 0, 416, 808]), [])
    trade(portfolio, 1, 0, 8, 197, reference=100.0, mids=mids)
    trade(portfolio, 2, 3, -8, 403, reference=100.0, mids=mids)
    trade(portfolio, 3, 2, -2, 207, reference=100.0, mids=mids)
    portfolio.apply(Foreign(0, BUY, 4, 190, 0.0, 9, "by hand"))
    portfolio.fall_short(mids)
    assert portfolio.spread[[0, 3]] == pytest.approx([8 * 0.25 * 0.5, 8 * 0.25])
    assert portfolio.delay[[0, 3]] == pytest.approx([8 * 0.25 * -2.0, 8 * -1.0])
    coin = (-200 * (1 / 104 - 1 / 103.5), -200 * (1 / 100 - 1 / 104))
    assert (portfolio.spread[2], portfolio.delay[2]) == pytest.approx(coin)
    prices = np.array([98.0, 1.0, 104.0, 101.0])
    row = portfolio.value(0, 0, prices, {"BTC": 100.0})
    assert row.slippage == pytest.approx(row.spread + row.delay)
    whole = 2 * -1.5 + 8 * -0.75 + 100 * -200 * (1 / 100 - 1 / 103.5)
    assert row.slippage == pytest.approx(whole)


def test_a_decision_without_a_mid_has_no_delay():
    portfolio = book()
    trade(portfolio, 1, 0, 8, 197, mids=Mids(np.array([392, 0, 0, 0]), []))
    trade(portfolio, 2, 3, 8, 197, mids=Mids(np.zeros(4, np.int64), []))
    assert portfolio.spread.tolist() == [8 * 0.25 * 0.5, 0, 0, 0]
    assert not portfolio.delay.any()


def test_held_is_the_signed_share_of_the_asset_value():
    portfolio = book()
    trade(portfolio, 1, 0, 4000, 400)
    trade(portfolio, 2, 2, -300, 400)
    portfolio.value(0, 0, np.array([220.0, np.nan, 250.0, np.nan]), {"BTC": 250.0})
    nav = CAPITAL + 1000 * 20.0 - 300 * 100 * (1 / 200 - 1 / 250) * 250
    assert portfolio.nav() == pytest.approx(nav)
    held = portfolio.held()
    assert held.dtype == np.float32
    expected = [1000 * 220 / nav, 0, -300 * 100 / nav, 0]
    np.testing.assert_allclose(held, expected, rtol=1e-6)


def test_an_unknown_rate_matters_only_where_there_is_money():
    portfolio = book()
    trade(portfolio, 1, 0, 4, 400)
    assert np.isfinite(portfolio.value(0, 0, np.full(4, np.nan)).nav)
    trade(portfolio, 2, 2, 1, 400)
    for rates in ({}, {"BTC": np.nan}, {"BTC": 0.0}, {"BTC": np.inf}):
        row = portfolio.value(1, 1, np.array([200, 200, 210.0, 200]), rates)
        assert np.isnan(row.nav)
    assert np.isfinite(portfolio.value(2, 2, portfolio.marks, RATES).nav)


def test_losses_are_counted_from_the_last_value_of_the_day_before_and_from_the_peak():
    portfolio = book()
    trade(portfolio, 1, 3, 1000, 400)

    def at(price: float, boundary_ns: int):
        row = portfolio.value(0, boundary_ns, np.array([1, 1, 1, price]))
        return row.daily_loss, row.drawdown

    assert at(90.0, 0) == pytest.approx((0.01, 0.01))
    assert at(200.0, DAY_NS - 1) == pytest.approx((-0.1, 0.0))
    assert at(145.0, DAY_NS) == pytest.approx((0.05, 0.05))
    assert at(145.0, 2 * DAY_NS) == pytest.approx((0.0, 0.05))


def test_losses_in_a_row_are_boundaries_whose_ended_round_trips_lost():
    """A fee decides the second, a turn ends a trip, one that is open tells nothing."""
    portfolio = book()

    def then(boundary_ns: int, *fills: tuple[int, int, float]) -> int:
        for k, (signed, price, fee) in enumerate(fills):
            trade(portfolio, boundary_ns * 10 + k, 3, signed, price, fee=fee)
        prices = np.full(4, 200.0)
        return portfolio.value(0, boundary_ns, prices, RATES).losses

    assert then(1, (5, 400, 0.0)) == 0
    assert then(2, (-5, 398, 0.0)) == 1
    assert then(3, (5, 400, 0.0), (-5, 400, 0.01)) == 2
    assert then(4, (5, 400, 0.0)) == 2
    assert then(5, (-8, 396, 0.0)) == 3  # long 5 at a loss, now short 3
    assert then(6, (-4, 396, 0.0), (7, 390, 0.0), (2, 400, 0.0), (-2, 399, 0.0)) == 0
    assert then(7, (2, 400, 0.0), (-2, 399, 0.0)) == 1
    assert then(DAY_NS + 1, (2, 400, 0.0)) == 0
    assert then(DAY_NS + 2, (-2, 399, 0.0)) == 1


@pytest.mark.parametrize("ended", [*permutations([-0.9, 0.2, 0.7])])
def test_what_ended_trips_come_to_does_not_depend_on_who_adds_it_up(ended):
    """5.6 · 10⁻¹⁷ are lost. Python's own sum says 0 of some orders of these until 3.11,
    and never from 3.12 on."""
    losses = Losses(CAPITAL, lambda boundary_ns: 0)
    assert losses.seen(CAPITAL, 0, ended).in_a_row == 1


@pytest.mark.parametrize("ended", [[np.nan], [np.inf, -np.inf], [1e308, 1e308, -1.0]])
def test_what_has_no_sum_is_a_loss(ended):
    losses = Losses(CAPITAL, lambda boundary_ns: 0)
    assert losses.seen(CAPITAL, 0, ended).in_a_row == 1


def test_a_missing_price_keeps_the_last_one():
    portfolio = book()
    trade(portfolio, 1, 3, 100, 400)
    assert portfolio.value(0, 0, np.array([1, 1, 1, 101.0])).unrealised == 100.0
    assert portfolio.value(1, 1, np.full(4, np.nan)).unrealised == 100.0


def test_only_finished_orders_are_forgotten():
    portfolio = Portfolio(universe(INSTRUMENTS), CAPITAL, kept=3)
    waiting = order(0, 0, BUY, 5)
    portfolio.working.expect(waiting)
    for number in range(1, 9):
        trade(portfolio, number, 1, 1, 400)
    assert waiting.id in portfolio.working.by_id
    assert len(portfolio.working.by_id) <= 4
    assert portfolio.apply(Expired(waiting.id, 5, 1))


def test_a_lost_account_does_not_make_its_positions_infinite():
    portfolio = book()
    trade(portfolio, 1, 3, 10_000, 400)
    portfolio.value(0, 0, np.array([1, 1, 1, 0.5]))
    assert portfolio.nav() < 0.01 * CAPITAL
    assert portfolio.held()[3] == pytest.approx(5000 / 10_000)


@pytest.mark.parametrize(("slot", "price"), [(4, 400), (2, 0)])
def test_a_fill_of_no_instrument_or_at_no_price_halts_and_books_nothing(slot, price):
    portfolio = book()
    sent = order(1, slot % 4, BUY, 3)
    portfolio.working.expect(sent)
    fill = Fill(sent.id, slot, BUY, 3, price, 0.0, is_maker=False, event_ns=1)
    for answer in (fill, Foreign(slot, BUY, 3, price, 0.0, 1, "by hand")):
        with pytest.raises(OrderError, match="a fill"):
            portfolio.apply(answer)
        with pytest.raises(OrderError, match="a fill"):
            _booked([answer], portfolio.lots)
    assert portfolio.working.ids() == [sent.id]
    assert not portfolio.lots.any()
    assert portfolio.foreign == 0


def test_a_short_position_pays_its_lender_day_by_day():
    """20 a day at 200 dollars, 21 at 210; midnight ends a day, a weekend is one; who is
    long or has closed before pays nothing, and nobody lends a contract."""
    rates = np.array([0.0, 0.0, 0.0, 1e-3])
    portfolio = Portfolio(universe(INSTRUMENTS), CAPITAL, borrow=rates)
    share, linear = 3, 1
    trade(portfolio, 1, share, -100, 800)
    trade(portfolio, 2, linear, -100, 400)
    at, paid = np.array([400, 400, 400, 800]) * 0.25, []

    def value(day: float, price: float) -> None:
        marks = np.where(np.arange(4) == share, price, at)
        row = portfolio.value(len(paid), round(day * DAY_NS), marks, RATES)
        paid.append(row.funding)
        assert row.nav == pytest.approx(portfolio.nav())

    value(0.9, 200.0)
    value(1.0, 200.0)
    value(1.1, 210.0)
    value(1.9, 210.0)
    value(4.5, 200.0)
    assert paid == pytest.approx([0, 0, 20, 20, 41])
    assert portfolio.funding[[0, linear, 2]].tolist() == [0, 0, 0]
    trade(portfolio, 3, share, 150, 800)
    value(4.9, 200.0)
    value(5.5, 200.0)
    assert paid[-2:] == pytest.approx([41, 41])


def test_a_short_share_pays_for_one_night_over_a_weekend():
    """Whatever boundaries lie in it: the exchange has no night there."""
    share = Instrument(symbol="A", kind="equity", calendar="xnys")
    portfolio = Portfolio(universe([share]), CAPITAL, borrow=np.array([1e-3]))
    trade(portfolio, 1, 0, -100, 20_000)
    friday = 15_982 * DAY_NS  # 4 October 2013
    hours = (20, 24, 36, 48, 72, 84, 92)  # closing, the weekend, Monday to its closing
    paid = [
        portfolio.value(step, friday + hour * DAY_NS // 24, np.array([200.0])).funding
        for step, hour in enumerate(hours)
    ]
    assert paid == pytest.approx([0.0] + [20.0] * 6)


NEW_TERMS = {
    "lots a tenth as many": {"lot": 10.0},
    "lots two fifths as many": {"lot": 2.5},
    "twice as many": {"lot": 0.5},
    "worth five times": {"multiplier": 500.0},
    "worth half": {"multiplier": 50.0},
    "larger and worth less": {"lot": 10.0, "multiplier": 10.0},
}


@pytest.mark.parametrize("terms", NEW_TERMS.values(), ids=NEW_TERMS.keys())
@pytest.mark.parametrize("kind", ["spot", "linear", "inverse"])
@pytest.mark.parametrize("side", [BUY, SELL])
def test_new_terms_conjure_no_worth_and_book_what_breaks_off_as_a_fill_would(
    terms, kind, side
):
    """What is left over of the lots comes to what a trade at the mark would bring."""
    contract = {"multiplier": 100.0, "increment": 1.0, "settlement": "USD"}
    market = universe([Instrument(symbol="A", kind=kind, **contract)])
    one, other = (Portfolio(market, 10_000.0) for _ in range(2))
    for own in (one, other):
        own.apply(Foreign(0, side, 15, 100, 0.0, 0, "given"))
        own.value(1, 1, np.array([110.0]))
    nav, held = one.nav(), one.lots[0]
    one.hear(new_terms(0, 1, **({"multiplier": 100.0} | terms)))
    size = terms.get("lot", 1.0) * terms.get("multiplier", 100.0) / 100.0
    assert one.lots[0] == int(held / size)
    assert one.nav() == pytest.approx(nav, rel=1e-12)
    gone = round(abs(held) - abs(one.lots[0]) * size, 9)
    assert gone == int(gone)
    if gone:
        back = SELL if side == BUY else BUY
        other.apply(Foreign(0, back, int(gone), 110, 0.0, 0, "broken off", 1))
    ours, theirs = (own.value(2, 2, np.array([121.0])) for own in (one, other))
    for name in ("nav", "cash", "gross", "net", "realised", "unrealised"):
        expected = pytest.approx(getattr(theirs, name), rel=1e-9, abs=1e-9)
        assert getattr(ours, name) == expected, name


@pytest.mark.parametrize("multiplier", [10.0, 0.4])
def test_a_multiplier_that_leaves_no_whole_lots_halts_and_changes_nothing(multiplier):
    market = universe([Instrument(symbol="A", kind="linear", settlement="USD")])
    held, flat = (Portfolio(market, 10_000.0) for _ in range(2))
    held.apply(Foreign(0, BUY, 15, 100, 0.0, 0, "given"))
    before = held.value(1, 1, np.array([110.0]))
    changed = new_terms(0, 1, multiplier=multiplier, lot=1.0)
    with pytest.raises(Halted, match=r"A has the multiplier .* and 15 lots are held"):
        held.hear(changed)
    assert held.universe == market
    assert held.lots[0] == 15
    after = held.value(1, 1, np.array([110.0]))
    assert (after.nav, after.cash, after.gross) == (
        before.nav,
        before.cash,
        before.gross,
    )
    flat.hear(changed)
    assert flat.units.size[0] == multiplier


def test_lots_so_much_finer_that_nobody_can_count_them_halt_and_change_nothing():
    """Of a publisher that has mistaken its units; the venue does the same."""
    market = universe([Instrument(symbol="A", kind="linear", settlement="USD")])
    held, venue = Portfolio(market, 10_000.0), PaperVenue(market)
    held.apply(Foreign(0, BUY, 15, 100, 0.0, 0, "given"))
    venue.trade_otherwise(0, 15, 100, "given")
    for owner in (held, venue):
        with pytest.raises(Halted, match=r"15 lots are 1\.5e\+16 of those"):
            owner.hear(new_terms(0, 1, lot=1e-15))
    assert (held.universe, held.lots[0], venue.position[0]) == (market, 15, 15)


@pytest.mark.parametrize("amount", [0.0, 0.5])
def test_contracts_that_are_paid_in_a_coin_receive_no_dividend(amount):
    one = book()
    one.apply(Foreign(2, BUY, 15, 100, 0.0, 0, "given"))
    told = CorporateAction(symbol=2, event_ns=1, action="dividend", amount=amount)
    one.hear(told)
    assert one.funding.tolist() == one.flows.tolist() == [0.0] * len(INSTRUMENTS)
