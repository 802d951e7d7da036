"""The paper venue: answers orders from displayed quotes, trades and a seed.

It never looks ahead. Its clock is the running maximum of event time. What an engine
decides at a boundary it decides later, by the time that the market's ticks take to it
and that it takes to compute; the order then takes its own time, and meets the quotes as
they stand when it arrives, that is before the first record whose clock is later. So the
answers do not depend on how the stream
of records is cut into batches. What may trade with what is `book.Book`'s to say.
"""

import heapq
from collections import deque
from collections.abc import Container, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe
from bot4jax.runtime.book import Book
from bot4jax.runtime.latency import Latency, draw
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.orders import (
    LARGEST,
    Ack,
    Answer,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Foreign,
    Order,
    Query,
    Reject,
    Replace,
    Request,
    has_terms,
)
from bot4jax.runtime.queues import conservative, probabilistic
from bot4jax.runtime.terms import changes_terms
from bot4jax.runtime.venue_memory import Known, Memory
from bot4jax.runtime.venue_record import NoRecord, Record
from bot4jax.runtime.venue_rules import Refusal, Rules, fee_shares
from bot4jax.schema.trading import Venue
from bot4jax.types import BUY, SELL, TICK, TRADING

SECOND_NS = 1_000_000_000


class Expiry(NamedTuple):
    """An order's own end, to come."""

    order: str


class PaperVenue:
    """One venue for the whole universe; deterministic for a seed."""

    def __init__(
        self,
        universe: Universe,
        latency_ns: int = 0,
        record: Record | None = None,
        **rules: Any,
    ) -> None:
        """`rules`: what `Rules` names; `record`: None keeps one of everything."""
        self.rules = Rules(latency_ns, **rules)
        self.record = Record([], []) if record is None else record
        self.fills = 0
        """how many there were"""
        power = self.rules.queue_power
        self.book = Book(
            universe,
            fee_shares(universe, self.rules),
            self._say,
            probabilistic(power) if power else conservative,
            self.rules.prevents_self_trades,
        )
        self._pending: list[tuple[int, int, Request | Expiry]] = []
        self._serial = 0
        self._arrived_ns: deque[int] = deque()
        """orders of the last second"""
        self.memory = Memory()
        self._outbox: list[Answer] = []
        self._foreign = 0

    @property
    def dedupes(self) -> bool:
        return self.rules.dedupes

    @property
    def prevents_self_trades(self) -> bool:
        return self.rules.prevents_self_trades

    @property
    def clock_ns(self) -> int:
        return self.book.clock_ns

    @property
    def position(self) -> Int[np.ndarray, " S"]:
        return self.book.holdings.position

    def submit(
        self,
        requests: Sequence[Request],
        now_ns: int,
        *,
        step: int = 0,
        is_decided: bool = True,
    ) -> None:
        """Take what was decided, or else sent, at `now_ns`; `advance` answers.

        Where it dedupes, an id that came before is not traded again: its answers are
        repeated. `step`: the engine's, where it says it beside its orders'.
        """
        steps = [one.step for one in requests if isinstance(one, Order)]
        self._forget(max(step, *steps, 0))
        sent_ns = now_ns + (self._thought_ns(now_ns) if is_decided else 0)
        for request in requests:
            self.record.hear(request)
            if not isinstance(request, Order) or self._is_new(request):
                self._await(sent_ns + self._latency_ns(request), request)

    def advance(
        self, records: np.ndarray, through_ns: int | None = None
    ) -> list[Answer]:
        """Let the market records (`TICK`, as they arrived) pass; what happened.

        `through_ns` moves the clock further, as a heartbeat does.
        """
        book = self.book
        clocks = np.maximum.accumulate(np.maximum(records["event_ns"], book.clock_ns))
        last_ns = int(clocks[-1]) if len(clocks) else book.clock_ns
        final_ns = last_ns if through_ns is None else max(last_ns, through_ns)
        start = 0
        while self._pending and self._pending[0][0] < final_ns:
            due_ns = self._pending[0][0]
            cut = max(start, int(np.searchsorted(clocks, due_ns, side="right")))
            book.absorb(records[start:cut], clocks[start:cut])
            start = cut
            while self._pending and self._pending[0][0] == due_ns:
                _, _, request = heapq.heappop(self._pending)
                self._arrive(request, max(due_ns, book.clock_ns))
        book.absorb(records[start:], clocks[start:])
        book.clock_ns = final_ns
        answers, self._outbox = self._outbox, []
        return answers

    def trade_otherwise(
        self, symbol: int, signed: int, price: int, reason: str
    ) -> None:
        """Somebody else trades on this account: a person, or the venue liquidates."""
        side = BUY if signed > 0 else SELL
        self.position[symbol] += signed
        said = Foreign(symbol, side, abs(signed), price, 0.0, self.clock_ns, reason)
        self._tell(msgspec.structs.replace(said, number=self._foreign))
        self._foreign += 1

    def hear(self, event: Reference) -> None:
        """What happens to an instrument, between two records.

        The venue keeps no account of money.
        """
        if not changes_terms(event):
            return
        for order, known in self._coming():
            known.is_outdated |= order.symbol == event.symbol
        self.book.change(event, lambda own: fee_shares(own, self.rules))

    def take_back(self) -> int:
        """Cancel all that rests, now; how many orders that were.

        What is on its way still arrives and trades what it can, but does not rest.
        """
        for _, known in self._coming():
            known.may_rest = False
        taken = self.book.resting.all()
        for live in taken:
            self.book.leave(live, Cancelled, self.clock_ns)
        return len(taken)

    def empty(self, cancels: Sequence[Cancel]) -> list[Answer]:
        """Take these orders back, and any other; what happened until none was left.

        The market stands still until what is on its way has come.
        """
        self.submit(cancels, self.clock_ns, is_decided=False)
        coming = [at for at, _, one in self._pending if not isinstance(one, Expiry)]
        nothing = np.empty(0, TICK)
        said = self.advance(nothing, max(coming, default=self.clock_ns) + 1)
        self.take_back()
        return [*said, *self.advance(nothing)]

    @property
    def open_orders(self) -> list[str]:
        """Ids of orders that rest in the book or are on their way to it."""
        return [*self.book.resting.by_id, *(one.id for one, _ in self._coming())]

    def _coming(self) -> list[tuple[Order, Known]]:
        """Orders on their way to the book."""
        orders = [one for _, _, one in self._pending if isinstance(one, Order)]
        return [(one, self.memory.known[one.id]) for one in orders]

    def _is_new(self, order: Order) -> bool:
        """Whether it is to be traded; else what is known of it is said."""
        if self.memory.is_forgotten(order):
            self._tell(Reject(order.id, str(Refusal.FORGOTTEN), self.clock_ns))
            return False
        known = self.memory.learn(order.id)
        if known.is_unheard or (self.dedupes and (known.said or known.coming)):
            self._outbox += known.answers
            return False
        known.said, known.group, known.coming = [], order.group, known.coming + 1
        return True

    def _forget(self, step: int) -> None:
        """What was over so long before this step that nobody asks for it any more."""
        dropped = self.memory.reach(step, self.book.resting.by_id.__contains__)
        if not dropped:
            return
        for name, known in dropped.items():
            self.book.forget(known.group, name)
        left = [one for one in self._pending if not _is_end_of(one[2], dropped)]
        heapq.heapify(left)
        self._pending = left

    def _await(self, due_ns: int, request: Request | Expiry) -> None:
        heapq.heappush(self._pending, (due_ns, self._serial, request))
        self._serial += 1

    def _thought_ns(self, boundary_ns: int) -> int:
        """From a boundary to the sending of what was decided at it."""
        rules = self.rules
        feed = rules.feed.of(rules.seed, f"feed|{boundary_ns}")
        return feed + rules.compute.of(rules.seed, f"compute|{boundary_ns}")

    def _latency_ns(self, request: Request) -> int:
        """From sending to the book; the same for a request whenever it is sent."""
        rules = self.rules
        name = request.id if isinstance(request, Order) else f"to {request.order}"
        own = Latency(rules.latency_ns, rules.latency_spread, rules.latencies)
        return own.of(rules.seed, f"latency|{name}|{request.sent_ns}")

    def _arrive(self, request: Request | Expiry, now_ns: int) -> None:
        if isinstance(request, Order):
            return self._enter(request, now_ns)
        live = self.book.resting.by_id.get(request.order)
        match request:
            case Expiry() if live is not None:
                self.book.leave(live, Expired, now_ns)
            case Cancel() if live is not None:
                self.book.leave(live, Cancelled, now_ns)
            case Replace() if live is not None:
                self.book.replace(live, request, now_ns)
            case Query():
                self._repeat(request.order, now_ns)
            case Cancel() if self._is_overtaken(request.order):
                self.memory.known[request.order].may_rest = False
            case Replace() if (due_ns := self._due_ns(request.order)) is not None:
                self._await(due_ns, request)
            case Cancel() | Replace():
                self._repeat(request.order, now_ns, last=1)
        return None

    def _due_ns(self, order: str) -> int | None:
        """When an order that is still on its way arrives."""
        own = (at for at, _, one in self._pending if getattr(one, "id", "") == order)
        return next(own, None)

    def _is_overtaken(self, order: str) -> bool:
        """Whether it is still on its way."""
        known = self.memory.known.get(order)
        return known is not None and not known.said

    def _enter(self, order: Order, now_ns: int) -> None:
        known = self.memory.known[order.id]
        known.coming -= 1
        if (refusal := self._refusal(order, now_ns)) is not None:
            return self._say(Reject(order.id, str(refusal), now_ns))
        self._say(Ack(order.id, now_ns))
        if 0 < order.expires_ns <= now_ns:
            return self._say(Expired(order.id, order.lots, now_ns))
        self.book.enter(order, now_ns, may_rest=known.may_rest)
        if order.expires_ns and order.id in self.book.resting.by_id:
            self._await(order.expires_ns, Expiry(order.id))
        return None

    def _repeat(self, order: str, now_ns: int, last: int = 0) -> None:
        """What was said of an order; one never heard of is refused for ever."""
        if (known := self.memory.known.get(order)) is not None:
            self._outbox += known.answers[-last:]
            return
        self.memory.learn(order).is_unheard = True
        self._say(Reject(order, str(Refusal.UNKNOWN_ORDER), now_ns))

    def _refusal(self, order: Order, now_ns: int) -> Refusal | None:
        """Why the order is rejected on arrival."""
        book = self.book
        if not 0 <= order.symbol < len(self.position):
            return Refusal.UNKNOWN_SYMBOL
        if not 0 < order.lots <= LARGEST:
            return Refusal.INVALID_SIZE
        if not has_terms(order):
            return Refusal.INVALID_PRICE
        if self.memory.known[order.id].is_outdated:
            return Refusal.OUTDATED
        if book.displayed.status[order.symbol] != TRADING:
            return Refusal.NOT_TRADING
        if self._is_too_many(now_ns):
            return Refusal.TOO_MANY
        if book.holdings.is_idle(order):
            return Refusal.WOULD_OPEN
        if order.post_only and book.would_take(order):
            return Refusal.WOULD_TAKE
        is_drawn = draw(self.rules.seed, order.id) < self.rules.reject_share
        return Refusal.AT_RANDOM if is_drawn else None

    def _is_too_many(self, now_ns: int) -> bool:
        """Whether as many as may have arrived within a second; else it is counted."""
        most, arrived = self.rules.orders_per_second, self._arrived_ns
        while arrived and now_ns - arrived[0] >= SECOND_NS:
            arrived.popleft()
        if most and len(arrived) >= most:
            return True
        if most:
            arrived.append(now_ns)
        return False

    def _say(self, answer: Answer) -> None:
        self.memory.note(answer)
        self._tell(answer)

    def _tell(self, answer: Answer) -> None:
        self.fills += isinstance(answer, Fill)
        self.record.tell(answer)
        self._outbox.append(answer)


def _is_end_of(pending: Request | Expiry, orders: Container[str]) -> bool:
    """Whether it is only there to end one of these."""
    return isinstance(pending, Expiry) and pending.order in orders


def configured(universe: Universe, own: Venue) -> PaperVenue:
    """The venue that the configuration describes; it keeps no record."""
    rules = Rules.from_config(own)._asdict()
    return PaperVenue(universe, record=NoRecord([], []), **rules)
