"""The paper venue: answers orders from displayed quotes, trades and a seed.

It never looks ahead. Its clock is the running maximum of event time; an order arrives
`latency_ns` after it was sent and meets the quotes as they stood then, that is before
the first record whose clock is later. So its answers do not depend on how the stream
of records is cut into batches.

What it assumes, on the careful side: our orders take displayed size and it stays taken
until the quote is stated anew; a resting order waits behind all that was displayed
at its price, and what leaves that queue is believed to have stood behind it unless the
quote proves otherwise; one trade fills at most its own size.
"""

import enum
import heapq
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe, notional
from bot4jax.runtime.displayed import Displayed
from bot4jax.runtime.orders import (
    LARGEST,
    Ack,
    Answer,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Order,
    Reject,
)
from bot4jax.runtime.resting import Live, Resting, by_priority, is_beyond
from bot4jax.types import BUY, QUOTE, SELL, TRADE, TRADING


class Refusal(enum.StrEnum):
    """Why the venue rejects an order; sent as the reason."""

    UNKNOWN_SYMBOL = "unknown symbol"
    INVALID_SIZE = "size is not a positive number of lots"
    INVALID_PRICE = "a limit order needs a positive price, a market order none"
    NOT_TRADING = "the instrument is not trading"
    WOULD_OPEN = "reduce-only, but there is nothing to reduce"
    WOULD_TAKE = "post-only, but it would trade at once"
    UNKNOWN_ORDER = "no order of this id to cancel"
    AT_RANDOM = "refused at random, as the configuration asks"


class Record(NamedTuple):
    """Everything the venue received and answered, in order: the judge in tests."""

    received: list[Order | Cancel]
    answers: list[Answer]

    @property
    def fills(self) -> list[Fill]:
        return [one for one in self.answers if isinstance(one, Fill)]


class PaperVenue:
    """One venue for the whole universe; deterministic for a seed."""

    def __init__(
        self,
        universe: Universe,
        latency_ns: int = 0,
        taker_fee: float | None = None,
        maker_fee: float | None = None,
        seed: int = 0,
        reject_share: float = 0.0,
        dedupes: bool = True,
    ) -> None:
        """Fees are basis points of notional; None: as each instrument states.

        A venue that does not dedupe trades an id again that it has traded before.
        """
        self.dedupes = dedupes
        self.universe, self.latency_ns = universe, latency_ns
        self.clock_ns = -(2**62)
        """running maximum of event time"""
        self.record = Record([], [])
        self.displayed = Displayed(len(universe.instruments))
        self.position = np.zeros(len(universe.instruments), np.int64)
        self._fees = _fee_shares(universe, taker_fee, maker_fee)
        self._seed, self._reject_share = seed, reject_share
        self._pending: list[tuple[int, int, Order | Cancel]] = []
        self._serial = 0
        self._resting = Resting()
        self._unwelcome: set[str] = set()
        """ids of orders that may not rest any more"""
        self._said: dict[str, list[Answer]] = {}
        """answers so far by order id; an id that is pending has none yet"""
        self._outbox: list[Answer] = []

    def submit(self, requests: Sequence[Order | Cancel], now_ns: int) -> None:
        """Take orders and cancels sent at `now_ns`; `advance` gives the answers.

        Where it dedupes, an id that came before is not traded again: its answers are
        repeated.
        """
        for request in requests:
            self.record.received.append(request)
            if isinstance(request, Order):
                if self.dedupes and request.id in self._said:
                    self._outbox += self._said[request.id]
                    continue
                self._said[request.id] = []
            entry = (now_ns + self.latency_ns, self._serial, request)
            heapq.heappush(self._pending, entry)
            self._serial += 1

    def advance(
        self, records: np.ndarray, through_ns: int | None = None
    ) -> list[Answer]:
        """Let the market records (`TICK`, as they arrived) pass; what happened.

        `through_ns` moves the clock further, as a heartbeat does.
        """
        clocks = np.maximum.accumulate(np.maximum(records["event_ns"], self.clock_ns))
        last_ns = int(clocks[-1]) if len(clocks) else self.clock_ns
        final_ns = last_ns if through_ns is None else max(last_ns, through_ns)
        start = 0
        while self._pending and self._pending[0][0] < final_ns:
            due_ns = self._pending[0][0]
            cut = max(start, int(np.searchsorted(clocks, due_ns, side="right")))
            self._pass(records[start:cut], clocks[start:cut])
            start = cut
            while self._pending and self._pending[0][0] == due_ns:
                _, _, request = heapq.heappop(self._pending)
                self._arrive(request, max(due_ns, self.clock_ns))
        self._pass(records[start:], clocks[start:])
        self.clock_ns = final_ns
        answers, self._outbox = self._outbox, []
        return answers

    def take_back(self) -> int:
        """Cancel all that rests, now; how many orders that were.

        What is on its way still arrives and trades what it can, but does not rest.
        """
        self._unwelcome |= {
            one.id for _, _, one in self._pending if isinstance(one, Order)
        }
        taken, self._resting = self._resting, Resting()
        for live in taken.by_id.values():
            self._say(Cancelled(live.order.id, live.left, self.clock_ns))
        return len(taken.by_id)

    @property
    def open_orders(self) -> list[str]:
        """Ids of orders that rest in the book or are on their way to it."""
        coming = [one.id for _, _, one in self._pending if isinstance(one, Order)]
        return [*self._resting.by_id, *coming]

    def _pass(self, records: np.ndarray, clocks: Int[np.ndarray, " N"]) -> None:
        """Market records without any arrival between them.

        The quotes are taken in at once; only what concerns resting orders is looked
        at one by one, after that, because a refreshed quote gives back taken size.
        """
        if not len(records):
            return
        self.displayed.absorb(records)
        self.clock_ns = int(clocks[-1])
        if self._resting.by_id:
            symbols = np.fromiter(self._resting.by_symbol, np.int64)
            rows = np.flatnonzero(np.isin(records["symbol"], symbols))
            for row, now_ns in zip(
                records[rows].tolist(), clocks[rows].tolist(), strict=True
            ):
                self._meet(row, now_ns)

    def _arrive(self, request: Order | Cancel, now_ns: int) -> None:
        if isinstance(request, Cancel):
            return self._cancel(request, now_ns)
        if (refusal := self._refusal(request)) is not None:
            return self._say(Reject(request.id, str(refusal), now_ns))
        self._say(Ack(request.id, now_ns))
        live = Live(request, request.lots)
        self._take(live, now_ns)
        if not live.left:
            return None
        if request.id in self._unwelcome:
            return self._say(Cancelled(request.id, live.left, now_ns))
        if request.kind == "limit":
            live.ahead = self.displayed.queue(
                request.symbol, request.side, request.limit
            )
            return self._resting.add(live)
        return self._say(Expired(request.id, live.left, now_ns))

    def _cancel(self, cancel: Cancel, now_ns: int) -> None:
        live = self._resting.by_id.get(cancel.order)
        if live is not None:
            self._resting.remove(live)
            self._say(Cancelled(cancel.order, live.left, now_ns))
        elif cancel.order in self._said:
            self._outbox += self._said[cancel.order][-1:]
        else:
            self._tell(Reject(cancel.order, str(Refusal.UNKNOWN_ORDER), now_ns))

    def _refusal(self, order: Order) -> Refusal | None:
        """Why the order is rejected on arrival."""
        if not 0 <= order.symbol < len(self.position):
            return Refusal.UNKNOWN_SYMBOL
        if not 0 < order.lots <= LARGEST:
            return Refusal.INVALID_SIZE
        if not (order.limit == 0 if order.kind == "market" else order.limit > 0):
            return Refusal.INVALID_PRICE
        if self.displayed.status[order.symbol] != TRADING:
            return Refusal.NOT_TRADING
        if order.reduce_only and not self._room(order):
            return Refusal.WOULD_OPEN
        if order.post_only and next(self._reachable(order), None):
            return Refusal.WOULD_TAKE
        is_drawn = _draw(self._seed, order.id) < self._reject_share
        return Refusal.AT_RANDOM if is_drawn else None

    def _room(self, order: Order) -> int:
        """Lots a reduce-only order may trade now."""
        held = int(self.position[order.symbol])
        return max(-held if order.side == BUY else held, 0)

    def _reachable(self, order: Order) -> Iterator[tuple[int, int, int]]:
        """(level, price, lots left) of the opposite side within the order's limit."""
        opposite = SELL if order.side == BUY else BUY
        for level, price, lots in self.displayed.side(order.symbol, opposite):
            if order.kind != "market" and is_beyond(price, order):
                return
            yield level, price, lots

    def _take(self, live: Live, now_ns: int) -> None:
        """Trade at once with what is displayed and not yet taken."""
        order = live.order
        opposite = SELL if order.side == BUY else BUY
        for level, price, lots in self._reachable(order):
            traded = self._fill(live, lots, price, is_maker=False, now_ns=now_ns)
            self.displayed.take(order.symbol, opposite, level, traded)
            if not live.left:
                return

    def _meet(self, row: tuple[int, ...], now_ns: int) -> None:
        """What one record means for the orders that rest in its instrument."""
        kind, side, _, symbol, _, a, b, c, d = row
        if kind == QUOTE:
            self.displayed.refresh(symbol)
        resting = by_priority(self._resting.by_symbol.get(symbol, ()))
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
            order, ahead = live.order, 0
            if side == order.side or is_beyond(price, order):
                continue
            if price == order.limit:
                if live.ahead is None:
                    continue
                ahead, live.ahead = live.ahead, max(live.ahead - size, 0)
            lots = left - ahead
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
                ahead = own_size if live.ahead is None else min(live.ahead, own_size)
                live.ahead = max(ahead, 0)
            if other > 0 and not is_beyond(other, order):
                opposite = SELL if is_buy else BUY
                size -= self.displayed.taken_at_best(order.symbol, opposite)
                traded = self._fill(
                    live, size, order.limit, is_maker=True, now_ns=now_ns
                )
                self.displayed.take(order.symbol, opposite, 0, traded)

    def _fill(
        self, live: Live, lots: int, price: int, *, is_maker: bool, now_ns: int
    ) -> int:
        """Trade up to `lots` of the order at `price`; how many it became."""
        order = live.order
        room = self._room(order) if order.reduce_only else live.left
        lots = min(lots, live.left, room)
        if lots > 0:
            fee = self._fee(order.symbol, lots, price, is_maker)
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
            self.position[order.symbol] += lots if order.side == BUY else -lots
        self._settle(live, now_ns)
        return max(lots, 0)

    def _settle(self, live: Live, now_ns: int) -> None:
        """A resting order that is filled, or has nothing left to reduce, leaves."""
        order = live.order
        if order.id not in self._resting.by_id:
            return
        if live.left and order.reduce_only and not self._room(order):
            self._say(Expired(order.id, live.left, now_ns))
        elif live.left:
            return
        self._resting.remove(live)

    def _fee(self, symbol: int, lots: int, price: int, is_maker: bool) -> float:
        instrument = self.universe.instruments[symbol]
        worth = notional(instrument, lots, price * instrument.increment)
        return worth * self._fees[symbol][is_maker]

    def _say(self, answer: Answer) -> None:
        self._said[answer.order].append(answer)
        self._tell(answer)

    def _tell(self, answer: Answer) -> None:
        self.record.answers.append(answer)
        self._outbox.append(answer)


def _draw(seed: int, order: str) -> float:
    """Uniform in [0, 1), the same for an id however often and whenever it comes."""
    digest = blake2b(f"{seed}|{order}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "little") >> 11) * 2.0**-53


def _fee_shares(
    universe: Universe, taker: float | None, maker: float | None
) -> list[tuple[float, float]]:
    """(taker, maker) share of notional by slot."""
    return [
        (
            one.taker_fee if taker is None else taker / 10_000,
            one.maker_fee if maker is None else maker / 10_000,
        )
        for one in universe.instruments
    ]
