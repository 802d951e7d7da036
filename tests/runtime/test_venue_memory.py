"""A venue that runs for days keeps what may be asked for, and trades nothing twice."""

import tracemalloc
from typing import cast

import numpy as np
import pytest

from bot4jax.runtime import venue_memory
from bot4jax.runtime.orders import (
    MARKET_KINDS,
    TRIGGERED_KINDS,
    Answer,
    Cancel,
    Kind,
    Order,
    Query,
    Reject,
    Replace,
    Request,
    order_id,
)
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_memory import REMEMBERED
from bot4jax.runtime.venue_record import NoRecord
from bot4jax.runtime.venue_rules import Refusal
from bot4jax.types import BUY, SELL
from tests.runtime.test_venue import KINDS, UNIVERSE, quote, ticks

STEP_NS = 1_000
EACH = 6
"""Orders of one step."""


def order(step: int, leg: int, rng: np.random.Generator) -> Order:
    """Of any kind, some in groups, some that would rest for ever."""
    kind = cast(Kind, str(rng.choice(KINDS)))
    side, is_asleep = int(rng.choice([BUY, SELL])), kind in TRIGGERED_KINDS
    return Order(
        id=order_id("memory", step, 0, leg),
        symbol=0,
        side=BUY if side == BUY else SELL,
        lots=int(rng.integers(1, 4)),
        kind=kind,
        limit=0 if kind in MARKET_KINDS else int(rng.integers(97, 106)),
        trigger=int(rng.integers(97, 106)) if is_asleep else 0,
        step=step,
        expires_ns=(step + int(rng.choice([2, 10**9]))) * STEP_NS,
        group=order_id("group", step, 0, 0) if is_asleep else "",
    )


def asked(sent: list[Order], rng: np.random.Generator) -> list[Request]:
    """About orders whose answers an engine may not have heard yet, and copies."""
    late = sent[-(REMEMBERED // 2) * EACH :]
    some = [late[int(at)] for at in rng.integers(0, len(late), 4)]
    unheard = Query(order_id("unheard", sent[-1].step, 0, 0))
    replaced = Replace(some[0].id, int(rng.integers(1, 9)), some[0].limit)
    return [replaced, Cancel(some[1].id), Query(some[2].id), some[3], unheard]


class Day:
    """Steps of one engine at one venue, drawn from a seed."""

    def __init__(self, venue: PaperVenue, seed: int = 0) -> None:
        self.venue, self._rng = venue, np.random.default_rng(seed)
        self.step, self.sent = 0, []

    def pass_steps(self, count: int) -> list[Answer]:
        """All that is answered; what still rests of long ago is taken back."""
        answers: list[Answer] = []
        for _ in range(count):
            self.step += 1
            new = [order(self.step, leg, self._rng) for leg in range(EACH)]
            self.sent = (self.sent + new)[-REMEMBERED * EACH :]
            over = [Cancel(one.id) for one in self.sent[:EACH]]
            requests = [*new, *asked(self.sent, self._rng), *over]
            now_ns = self.step * STEP_NS
            self.venue.submit(requests, now_ns, step=self.step)
            bid = 100 + int(self._rng.integers(-2, 3))
            shown = ticks(quote(now_ns + STEP_NS // 2, bid, bid + 2))
            answers += self.venue.advance(shown, now_ns + STEP_NS)
        return answers


def test_what_is_kept_does_not_grow_with_the_orders():
    """By what the venue counts, and by the bytes that Python has allocated."""
    day = Day(PaperVenue(UNIVERSE, 300, NoRecord([], [])))
    resting = Order("f" * 16, 1, BUY, 5, "limit", limit=1)
    day.venue.submit([resting], 0)
    day.pass_steps(4 * REMEMBERED)
    tracemalloc.start()
    day.pass_steps(4 * REMEMBERED)
    usual, _ = tracemalloc.get_traced_memory()
    day.pass_steps(8 * REMEMBERED)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    most = 3 * REMEMBERED * (EACH + 1)
    assert REMEMBERED * EACH < len(day.venue.memory.known) < most
    assert after < 1.2 * usual, "three times as many orders, as many bytes"
    assert day.venue.open_orders.count(resting.id) == 1


def test_a_record_is_kept_only_where_one_is_wanted():
    judged, unjudged = Day(PaperVenue(UNIVERSE)), Day(PaperVenue(UNIVERSE))
    unjudged.venue.record = NoRecord([], [])
    assert judged.pass_steps(20) == unjudged.pass_steps(20)
    assert judged.venue.fills == len(judged.venue.record.fills) > 0
    assert unjudged.venue.fills == judged.venue.fills
    assert unjudged.venue.record == ([], [])


@pytest.mark.parametrize("seed", range(3))
def test_forgetting_changes_no_answer_that_may_be_asked_for(seed, monkeypatch):
    day = Day(PaperVenue(UNIVERSE, 300), seed)
    said = day.pass_steps(6 * REMEMBERED)
    monkeypatch.setattr(venue_memory, "REMEMBERED", 10**9)
    whole = Day(PaperVenue(UNIVERSE, 300), seed)
    assert whole.pass_steps(6 * REMEMBERED) == said
    assert whole.venue.record == day.venue.record
    assert len(whole.venue.memory.known) > 2 * len(day.venue.memory.known)


@pytest.mark.parametrize("dedupes", [True, False])
def test_what_was_forgotten_is_refused_and_never_trades_again(dedupes):
    """Not the order that has traded, and not the one that was only asked for."""
    venue = PaperVenue(UNIVERSE, dedupes=dedupes)
    venue.advance(ticks(quote(0)))
    bought = Order(order_id("old", 1, 0, 0), 0, BUY, 5, "market", step=1)
    held_back = Order(order_id("old", 2, 0, 0), 0, BUY, 5, "market", step=2)
    venue.submit([bought], 0, step=1)
    venue.submit([Query(held_back.id)], 0, step=2)
    assert len(venue.advance(ticks(quote(1)))) == 3
    venue.submit([], 1, step=2 + 2 * REMEMBERED)
    assert not venue.memory.known
    venue.submit([bought, held_back], 1)
    refused = [Reject(one.id, str(Refusal.FORGOTTEN), 1) for one in (bought, held_back)]
    assert venue.advance(ticks(quote(2))) == refused
    assert venue.position[0] == 5
    assert venue.fills == 1
