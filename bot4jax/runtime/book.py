"""Own orders against what a market displays: what trades, rests, sleeps and wakes.

What it assumes, on the careful side: our orders take displayed size and it stays taken
until the quote is stated anew; a resting order waits behind all that was displayed at
its price; one trade fills at most its own size. No order trades with another of ours
(`self_trades.py`).
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe
from bot4jax.runtime.displayed import Displayed
from bot4jax.runtime.orders import (
    TRIGGERED_KINDS,
    Answer,
    Cancelled,
    Expired,
    Fill,
    Order,
    Replace,
    Replaced,
    has_terms,
    opposite,
    under_terms,
)
from bot4jax.runtime.queues import Believed, conservative
from bot4jax.runtime.resting import Live, Resting, by_priority, is_beyond, is_woken
from bot4jax.runtime.self_trades import SelfTrades
from bot4jax.runtime.terms import ChangedTerms
from bot4jax.runtime.venue_holdings import Fees, Holdings
from bot4jax.types import BUY, QUOTE, STATUS, TRADE, TRADING


class Book:
    """One venue's market and our orders in it; `say` hears every answer."""

    def __init__(
        self,
        universe: Universe,
        fees: Fees,
        say: Callable[[Answer], None],
        believed: Believed = conservative,
        prevents: bool = True,
    ) -> None:
        """`prevents`: whether no order trades with another of ours."""
        self.holdings = Holdings(universe, fees)
        self._say, self._believed = say, believed
        self.displayed = Displayed(len(universe.instruments))
        self.resting = Resting()
        self._self_trades = SelfTrades(self.resting, prevents)
        self._groups_over: dict[str, str] = {}
        """and the order that ended each"""
        self.clock_ns = -(2**62)
        """running maximum of event time"""

    def absorb(self, records: np.ndarray, clocks: Int[np.ndarray, " N"]) -> None:
        """Let market records pass; a quote that wakes an order cuts them in two, and so
        does a status, before and behind itself."""
        while len(records):
            cut = self.resting.until_woken(records[: _until_status(records)])
            self._pass(records[:cut], clocks[:cut])
            if self.resting.asleep:
                self._wake(int(records["symbol"][cut - 1]))
            records, clocks = records[cut:], clocks[cut:]

    def enter(self, order: Order, now_ns: int, *, may_rest: bool = True) -> None:
        """An order that was not refused arrives."""
        live = Live(order, order.lots)
        if order.group in self._groups_over:
            self._say(Cancelled(order.id, live.left, now_ns))
        elif order.kind == "fok" and not self._is_whole(order):
            self._say(Expired(order.id, live.left, now_ns))
        else:
            self._place(live, now_ns, may_rest)

    def leave(
        self, live: Live, answer: type[Cancelled] | type[Expired], at: int
    ) -> None:
        """A live order ends with what has not traded."""
        self.resting.remove(live)
        self._say(answer(live.order.id, live.left, at))

    def replace(self, live: Live, asked: Replace, now_ns: int) -> None:
        """Other terms for a live order, if it can have them; those that hold are said.

        It goes to the end of the queue, unless it only grows smaller.
        """
        before, fits = live.order, self._fits(live, asked)
        if fits:
            live.order, live.left = under_terms(before, asked), asked.lots - live.done
        new, live.replaced = live.order, live.replaced + 1
        number = live.replaced - 1
        said = (new.lots, new.limit, new.trigger, now_ns, number)
        self._say(Replaced(new.id, *said))
        is_moved = (new.limit, new.trigger) != (before.limit, before.trigger)
        if is_moved or new.lots > before.lots:
            self.resting.remove(live)
            self._place(live, now_ns, may_rest=True)

    def change(self, event: ChangedTerms, fees: Callable[[Universe], Fees]) -> None:
        """New terms: what rests of it goes, what is held is counted anew."""
        slot = event.symbol
        for live in self.resting.all():
            if live.order.symbol == slot:
                self.leave(live, Cancelled, self.clock_ns)
        self.holdings.change(event, fees)
        self.displayed.forget([slot])

    def forget(self, group: str, order: str) -> None:
        """The order that ended a group is asked for no more, nor is the group."""
        if self._groups_over.get(group) == order:
            del self._groups_over[group]

    def reachable(self, order: Order) -> Iterator[tuple[int, int, int]]:
        """(level, price, lots left) of the opposite side within the order's limit."""
        across = opposite(order.side)
        for level, price, lots in self.displayed.side(order.symbol, across):
            if order.limit and is_beyond(price, order):
                return
            yield level, price, lots

    def reachable_lots(self, order: Order) -> int:
        """What would trade at once."""
        lots = sum(lots for _, _, lots in self.reachable(order))
        return min(lots, self.holdings.room(order)) if order.reduce_only else lots

    def would_take(self, order: Order) -> bool:
        """Whether it would trade at once, or end another of ours that it meets."""
        is_offered = next(self.reachable(order), None) is not None
        return is_offered or bool(self._self_trades.met(order, order.limit))

    def _is_whole(self, order: Order) -> bool:
        """Whether all of it would trade at once."""
        is_ended = self._self_trades.is_ended(order, order.limit)
        return not is_ended and self.reachable_lots(order) >= order.lots

    def _pass(self, records: np.ndarray, clocks: Int[np.ndarray, " N"]) -> None:
        """Market records that wake nothing before the last of them.

        The quotes are taken in at once; only what concerns resting orders is looked
        at one by one, after that, because a refreshed quote gives back taken size.
        """
        self.displayed.absorb(records)
        self.clock_ns = int(clocks[-1])
        if not self.resting.by_symbol:
            return
        symbols = np.fromiter(self.resting.by_symbol, np.int64)
        rows = np.flatnonzero(np.isin(records["symbol"], symbols))
        for row, now_ns in zip(
            records[rows].tolist(), clocks[rows].tolist(), strict=True
        ):
            self._meet(row, now_ns)

    def _wake(self, symbol: int) -> None:
        """What the quote that has just passed wakes; while halted all sleep on."""
        if symbol not in self.resting.asleep:
            return
        if not self._is_trading(symbol):
            return
        bid, ask = self.displayed.quotes[symbol, :2].tolist()
        for live in self.resting.woken(symbol, bid, ask):
            if self.resting.holds(live):  # else a rival woke before it
                self.resting.remove(live)
                self._end_rivals(live.order, self.clock_ns)
                self._trade(live, self.clock_ns, may_rest=True)

    def _place(self, live: Live, now_ns: int, may_rest: bool) -> None:
        """Trade with it, or lay it to sleep until its quote comes; in a halt that is no
        price, and nothing is taken."""
        order, is_trading = live.order, self._is_trading(live.order.symbol)
        bid, ask = self.displayed.quotes[order.symbol, :2].tolist()
        if is_trading and is_woken(order, bid, ask):
            self._trade(live, now_ns, may_rest)
        elif not may_rest:
            self._say(Cancelled(order.id, live.left, now_ns))
        elif order.kind in TRIGGERED_KINDS:
            self.resting.add(live, is_asleep=True)
        elif self._is_alone(live, order.limit, now_ns):
            self._rest(live)

    def _is_trading(self, symbol: int) -> bool:
        return bool(self.displayed.status[symbol] == TRADING)

    def _trade(self, live: Live, now_ns: int, may_rest: bool) -> None:
        """Take what can be taken; what is left rests, if the order is of that kind."""
        order = live.order
        is_alone = self._take(live, now_ns)
        if not is_alone or not live.left:
            return
        if order.kind not in ("limit", "stop_limit") or self.holdings.is_idle(order):
            self._say(Expired(order.id, live.left, now_ns))
        elif not may_rest:
            self._say(Cancelled(order.id, live.left, now_ns))
        else:
            self._rest(live)

    def _rest(self, live: Live) -> None:
        """At the end of the queue at its price."""
        order = live.order
        shown = self.displayed.queue(order.symbol, order.side, order.limit)
        live.queue.join(shown)
        self.resting.add(live)

    def _take(self, live: Live, now_ns: int) -> bool:
        """Trade at once with what is displayed and not yet taken; False where it has
        ended before another of ours."""
        order = live.order
        across = opposite(order.side)
        for level, price, lots in self.reachable(order):
            if not self._is_alone(live, price, now_ns):
                return False
            traded = self._fill(live, lots, price, is_maker=False, now_ns=now_ns)
            self.displayed.take(order.symbol, across, level, traded)
            if not live.left:
                return True
        return self._is_alone(live, order.limit, now_ns)

    def _is_alone(self, live: Live, price: int, now_ns: int) -> bool:
        """See to it that an order that takes at this price, 0: at any, meets none of
        ours; False where it is this one that has ended."""
        order = live.order
        if self._self_trades.is_ended(order, price):
            self._say(Expired(order.id, live.left, now_ns))
            return False
        if not self.holdings.is_idle(order):
            for own in self._self_trades.yielding(order, price):
                self.leave(own, Expired, now_ns)
        return True

    def _meet(self, row: tuple[int, ...], now_ns: int) -> None:
        """What one record means for the orders that rest in its instrument; in a halt
        quotes and trades are indicative, and nothing for them."""
        kind, side, _, symbol, _, a, b, c, d = row
        if kind == QUOTE:
            self.displayed.refresh(symbol)
        if not self._is_trading(symbol):
            return
        resting = by_priority(self.resting.by_symbol.get(symbol, ()))
        if kind == TRADE and a > 0:
            self._meet_trade(resting, side, a, b, now_ns)
        elif kind == QUOTE:
            self._meet_quote(resting, (a, b, c, d), now_ns)

    def _meet_trade(
        self, resting: list[Live], side: int, price: int, size: int, now_ns: int
    ) -> None:
        """A trade takes the queue at its price and everything that was better."""
        left = size
        for live in resting:
            order = live.order
            if side == order.side or is_beyond(price, order):
                continue
            if (ahead := _ahead(live, price, size)) is None:
                continue
            lots = math.floor(left - ahead)
            left -= self._fill(live, lots, order.limit, is_maker=True, now_ns=now_ns)

    def _meet_quote(
        self, resting: list[Live], quote: tuple[int, int, int, int], now_ns: int
    ) -> None:
        """A quote fills what it crosses, and tells how long a queue is at most."""
        bid, ask, bid_size, ask_size = quote
        for live in resting:
            order, is_buy = live.order, live.order.side == BUY
            own, own_size = (bid, bid_size) if is_buy else (ask, ask_size)
            other, size = (ask, ask_size) if is_buy else (bid, bid_size)
            if own == order.limit:
                live.queue.look(own_size, self._believed)
            elif own > 0 and not is_beyond(own, order):
                live.queue.join(0)  # nobody else is there
            if other > 0 and not is_beyond(other, order):
                across = opposite(order.side)
                size -= self.displayed.taken_at_best(order.symbol, across)
                traded = self._fill(
                    live, size, order.limit, is_maker=True, now_ns=now_ns
                )
                self.displayed.take(order.symbol, across, 0, traded)

    def _fill(
        self, live: Live, lots: int, price: int, *, is_maker: bool, now_ns: int
    ) -> int:
        """Trade up to `lots` of the order at `price`; how many it became."""
        order = live.order
        if is_maker and not self.resting.holds(live):
            return 0  # a rival has ended it within the same record
        room = self.holdings.room(order) if order.reduce_only else live.left
        lots = min(lots, live.left, room)
        if lots > 0:
            fee = self.holdings.fee(order.symbol, lots, price, is_maker)
            self._say(
                Fill(
                    order=order.id,
                    symbol=order.symbol,
                    side=order.side,
                    lots=lots,
                    price=price,
                    fee=fee,
                    is_maker=is_maker,
                    event_ns=now_ns,
                    number=live.fills,
                )
            )
            live.left, live.fills = live.left - lots, live.fills + 1
            self.holdings.trade(order, lots)
            self._end_rivals(order, now_ns)
        self._settle(live, now_ns)
        return max(lots, 0)

    def _end_rivals(self, order: Order, now_ns: int) -> None:
        """One cancels the others, those still to come as well."""
        if order.group:
            self._groups_over[order.group] = order.id
        for rival in self.resting.rivals(order):
            self.leave(rival, Cancelled, now_ns)

    def _settle(self, live: Live, now_ns: int) -> None:
        """A resting order that is filled, or has nothing left to reduce, leaves."""
        order = live.order
        if not self.resting.holds(live):
            return
        if not live.left:
            self.resting.remove(live)
        elif self.holdings.is_idle(order):
            self.leave(live, Expired, now_ns)

    def _fits(self, live: Live, asked: Replace) -> bool:
        """Whether the order can have these terms."""
        order = under_terms(live.order, asked)
        would_take = order.post_only and self.would_take(order)
        return asked.lots > live.done and has_terms(order) and not would_take


def _ahead(live: Live, price: int, size: int) -> float | None:
    """Lots of a trade that others took before the order; None: it is not known how
    many."""
    if price == live.order.limit:
        return live.queue.shrink(size)
    live.queue.join(0)  # they have all traded
    return 0


def _until_status(records: np.ndarray) -> int:
    """How many records pass under one status; a record that changes it is alone."""
    changes = np.flatnonzero(records["kind"] == STATUS)
    return max(int(changes[0]), 1) if len(changes) else len(records)
