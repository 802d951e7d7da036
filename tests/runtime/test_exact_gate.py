"""Gross, net, margin and collars hold to the unit, by fractions of the same terms.

All terms are doubles whose products are exact, so that the fractions know what a lot is
worth; nothing here uses the gate's own arithmetic.
"""

import math
from fractions import Fraction
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from bot4jax.data.universe import universe
from bot4jax.runtime.context import Account, Context, Market
from bot4jax.runtime.contracts import contracts
from bot4jax.runtime.equity import NOTHING_LOST
from bot4jax.runtime.gate import (
    Proposals,
    furthest,
    judge,
    within_collar,
    within_period,
)
from bot4jax.runtime.limits import WIDER_COLLAR, Limits, Reason
from bot4jax.runtime.money import MOST
from bot4jax.runtime.orders import LARGEST
from bot4jax.runtime.recent import MidRange
from bot4jax.types import TRADING, Instrument
from tests.runtime.test_every_limit import LOOSE

UNIT = Fraction(1, 10**8)
"""Of the account's currency: what the gate counts in."""
COLLAR = Fraction(1, 10**7)
"""Of a mid: what it counts collars in."""
NAV = 1.0


class Slot(NamedTuple):
    """An instrument, its quote and what is owned of it; all products are exact."""

    mid2: int
    size: Fraction
    margin: Fraction
    rate: Fraction
    lots: int
    buys: int
    sells: int

    @property
    def worth(self) -> Fraction:
        """Of a lot, currency."""
        return self.mid2 * Fraction(1, 4) * self.size * self.rate

    def up(self, share: Fraction = Fraction(1)) -> int:
        return math.ceil(self.worth * share / UNIT)

    def down(self) -> int:
        return math.floor(self.worth / UNIT)


def dyadic(most: int, bits: int) -> st.SearchStrategy[Fraction]:
    return st.integers(1, most).map(lambda one: Fraction(one, 2**bits))


def slots(most_lots: int) -> st.SearchStrategy[list[Slot]]:
    lots = st.one_of(st.integers(0, 3), st.integers(0, most_lots))
    one = st.builds(
        Slot,
        mid2=st.integers(2, 2_000),
        size=dyadic(64, 20),
        margin=st.one_of(st.just(Fraction(1)), dyadic(32, 5), st.just(Fraction(0))),
        rate=dyadic(16, 3),
        lots=st.one_of(lots, lots.map(lambda one: -one)),
        buys=lots,
        sells=lots,
    )
    return st.lists(one, min_size=1, max_size=5)


def context(owned: list[Slot], **limits: Any) -> Context:
    each = [
        Instrument(
            symbol=f"S{k}",
            increment=0.5,
            lot=float(one.size),
            margin=float(one.margin),
        )
        for k, one in enumerate(owned)
    ]
    units = contracts(universe(each))
    count = len(owned)
    bid = np.array([one.mid2 // 2 for one in owned])
    ask = np.array([one.mid2 - one.mid2 // 2 for one in owned])
    return Context(
        units,
        msgspec.structs.replace(Limits(**LOOSE), **limits),
        Market(bid, ask, np.zeros(count, np.int64), np.full(count, TRADING)),
        Account(
            *(np.array([one[k] for one in owned]) for k in (4, 5, 6)),
            marks=np.ones(count),
            rates=np.array([float(one.rate) for one in owned]),
            nav=NAV,
            lost=NOTHING_LOST,
        ),
        now_ns=0,
    )


class Sums(NamedTuple):
    """Units, as exact fractions tell."""

    gross: int
    bound: int
    long: int
    short: int


def side(one: Slot, lots: int) -> int:
    """What lies on this side counts at most, what lies on the other at least."""
    return lots * (one.up() if lots > 0 else one.down())


def sums(owned: list[Slot]) -> Sums:
    reached = [(one, one.lots + one.buys, one.lots - one.sells) for one in owned]
    worst = [(one, max(abs(high), abs(low))) for one, high, low in reached]
    return Sums(
        gross=sum(lots * one.up() for one, lots in worst),
        bound=sum(lots * one.up(one.margin) for one, lots in worst),
        long=sum(side(one, high) for one, high, _ in reached),
        short=sum(side(one, -low) for one, _, low in reached),
    )


@example(owned=[Slot(2_000, Fraction(64), Fraction(1), Fraction(2), LARGEST, 0, 0)] * 5)
@given(owned=slots(LARGEST))
def test_what_all_positions_come_to_is_exact_whatever_the_sizes(owned):
    """Beyond 64 bits too."""
    assert context(owned).exposure == sums(owned)


def asked(rows: list[tuple[int, int]]) -> Proposals:
    """Opening rows of (slot, signed lots) at the opposite best, the first is worth
    most."""
    symbols, lots = (np.array([row[k] for row in rows]) for k in (0, 1))
    return Proposals(
        symbols=symbols,
        lots=lots,
        limits=np.zeros(len(rows), np.int64),
        is_reducing=np.zeros(len(rows), bool),
        benefits=np.arange(len(rows), 0, -1),
    )


def with_order(owned: list[Slot], slot: int, lots: int) -> list[Slot]:
    grown = list(owned)
    key = "buys" if lots > 0 else "sells"
    grown[slot] = owned[slot]._replace(**{key: getattr(owned[slot], key) + abs(lots)})
    return grown


def as_share(units: int) -> float:
    """A limit that comes to so many units of the capital of 1, as one writes it."""
    share = float(Fraction(units, 10**8))
    assert Fraction(repr(share)) == units * UNIT
    return share


NAMES = {"gross": Reason.GROSS, "bound": Reason.MARGIN, "net": Reason.NET}
KEYS = {"gross": "max_gross", "bound": "max_margin", "net": "max_net"}


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=150)
@given(
    owned=slots(2_000),
    slot=st.integers(0, 4),
    lots=st.integers(1, 2_000),
    is_buy=st.booleans(),
)
def test_an_order_passes_at_the_very_limit_and_not_one_unit_beyond(
    name, owned, slot, lots, is_buy
):
    """The limit is what there would be with the order in flight, worked out anew."""
    slot, signed = slot % len(owned), lots if is_buy else -lots
    one, before = owned[slot], sums(owned)
    after = sums(with_order(owned, slot, signed))
    own = "long" if is_buy else "short"
    # what covers a position counts at most too, though the position counted at least
    reached = {
        "gross": after.gross,
        "bound": after.bound,
        "net": getattr(before, own) + lots * one.up(),
    }[name]
    assert name != "net" or reached >= getattr(after, own)
    assume(reached > 0)
    for beyond in (0, 1):
        here = context(owned, **{KEYS[name]: as_share(reached - beyond)})
        verdict = judge(asked([(slot, signed)]), here)
        assert verdict.reasons.tolist() == [NAMES[name] if beyond else 0]
    expected = after._replace(**{own: getattr(before, own) + lots * one.up()})
    assert judge(asked([(slot, signed)]), context(owned)).exposure == expected


@pytest.mark.parametrize("way", [1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_behind_an_order_that_is_stopped_the_limit_is_the_same(name, way):
    one = Slot(400, Fraction(1, 2**10), Fraction(1, 2), Fraction(1), 0, 0, 0)
    rows = [(0, 11 * way), (1, 10 * way), (2, way)]
    reached = 10 * (one.up(one.margin) if name == "bound" else one.up())
    for beyond in (0, 1):
        here = context([one] * 3, **{KEYS[name]: as_share(reached - beyond)})
        found = judge(asked(rows), here)
        why = int(NAMES[name])
        assert found.reasons.tolist() == [why, why * beyond, why * (1 - beyond)]


def reduces(one: Slot, lots: int) -> bool:
    """Brings it no further than to nothing, whatever is open on its side."""
    if lots > 0:
        return one.lots + one.buys + lots <= 0
    return one.lots - one.sells + lots >= 0


@settings(max_examples=200)
@given(
    owned=slots(300),
    wanted=st.lists(st.integers(-300, 300), min_size=5, max_size=5),
    room=st.tuples(*[st.floats(0.0, 1.2)] * 3),
    budget=st.integers(0, 6),
)
def test_of_many_orders_those_pass_that_plain_sums_let_pass(
    owned, wanted, room, budget
):
    """One after the other, each counted in what the next is judged by; reductions
    first, which no limit stops."""
    rows = [(k, lots) for k, lots in enumerate(wanted[: len(owned)]) if lots]
    assume(rows)
    start, together = sums(owned), owned
    for slot, lots in rows:
        together = with_order(together, slot, lots)
    shares = zip(room, largest(together), strict=True)
    most = [max(int(share * (now + 1)), 0) for share, now in shares]
    here = context(
        owned,
        max_gross=as_share(most[0]),
        max_margin=as_share(most[1]),
        max_net=as_share(most[2]),
    )
    here.budget = budget
    closing = [reduces(owned[slot], lots) for slot, lots in rows]
    now, long, short, accepted = owned, start.long, start.short, list[int]()
    reasons = [0] * len(rows)
    for k in sorted(range(len(rows)), key=lambda k: not closing[k]):
        slot, lots = rows[k]
        then = with_order(now, slot, lots)
        worth, after = abs(lots) * owned[slot].up(), sums(then)
        net = long + worth if lots > 0 else short + worth
        within = {
            Reason.GROSS: after.gross <= most[0],
            Reason.NET: net <= most[2],
            Reason.MARGIN: after.bound <= most[1],
            Reason.ORDER_BUDGET: len(accepted) < budget,
        }
        against = next((one for one, holds in within.items() if not holds), 0)
        reasons[k] = 0 if closing[k] else int(against)
        if not reasons[k]:
            now, accepted = then, [*accepted, k]
            long, short = (net, short) if lots > 0 else (long, net)
    verdict = judge(asked(rows)._replace(is_reducing=np.array(closing)), here)
    assert verdict.reasons.tolist() == reasons
    assert verdict.accepted == accepted
    assert verdict.exposure == sums(now)._replace(long=long, short=short)


def largest(owned: list[Slot]) -> tuple[int, int, int]:
    found = sums(owned)
    return found.gross, found.bound, max(found.long, found.short)


@pytest.mark.parametrize("mark", [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e300])
@pytest.mark.parametrize("lots", [1, -1])
def test_nothing_opens_while_what_is_held_has_no_value_that_counts(mark, lots):
    """Nor in another instrument; reductions pass."""
    one = Slot(400, Fraction(1), Fraction(1), Fraction(1), 5, 0, 0)
    owned = [one, one._replace(lots=0), one]
    here = context(owned)
    market = here.market._replace(bid=np.array([0, 200, 200]))
    account = here.owned._replace(marks=np.array([mark, 1.0, 1.0]))
    blind = Context(here.contracts, here.limits, market, account, 0)
    rows = asked([(1, lots), (2, -5)])
    rows = rows._replace(is_reducing=np.array([False, True]))
    assert judge(rows, here).reasons.tolist() == [0, 0]
    assert judge(rows, blind).reasons.tolist() == [Reason.GROSS, 0]


def whole(exact: Fraction) -> tuple[int, int]:
    """Units to either side; 0 where that is more than is counted."""
    low, high = math.floor(exact / UNIT), math.ceil(exact / UNIT)
    return (low, high) if 0 < high <= MOST else (0, 0)


@example(kind="spot", mid2=6, tick=0.1, lot=0.1, many=1.0, margin=0.7)
@example(kind="linear", mid2=2 * LARGEST, tick=1e-8, lot=1e-8, many=1.0, margin=0.1)
@example(kind="inverse", mid2=3, tick=0.1, lot=1.0, many=100.0, margin=0.01)
@given(
    kind=st.sampled_from(["spot", "linear", "inverse"]),
    mid2=st.one_of(st.integers(2, 10**6), st.integers(2, 2 * LARGEST)),
    tick=st.decimals("1e-8", 1000, places=8).map(float),
    lot=st.decimals("1e-8", 10**6, places=8).map(float),
    many=st.sampled_from([1.0, 0.1, 10.0, 50.0, 0.003]),
    margin=st.decimals(0, 2, places=4).map(float),
)
def test_what_a_lot_is_worth_is_exact_whatever_its_terms(
    kind, mid2, tick, lot, many, margin
):
    """Terms as they are written. In doubles .3 * .1 is more than .03."""
    terms = {"increment": tick, "lot": lot, "multiplier": many, "margin": margin}
    each = [Instrument(symbol="A", kind=kind, **terms)]
    one = Slot(mid2, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
    here = context([one])
    there = Context(contracts(universe(each)), here.limits, here.market, here.owned, 0)
    ticks, lots, times, share = (Fraction(repr(x)) for x in (tick, lot, many, margin))
    mid = Fraction(mid2, 2) * ticks
    worth = lots * times * (1 / mid if kind == "inverse" else mid)
    value, bound = whole(worth), whole(worth * share)
    is_known = bound[1] > 0 or share == 0
    found = [tuple(int(side[0]) for side in one) for one in (there.value, there.bound)]
    assert found == [value if is_known else (0, 0), bound]


@pytest.mark.parametrize("margin", [np.nan, np.inf, -0.1, 1e12, 1e300])
def test_nothing_opens_where_nobody_knows_what_it_binds(margin):
    one = Slot(400, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
    here = context([one, one])
    each = [Instrument(symbol=f"S{k}", increment=0.5, margin=margin) for k in (0, 1)]
    each[1] = msgspec.structs.replace(each[1], margin=1.0)
    units = contracts(universe(each))
    blind = Context(units, here.limits, here.market, here.owned, 0)
    found = judge(asked([(0, 1), (1, 1)]), blind)
    assert found.reasons.tolist() == [Reason.ORDER_NOTIONAL, 0]


@pytest.mark.parametrize("key", ["lots", "buys", "sells"])
@pytest.mark.parametrize("size", [LARGEST, LARGEST + 1, 2**62, 2**63 - 1])
def test_sizes_that_no_order_can_have_open_nothing(key, size):
    """Their sums could wrap."""
    one = Slot(400, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
    loose = {"max_gross": 1e30, "max_margin": 1e30, "max_net": 1e30}
    here = context([one._replace(**{key: size}), one], **loose)
    found = judge(asked([(1, 1)]), here)
    assert found.reasons.tolist() == [0 if size == LARGEST else Reason.GROSS]


@pytest.mark.parametrize("nav", [np.nan, np.inf, -1e300, -1.0, 0.0])
def test_no_capital_no_room(nav):
    one = Slot(400, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
    here = context([one])
    poor = here.owned._replace(nav=nav)
    there = Context(here.contracts, here.limits, here.market, poor, 0)
    assert max(there.most) <= 0
    assert there.position_lots.tolist() == [0 if nav == 0 else -1]
    found = judge(asked([(0, 1)]), there)
    assert found.reasons.tolist() == [Reason.NO_CAPITAL]


@pytest.mark.parametrize("nav", [1e300, 1e12])
def test_what_is_worth_more_than_64_bits_is_no_order_and_no_position(nav):
    """2⁶² units, whatever the limits let pass."""
    one = Slot(4, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
    limits = {"max_order_notional": 1e30, "max_position_share": 1e30}
    here = context([one], **limits)
    rich = here.owned._replace(nav=nav)
    there = Context(here.contracts, here.limits, here.market, rich, 0)
    most = 2**62 // one.up()
    assert there.order_lots.tolist() == there.position_lots.tolist() == [most]


mids = st.one_of(st.integers(2, 2**20), st.integers(2, 2 * LARGEST))
bps = st.one_of(
    st.floats(1e-4, 20_000.0),
    st.integers(1, 10**6).map(lambda one: one / 1_000),
    st.sampled_from([0.0, 1e-4, 100.0, 1e5, 1e8, 1e15]),
)


def reach(mid2: int, collar_bps: float, times: int = 1) -> Fraction:
    """How far a price may lie from the mid, increments; the collar rounded down, and
    what is larger than 2⁶² parts of a mid's ten million that much."""
    exact = math.floor(times * Fraction(repr(collar_bps)) / 10_000 / COLLAR)
    return Fraction(mid2, 2) * min(exact, 2**62 // 10**7) * COLLAR


class Asked(NamedTuple):
    """One order, and what its price is held to."""

    mid2: int
    lately: int
    """twice the only mid of the period"""
    way: int
    """1 buys, −1 sells"""
    is_reducing: bool
    collar: float
    period: float

    @property
    def context(self) -> Context:
        one = Slot(self.mid2, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
        bps = {"price_collar_bps": self.collar, "period_collar_bps": self.period}
        here = context([one], **bps)
        here.period = MidRange(np.array([self.lately]), np.array([self.lately]))
        return here

    @property
    def by_mid(self) -> Fraction:
        return reach(self.mid2, self.collar, WIDER_COLLAR if self.is_reducing else 1)

    @property
    def by_period(self) -> Fraction:
        return reach(self.lately, self.period)

    def last(self, mid2: int, most: Fraction) -> int:
        """The furthest price that lies within."""
        return self.way * math.floor(self.way * Fraction(mid2, 2) + most)

    def at(self, price: int) -> Proposals:
        rows = asked([(0, self.way)])
        reducing = np.array([self.is_reducing])
        return rows._replace(limits=np.array([price]), is_reducing=reducing)


orders = st.builds(Asked, mids, mids, st.sampled_from([1, -1]), st.booleans(), bps, bps)


@settings(max_examples=250)
@given(one=orders)
def test_a_price_is_near_to_the_very_increment(one):
    """The last price within each collar, and the next."""
    here, closing = one.context, np.array([one.is_reducing])
    for way in (0, one.way):
        price = one.last(one.mid2, one.by_mid) + way
        if 1 <= price <= LARGEST:
            is_near = abs(price - Fraction(one.mid2, 2)) <= one.by_mid
            assert within_collar(one.at(price), here, closing).tolist() == [is_near]
        price = one.last(one.lately, one.by_period) + way
        if 1 <= price <= LARGEST:
            is_near = abs(price - Fraction(one.lately, 2)) <= one.by_period
            assert within_period(one.at(price), here).tolist() == [is_near]


@settings(max_examples=250)
@given(one=orders)
def test_the_furthest_price_within_both_collars_is_found(one):
    bid, ask = one.mid2 // 2, one.mid2 - one.mid2 // 2
    prices = [one.last(one.mid2, one.by_mid)]
    if not one.is_reducing:
        prices.append(one.last(one.lately, one.by_period))
    nearest = min(one.way * price for price in prices) * one.way
    expected = max(nearest, ask) if one.way > 0 else min(nearest, bid)
    row = (np.array([value]) for value in (0, one.way, one.is_reducing))
    found = furthest(one.context, *row)
    assert found.tolist() == [min(max(expected, 1), LARGEST)]


def test_nothing_is_near_a_mid_that_no_quote_can_have():
    one = Slot(400, Fraction(1), Fraction(1), Fraction(1), 0, 0, 0)
    here = context([one], period_collar_bps=1e15)
    for mid2 in (0, -1, 2 * LARGEST + 1, 2**62):
        here.period = MidRange(np.array([400]), np.array([mid2]))
        assert within_period(asked([(0, 1)]), here).tolist() == [False]
