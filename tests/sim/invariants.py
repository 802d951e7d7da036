"""What must be true of a run whose orders rest, whatever has befallen it.

Where something was taken back between two steps, what rests afterwards is rightly
another than in an undisturbed run. Then the venue's own story (`story.py`) is set
against the journal and the ledger, and against limits and distances worked out by hand.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.orders import (
    Ack,
    Cancel,
    Cancelled,
    Expired,
    Fill,
    Order,
    Query,
    Reject,
    Replace,
    Replaced,
    Request,
    named,
)
from bot4jax.runtime.patience import PATIENCE_NS
from bot4jax.types import BUY, SELL
from tests.runtime.scene import CAPITAL, LIMITS, SYMBOLS, UNIVERSE
from tests.sim.engine import RESTING, mids
from tests.sim.story import (
    ALL_BACK,
    Event,
    Heard,
    Moment,
    Standing,
    Story,
    end,
    moments,
)

BINDING = msgspec.structs.replace(LIMITS, max_position_share=0.07, max_gross=0.1)
"""Some of what these engines want is beyond both."""

STOPS = RESTING["distances"]
CENT = 0.01
"""Of a cash of a million: sums in another order differ in their last digits."""

QUIET = 4
"""Steps without news of a slot until its stops must fit: legs of the other side are
taken back, then new ones are sent, and either may be on its way for two steps."""


class Ledger(NamedTuple):
    """What an engine believes at its end."""

    lots: list[int]
    cash: float
    working: list[str]
    """orders that may still trade"""


class Found(NamedTuple):
    """Of one story."""

    lost: int
    """requests of the journal that the venue never got, its fills that the journal
    lacks"""
    doubled: int
    """requests that the journal lacks or the venue got twice, fills that it lacks"""
    broken: list[str]
    """sentences"""
    quiet: int
    """moments at which stops were compared with what they protect"""
    until: int
    """events before what rests had a right to be another than in a calm run"""


def examine(
    story: Story,
    journal: Sequence[StepRecord],
    ledger: Ledger,
    resting: Sequence[str],
    steps: int,
    shown: np.ndarray,
) -> Found:
    """`journal`: all of it, its end too; `resting`: what the venue says still does;
    `shown`: the market's quotes."""
    asked = Counter(one for step in journal for one in (*step.requests, *step.orders))
    got = Counter(as_decided(story, journal))
    known = dict.fromkeys(
        one for step in journal for one in step.answers if isinstance(one, Fill)
    )
    ours, theirs = Counter(list(known)), Counter(story.fills)
    protected = list(protection(story))
    return Found(
        lost=sum((asked - got).values()) + sum((theirs - ours).values()),
        doubled=sum((got - asked).values()) + sum((ours - theirs).values()),
        broken=[
            *numbering(story, steps),
            *strangers(story, journal),
            *bookkeeping(story, ledger),
            *remains(story, ledger, resting),
            *patience(story),
            *limits(story),
            *crossings(story, shown),
            *(one for one in protected if one),
        ],
        quiet=len(protected),
        until=disturbed_at(story, journal),
    )


def disturbed_at(story: Story, journal: Iterable[StepRecord]) -> int:
    """How many events came before what rests was taken back between two steps, or a
    step was decided or sent by an engine that a person had stopped."""
    active = {one.step for one in journal if one.state == TradingState.ACTIVE}
    begun = 0
    for n, one in enumerate(story.events):
        if isinstance(one, Heard):
            begun = n
        if isinstance(one, Query) or (
            isinstance(one, Heard) and one.step not in active
        ):
            return begun
    return len(story.events)


def as_decided(story: Story, journal: Sequence[StepRecord]) -> Iterator[Request]:
    """Requests of steps as the venue got them. A person who stops an engine holds back
    what opens in a step that has not left yet: it is asked for instead, and refused for
    ever, so it counts as what it was."""
    own = {one.id: one for step in journal for one in step.orders}
    orders = {one.id for one in story.received if isinstance(one, Order)}
    refused = {one.order for one in story.answers if isinstance(one, Reject)}
    for one in story.decided:
        name = one.order if isinstance(one, Query) else ""
        is_held_back = name in own and name in refused and name not in orders
        yield own[name] if is_held_back else one


def numbering(story: Story, steps: int) -> Iterator[str]:
    """Every step once, in its order; no order's id twice, nor a fill's."""
    heard = [one.step for one in story.events if isinstance(one, Heard)]
    if [n for n in heard if n != ALL_BACK] != list(range(1, steps + 1)):
        yield f"the venue heard the steps {heard}"
    ids = Counter(one.id for one in story.received if isinstance(one, Order))
    keys = Counter(one.key for one in story.fills)
    for name, count in [*ids.items(), *keys.items()]:
        if count > 1:
            yield f"{name} came {count} times"


def strangers(story: Story, journal: Iterable[StepRecord]) -> Iterator[str]:
    """Whatever the venue was told of is about an order of the journal, to its terms."""
    own = {one.id: one for step in journal for one in step.orders}
    for one in story.received:
        if named(one) not in own:
            yield f"the journal knows no {one}"
        elif isinstance(one, Order) and own[one.id] != one:
            yield f"in the journal {one} is {own[one.id]}"


def bookkeeping(story: Story, ledger: Ledger) -> Iterator[str]:
    """What is owned and what was paid for it, by the venue's fills alone."""
    standing = end(story)
    lots = [standing.held(slot) for slot in range(SYMBOLS)]
    if lots != ledger.lots:
        yield f"the fills come to {lots} lots, the ledger to {ledger.lots}"
    if not abs(cash(story.fills) - ledger.cash) < CENT:
        yield f"the fills leave {cash(story.fills)}, the ledger has {ledger.cash}"


def remains(story: Story, ledger: Ledger, resting: Sequence[str]) -> Iterator[str]:
    """Nothing, anywhere, once the run is over."""
    left = [*end(story).left]
    for whose, names in zip(
        ("venue", "story", "engine"), (resting, left, ledger.working), strict=True
    ):
        if names:
            yield f"by the {whose} {', '.join(names)} still rest"


def patience(story: Story) -> Iterator[str]:
    """What is asked about an order is asked again once it is answered, or after a
    pause: whoever begins anew knows what is under way."""
    under_way, step = dict[tuple[str, type], int](), ALL_BACK
    for one in story.events:
        if isinstance(one, Heard):
            step = one.step
        elif isinstance(one, Replaced):
            under_way.pop((one.order, Replace), None)
        elif isinstance(one, Cancel | Replace) and step != ALL_BACK:
            asked = one.order, type(one)
            asked_ns = under_way.get(asked, -PATIENCE_NS)
            if one.sent_ns - asked_ns < PATIENCE_NS:
                yield f"step {step} asks too soon for {one} once more"
            under_way[asked] = one.sent_ns


def limits(story: Story) -> Iterator[str]:
    """What each step opened, at worst: whatever rests on one side trades, and what
    leaves too. Prices are the mids of its boundary."""
    fills = list[Fill]()
    for moment in moments(story):
        fills += (one for one in moment.since if isinstance(one, Fill))
        orders = (one for one in moment.requests if isinstance(one, Order))
        opened = [one for one in orders if not one.reduce_only]
        if not opened:
            continue
        worth = [_price(slot, mids(moment.step - 1)[slot]) for slot in range(SYMBOLS)]
        held = [moment.standing.held(slot) for slot in range(SYMBOLS)]
        nav = cash(fills) + sum(n * one for n, one in zip(held, worth, strict=True))
        most = [_at_worst(moment, slot) * worth[slot] for slot in range(SYMBOLS)]
        for slot in {order.symbol for order in opened}:
            if not most[slot] <= BINDING.max_position_share * nav:
                yield f"step {moment.step} lets slot {slot} come to {most[slot]}"
        if not sum(most) <= BINDING.max_gross * nav:
            yield f"step {moment.step} lets all come to {sum(most)}"


def crossings(story: Story, shown: np.ndarray) -> Iterator[str]:
    """No order of ours could have traded with another: of two that stand in the book
    neither is at a price that the other trades at, and none takes from the market what
    is no better than one of ours. When a stop-limit wakes these quotes tell; while
    everything is taken back the market stands still."""
    standing, placed, now_ns, whole = Standing(), dict[str, int](), 0, shown
    for one in story.events:
        if isinstance(one, Heard):
            is_still = one.step == ALL_BACK
            has_come = whole["event_ns"] <= one.boundary_ns
            shown = whole[has_come] if is_still else whole
        event_ns = now_ns if isinstance(one, Heard | Request) else one.event_ns
        if event_ns > now_ns:
            yield from _across(list(_in_book(standing, placed, now_ns, shown)))
            now_ns = event_ns
        if isinstance(one, Fill) and not one.is_maker:
            taker = msgspec.structs.replace(standing.orders[one.order], limit=one.price)
            book = _in_book(standing, placed, now_ns, shown, now_ns - 1)
            yield from _across([taker, *book], 1)
        standing.follow(one)
        if isinstance(one, Ack | Replaced):
            placed[one.order] = one.event_ns


def _across(book: Sequence[Order], first: int | None = None) -> Iterator[str]:
    """Pairs that would trade with each other, each once; `first`: only those of so many
    at the beginning."""
    for n, own in enumerate(book[:first]):
        for other in book[n + 1 :]:
            if own.symbol == other.symbol and _cross(own, other):
                yield f"{own} stood across {other}"


def _in_book(
    standing: Standing,
    placed: Mapping[str, int],
    now_ns: int,
    shown: np.ndarray,
    woken_ns: int | None = None,
) -> Iterator[Order]:
    """What rests at a limit, by the quotes up to now.

    `woken_ns`: up to when a stop-limit has come and woken, else now as well. Within one
    moment nobody here knows whether it has before another order takes.
    """
    woken_ns = now_ns if woken_ns is None else woken_ns
    for name in standing.left:
        order = standing.orders[name]
        if name not in placed or order.kind not in ("limit", "stop_limit"):
            continue
        since_ns = placed[name]
        is_awake = since_ns <= woken_ns and _has_woken(order, since_ns, woken_ns, shown)
        if order.kind == "limit" or is_awake:
            yield order


def _has_woken(order: Order, since_ns: int, now_ns: int, shown: np.ndarray) -> bool:
    """Whether the quote that stood, or one since, was as bad as its trigger."""
    own = shown[(shown["symbol"] == order.symbol) & (shown["event_ns"] <= now_ns)]
    first = max(int((own["event_ns"] <= since_ns).sum()) - 1, 0)
    prices = own["b"][first:] if order.side == BUY else -own["a"][first:]
    sign = 1 if order.side == BUY else -1
    return bool((prices >= sign * order.trigger).any())


def _cross(one: Order, other: Order) -> bool:
    """Whether the buyer of the two pays as much as the seller asks for."""
    buys = [own.limit for own in (one, other) if own.side == BUY]
    sells = [own.limit for own in (one, other) if own.side == SELL]
    return bool(buys and sells) and buys[0] >= sells[0]


def protection(story: Story) -> Iterator[str]:
    """A word for every slot at every quiet moment; empty where its stops fit."""
    news = [[QUIET] * SYMBOLS]
    entries, fills = [0.0] * SYMBOLS, list[Fill]()
    for moment in moments(story):
        news = [*news, [_news(moment, slot) for slot in range(SYMBOLS)]][-QUIET:]
        fills += (one for one in moment.since if isinstance(one, Fill))
        for slot in range(SYMBOLS):
            if not any(one[slot] for one in news):
                entries[slot] = entry([one for one in fills if one.symbol == slot])
                yield _fits(moment, slot, entries[slot])


def cash(fills: Iterable[Fill]) -> float:
    """What is left of the capital once these are paid for."""
    spent = [
        _price(one.symbol, one.price) * one.lots * (1 if one.side == BUY else -1)
        for one in fills
    ]
    return math.fsum([CAPITAL, *(-one for one in spent), *(-one.fee for one in fills)])


def entry(fills: Iterable[Fill]) -> float:
    """Average price, in increments, of what one instrument's fills have left."""
    held, price = 0, 0.0
    for one in fills:
        signed = one.lots if one.side == BUY else -one.lots
        after = held + signed
        if held * after <= 0 and after:
            price = float(one.price)
        elif abs(after) > abs(held):
            price = (abs(held) * price + one.lots * one.price) / abs(after)
        held = after
    return price


def _fits(moment: Moment, slot: int, entry: float) -> str:
    """Whether one stop and one take-profit cover what is held, and no more."""
    held, where = moment.standing.held(slot), f"step {moment.step}, slot {slot}"
    legs = [(one, left) for one, left in moment.standing.live(slot) if one.group]
    sides = {one.side for one, _ in legs}
    kinds = sorted(one.kind for one, _ in legs)
    wanted = ["stop_limit", "take_profit"] if held else []
    if kinds != wanted or sides - {SELL if held > 0 else BUY}:
        return f"{where}: {held} lots are protected by {kinds} of sides {sides}"
    for one, left in legs:
        bps = -STOPS.stop_bps if one.kind == "stop_limit" else STOPS.profit_bps
        trigger = entry * (1 + math.copysign(bps, bps * held) / 10_000)
        if left != abs(held):
            return f"{where}: a {one.kind} of {left} lots for {held}"
        if not abs(one.trigger - trigger) <= 1:  # it is rounded away from the entry
            return f"{where}: a {one.kind} at {one.trigger} for {trigger}"
    return ""


def _news(moment: Moment, slot: int) -> int:
    """Whether something has happened that stops must follow, or that ended one."""
    since, orders = moment.since, moment.standing.orders
    asked = {one.order for one in since if isinstance(one, Cancel)}
    if any(isinstance(one, Heard) and one.step == ALL_BACK for one in since):
        return 1
    return sum(_concerns(one, slot, orders, asked) for one in since)


def _concerns(event: Event, slot: int, orders: dict, asked: set[str]) -> bool:
    if isinstance(event, Fill):
        return event.symbol == slot
    if not isinstance(event, Cancelled | Expired) or event.order in asked:
        return False
    return orders[event.order].symbol == slot and bool(orders[event.order].group)


def _at_worst(moment: Moment, slot: int) -> int:
    """Lots that a position may come to, either way; what protects it only reduces."""
    live = [(one, left) for one, left in moment.standing.live(slot) if not one.group]
    new = [one for one in moment.requests if isinstance(one, Order) and not one.group]
    live += [(one, one.lots) for one in new if one.symbol == slot]
    bought = sum(left for one, left in live if one.side == BUY)
    sold = sum(left for one, left in live if one.side == SELL)
    held = moment.standing.held(slot)
    return max(abs(held + bought), abs(held - sold))


def _price(slot: int, increments: int) -> float:
    one = UNIVERSE.instruments[slot]
    return increments * one.increment * one.lot * one.multiplier
