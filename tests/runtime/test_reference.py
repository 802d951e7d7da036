"""Events that are no ticks: numbered like ticks, acting between two bars, once."""

import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot4jax.runtime.batches import Close
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.inputs import arrival, packed
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.limits import Reason, TradingState
from bot4jax.runtime.messages import (
    CorporateAction,
    Funding,
    Mark,
    MessageError,
    News,
    Reference,
)
from bot4jax.runtime.publish import Arrival, begun, heartbeat
from bot4jax.runtime.reference import Headlines, carried, tell_news, told
from bot4jax.runtime.screen import Drop
from bot4jax.runtime.standing import Standing
from bot4jax.runtime.states import OF_PEOPLE, Cause, States
from bot4jax.runtime.ticks_record import TickRecord, recorded
from bot4jax.runtime.wire import decode, encode
from bot4jax.types import BEGIN, QUOTE, REFERENCE, SELL, TICK, Frame
from tests.runtime.scene import BAR_NS, START_NS, Scene
from tests.runtime.small_market import MARKET, new_terms

ANCHORS = np.full(len(MARKET.instruments), 100)
BAR = 1_000

FUNDING = Funding(symbol=1, event_ns=900, rate=0.001)
SPLIT = CorporateAction(symbol=0, event_ns=1_000, action="split", factor=7.0)
DIVIDEND = CorporateAction(symbol=0, event_ns=1_000, action="dividend", amount=0.5)
MARK = Mark(symbol=1, event_ns=800, price=120)
NEWS = News(event_ns=5_000, available_ns=400, until_ns=2_500, text="rates")
CHANGE = new_terms(2, 1_500, increment=0.5)
EVENTS: list[Reference] = [FUNDING, SPLIT, DIVIDEND, MARK, NEWS, CHANGE]


def quotes(sequence: int, event_ns: int, **changes) -> Frame:
    rows = [(QUOTE, 0, 0, s, event_ns, 99, 101, 5, 5) for s in range(len(ANCHORS))]
    return Frame(1, 1, sequence, event_ns, np.array(rows, TICK))._replace(**changes)


def reference(sequence: int, *events: Reference, sent_ns: int = 1) -> Frame:
    return Frame(1, 1, sequence, sent_ns, carried(events), REFERENCE, events=1)


def pushed(feed: Feed, *frames: Frame) -> list[Close]:
    found = [event for one in frames for event in feed.push(one)]
    return [one for one in found if isinstance(one, Close)]


def new_feed() -> Feed:
    return Feed(MARKET, ANCHORS, BAR, 0, capacity=16, skew_limit_ns=300)


@given(st.lists(st.sampled_from(EVENTS), min_size=1, max_size=9))
def test_events_come_back_from_the_wire_the_record_and_the_restart(events):
    frame = reference(7, *events)
    assert told(frame.records) == events
    assert told(decode(encode(frame, 3), 3).records) == events
    again = arrival(packed(Arrival(frame, 0.0, 9))).frame
    assert again is not None
    assert (again.kind, told(again.records)) == (REFERENCE, events)


def test_a_replay_finds_them_where_they_were(tmp_path):
    frames = [quotes(0, 5), reference(3, *EVENTS), quotes(20, 8)]
    with TickRecord(tmp_path) as record:
        list(record.heard(Arrival(one, 0.0, 1) for one in frames))
    found = [one.frame for one in recorded(tmp_path) if one.frame is not None]
    assert [one.kind for one in found] == [1, REFERENCE, 1]
    assert told(found[1].records) == EVENTS


@given(st.binary(max_size=200))
def test_what_cannot_be_understood_is_counted_and_holds_what_opens(content):
    """It may have been a split or a halt: it counts as an event that was missed."""
    padded = content.ljust(-(-len(content) // 48) * 48, b"\0")
    records = np.frombuffer(padded, TICK)
    feed = new_feed()
    pushed(feed, quotes(0, 5, flags=BEGIN))
    (closed,) = pushed(
        feed,
        Frame(1, 1, 3, 5, records, REFERENCE),
        quotes(3 + len(records), 1_001),
    )
    assert (closed.events, closed.unheard) == ((), 1)
    assert feed.counters.gaps == 0
    assert feed.counters.dropped == {Drop.REFERENCE: 1}


def test_bounds_hold_for_every_number():
    for one in (
        Funding(symbol=1, event_ns=900, rate=float("nan")),
        CorporateAction(symbol=0, event_ns=1, action="split", factor=0.0),
        CorporateAction(symbol=0, event_ns=1, action="split", factor=1e-300),
        Mark(symbol=0, event_ns=1, price=-1),
        Mark(symbol=0, event_ns=1, price=0),
    ):
        with pytest.raises(MessageError, match="Refused"):
            told(carried([one]))


def test_an_event_acts_at_the_first_boundary_that_its_time_has_reached_once():
    feed = new_feed()
    frame = reference(3, FUNDING, SPLIT, NEWS, CHANGE)
    following = 3 + len(frame.records)
    closings = pushed(
        feed,
        quotes(0, 5, flags=BEGIN),
        frame,
        frame,  # a repetition
        quotes(following, 1_001, events=1),
        quotes(following + 3, 3_001, events=1),
    )
    assert [one.events for one in closings] == [(FUNDING, SPLIT, NEWS), (CHANGE,), ()]
    assert [one.masked for one in closings] == [(), (), ()]
    assert [one.terms is None for one in closings] == [False, False, True]
    assert feed.stale.tolist() == [False, False, False]
    assert feed.universe.column("increment").tolist() == [0.01, 0.01, 0.5]
    assert feed.counters.sent == 9


MANY: list[Reference] = [
    Funding(symbol=k % 3, event_ns=BAR * k + 500, rate=1e-4 * k) for k in range(6)
]


def told_in_between() -> list[Frame]:
    """Quotes, an event in every bar but the last, and a heartbeat, in turn."""
    made: list[Frame] = []
    for k, event in enumerate([*MANY, None]):
        made.append(quotes(following(made), BAR * k + 10))
        if event is not None:
            made.append(reference(following(made), event, sent_ns=BAR * k + 20))
    made.append(heartbeat(made[-1], BAR * len(MANY) + 900))
    return list(begun(made))


def following(frames: list[Frame]) -> int:
    return frames[-1].sequence + len(frames[-1].records) if frames else 0


@given(st.integers(1, 13), st.integers(1, 5), st.booleans())
def test_no_event_is_missed_unseen_and_no_snapshot_hides_it(first, dropped, is_healed):
    """However many frames are lost: what was lost of events is counted at the next."""
    frames = told_in_between()
    lost, left = frames[first : first + dropped], frames[first + dropped :]
    feed = new_feed()
    closings = pushed(feed, *frames[:first], *left[:1])
    if is_healed and left:
        standing = Standing(3)
        standing.absorb(quotes(0, frames[first].sent_ns).records)
        closings += pushed(feed, standing.snapshot(left[0]))
    closings += pushed(feed, *left[1:])
    closings += pushed(feed, heartbeat(frames[-1], 9 * BAR))
    missed = sum(one.kind == REFERENCE for one in lost)
    assert sum(one.awaited for one in closings) == missed
    is_refused = is_healed and bool(left)  # a snapshot that tells of no events
    assert sum(one.unheard for one in closings) == (missed if is_refused else 0)
    assert closings[-1].is_told == (is_refused or not missed)
    heard = [event for one in closings for event in one.events]
    assert len(heard) + missed == len(MANY)


def test_of_a_publisher_that_counts_no_events_none_is_held_to_be_missed():
    feed = new_feed()
    closings = pushed(feed, *(one._replace(events=0) for one in told_in_between()))
    assert sum(len(one.events) for one in closings) == len(MANY)
    assert not any(one.unheard or one.awaited for one in closings)


@given(st.sampled_from([0, 100]), st.integers(1, 13))
def test_a_new_life_that_tells_again_lets_no_event_act_twice(shift, died_after):
    """Each acts once, or counts as missed; a person looks what is true."""
    frames = told_in_between()
    again = [one._replace(epoch=2, sequence=one.sequence + shift) for one in frames]
    feed = new_feed()
    closings = pushed(feed, *frames[:died_after], *again)
    closings += pushed(feed, heartbeat(again[-1], 9 * BAR))
    heard = [event for one in closings for event in one.events]
    assert len(set(map(str, heard))) == len(heard)
    had_told = any(one.kind == REFERENCE for one in frames[:died_after])
    assert any(one.unheard for one in closings) == had_told


def test_a_late_joiner_knows_that_it_has_missed_events():
    feed = new_feed()
    late = pushed(feed, *told_in_between()[4:])
    assert sum(one.awaited for one in late) == 2
    assert not late[-1].is_told


def test_missed_events_let_only_reductions_pass_until_a_person_has_looked(tmp_path):
    scene = Scene(tmp_path, lambda step: (0.1 * step, 0.0, 0.0))
    scene.trader.start()
    assert stepped(scene, 0).orders
    found = scene.closed(1)._replace(unheard=2)
    assert scene.trader.step(found).denied[0].reason == Reason.REDUCING
    assert not stepped(scene, 2).orders
    scene.states.lift(Cause.UNHEARD, "a person has looked")
    assert stepped(scene, 3).orders
    assert Cause.UNHEARD in OF_PEOPLE
    scene.journal.close()


def test_an_event_of_no_instrument_is_refused_alone():
    feed = new_feed()
    stranger = Funding(symbol=9, event_ns=1, rate=0.1)
    frame = reference(3, stranger, FUNDING)
    pushed(feed, quotes(0, 5, flags=BEGIN), frame)
    (closed,) = pushed(feed, quotes(3 + len(frame.records), 1_001, events=1))
    assert (closed.events, closed.unheard) == ((FUNDING,), 1)
    assert feed.counters.dropped == {Drop.REFERENCE: 1}


def test_the_venue_is_not_confused_by_them():
    intake = Intake(MARKET.hash, ANCHORS, 300)
    frame = reference(3, *EVENTS)
    heard = [
        len(intake.take(one).records)
        for one in (quotes(0, 5), frame, quotes(3 + len(frame.records), 6, events=1))
    ]
    assert heard == [3, 0, 3]
    assert not intake.refused


# What they do to what is owned and to what may leave.


def stepped(scene: Scene, bar: int, *events: Reference, mids: Sequence[int] = ()):
    closed: Closed = scene.closed(bar, tuple(mids) or (200, 200, 200))
    return scene.trader.step(closed._replace(events=events))


def held(step: int) -> tuple[float, float, float]:
    """Half of the capital in the first, short a tenth in the second."""
    return 0.5, -0.1, 0.0


def owning(folder: Path) -> Scene:
    """A scene that holds the first and is short the second."""
    scene = Scene(folder, held)
    scene.trader.start()
    for bar in range(3):
        stepped(scene, bar)
    assert scene.account.portfolio.lots[0] > 0 > scene.account.portfolio.lots[1]
    return scene


def test_funding_is_paid_by_long_and_received_by_short_at_the_mark(tmp_path):
    scene = owning(tmp_path)
    portfolio = scene.account.portfolio
    nav, cash = portfolio.nav(), portfolio.flows.sum()
    portfolio.hear(Mark(symbol=1, event_ns=1, price=300))
    for symbol in range(3):
        portfolio.hear(Funding(symbol=symbol, event_ns=1, rate=0.01))
    # increments of .5: the first has no mark and is paid at its mid
    prices = np.array([100.0, 150.0, 0.0])
    expected = 0.01 * portfolio.lots * prices
    np.testing.assert_allclose(portfolio.funding, expected)
    assert portfolio.nav() == pytest.approx(nav - expected.sum())
    assert portfolio.flows.sum() == pytest.approx(cash - expected.sum())
    assert stepped(scene, 3).equity.funding == pytest.approx(expected.sum())
    scene.journal.close()


def test_the_loop_hands_them_on(tmp_path):
    scene = owning(tmp_path)
    paying = Funding(symbol=0, event_ns=1, rate=0.01)
    assert stepped(scene, 3, paying).equity.funding == 0  # valued before it acts
    paid = scene.account.portfolio.funding[0]
    assert paid > 0
    assert stepped(scene, 4).equity.funding == pytest.approx(paid)
    scene.journal.close()


def test_a_dividend_is_received_on_what_is_held(tmp_path):
    scene = owning(tmp_path)
    portfolio = scene.account.portfolio
    nav = portfolio.nav()
    portfolio.hear(DIVIDEND)
    assert portfolio.nav() == pytest.approx(nav + 0.5 * portfolio.lots[0])
    scene.journal.close()


@pytest.mark.parametrize("factor", [7.0, 1.5, 0.1])
def test_a_split_changes_lots_and_cost_but_no_worth(tmp_path, factor):
    scene = owning(tmp_path)
    portfolio = scene.account.portfolio
    lots, entry, nav = portfolio.lots[0], portfolio.entry[0], portfolio.nav()
    portfolio.hear(CorporateAction(symbol=0, event_ns=1, action="split", factor=factor))
    assert portfolio.lots[0] == int(lots * factor)
    assert portfolio.entry[0] == pytest.approx(entry / factor)
    assert portfolio.nav() == pytest.approx(nav)
    scene.journal.close()


def test_new_terms_change_lots_and_prices_but_no_worth(tmp_path):
    """Finer increments, and lots a third as large, for which floats have no number."""
    scene = owning(tmp_path)
    portfolio = scene.account.portfolio
    lots, entry, nav = portfolio.lots.copy(), portfolio.entry[0], portfolio.nav()
    finer = msgspec.structs.replace(CHANGE, symbol=0, increment=0.05, lot=1 / 3)
    portfolio.hear(finer)
    assert portfolio.lots.tolist() == [3 * lots[0], lots[1], lots[2]]
    assert portfolio.entry[0] == entry
    assert portfolio.nav() == pytest.approx(nav)
    worth = scene.account.value(scene.closed(3, (2_000, 200, 200)), 4)
    assert worth.nav == pytest.approx(nav)
    portfolio.hear(msgspec.structs.replace(finer, lot=100.0))
    assert portfolio.lots[0] == int(lots[0] / 100)
    assert portfolio.nav() == pytest.approx(nav)
    scene.journal.close()


def turning(step: int) -> tuple[float, float, float]:
    return (0.2, 0.2, 0.0) if step < 3 else (0.3, 0.1, 0.0)


def test_news_of_the_market_lets_only_reductions_pass_until_they_are_over(tmp_path):
    scene = Scene(tmp_path, turning)
    scene.trader.start()
    for bar in range(2):
        stepped(scene, bar)
    until_ns = START_NS + 4 * BAR_NS
    news = News(event_ns=9, available_ns=1, until_ns=until_ns, text="rates")
    during = stepped(scene, 2, news)
    assert [(one.symbol, one.side) for one in during.orders] == [(1, SELL)]
    assert [one.reason for one in during.denied] == [Reason.REDUCING]
    after = stepped(scene, 3)
    assert [one.symbol for one in after.orders] == [0]
    found = [(t.cause, t.is_held, t.text) for t in scene.journal.transitions()]
    assert found[-2:] == [
        ("NEWS", True, "rates"),
        ("NEWS", False, "its time is over"),
    ]
    scene.journal.close()


def test_news_of_one_instrument_stop_that_one_alone(tmp_path):
    kept = np.nan
    wish = {1: (0.1, 0.1, 0.1), 2: (kept, kept, 0.2), 3: (kept, 0.05, kept)}
    scene = Scene(tmp_path, wish.__getitem__)
    scene.trader.start()
    stepped(scene, 0)
    until_ns = START_NS + 9 * BAR_NS
    news = News(event_ns=9, available_ns=1, until_ns=until_ns, symbols=[1, 2])
    found = stepped(scene, 1, news)
    assert not found.orders
    news_of = [
        one.symbols.tolist() for one in found.denied if one.reason == Reason.NEWS
    ]
    assert news_of == [[2]]
    found = stepped(scene, 2)
    assert [(one.symbol, one.side) for one in found.orders] == [(1, SELL)]
    assert scene.states.state == TradingState.ACTIVE
    scene.journal.close()


def test_what_a_person_told_a_former_process_is_lifted_by_a_person_alone(tmp_path):
    scene = Scene(tmp_path, held)
    tell_news(scene.states, "told before", 0)
    again = States(scene.journal.note, scene.journal.transitions())
    headlines = Headlines(3)
    stream = News(event_ns=1, available_ns=1, until_ns=4)
    headlines.hear([stream], 3)  # heard again with the journaled steps
    headlines.hear([], 5)
    headlines.judge(again)
    again.lapse(time.time_ns())
    assert again.is_held(Cause.NEWS)
    scene.journal.close()


def test_a_persons_news_end_after_a_restart_too(tmp_path):
    scene = Scene(tmp_path, held)
    tell_news(scene.states, "rates", 1_000)
    again = States(scene.journal.note, scene.journal.transitions())
    again.lapse(999)
    assert again.causes == (Cause.NEWS,)
    again.lapse(1_000)
    assert again.causes == ()
    scene.journal.close()


@pytest.mark.parametrize("is_first", [False, True])
def test_neither_the_streams_news_nor_a_persons_end_the_others(tmp_path, is_first):
    """Whoever told first: both have to be over."""
    scene, headlines = Scene(tmp_path, held), Headlines(3)
    states = scene.states
    states.lift(Cause.STARTING, "begun")
    if is_first:
        tell_news(states, "rates", 1_000)
    headlines.hear([News(event_ns=1, available_ns=1, until_ns=50)], 2)
    headlines.judge(states)
    if not is_first:
        tell_news(states, "rates", 1_000)
    headlines.hear([], 60)
    headlines.judge(states)
    assert states.causes == (Cause.NEWS,)
    states.lapse(1_000)
    assert states.causes == ()
    headlines.hear([News(event_ns=61, available_ns=61, until_ns=90)], 61)
    tell_news(states, "rates again", 2_000)
    states.lapse(2_000)
    headlines.judge(states)
    assert states.causes == (Cause.NEWS,)
    headlines.hear([], 90)
    headlines.judge(states)
    assert states.causes == ()
    scene.journal.close()
