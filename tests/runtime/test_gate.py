"""No order leaves beyond a limit, whatever the model asks and whichever fills come."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.runtime import money
from bot4jax.runtime.context import Account, Context, Market
from bot4jax.runtime.contracts import contracts
from bot4jax.runtime.equity import DAY_NS, NOTHING_LOST, UNKNOWN, Loss, Lost
from bot4jax.runtime.gate import (
    Proposals,
    admit,
    furthest,
    judge,
    within_collar,
    within_period,
)
from bot4jax.runtime.limits import Limits, Reason, TradingState, codes_table
from bot4jax.runtime.market import Quotes
from bot4jax.runtime.messages import CorporateAction
from bot4jax.runtime.orders import LARGEST, Order, order_id
from bot4jax.runtime.recent import MidRange, RecentMids, Said
from bot4jax.runtime.states import causes_table
from bot4jax.runtime.targets import orders_from_targets
from bot4jax.types import (
    BOOK,
    BUY,
    HALTED,
    QUOTE,
    SELL,
    TICK,
    TRADE,
    TRADING,
    Instrument,
)
from tests.runtime.small_market import MARKET, new_terms

S = 4
SECOND = 1_000_000_000
NOW = 100 * SECOND
NAV = 100_000.0
LIMITS = Limits(
    max_order_lots=1_000,
    max_order_notional=20_000.0,
    max_position_share=0.3,
    max_volume_share=0.1,
    max_gross=0.5,
    max_net=0.4,
    max_margin=0.5,
    price_collar_bps=100.0,
    period_collar_bps=200.0,
    period_seconds=60.0,
    orders_per_step=10,
    orders_per_second=1_000_000,
    messages_per_second=20,
    max_participation=1.0,
    stale_seconds=5.0,
    repeats=1_000_000,
    repeat_seconds=60.0,
    daily_loss_share=0.02,
    drawdown_share=0.1,
    losses_in_a_row=3,
)
UNITS = contracts(
    universe(
        [
            Instrument(symbol=f"S{k}", increment=0.5, minimum_notional=200.0)
            for k in range(S)
        ]
    )
)
"""Bid 99.5 and ask 100.5: one lot is worth 100."""


def column(value: int, **slots: int) -> np.ndarray:
    """The same in every slot but those named `at0`, `at1` …"""
    values = np.full(S, value)
    for name, one in slots.items():
        values[int(name[2:])] = one
    return values


def market(**changes) -> Market:
    usual = Market(
        column(199), column(201), column(NOW), column(TRADING), column(50), column(50)
    )
    return usual._replace(**changes)


def traded(volume: np.ndarray, days: float = 1.0) -> Market:
    """So many lots within the last so many days."""
    return market(volume=volume, since_ns=NOW - round(days * DAY_NS))


def lost(day: float | None = 0.0, peak: float | None = 0.0, in_a_row: int = 0) -> Lost:
    """Shares of the capital; None: nobody knows."""
    of_day, of_peak = (
        UNKNOWN if one is None else Loss(round(one * 10**6), 10**6)
        for one in (day, peak)
    )
    return Lost(of_day, of_peak, in_a_row)


def owned(**changes) -> Account:
    usual = Account(
        lots=column(0),
        open_buys=column(0),
        open_sells=column(0),
        marks=np.full(S, 100.0),
        rates=np.ones(S),
        nav=NAV,
        lost=NOTHING_LOST,
    )
    return usual._replace(**changes)


def context(
    *,
    limits: dict | None = None,
    market_is: Market | None = None,
    owned_is: Account | None = None,
    state: TradingState = TradingState.ACTIVE,
    stale: tuple[int, ...] = (),
    expiry_ns: int = 0,
    **lately,
) -> Context:
    """`expiry_ns`: of the first instrument; 0: never."""
    expiring = UNITS.expiry_ns.copy()
    expiring[0] = expiry_ns or expiring[0]
    return Context(
        UNITS._replace(expiry_ns=expiring),
        msgspec.structs.replace(LIMITS, **(limits or {})),
        market_is or market(),
        owned_is or owned(),
        NOW,
        state,
        np.isin(np.arange(S), stale),
        **lately,
    )


def order(signed: int, symbol: int = 0, **changes) -> Order:
    usual = Order(
        id=order_id("test", 0, symbol, 0),
        symbol=symbol,
        side=BUY if signed > 0 else SELL,
        lots=abs(signed),
        kind="ioc",
        limit=201 if signed > 0 else 199,
    )
    return msgspec.structs.replace(usual, **changes)


def check(order: Order, context: Context) -> Reason | None:
    """Why this one order would be denied, by the very judge of a whole step's."""
    signed = order.lots if order.side == BUY else -order.lots
    values = (order.symbol, signed, order.limit, True, 0.0)
    columns = (np.array([one]) for one in values)
    reason = int(judge(Proposals(*columns), context).reasons[0])
    return Reason(reason) if reason else None


BUY_10 = order(10)
NAN = float("nan")

DENIED = [
    (Reason.HALTED, BUY_10, {"state": TradingState.HALTED}),
    (Reason.HALTED, order(-10), {"state": TradingState.HALTED}),
    (
        Reason.INSTRUMENT_HALTED,
        BUY_10,
        {"market_is": market(status=column(TRADING, at0=HALTED))},
    ),
    (Reason.MISSING_REFERENCE, BUY_10, {"market_is": market(bid=column(0))}),
    (Reason.MISSING_REFERENCE, BUY_10, {"market_is": market(ask=column(0))}),
    (Reason.MISSING_REFERENCE, BUY_10, {"market_is": market(bid=column(202))}),
    (
        Reason.STALE_REFERENCE,
        BUY_10,
        {"market_is": market(quote_ns=column(NOW - 5 * SECOND - 1))},
    ),
    (Reason.MISSED_TICKS, BUY_10, {"stale": (0, 2)}),
    (Reason.PRICE_COLLAR, order(10, limit=203), {}),
    (Reason.PRICE_COLLAR, order(-10, limit=197), {}),
    (Reason.PRICE_COLLAR, order(10, limit=1), {}),
    (
        Reason.PRICE_COLLAR,
        order(10, kind="market", limit=0),
        {"market_is": market(bid=column(190), ask=column(210))},
    ),
    (Reason.PERIOD_COLLAR, BUY_10, {"period": MidRange(column(390), column(400))}),
    (
        Reason.PERIOD_COLLAR,
        BUY_10,
        {"period": MidRange(column(400), column(410, at0=411))},
    ),
    (
        Reason.PERIOD_COLLAR,
        order(10, kind="market", limit=0),
        {"period": MidRange(column(393), column(400))},
    ),
    (Reason.PERIOD_COLLAR, BUY_10, {"period": RecentMids(S, SECOND).period}),
    (Reason.REDUCING, BUY_10, {"state": TradingState.REDUCING}),
    (Reason.NO_CAPITAL, BUY_10, {"owned_is": owned(nav=NAN)}),
    (Reason.NO_CAPITAL, BUY_10, {"owned_is": owned(nav=0.0)}),
    (Reason.NO_CAPITAL, BUY_10, {"owned_is": owned(nav=float("inf"))}),
    (Reason.DAILY_LOSS, BUY_10, {"owned_is": owned(lost=lost(day=0.0201))}),
    (Reason.DAILY_LOSS, BUY_10, {"owned_is": owned(lost=lost(day=None))}),
    (Reason.DRAWDOWN, BUY_10, {"owned_is": owned(lost=lost(peak=0.1001))}),
    (Reason.DRAWDOWN, BUY_10, {"owned_is": owned(lost=lost(peak=None))}),
    (Reason.LOSING, BUY_10, {"owned_is": owned(lost=lost(in_a_row=4))}),
    (
        Reason.ORDER_LOTS,
        order(1_001),
        {"limits": {"max_order_notional": 1e9, "max_position_share": 9.0}},
    ),
    (Reason.VOLUME, BUY_10, {"market_is": traded(column(100, at0=99))}),
    (Reason.VOLUME, BUY_10, {"market_is": traded(column(100, at0=0))}),
    (
        Reason.VOLUME,
        BUY_10,
        {"market_is": traded(column(200)), "owned_is": owned(open_buys=column(11))},
    ),
    (Reason.ORDER_NOTIONAL, order(201), {}),
    (Reason.ORDER_NOTIONAL, BUY_10, {"owned_is": owned(rates=np.full(S, NAN))}),
    (Reason.POSITION, order(101), {"owned_is": owned(lots=column(0, at0=200))}),
    (Reason.POSITION, order(-101), {"owned_is": owned(lots=column(0, at0=-200))}),
    (Reason.POSITION, order(101), {"owned_is": owned(open_buys=column(0, at0=200))}),
    (
        Reason.GROSS,
        order(101),
        {"owned_is": owned(lots=column(0, at1=200, at2=-200))},
    ),
    (
        Reason.GROSS,
        BUY_10,
        {
            "owned_is": owned(
                lots=column(0, at1=1), marks=np.array([100, NAN, 100, 100])
            ),
            "market_is": market(bid=column(199, at1=0)),
        },
    ),
    (Reason.NET, order(101), {"owned_is": owned(lots=column(0, at1=300))}),
    (Reason.NET, order(-101), {"owned_is": owned(lots=column(0, at1=-300))}),
    (
        Reason.NET,
        order(101),
        {"owned_is": owned(open_buys=column(0, at1=300), lots=column(0))},
    ),
    (Reason.NEWS, BUY_10, {"concerned": np.arange(S) == 0}),
    (Reason.MISSED_TICKS, BUY_10, {"concerned": np.arange(S) == 0, "stale": (0,)}),
    (Reason.EXPIRED, BUY_10, {"expiry_ns": NOW}),
    (Reason.EXPIRED, order(-10), {"expiry_ns": NOW - DAY_NS}),
    (Reason.EXPIRED, BUY_10, {"expiry_ns": NOW, "stale": (0,)}),
    (Reason.MARGIN, BUY_10, {"limits": {"max_margin": 0.009}}),
    (
        Reason.MARGIN,
        order(101),
        {
            "limits": {"max_margin": 0.3},
            "owned_is": owned(open_sells=column(0, at1=200), lots=column(0)),
        },
    ),
    (Reason.ORDER_BUDGET, BUY_10, {"limits": {"orders_per_step": 0}}),
    (Reason.ORDER_BUDGET, BUY_10, {"budget": 0}),
    (Reason.ORDER_BUDGET, BUY_10, {"budget": -3}),
    (Reason.ORDER_BUDGET, BUY_10, {"orders": 0}),
    (Reason.ORDER_BUDGET, BUY_10, {"orders": -3, "budget": 9}),
]
IN_SIZING = {Reason.NON_FINITE_TARGET, Reason.BELOW_MINIMUM, Reason.PARTICIPATION}


@pytest.mark.parametrize(("reason", "asked", "situation"), DENIED)
def test_each_reason_is_found(reason, asked, situation):
    assert check(asked, context(**situation)) == reason


def test_every_reason_can_be_reached():
    # tests/runtime/test_throttle.py and test_own_orders.py
    elsewhere = IN_SIZING | {Reason.REPEATED, Reason.SELF_TRADE}
    assert {row[0] for row in DENIED} | elsewhere == set(Reason)


def test_what_is_exactly_at_every_limit_passes():
    exact = owned(lost=lost(0.02, 0.1), lots=column(0, at0=100, at1=-200))
    quotes = market(quote_ns=column(NOW - 5 * SECOND))
    here = context(owned_is=exact, market_is=quotes, stale=(1,))
    assert check(order(200, limit=202), here) is None


PASSING = [
    order(-100, limit=197),
    order(-300, limit=199),
]


@pytest.mark.parametrize("asked", PASSING)
@pytest.mark.parametrize(
    "situation",
    [
        {},
        {"state": TradingState.REDUCING},
        {"market_is": market(quote_ns=column(0))},
        {"stale": (0,)},
        {"concerned": np.ones(S, bool)},
        {"limits": {"max_order_notional": 1.0, "max_position_share": 0.001}},
        {"limits": {"max_gross": 0.0, "max_net": 0.0, "max_margin": 0.0}},
        {"owned_is": owned(lots=column(0, at0=300), lost=lost(day=0.5))},
        {"owned_is": owned(lots=column(0, at0=300), lost=lost(peak=None))},
        {"owned_is": owned(lots=column(0, at0=300), nav=-1.0)},
        {"owned_is": owned(lots=column(0, at0=300), lost=lost(in_a_row=9))},
        {"limits": {"max_order_lots": 1}},
        {"market_is": market(volume=column(0))},
        {"period": MidRange(column(300), column(500))},
        {"budget": -3},
        {"orders": -3},
        {"expiry_ns": 1},
    ],
)
def test_reductions_pass_over_every_limit_of_risk(asked, situation):
    situation = {"owned_is": owned(lots=column(0, at0=300))} | situation
    assert check(asked, context(**situation)) is None


@pytest.mark.parametrize(
    ("asked", "situation", "reason"),
    [
        (order(-10, limit=195), {}, Reason.PRICE_COLLAR),
        (order(-10), {"market_is": market(bid=column(0))}, Reason.MISSING_REFERENCE),
        (
            order(-10),
            {"market_is": market(status=column(HALTED))},
            Reason.INSTRUMENT_HALTED,
        ),
        (order(-301), {"state": TradingState.REDUCING}, Reason.REDUCING),
    ],
)
def test_reductions_stop_where_no_price_can_be_trusted(asked, situation, reason):
    situation = {"owned_is": owned(lots=column(0, at0=300))} | situation
    assert check(asked, context(**situation)) == reason


def test_a_second_reduction_of_the_same_lots_is_not_one():
    here = context(
        owned_is=owned(lots=column(0, at0=300), open_sells=column(0, at0=250)),
        state=TradingState.REDUCING,
    )
    assert check(order(-50), here) is None
    assert check(order(-51), here) == Reason.REDUCING


def test_what_is_exactly_at_a_limit_of_the_past_passes():
    """One order of 10 lots at 201: every limit that looks back is just reached."""
    at_most = owned(lost=lost(in_a_row=3), open_buys=column(10))
    two_days = traded(column(400), days=2.0)
    ends = MidRange(column(395), column(410))  # 201 lies 1.8 % above, 1.95 % below
    here = context(owned_is=at_most, market_is=two_days, period=ends, budget=1)
    assert check(BUY_10, here) is None


collars = st.floats(1.0, 20_000.0)


@given(
    best=st.lists(st.integers(1, 10**6), min_size=S, max_size=S),
    spread=st.integers(0, 40),
    lately=st.lists(st.integers(2, 10**6), min_size=S, max_size=S),
    collar=collars,
    period=collars,
    reducing=st.booleans(),
)
def test_the_worst_price_named_is_the_last_that_the_collars_let_pass(
    best, spread, lately, collar, period, reducing
):
    """By the gate's own checks, an increment further on; never short of the best."""
    bid = np.array(best)
    mids = np.array(lately)
    here = context(
        limits={"price_collar_bps": collar, "period_collar_bps": period},
        market_is=market(bid=bid, ask=bid + spread),
        period=MidRange(mids, mids + 7),
    )
    lots, slots = np.array([1, -1, 1, -1]), np.arange(S)
    closing = np.full(S, reducing)
    worst = furthest(here, slots, lots, closing)

    def pass_at(prices: np.ndarray) -> np.ndarray:
        asked = Proposals(slots, lots, prices, closing, np.zeros(S, np.int64))
        near = within_collar(asked, here, closing)
        return near & (closing | within_period(asked, here))

    opposite = np.where(lots > 0, bid + spread, bid)
    assert ((worst - opposite) * lots >= 0).all()
    may_trade, further = pass_at(opposite), worst + lots
    assert pass_at(worst)[may_trade].all()
    assert not pass_at(further)[may_trade & (further >= 1)].any()


def test_mids_of_the_last_period_count_and_no_older_ones():
    mids = RecentMids(2, 8 * SECOND)
    walk = [(100, 200), (104, 190), (96, 210), (100, 0), (101, 199)]
    for second, (bid, other) in zip((0, 3, 5, 9, 20), walk, strict=True):
        mids.note(
            np.array([bid, other]), np.array([bid + 2, other + 2]), second * SECOND
        )
        if second == 9:  # the first is older than eight seconds, by less than a part
            assert [one.tolist() for one in mids.period] == [[194, 382], [210, 422]]
    assert [one.tolist() for one in mids.period] == [[204, 400], [204, 400]]
    mids.forget([1])
    assert [one.tolist() for one in mids.period] == [[204, 2 * LARGEST], [204, 0]]


def test_a_days_volume_is_counted_from_the_trades_that_are_shown():
    quotes, records = Quotes(MARKET), np.zeros(6, TICK)
    records["kind"] = [QUOTE, TRADE, TRADE, QUOTE, TRADE, BOOK]
    records["symbol"], records["b"] = [0, 1, 2, 1, 1, 2], [7, 10, 20, 8, 30, 9]
    records["event_ns"] = 50 + np.arange(6)
    quotes.absorb(records[:1])
    assert quotes.market().volume is None
    quotes.absorb(records[1:])
    found = quotes.market()
    assert found.volume is not None
    assert (found.volume[:3].tolist(), found.since_ns) == ([0, 40, 20], 50)
    merged = CorporateAction(symbol=1, event_ns=60, action="split", factor=0.1)
    quotes.hear(merged)
    counted = quotes.market().volume
    assert counted is not None
    assert counted[:3].tolist() == [0, 4, 20], "in the shares that there are now"
    quotes.hear(new_terms(2, 60, lot=1e-15))
    counted = quotes.market().volume
    assert counted is not None
    assert counted[:3].tolist() == [0, 4, 2**53], "as much as can be counted"


def test_nothing_opens_before_the_first_trade_of_a_source_that_shows_them():
    first = np.zeros(1, TICK)
    first["kind"], first["event_ns"] = QUOTE, NOW - SECOND

    def found(shows_trades: bool) -> Reason | None:
        quotes = Quotes(universe([Instrument(symbol=c) for c in "ABCD"]), shows_trades)
        quotes.absorb(first)
        shown = quotes.market()
        here = market(volume=shown.volume, since_ns=shown.since_ns)
        return check(BUY_10, context(market_is=here))

    assert found(shows_trades=True) == Reason.VOLUME
    assert found(shows_trades=False) is None


@given(waits=st.lists(st.integers(0, SECOND), min_size=1, max_size=40))
def test_every_message_of_the_last_second_counts(waits):
    said, at_ns = Said(), np.cumsum(waits)
    for k, now_ns in enumerate(at_ns.tolist()):
        said.note(now_ns, k)
        plain = sum(j for j in range(k + 1) if now_ns - at_ns[j] < SECOND)
        assert said.within_second(now_ns) == plain


def test_an_inverse_contract_is_valued_in_its_coin():
    coin = Instrument(
        symbol="C", kind="inverse", increment=0.5, multiplier=100.0, settlement="BTC"
    )
    one = Context(
        contracts(universe([coin])),
        LIMITS,
        Market(*(np.array([value]) for value in (199, 201, NOW, TRADING))),
        Account(
            *(np.zeros(1, np.int64) for _ in range(3)),
            marks=np.array([100.0]),
            rates=np.array([100.0]),
            nav=NAV,
            lost=NOTHING_LOST,
        ),
        NOW,
    )
    assert one.unit[0] == pytest.approx(100.0)
    assert one.order_lots[0] == 200


def proposals(*rows: tuple[int, int, float], reducing: tuple[int, ...] = ()):
    """Rows of (symbol, signed lots, benefit) at the opposite best."""
    symbols, lots = (np.array([row[k] for row in rows]) for k in (0, 1))
    return Proposals(
        symbols=symbols,
        lots=lots,
        limits=np.where(lots > 0, 201, 199),
        is_reducing=np.isin(symbols, reducing),
        benefits=np.array([row[2] for row in rows]),
    )


def test_reductions_come_first_and_then_the_larger_benefit():
    here = context(
        limits={"orders_per_step": 3}, owned_is=owned(lots=column(0, at3=10))
    )
    asked = proposals(
        (0, 1, 1.0), (1, 2, 3.0), (2, 3, 2.0), (3, -4, 0.0), reducing=(3,)
    )
    accepted, denied = admit(asked, here)
    assert accepted == [3, 1, 2]
    assert [(one.reason, one.symbols.tolist()) for one in denied] == [
        (Reason.ORDER_BUDGET, [0])
    ]
    assert denied[0].lots.tolist() == [1]


def test_exposure_grows_with_each_accepted_order():
    asked = proposals((0, 100, 4.0), (1, -150, 3.0), (2, 200, 2.0), (3, -150, 1.0))
    accepted, denied = admit(asked, context())
    assert accepted == [0, 1, 2]
    assert [one.reason for one in denied] == [Reason.GROSS]


def test_margin_is_bound_by_each_instruments_own_share_and_never_netted():
    """A tenth, a half and all of the notional, by sides; one lot is worth 100."""
    units = contracts(
        universe(
            [
                Instrument(symbol=f"S{margin}", increment=0.5, margin=margin)
                for margin in (0.1, 0.5, 1.0, 0.0)
            ]
        )
    )
    lots, sells = column(0, at0=100, at1=-100), column(0, at2=50)
    account = owned(lots=lots, open_sells=sells)
    limits = msgspec.structs.replace(LIMITS, max_margin=0.13, max_gross=9, max_net=9)
    here = Context(units, limits, market(), account, NOW)
    assert here.exposure.bound == (1_000 + 5_000 + 5_000) * money.UNITS
    asked = proposals((0, 200, 3.0), (2, 60, 2.0), (3, 100, 1.0))
    accepted, denied = admit(asked, here)
    assert accepted == [0, 2], "two thousand are left, which the first takes"
    assert [(one.reason, one.symbols.tolist()) for one in denied] == [
        (Reason.MARGIN, [2])
    ]
    assert here.exposure.bound == here.most.bound


def test_two_rows_of_one_leg_are_refused_as_a_defect():
    with pytest.raises(ValueError, match="same leg"):
        admit(proposals((0, 10, 1.0), (0, 20, 1.0)), context())


def test_an_opening_row_is_judged_behind_the_reducing_row_of_its_symbol():
    """Long 100: selling 400 closes 100 and opens 300, exactly the limit."""
    for opened, reasons in ((-300, []), (-301, [Reason.POSITION])):
        here = context(
            limits={"max_order_notional": NAV},
            owned_is=owned(lots=column(0, at0=100)),
        )
        closing, opening = proposals((0, -100, 0.0), reducing=(0,)), (0, opened, 1.0)
        both = Proposals(
            *map(np.concatenate, zip(closing, proposals(opening), strict=True))
        )
        accepted, denied = admit(both, here)
        assert accepted == [0, 1][: 2 - len(reasons)]
        assert [one.reason for one in denied] == reasons


def test_a_row_that_says_it_reduces_but_does_not_is_opening():
    here = context(state=TradingState.REDUCING, owned_is=owned(lots=column(5)))
    accepted, denied = admit(
        proposals((0, -6, 1.0), (1, -5, 1.0), reducing=(0, 1)), here
    )
    assert accepted == [1]
    assert [one.reason for one in denied] == [Reason.REDUCING]


def test_what_was_admitted_counts_for_the_next_question():
    here = context(limits={"orders_per_step": 2})
    assert check(order(300, limit=200, lots=200), here) is None
    admit(proposals((0, 200, 1.0)), here)
    assert here.exposure.gross == 20_000 * money.UNITS
    assert check(order(101), here) == Reason.POSITION
    assert check(order(100), here) is None
    admit(proposals((1, -10, 1.0)), here)
    assert check(order(1), here) == Reason.ORDER_BUDGET


def test_net_exposure_grows_with_each_accepted_order():
    for sign in (1, -1):
        rows = ((0, sign * 200, 3.0), (1, sign * 200, 2.0), (2, sign * 10, 1.0))
        accepted, denied = admit(proposals(*rows), context())
        assert accepted == [0, 1]
        assert [one.reason for one in denied] == [Reason.NET]


def test_what_was_sold_counts_for_the_next_question():
    here = context()
    admit(proposals((0, -200, 1.0)), here)
    assert check(order(-101), here) == Reason.POSITION
    assert check(order(-100), here) is None


def test_nothing_is_admitted_while_halted():
    here = context(state=TradingState.HALTED, owned_is=owned(lots=column(0, at1=50)))
    accepted, denied = admit(
        proposals((0, 10, 1.0), (1, -10, 1.0), reducing=(1,)), here
    )
    assert accepted == []
    assert [one.reason for one in denied] == [Reason.HALTED]


signed_lots = st.lists(st.integers(-250, 250), min_size=S, max_size=S)
in_flight = st.lists(st.integers(0, 120), min_size=S, max_size=S)
adversary = st.lists(
    st.one_of(
        st.floats(-2, 2),
        st.sampled_from([NAN, np.inf, -np.inf, 1e300, -1e300, 0.0]),
    ),
    min_size=S,
    max_size=S,
)


def exposure_after(lots, orders) -> tuple[np.ndarray, float]:
    after = np.array(lots)
    for one in orders:
        after[one.symbol] += one.lots if one.side == BUY else -one.lots
    return after, float(abs(after).sum() * 100.0)


@settings(max_examples=150, deadline=None)
@given(lots=signed_lots, buys=in_flight, sells=in_flight, wanted=adversary)
def test_no_subset_of_fills_breaks_a_limit(lots, buys, sells, wanted):
    """Whatever part of the accepted orders is filled, nothing is worse than allowed.

    Exposures that were over a limit before may stay, but never grow.
    """
    arrays = [np.array(one) for one in (lots, buys, sells)]
    account = owned(lots=arrays[0], open_buys=arrays[1], open_sells=arrays[2])
    held = (arrays[0] * 100.0 / NAV).astype(np.float32)
    here = context(owned_is=account)
    accepted, _ = orders_from_targets(
        np.array(wanted), held, here, run="t", step=0, boundary_ns=NOW
    )
    worst = np.maximum(abs(arrays[0] + arrays[1]), abs(arrays[0] - arrays[2]))
    most_gross = max(0.5 * NAV, worst.sum() * 100.0)
    for count in range(len(accepted) + 1):
        for part in itertools.combinations(accepted, count):
            after, gross = exposure_after(lots, part)
            assert (abs(after) <= np.maximum(300, worst)).all()
            assert gross <= most_gross
    opening = [one for one in accepted if not one.reduce_only]
    net_before = float((arrays[0] + arrays[1]).sum() * 100.0)
    bought = sum(one.lots for one in opening if one.side == BUY) * 100.0
    assert bought == 0 or net_before + bought <= 0.4 * NAV
    assert all(one.lots * 100.0 <= 20_000.0 for one in opening)


@pytest.mark.parametrize("value", [NAN, -1.0, float("inf")])
@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_a_limit_that_is_not_one_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"risk.{name}"):
        msgspec.structs.replace(LIMITS, **{name: value}).__post_init__()


def test_limits_come_from_the_configuration():
    fields = msgspec.structs.asdict(LIMITS)
    assert Limits.from_config(SimpleNamespace(**fields, other=1)) == LIMITS
    del fields["max_net"]
    with pytest.raises(ValueError, match="max_net"):
        Limits.from_config(SimpleNamespace(**fields))


def test_the_strictest_state_counts():
    assert max(TradingState.ACTIVE, TradingState.HALTED) == TradingState.HALTED
    assert list(TradingState) == sorted(TradingState)


def test_the_committed_table_of_codes_is_the_generated_one():
    committed = Path(__file__).parents[2] / "docs" / "codes.md"
    generated = f"{codes_table()}\n{causes_table()}"
    assert committed.read_text(encoding="utf-8") == generated
