"""A snapshot tells of the reference events that were missed, where it proves them.

Whatever was lost: behind the snapshot the terms are those of a hearer who has missed
nothing. A snapshot that miscounts, leaves one out or tells of another place proves
nothing, and all stays as it was without it.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, product

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot4jax.runtime.batches import Close
from bot4jax.runtime.device_terms import terms_after
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.ledger import (
    PAYMENTS,
    SLACK,
    EventLedger,
    attached,
    detached,
    is_complete,
    is_payment,
)
from bot4jax.runtime.messages import (
    CorporateAction,
    Entry,
    Funding,
    Ledger,
    Mark,
    News,
    Reference,
)
from bot4jax.runtime.publish import begun
from bot4jax.runtime.reference import acts_ns, carried, told
from bot4jax.runtime.standing import Standing
from bot4jax.runtime.terms import universe_after
from bot4jax.runtime.wire import decode, encode
from bot4jax.types import BEGIN, LEDGER, QUOTE, REFERENCE, TICK, TICKS, Frame
from tests.runtime.small_market import MARKET, new_terms

S, BAR, BARS = 3, 1_000, 10
ANCHORS = np.full(S, 3 * 2**20)  # whatever the splits, anchors stay whole


def split(bar: int, symbol: int, factor: float) -> CorporateAction:
    at = {"symbol": symbol, "event_ns": BAR * (bar + 1)}
    return CorporateAction(**at, action="split", factor=factor)


def quotes(bar: int, sequence: int) -> Frame:
    at_ns = BAR * bar + 100
    rows = [(QUOTE, 0, 0, s, at_ns, 99 + bar, 101 + bar, 5, 5) for s in range(S)]
    return Frame(1, 1, sequence, at_ns, np.array(rows, TICK))


def market(events: Sequence[tuple[int, Reference]]) -> list[Frame]:
    """Quotes of every bar, and behind them the frames of its events."""
    made: list[Frame] = []
    for bar in range(BARS):
        made.append(quotes(bar, _following(made)))
        for at, one in events:
            if at == bar:
                records = carried([one])
                sent_ns = BAR * bar + 200
                told = Frame(1, 1, _following(made), sent_ns, records, REFERENCE)
                made.append(told)
    return list(begun(made))


def _following(frames: Sequence[Frame]) -> int:
    return frames[-1].sequence + len(frames[-1].records) if frames else 0


def snapshot_of(frames: Sequence[Frame]) -> Frame:
    """What the desk of a publisher answers that has sent these, over the wire."""
    standing, ledger = Standing(S), EventLedger()
    for one in frames:
        if one.kind == TICKS:
            standing.absorb(one.records)
        ledger.absorb(one)
    return decode(encode(ledger.stated(standing.snapshot(frames[-1])), 7), 7)


def new_feed() -> Feed:
    return Feed(MARKET, ANCHORS, BAR, 0, capacity=16, skew_limit_ns=BAR)


def pushed(feed: Feed, *frames: Frame) -> list[Close]:
    found = [event for one in frames for event in feed.push(one)]
    return [one for one in found if isinstance(one, Close)]


def terms_of(feed: Feed) -> tuple:
    """What prices and lots mean from the open bar on."""
    names = ("increment", "lot", "margin")
    columns = [feed.universe.column(name).tolist() for name in names]
    return *columns, feed._open.anchors.tolist()


symbols = st.integers(0, S - 1)
bars = st.integers(0, BARS - 6)
any_event = st.one_of(
    st.builds(split, bars, symbols, st.sampled_from([2.0, 4.0, 0.5])),
    st.builds(
        lambda bar, symbol, power: new_terms(
            symbol, BAR * (bar + 1) - 300, increment=0.01 * 2.0**power, lot=2.0**-power
        ),
        *(bars, symbols, st.integers(-3, 3)),
    ),
    st.builds(
        lambda bar, symbol: Funding(symbol=symbol, event_ns=BAR * bar + 500, rate=1e-4),
        *(bars, symbols),
    ),
    st.builds(
        lambda bar, symbol, price: Mark(
            symbol=symbol, event_ns=BAR * bar + 500, price=price
        ),
        *(bars, symbols, st.integers(1, 99)),
    ),
    st.builds(
        lambda bar, lasts: News(
            event_ns=0, available_ns=BAR * bar + 400, until_ns=BAR * (bar + lasts)
        ),
        *(bars, st.integers(1, 5)),
    ),
)
plans = st.lists(st.tuples(bars, any_event), min_size=1, max_size=12).map(
    lambda plan: list(
        {str(one): (min(bar, acts_ns(one) // BAR), one) for bar, one in plan}.values()
    )
)
"""In which bar each is told; none twice, and none after it should have acted."""


# What a publisher keeps.


@settings(max_examples=150)
@given(plans, st.integers(1, 24))
def test_the_ledger_comes_to_what_all_events_come_to(events, stop):
    """Terms and news of those that still count are those of all; and each event of the
    others is accounted for."""
    frames = market(events)[:stop]
    _, ledger = detached(snapshot_of(frames))
    whole = [one for frame in frames for one in told_in(frame)]
    if ledger is None:
        assert not whole
        return
    assert is_complete(ledger)
    assert ledger.events == ledger.frames == len(whole)
    kept = [one.event for one in ledger.entries]
    assert terms(kept) == terms(whole)
    now_ns = max(one.sent_ns for one in frames if one.kind == TICKS)
    news = [one for one in whole if isinstance(one, News) and one.until_ns > now_ns]
    assert [one for one in kept if isinstance(one, News)] == news
    assert [one for one in kept if is_payment(one)] == list(filter(is_payment, whole))


def told_in(frame: Frame) -> list[Reference]:
    return told(frame.records) if frame.kind == REFERENCE else []


def terms(events: Sequence[Reference]) -> tuple:
    """What prices and lots mean after them."""
    _, anchors = terms_after(events, ANCHORS, MARKET)
    after = universe_after(MARKET, events)
    columns = [after.column(name).tolist() for name in ("increment", "lot")]
    return *columns, anchors.tolist()


def test_the_ledger_stays_small_whatever_is_told_over_and_over():
    ledger, sequence = EventLedger(), 0
    for k in range(3 * PAYMENTS):
        at_ns = 10 * k
        one = Mark(symbol=k % 2, event_ns=at_ns, price=1 + k)
        paid = Funding(symbol=2, event_ns=at_ns, rate=1e-4)
        for event in (one, paid, new_terms(1, at_ns, increment=1.0 + k)):
            records = carried([event])
            frame = Frame(1, 1, sequence, at_ns, records, REFERENCE, events=3 * k + 1)
            ledger.absorb(frame)
            sequence += len(records)
        last = Frame(1, 1, sequence, at_ns + 5, np.empty(0, TICK), events=9 * PAYMENTS)
        ledger.absorb(last)
    _, found = detached(ledger.stated(Standing(S).snapshot(last)))
    assert found is not None
    assert is_complete(found)
    assert found.events == 9 * PAYMENTS
    assert len(found.entries) < PAYMENTS + 2 * SLACK
    assert found.paid > 0


def test_what_is_not_understood_by_its_publisher_is_not_told():
    frames = market([(1, split(1, 0, 2.0))])
    broken = frames[2].records.copy()
    broken.view(np.uint8)[:8] = 0xFF
    frames[2] = frames[2]._replace(records=broken)
    assert not snapshot_of(frames).flags & LEDGER


# What a hearer takes up.


@settings(max_examples=150, deadline=None)
@given(plans, st.integers(0, 8), st.integers(1, 8))
def test_whatever_was_lost_the_terms_end_as_those_of_who_missed_nothing(
    events, first, dropped
):
    """A joiner, where the beginning is lost; a snapshot after every frame that leaves
    something missing, as a publisher answers."""
    frames = market(events)
    first = min(first, len(frames) - LEFT)
    resumed = min(first + dropped, len(frames) - LEFT)
    feed, undisturbed = new_feed(), new_feed()
    closings = pushed(undisturbed, *frames)
    found = pushed(feed, *frames[:first])
    for n in range(resumed, len(frames)):
        found += pushed(feed, frames[n])
        if feed.is_stale:
            found += pushed(feed, snapshot_of(frames[: n + 1]))
    assert terms_of(feed) == terms_of(undisturbed)
    assert not any(one.unheard for one in found)
    assert found[-1].is_told
    assert not feed.is_stale
    everything = [event for one in closings for event in one.events]
    heard = [event for one in found for event in one.events]
    for kind in (CorporateAction, Funding):
        whole = [one for one in everything if isinstance(one, kind)]
        ours = [one for one in heard if isinstance(one, kind)]
        left_out = [one for one in whole if whole.count(one) > ours.count(one)]
        assert not [one for one in ours if ours.count(one) > whole.count(one)]
        assert not left_out or kind is Funding
        doubted = {slot for one in found for slot in one.doubted}
        assert {one.symbol for one in left_out} <= doubted


LEFT = 4
"""Frames at the end that are always heard: quotes of bars without events."""


SPLIT = split(1, 0, 4.0)
FINER = new_terms(1, 2 * BAR, increment=0.0025)
PLAN: list[tuple[int, Reference]] = [(1, SPLIT), (1, FINER)]
"""At the same boundary, each in a frame of its own."""


@pytest.mark.parametrize("first", [0, 2])
def test_it_acts_at_the_boundary_after_the_snapshot_and_is_healed_in_the_new_terms(
    first,
):
    """Joined in bar 4, or with bars 1 to 3 lost: the snapshot's own quotes do not enter
    the open bar, which counts in the old terms; the next one's enter the next bar."""
    frames = market(PLAN)
    feed = new_feed()
    found = pushed(feed, *frames[:first], frames[6], snapshot_of(frames[:7]))
    assert feed.counters.snapshots == 0
    assert not feed._awaits
    assert sum(one.awaited for one in found) == 2
    assert not found[-1].is_told
    (acting,) = pushed(feed, frames[7])
    assert acting.events == (SPLIT, FINER)
    assert (acting.awaited, acting.unheard, acting.is_told) == (0, 0, True)
    assert acting.doubted == (0, 1)
    assert acting.masked == (0, 1, 2)
    assert acting.terms is not None
    assert feed.stale.all()
    (masked,) = pushed(feed, snapshot_of(frames[:8]), frames[8])
    assert masked.masked == (0, 1, 2)
    assert not feed.stale.any()
    (calm,) = pushed(feed, frames[9])
    assert (calm.masked, calm.doubted) == ((), ())


def test_what_has_not_missed_its_boundary_acts_as_if_it_had_been_heard():
    frames = market(PLAN)  # quotes of two bars, then the two events, bars 2 …
    later = [one._replace(sent_ns=one.sent_ns) for one in frames]
    last = later[3]  # the second event
    again = heartbeat_at(last, BAR + 300)
    feed, calm = new_feed(), new_feed()
    pushed(feed, *later[:2], again, snapshot_of([*later[:4]]))
    assert not feed.is_stale
    (ours, *_), (_, whole, *_) = pushed(feed, later[4]), pushed(calm, *later[:5])
    assert ours.events == whole.events == (SPLIT, FINER)
    assert ours.doubted == ()
    assert (ours.awaited, ours.is_told) == (2, True)
    assert terms_of(feed) == terms_of(calm)


SUBSETS = [some for n in (1, 2, 3) for some in combinations(range(3), n)]

WORDS: dict[str, Callable[[int, int], Reference]] = {
    "terms": lambda at_ns, k: new_terms(0, at_ns, increment=0.01 * 0.5**k),
    "mark": lambda at_ns, k: Mark(symbol=0, event_ns=at_ns, price=k),
}
"""Of which the last to act is what holds, by their time and number."""


@pytest.mark.parametrize("lost", SUBSETS, ids=str)
@pytest.mark.parametrize("retold_in", [1, 2, 3])
@pytest.mark.parametrize("kind", WORDS)
def test_what_is_retold_and_what_was_heard_act_in_the_order_they_should_have(
    kind, retold_in, lost
):
    """Three words on one instrument, told in bar 1 one behind the other, act at the
    next boundary or the one behind it; a snapshot in that bar tells those that were
    lost."""
    for acts in product((2, 3), repeat=3):
        words = [WORDS[kind](BAR * at, k) for k, at in enumerate(acts, 1)]
        frames = market([(1, one) for one in words])
        heard = [one for n, one in enumerate(frames) if n - 2 not in lost]
        sent = 4 + retold_in  # quotes of two bars, three words, the bars behind them
        before, behind = heard[: sent - len(lost)], heard[sent - len(lost) :]
        again = heartbeat_at(frames[sent - 1], BAR * retold_in + 300)
        feed, calm = new_feed(), new_feed()
        found = acted(pushed(feed, *before, again, snapshot_of(frames[:sent]), *behind))
        undisturbed = acted(pushed(calm, *frames))
        assert found[-1] == undisturbed[-1], acts
        assert terms_of(feed) == terms_of(calm), acts
        assert feed.counters.unheard == 0
        if retold_in == 1:  # in time: all of them act as they would have
            assert found == undisturbed, acts


def acted(closings: Sequence[Close]) -> list[Reference]:
    """All that has acted, in that order."""
    return [event for one in closings for event in one.events]


def heartbeat_at(last: Frame, at_ns: int) -> Frame:
    following = last.sequence + len(last.records)
    nothing = np.empty(0, TICK)
    return Frame(1, 1, following, at_ns, nothing, events=last.events)


def test_quotes_of_before_a_split_heal_nothing_after_it():
    """A symbol that has not been quoted since stays stale until it is."""
    frames = market([(1, SPLIT)])
    silent = [
        one._replace(records=one.records[one.records["symbol"] != 0])
        if one.kind == TICKS and one.sent_ns > 2 * BAR
        else one
        for one in frames
    ]
    numbered = list(renumbered(silent))
    feed = new_feed()
    pushed(feed, *numbered[:3], *numbered[4:6], snapshot_of(numbered[:6]))
    assert feed.stale.tolist() == [True, False, False]


def test_quotes_of_before_a_split_heal_nothing_where_the_snapshot_tells_of_none():
    """It was taken before its publisher told of the split, and comes behind it."""
    frames = market([(1, SPLIT)])
    before, told_of, bar_2, bar_3 = snapshot_of(frames[:2]), *frames[2:5]
    silent = bar_2._replace(records=bar_2.records[bar_2.records["symbol"] != 0])
    told_of, silent, bar_3 = renumbered_from(frames[1], told_of, silent, bar_3)
    feed = new_feed()
    pushed(feed, frames[0], told_of, silent)
    assert feed.stale.all()
    pushed(feed, before)
    assert feed.stale.tolist() == [True, False, False]


def renumbered_from(before: Frame, *frames: Frame) -> Iterator[Frame]:
    following = before.sequence + len(before.records)
    for one in frames:
        yield one._replace(sequence=following)
        following += len(one.records)


def by_two(frames: Sequence[Frame]) -> list[tuple[Frame, Frame]]:
    """Each frame as two publishers send it."""
    return [(one, one._replace(publisher=2)) for one in frames]


def test_what_another_publisher_told_in_time_acts_once():
    """The first one's frame was lost, and its snapshot comes within the bar."""
    frames = market([(1, SPLIT)])
    pairs = by_two(frames)
    again = heartbeat_at(frames[2], BAR + 300)
    feed, calm = new_feed(), new_feed()
    early = [*pairs[0], *pairs[1], pairs[2][1]]
    rest = [one for pair in pairs[3:] for one in pair]
    told_again = snapshot_of(frames[:3])
    found = pushed(feed, *early, again, told_again, *rest)
    pushed(calm, *early, pairs[2][0], *rest)
    assert [one.events for one in found if one.events] == [(SPLIT,)]
    assert terms_of(feed) == terms_of(calm)
    assert feed.counters.unheard == 0


def test_what_another_publisher_may_have_told_does_not_act_again():
    """It acted at its boundary; two bars later the first one's snapshot tells of it."""
    frames = market([(1, SPLIT)])
    pairs = by_two(frames)
    feed, calm = new_feed(), new_feed()
    early = [*pairs[0], *pairs[1], pairs[2][1]]
    pushed(calm, *early, pairs[2][0], *(one for pair in pairs[3:] for one in pair))
    found = pushed(feed, *early, *pairs[3], *pairs[4], snapshot_of(frames[:5]))
    found += pushed(feed, *(one for pair in pairs[5:] for one in pair))
    assert [one.events for one in found if one.events] == [(SPLIT,)]
    assert sum(one.unheard for one in found) == 1, "a person has to look"
    assert terms_of(feed) == terms_of(calm)


def renumbered(frames: Sequence[Frame]) -> Iterator[Frame]:
    following = 0
    for one in frames:
        yield one._replace(sequence=following)
        following += len(one.records)


def test_a_new_life_is_told_by_its_own_snapshots_alone():
    """It resumes at the next record, counts anew and tells of a split that gets lost;
    what its former life has told of and was missed, it cannot tell."""
    frames = market([(1, SPLIT), (4, FINER)])
    cut = 5  # quotes of bars 0, 1, the split, quotes of 2 and 3
    second = [one._replace(epoch=2, events=one.events - 1) for one in frames[cut:]]
    assert second[1].kind == REFERENCE
    feed = new_feed()
    pushed(feed, *frames[:cut], second[0], second[2])
    assert feed._awaits
    pushed(feed, snapshot_of(frames[:cut]))
    assert feed._awaits, "of the former life"
    (acting,) = pushed(feed, snapshot_of(second[:3]), second[3])
    assert acting.events == (FINER,)
    assert (acting.unheard, acting.is_told) == (0, True)

    other = new_feed()
    found = pushed(other, *frames[:2], *frames[3:cut])  # the split is lost
    assert other._awaits
    found += pushed(other, *second[:2], snapshot_of(second[:2]), *second[2:4])
    assert sum(one.unheard for one in found) == 1
    assert found[-1].is_told


# What proves nothing.


def lied(snapshot: Frame, **changes) -> Frame:
    alone, ledger = detached(snapshot)
    assert ledger is not None
    return attached(alone, msgspec.structs.replace(ledger, **changes))


def _less(ledger: Ledger, number: int) -> list[Entry]:
    return [one for one in ledger.entries if one.number != number]


def _dated(ledger: Ledger, since_ns: int) -> list[Entry]:
    """The first one at another time."""
    first, *others = ledger.entries
    return [msgspec.structs.replace(first, since_ns=since_ns), *others]


LIES: dict[str, Callable[[Frame, Ledger], Frame]] = {
    "one frame more": lambda f, one: lied(f, frames=one.frames + 1),
    "one frame less": lambda f, one: lied(f, frames=one.frames - 1),
    "another round": lambda f, one: lied(f, frames=one.frames + (1 << 16)),
    "the header's count": lambda f, one: f._replace(events=f.events + 1),
    "an event is left out": lambda f, one: lied(f, entries=_less(one, 1)),
    "the last is left out": lambda f, one: lied(f, entries=_less(one, 2)),
    "left out and not counted": lambda f, one: lied(
        f, entries=_less(one, 2), events=one.events - 1
    ),
    "all are over": lambda f, one: lied(f, entries=[], over=[(1, 1)]),
    "one is there and over": lambda f, one: lied(f, over=[(1, 1)]),
    "one more": lambda f, one: lied(f, events=one.events + 1),
    "turned": lambda f, one: lied(f, entries=one.entries[::-1]),
    "of a record to come": lambda f, one: lied(
        f,
        entries=[
            *one.entries[:-1],
            msgspec.structs.replace(one.entries[-1], sequence=f.sequence),
        ],
    ),
    "of no instrument": lambda f, one: lied(
        f,
        entries=[
            msgspec.structs.replace(one.entries[0], event=split(1, S, 4.0)),
            *one.entries[1:],
        ],
    ),
    "acts later than it was told": lambda f, one: lied(
        f, entries=_dated(one, since_ns=f.sent_ns + 100 * BAR)
    ),
    "acts before its own time": lambda f, one: lied(
        f, entries=_dated(one, since_ns=BAR)
    ),
    "no ledger": lambda f, one: detached(f)[0],
    "noise": lambda f, one: f._replace(
        records=np.concatenate([np.full(4, -1, "<i8").repeat(12).view(TICK), f.records])
    ),
}


@pytest.mark.parametrize("name", LIES)
@pytest.mark.parametrize("first", [0, 2])
def test_a_snapshot_that_lies_of_events_proves_nothing(name, first):
    """A person has to look, as if there were no ledger; the quotes heal all the same,
    as they do then."""
    frames = market(PLAN)
    true = snapshot_of(frames[:7])
    _, ledger = detached(true)
    assert ledger is not None
    assert [one.number for one in ledger.entries] == [1, 2]
    feed = new_feed()
    pushed(feed, *frames[:first], frames[6], LIES[name](true, ledger))
    (closed,) = pushed(feed, frames[7])
    assert (closed.unheard, closed.is_told, closed.events) == (2, True, ())
    assert closed.terms is None
    pushed(feed, true, frames[8])
    assert terms_of(feed) == terms_of(new_feed()), "it is too late for the truth"


def test_a_ledger_without_room_for_what_was_missed_proves_nothing():
    """The second event is lost; by the ledger both came before that gap."""
    frames = market(PLAN)
    true = snapshot_of(frames[:7])
    _, ledger = detached(true)
    assert ledger is not None
    moved = msgspec.structs.replace(ledger.entries[0], number=2)
    feed = new_feed()
    lie = lied(true, over=[(1, 1)], entries=[moved])
    found = pushed(feed, *frames[:3], frames[6], lie, frames[7])
    assert sum(one.unheard for one in found) == 1


def test_a_snapshot_from_before_the_gap_is_waited_on_behind():
    frames = market([(1, SPLIT), (3, FINER)])
    feed = new_feed()
    pushed(feed, *frames[:2], *frames[3:5], frames[6], snapshot_of(frames[:5]))
    assert feed._awaits, "it knows of one of the two"
    (acting,) = pushed(feed, snapshot_of(frames[:7]), frames[7])
    assert acting.events == (SPLIT, FINER)
    assert acting.unheard == 0


def test_new_terms_of_bars_that_were_believed_come_too_late():
    """Another publisher quoted the symbol meanwhile: its bars are wrong already."""
    frames = market([(1, SPLIT)])
    quoting = [one for one in frames if one.kind == TICKS]
    speaker = [one._replace(publisher=2, events=0) for one in renumbered(quoting)]
    telling = Frame(1, 1, 0, BAR, carried([SPLIT]), REFERENCE)
    (told_of,) = begun([telling])
    silent = heartbeat_at(told_of, 4 * BAR + 100)
    feed = new_feed()
    begin = Frame(1, 1, 0, 50, np.empty(0, TICK), flags=BEGIN)
    pushed(feed, begin, *speaker[:5], silent)
    assert feed._awaits
    standing, ledger = Standing(S), EventLedger()
    ledger.absorb(told_of)
    pushed(feed, ledger.stated(standing.snapshot(told_of)))
    closings = pushed(feed, speaker[5], heartbeat_at(told_of, 5 * BAR + 100))
    assert [one.unheard for one in closings if one.unheard] == [1]
    assert all(not one.events for one in closings)


def test_the_same_event_told_twice_and_heard_once_acts_once():
    frames = market([(1, SPLIT), (1, SPLIT)])
    feed, calm = new_feed(), new_feed()
    pushed(calm, *frames)
    pushed(feed, *frames[:2], *frames[3:5])
    pushed(feed, frames[5], snapshot_of(frames[:6]), *frames[6:8])
    pushed(feed, snapshot_of(frames[:8]), *frames[8:])
    assert terms_of(feed) == terms_of(calm)
    assert feed.counters.unheard == 0


def test_what_was_paid_before_is_not_booked_and_puts_its_symbol_in_doubt():
    """A payment to come is booked like any other."""
    funding = Funding(symbol=1, event_ns=BAR + 500, rate=1e-4)
    coming = Funding(symbol=2, event_ns=4 * BAR + 500, rate=1e-4)
    frames = market([(1, funding), (1, coming)])
    feed = new_feed()
    pushed(feed, frames[6], snapshot_of(frames[:7]))
    (closed,) = pushed(feed, frames[7])
    assert closed.events == (coming,)
    assert closed.doubted == (1,)
    assert (closed.unheard, closed.is_told) == (0, True)


def test_a_payment_that_is_not_told_any_more_puts_all_in_doubt():
    frames = market([(1, SPLIT)])
    feed = new_feed()
    late = lied(snapshot_of(frames[:6]), paid=1, over=[(2, 2)], events=2)
    pushed(feed, frames[5], late)
    (closed,) = pushed(feed, frames[6])
    assert closed.doubted == (0, 1, 2)
    assert closed.unheard == 0
