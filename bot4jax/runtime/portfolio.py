"""What is owned and what it is worth, known from the venue's fills alone.

Lots are integers per slot. Money is kept per slot in the instrument's settlement
currency and is brought into one base currency only when it is summed.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from bot4jax.data.universe import Universe, notional, profit
from bot4jax.runtime.adverse import Adverse, Rested
from bot4jax.runtime.contracts import contracts, exposures, profits
from bot4jax.runtime.equity import NOTHING_LOST, ROW, EquityRow, Losses
from bot4jax.runtime.messages import (
    CorporateAction,
    Funding,
    Mark,
    Reference,
)
from bot4jax.runtime.mids import Mids
from bot4jax.runtime.orders import Answer, Fill, Foreign
from bot4jax.runtime.ring import Ring
from bot4jax.runtime.sessions import days, days_ended
from bot4jax.runtime.terms import (
    ChangedTerms,
    changes_terms,
    held_after,
    ratio,
    universe_after,
)
from bot4jax.runtime.tracking import OrderError, check_fill
from bot4jax.runtime.working_orders import WorkingOrders
from bot4jax.types import BUY, Instrument

SMALLEST_CAPITAL = 0.01
"""Share of the starting capital below which positions are no longer scaled up."""


class Portfolio:
    """Positions and profits of one account, and the orders that work for it."""

    def __init__(
        self,
        universe: Universe,
        capital: float,
        base: str = "USD",
        kept: int = 65_536,
        rows: int = 4_096,
        borrow: Float[np.ndarray, " S"] | float = 0.0,
        horizon: int = 1,
    ) -> None:
        """`kept`: how many orders are remembered, to know a repeated answer; `rows`:
        how many boundaries of the curve, the newest; `borrow`: share of its worth that
        a short position pays its lender for a day; `horizon`: bars after which one
        looks at what became of fills that rested."""
        if not capital > 0:
            raise ValueError(f"The capital must be positive, found {capital}.")
        slots = len(universe.instruments)
        self.universe, self.capital, self.base = universe, capital, base
        self.units = contracts(universe)
        self.lots = np.zeros(slots, np.int64)
        self.working = WorkingOrders(slots, kept)
        self.entry = np.full(slots, np.nan)
        """average price of what is held, quote currency"""
        self.marks = np.full(slots, np.nan)
        """last known prices, quote currency"""
        names, self._currency = np.unique(
            universe.column("settlement"), return_inverse=True
        )
        self._currencies = tuple(str(name) for name in names)
        self.rates = self._as_of({})
        """base currency a unit of the settlement currency"""
        self.realised = np.zeros(slots)
        self.fees = np.zeros(slots)
        self.funding = np.zeros(slots)
        """paid for what is held, settlement currency"""
        self._borrow = borrow
        self._day: int | None = None
        self._owed = np.zeros(slots)
        """what is due once this day is over, settlement currency"""
        self._told_marks = np.full(slots, np.nan)
        """prices that the venue values positions at, quote currency"""
        self.spread = np.zeros(slots)
        """from the mids as fills traded to their prices, settlement currency"""
        self.delay = np.zeros(slots)
        """from the mids at decision to the mids as fills traded"""
        self.turnover = np.zeros(slots)
        self.adverse = Adverse(slots, horizon)
        self.flows = np.zeros(slots)
        """cash received, settlement currency"""
        self._curve = Ring(rows, ROW)
        self.foreign = 0
        """trades of others on this account that were booked"""
        self._losses = Losses(capital, days(universe))
        self.lost = NOTHING_LOST
        """as of the last valued boundary"""
        self._day_ended = days_ended(universe)
        self._trip = np.zeros(slots)
        """what has come of each position since it was last 0, settlement currency"""
        self._ended: list[tuple[int, float]] = []
        """slots and results of the round trips since the last boundary"""
        self.trips = 0
        """round trips that have ended"""
        self._unmeasured: list[Fill] = []
        """booked, and what they lost is not told yet"""

    def apply(self, answer: Answer) -> bool:
        """Take in the venue's answer; False if it was known already.

        What a fill has lost is told by `fall_short`: an answer may come before the
        mids of its bar are known.
        """
        if isinstance(answer, Foreign):
            return self._adopt(answer)
        if not isinstance(answer, Fill):
            return self.working.hear(answer)
        check_fill(answer, len(self.lots))
        if not self.working.hear(answer):
            return False
        self._book(answer)
        self._unmeasured.append(answer)
        return True

    def fall_short(self, mids: Mids | None = None) -> None:
        """What the fills since the last time have lost since their decisions.

        `mids`: as they stood in the bar that has closed; without them all of it counts
        as spread.
        """
        fills, self._unmeasured = self._unmeasured, []
        stood = np.full(len(fills), np.nan) if mids is None else mids.of(fills)
        for one, mid in zip(fills, stood.tolist(), strict=True):
            self._fall_short(one, mid)

    def is_booked(self, answer: Fill | Foreign) -> bool:
        """Whether it counts already: a venue may repeat what it has said."""
        if isinstance(answer, Foreign):
            return answer.number < self.foreign
        return self.working.is_known(answer)

    def hear(self, event: Reference) -> None:
        """What happens to what is held, without an order."""
        if isinstance(event, Mark):
            increment = self.units.increment[event.symbol]
            self._told_marks[event.symbol] = event.price * increment
        elif isinstance(event, Funding):
            told, marked = self._told_marks[event.symbol], self._priced()[event.symbol]
            self._pay(event.symbol, event.rate, told if np.isfinite(told) else marked)
        elif isinstance(event, CorporateAction) and event.action == "dividend":
            if not self.units.is_inverse[event.symbol]:  # of which nobody holds a share
                self._pay(event.symbol, -1.0, event.amount)
        elif changes_terms(event):
            self._change(event)

    def _pay(self, slot: int, rate: float, price: float) -> None:
        """A share of the notional of what is held: long pays, short receives."""
        instrument, lots = self.universe.instruments[slot], int(self.lots[slot])
        paid = np.zeros(len(self.lots))
        paid[slot] = rate * notional(instrument, lots, price) if lots else 0.0
        self._spend(paid)

    def _spend(self, paid: Float[np.ndarray, " S"]) -> None:
        """Money that goes for what is held, settlement currency."""
        self.funding += paid
        self.flows -= paid
        self._trip -= np.where(self.lots == 0, 0.0, paid)

    def _begin_day(self, boundary_ns: int) -> None:
        """Who was short as the market's day before ended pays for it, once."""
        day = self._day_ended(boundary_ns)
        if self._day not in (None, day):
            self._spend(self._owed)
        self._day = day

    def _change(self, event: ChangedTerms) -> None:
        """Other lots at another price; a broken one is paid out at the mark."""
        slot, lots = event.symbol, int(self.lots[event.symbol])
        before = self.universe.instruments[slot]
        whole, broken = held_after(before, event, lots)
        self.universe = universe_after(self.universe, [event])
        self.units = contracts(self.universe)
        for prices in (self.entry, self.marks, self._told_marks):
            prices[slot] *= ratio(before, event).price
        self.adverse.forget(slot)
        if broken:
            now, price = self.universe.instruments[slot], float(self._priced()[slot])
            gained = profit(now, broken, float(self.entry[slot]), price)
            self.realised[slot] += gained
            self._trip[slot] += gained
            self._settle(slot, notional(now, -broken, price), gained)
        self.lots[slot] = whole
        if lots and not whole:
            self.entry[slot] = np.nan
            self._end_trip(slot)

    def value(
        self,
        step: int,
        boundary_ns: int,
        prices: Float[np.ndarray, " S"],
        rates: Mapping[str, float] | None = None,
    ) -> EquityRow:
        """Mark everything to `prices` (quote currency; NaN keeps the last one).

        `rates` are as of the boundary: base currency a unit of each settlement
        currency. A missing one makes the asset value NaN, which passes no limit.
        """
        self.fall_short()  # what nobody has told the mids of
        self._begin_day(boundary_ns)
        self.marks = np.where(np.isfinite(prices), prices, self.marks)
        if np.isfinite(prices).any():  # else no bar has closed: the run has ended
            self.adverse.look(self.universe, self.marks)
        self.rates = self._as_of(rates or {})
        held = exposures(self.units, self.lots, self._priced())
        self._owed = self._borrow * np.maximum(-held, 0.0)
        unrealised = self.unrealised()
        nav = self.capital + self._total(self._earned() + unrealised)
        ended = [result * float(self.rates[slot]) for slot, result in self._ended]
        self._ended.clear()
        self.lost = self._losses.seen(nav, boundary_ns, ended)
        row = EquityRow(
            step=step,
            boundary_ns=boundary_ns,
            nav=nav,
            cash=self.capital + self._total(self.flows),
            gross=self._total(np.abs(held)),
            net=self._total(held),
            realised=self._total(self.realised),
            unrealised=self._total(unrealised),
            fees=self._total(self.fees),
            funding=self._total(self.funding),
            spread=self._total(self.spread),
            delay=self._total(self.delay),
            turnover=self._total(self.turnover),
            rested=self._total(self.adverse.turnover),
            earned=self._total(self.adverse.earned),
            adverse=self._total(self.adverse.lost),
            daily_loss=self.lost.of_day.share,
            drawdown=self.lost.of_peak.share,
            losses=self.lost.in_a_row,
        )
        self._curve.add(row)
        return row

    @property
    def curve(self) -> list[EquityRow]:
        """The account at its newest boundaries."""
        return [EquityRow(*row) for row in self._curve.since().tolist()]

    def nav(self) -> float:
        """Net asset value at the last marks and rates, base currency."""
        return self.capital + self._total(self._earned() + self.unrealised())

    def unrealised(self) -> Float[np.ndarray, " S"]:
        """Profit of what is held, settlement currency."""
        return profits(self.units, self.lots, self.entry, self._priced())

    def held(self) -> Float[np.ndarray, " S"]:
        """Positions as signed shares of the asset value, float32 as the device has it.

        The divisor never falls under 1 % of the starting capital: a lost account
        must not make its positions look infinite.
        """
        worth = exposures(self.units, self.lots, self._priced())
        in_base = np.where(worth == 0, 0.0, worth * self.rates)
        divisor = max(self.nav(), SMALLEST_CAPITAL * self.capital)
        return (in_base / divisor).astype(np.float32)

    def _adopt(self, foreign: Foreign) -> bool:
        """Book what was traded on the account by somebody else, once."""
        check_fill(foreign, len(self.lots))
        if foreign.number < self.foreign:
            return False
        if foreign.number > self.foreign:
            raise OrderError(
                f"Foreign trade {foreign.number} came, but {self.foreign} are known."
            )
        self.foreign += 1
        self._book(foreign)
        return True

    def _book(self, fill: Fill | Foreign) -> None:
        """Move lots and money by one fill that is new and fits its order."""
        slot = fill.symbol
        instrument = self.universe.instruments[slot]
        price = fill.price * instrument.increment
        signed = fill.lots if fill.side == BUY else -fill.lots
        held = self.lots.item(slot)
        gained = self._move(slot, instrument, signed, price)
        self._trip[slot] += gained - fill.fee
        after = held + signed
        if held * after < 0 or not after:
            self._end_trip(slot)
        if held * after <= 0 and after:
            self.working.begin_position(slot)
        worth = notional(instrument, signed, price)
        self.fees[slot] += fill.fee
        self.turnover[slot] += abs(worth)
        self.flows[slot] -= fill.fee
        self._settle(slot, worth, gained)
        if not math.isfinite(self.marks[slot]):
            self.marks[slot] = price

    def _settle(self, slot: int, worth: float, gained: float) -> None:
        """Cash for what changed hands, bought or (negative) sold: its worth where that
        is paid, on margin what was gained."""
        self.flows[slot] += -worth if self.units.is_paid[slot] else gained

    def _fall_short(self, fill: Fill, mid: float) -> None:
        """What it lost from the mid at decision, in two parts; `mid`: increments, as it
        traded."""
        slot, decided = fill.symbol, self.working.reference(fill)
        instrument = self.universe.instruments[slot]
        signed = fill.lots if fill.side == BUY else -fill.lots
        price = fill.price * instrument.increment
        then = mid * instrument.increment if math.isfinite(mid) else decided
        if math.isfinite(then):
            self.spread[slot] += profit(instrument, signed, then, price)
        if math.isfinite(then) and math.isfinite(decided):
            self.delay[slot] += profit(instrument, signed, decided, then)
        if fill.is_maker:
            known = mid * instrument.increment
            self.adverse.add(Rested(slot, signed, known, price))

    def _move(
        self, slot: int, instrument: Instrument, signed: int, price: float
    ) -> float:
        """Change the position and return what was realised by closing part of it."""
        held, entry = self.lots.item(slot), self.entry.item(slot)
        closed = min(abs(held), abs(signed)) if held * signed < 0 else 0
        gained = 0.0
        if closed:
            gained = profit(instrument, closed if held > 0 else -closed, entry, price)
            self.realised[slot] += gained
        opened = abs(signed) - closed
        after = held + signed
        if after == 0:
            self.entry[slot] = np.nan
        elif opened:
            kept = abs(held) - closed
            self.entry[slot] = _mean_entry(instrument, kept, entry, opened, price)
        self.lots[slot] = after
        return gained

    def _end_trip(self, slot: int) -> None:
        """A position is closed or has turned: what has come of it is known."""
        self.trips += 1
        self._ended.append((slot, float(self._trip[slot])))
        self._trip[slot] = 0.0

    def _earned(self) -> Float[np.ndarray, " S"]:
        """Profit that is no longer at stake, settlement currency."""
        return self.realised - self.fees - self.funding

    def _as_of(self, known: Mapping[str, float]) -> Float[np.ndarray, " S"]:
        """Base currency a unit of each slot's settlement; NaN where unknown."""
        rates = {name: rate for name, rate in known.items() if 0 < rate < np.inf}
        rates[self.base] = 1.0
        each = [rates.get(name, np.nan) for name in self._currencies]
        return np.array(each)[self._currency]

    def _priced(self) -> Float[np.ndarray, " S"]:
        return np.where(np.isfinite(self.marks), self.marks, self.entry)

    def _total(self, money: Float[np.ndarray, " S"]) -> float:
        """Sum in base currency; an unknown rate matters only where there is money."""
        return float(np.where(money == 0, 0.0, money * self.rates).sum())


def _mean_entry(
    instrument: Instrument, lots: int, entry: float, added: int, price: float
) -> float:
    """Average entry: of prices, or of their inverses where the coin is paid."""
    if lots == 0:
        return price
    if instrument.kind == "inverse":
        return (lots + added) / (lots / entry + added / price)
    return (lots * entry + added * price) / (lots + added)
