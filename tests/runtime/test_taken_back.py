"""Whoever stops has taken back what rests, and has the venue's word for it."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from typing import NamedTuple

import pytest

from bot4jax.errors import Halted
from bot4jax.modes.trading import ended, heard_to_the_end, opened_journal, stepping
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.control import Controls, KillFile
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.local_venue import LocalVenue
from bot4jax.runtime.orders import Ack, Cancelled, Fill, Order, Query, Reject
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.silence import judged_by_age
from bot4jax.runtime.sockets import dealer
from bot4jax.runtime.states import Cause
from bot4jax.runtime.stopping import stoppable
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_rules import Refusal
from tests.runtime.scene import (
    BAR_NS,
    CAPITAL,
    RUN,
    START_NS,
    UNIVERSE,
    Scene,
    calm_bars,
    compared,
    repeating,
)
from tests.runtime.street import PATIENCE_S, SIZE, Street, street
from tests.sim.kill import BARS, FIRST_KILL, FORKING, KILLED, served, started


def growing(step: int) -> tuple[float, float, float]:
    return 0.002 * step, 0.002 * step, -0.002 * step


@contextmanager
def engine(
    folder: Path, street: Street, dead_man_s: float = 0.0
) -> Iterator[tuple[Scene, Journal]]:
    venue = SocketVenue(street.line, PATIENCE_S, dead_man_s)
    with closing(opened_journal(folder, RUN, resumes=True)) as journal:
        yield (
            Scene(folder, growing, "limit", venue=venue, journal=journal, size=SIZE),
            journal,
        )


def killed(scene: Scene, folder: Path) -> None:
    controls = Controls(scene.trader, KillFile(folder))
    controls.pull("drill")
    controls.attend()


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("is_reported", [False, True])
@pytest.mark.parametrize("latency_ns", [0, BAR_NS // 5])
def test_a_kill_is_proven_though_no_bar_closes_and_booked_by_whoever_goes_on(
    tmp_path, latency_ns, is_reported, restarts
):
    """The last step's report lies unread, or the market died before it was due."""
    with street(latency_ns) as market:
        with engine(tmp_path, market) as (scene, journal):
            for bar in range(3 + is_reported):
                market.show(bar)
            traded(scene, journal)
            if is_reported:
                assert market.line.poll(round(PATIENCE_S * 1e3))
            assert scene.account.portfolio.working.ids()
            killed(scene, tmp_path)
            assert scene.account.portfolio.working.ids() == []
            assert market.venue.open_orders == []
            assert_agreed(scene, market)
            if not restarts:
                go_on(scene, journal, market, 3 + is_reported)
        if restarts:
            with engine(tmp_path, market) as (scene, journal):
                traded(scene, journal)
                go_on(scene, journal, market, 3 + is_reported)


def traded(scene: Scene, journal: Journal) -> None:
    """Two bars, the journaled ones once more."""
    steps = list(stepping(scene.trader, journal, map(scene.closed, range(2))))
    assert [len(one.orders) for one in steps] == [3, 3]


def go_on(scene: Scene, journal: Journal, market: Street, shown: int) -> None:
    """Another bar closes; then the journal alone tells of the end of every order."""
    for bar in range(shown, 5):
        market.show(bar)
    before = len(market.sent)
    scene.step(2)
    assert len(market.sent) == before
    assert_agreed(scene, market)
    assert_told(journal.read(), market.venue)
    assert_repeated(journal, 3)


def assert_told(records: Iterable[StepRecord], venue: PaperVenue) -> None:
    """The journal alone tells what is owned, and of the end of every order."""
    told = Portfolio(UNIVERSE, CAPITAL)
    for record in records:
        for answer in record.answers:
            assert told.apply(answer), "nothing is journaled twice"
        for order in record.orders:
            told.working.expect(order)
    assert told.working.ids() == []
    assert told.lots.tolist() == venue.position.tolist()
    assert told.lots.any()


@pytest.mark.parametrize("is_reported", [False, True])
def test_who_is_killed_and_leaves_before_a_bar_closes_has_journaled_what_was_told(
    tmp_path, is_reported
):
    """No step follows that could: the end of the journal does."""
    with street(0) as market, engine(tmp_path, market) as (scene, journal):
        for bar in range(3 + is_reported):
            market.show(bar)
        with heard_to_the_end(scene.trader):
            traded(scene, journal)
            if is_reported:
                assert market.line.poll(round(PATIENCE_S * 1e3))
            killed(scene, tmp_path)
            scene.trader.is_asked_to_end = True
        answers = ended(scene.trader, journal, START_NS + 3 * BAR_NS)
        found = {type(one) for one in answers}
        assert found == {Ack, Cancelled} | ({Fill} if is_reported else set())
        assert journal.end is not None
        assert_told([*journal.read(), journal.end], market.venue)


def test_no_journal_ends_while_an_order_is_open(tmp_path, monkeypatch):
    """As of a venue that does not say what has become of it."""
    monkeypatch.setattr(LocalVenue, "take_back", lambda venue, cancels: [])
    scene = Scene(tmp_path, growing, kind="limit", size=SIZE)
    scene.trader.start()
    scene.step(0)
    with pytest.raises(Halted, match=r"open still.*has not ended"):
        ended(scene.trader, scene.journal, START_NS + 2 * BAR_NS)
    assert not scene.journal.is_finished


RISING = [(200,) * 3, (204,) * 3, (210,) * 3, (216,) * 3]
"""Mids, bar by bar."""


@pytest.mark.parametrize("restarts", [False, True])
def test_fills_that_are_booked_before_their_bar_has_closed_cost_what_a_replay_finds(
    tmp_path, restarts
):
    """By the kill switch, or since the venue has stated them to a restart: the mids
    that they traded at are known once the bar closes."""
    link = LocalVenue(PaperVenue(UNIVERSE, 3 * BAR_NS // 5))

    def wanted(step: int) -> tuple[float, float, float]:
        return 0.02 * step, 0.0, 0.0

    def begun() -> Scene:
        return Scene(tmp_path, wanted, "market", size=1_000, venue=link)

    scene, bars = begun(), list[Closed]()

    def closed(bar: int) -> Closed:
        bars.append(scene.closed(bar, RISING[bar]))
        return bars[-1]

    list(stepping(scene.trader, scene.journal, map(closed, range(2))))
    if restarts:
        scene.journal.close()
        closed(2)
        assert any(isinstance(one, Fill) for one in link.settle(START_NS + 3 * BAR_NS))
        bars.clear()
        scene = begun()
        list(stepping(scene.trader, scene.journal, map(closed, range(3))))
    else:
        closed(2)
        killed(scene, tmp_path)
        assert scene.account.portfolio.lots[0] > 0
        scene.trader.step(bars[2])
    again = repeating(wanted, tactic=Tactic("market"))
    assert compared(again, bars, scene.journal.read()).is_equal
    scene.journal.close()
    own, told = (one.account.portfolio.curve for one in (scene, again))
    assert own == told
    assert own[-1].delay > 0


def assert_repeated(journal: Journal, steps: int, size: int = SIZE) -> None:
    """The journal is all that it takes; no venue is asked, and nobody else."""
    again = repeating(growing, tactic=Tactic("limit"))
    found = compared(again, calm_bars(size), journal.read())
    assert (found.steps, found.is_equal) == (steps, True)
    assert found.orders >= 6


WITHIN_S = 0.1


@pytest.mark.parametrize("lockstep", [True, False])
@pytest.mark.parametrize("who", ["a person within a step", "the dead-man's switch"])
def test_what_is_taken_back_at_any_moment_is_repeated(
    tmp_path, monkeypatch, who, lockstep
):
    """Of a venue that lacks a frame the engine has, and of one that goes on alone."""
    is_person = who == "a person within a step"
    within_s, noticed = (0.0 if is_person else WITHIN_S), Event()
    with street(0, lockstep) as market:
        take_back = market.venue.take_back

        def noted() -> int:
            count = take_back()
            noticed.set()
            return count

        monkeypatch.setattr(market.venue, "take_back", noted)
        for bar in range(3):
            market.show(bar)
        with engine(tmp_path, market, within_s) as (scene, journal):
            traded(scene, journal)
            assert scene.account.portfolio.working.ids()
            if is_person:
                halted_while_waiting(scene, lambda: market.show(4))
            else:
                assert noticed.wait(PATIENCE_S)
                market.show(4)
            market.show(3, is_lost=True)
            stopped = scene.step(2)
            assert any(isinstance(one, Cancelled) for one in stopped.answers)
            assert (stopped.orders == []) == is_person
            scene.states.lift(Cause.KILLED, "enough")
            for bar in range(5, 8):
                market.show(bar)
            assert [len(scene.step(bar).orders) for bar in (3, 4)] == [3, 3]
            assert_repeated(journal, 5)


def halted_while_waiting(scene: Scene, go_on: Callable[[], None]) -> None:
    """By a person, while a report is waited for; then the market goes on."""
    venue = scene.link
    assert isinstance(venue, SocketVenue)

    def attend() -> None:
        venue.attend = lambda: None
        scene.trader.halt(Cause.KILLED, "a person")
        go_on()

    venue.attend = attend


def assert_agreed(scene: Scene, market: Street) -> None:
    assert scene.account.portfolio.lots.tolist() == market.venue.position.tolist()
    assert scene.states.causes == (Cause.KILLED,)


@pytest.mark.parametrize("dies_again", [False, True])
def test_under_the_kill_switch_no_journaled_step_is_sent_by_a_restart(
    tmp_path, dies_again
):
    """Its orders are asked for instead: the venue refuses them, now and for ever."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(tmp_path, venue)
    assert started(tmp_path, endpoint, "after_journal", FIRST_KILL) == KILLED
    KillFile(tmp_path).write("drill")
    if dies_again:
        assert started(tmp_path, endpoint, "after_decide", FIRST_KILL + 1) == KILLED
    assert started(tmp_path, endpoint) == 0
    thread.join(30)
    with closing(Journal.open(tmp_path / "journal.sqlite", RUN)) as journal:
        last, after = islice(journal.read(FIRST_KILL), 2)
    received = venue.record.received
    orders = [one for one in received if isinstance(one, Order)]
    asked = [one.order for one in received if isinstance(one, Query)]
    assert last.orders
    assert max(one.step for one in orders) < FIRST_KILL
    assert set(asked) == {one.id for one in last.orders}
    refused = [one.order for one in after.answers if isinstance(one, Reject)]
    assert set(refused) == set(asked)


class Died(BaseException):
    """As if the process had been killed."""


def test_an_old_journaled_step_is_sent_without_what_opens(tmp_path):
    """One instrument is to be sold, another bought; then an hour passes."""
    plans = {1: (0.2, 0.0, 0.0), 2: (0.1, 0.1, 0.0), 3: (0.1, 0.1, 0.0)}
    street = LocalVenue(PaperVenue(UNIVERSE, 0, taker_fee=0.0, maker_fee=0.0))

    def dies(name: str) -> None:
        if name == "after_journal" and first.trader.step_number == 2:
            raise Died

    first = Scene(tmp_path, plans.__getitem__, on_point=dies, venue=street)
    with pytest.raises(Died):
        list(stepping(first.trader, first.journal, map(first.closed, range(2))))
    first.journal.close()
    again = Scene(tmp_path, plans.__getitem__, venue=street)
    hour_ns = START_NS + 3_600 * BAR_NS
    again.trader.judge = judged_by_age(again.states, 1.0, lambda: hour_ns, 0.1)
    bars = (again.closed(bar) for bar in range(2))
    list(stepping(again.trader, again.journal, bars))
    orders = next(again.journal.read(2)).orders
    sold, bought = sorted(orders, key=lambda one: one.symbol)
    received = street.venue.record.received
    assert (sold.reduce_only, bought.reduce_only) == (True, False)
    assert [one for one in received if one in (sold, bought)] == [sold]
    assert [one.order for one in received if isinstance(one, Query)] == [bought.id]
    again.trader.judge = lambda closed: again.states.lift(Cause.TOO_LATE, "young")
    stepped = again.step(2)
    assert Reject(bought.id, str(Refusal.UNKNOWN_ORDER), START_NS + 2 * BAR_NS) in (
        stepped.answers
    )
    assert [one.symbol for one in stepped.orders] == [bought.symbol], "wanted still"
    assert again.account.portfolio.lots.tolist() == street.venue.position.tolist()
    repeated = repeating(plans.__getitem__)
    found = compared(repeated, calm_bars(100_000), again.journal.read())
    assert (found.steps, found.is_equal) == (3, True)
    again.journal.close()


class Ended(NamedTuple):
    """How an engine's process went."""

    code: int | None
    is_finished: bool
    """its journal"""
    resting: list[str]
    """at the venue"""


def rests(folder: Path, endpoint: str, waits_s: float, fails: bool) -> None:
    """An engine whose orders rest, bar after bar until it is asked to end.

    A shell lets what it starts in the background ignore Ctrl-C: not here.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        dealer(endpoint) as line,
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
    ):
        venue = SocketVenue(line, PATIENCE_S)
        scene = Scene(folder, growing, "limit", venue=venue, journal=journal, size=SIZE)
        trader = scene.trader

        def bars() -> Iterator[Closed]:
            for bar in range(3):
                yield scene.closed(bar)
            (folder / "ready").touch()
            if fails:
                raise OSError("planted")
            for bar in range(3, BARS):
                wait(waits_s)
                yield scene.closed(bar)

        def wait(left_s: float) -> None:
            while left_s > 0:
                if trader.is_asked_to_end:
                    (folder / "asked").touch()
                time.sleep(0.02)
                left_s -= 0.02

        with stoppable(trader):
            with heard_to_the_end(trader):
                for _ in stepping(trader, journal, bars()):
                    if trader.is_leaving:
                        break
            ended(trader, journal, START_NS)


def ending(
    folder: Path, signals: Sequence[signal.Signals], waits_s=0.1, fails=False
) -> Ended:
    """What became of it and of its orders once these signals have come."""
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    _, endpoint = served(folder, venue, is_left=True)
    process = FORKING.Process(target=rests, args=(folder, endpoint, waits_s, fails))
    process.start()
    for said, one in zip(("ready", "asked"), signals, strict=False):
        give_up_s = time.monotonic() + PATIENCE_S
        while not (folder / said).exists():
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
        os.kill(process.pid or 0, one)
    process.join(PATIENCE_S)
    with closing(Journal.open(folder / "journal.sqlite", RUN)) as journal:
        return Ended(process.exitcode, journal.is_finished, venue.open_orders)


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_who_is_asked_to_end_takes_back_what_rests_and_ends_its_journal(
    tmp_path, asked
):
    assert ending(tmp_path, [asked]) == Ended(0, is_finished=True, resting=[])


def test_who_is_asked_twice_ends_at_once_and_waits_for_nothing(tmp_path):
    found = ending(tmp_path, [signal.SIGINT, signal.SIGINT], waits_s=PATIENCE_S)
    assert (found.code, found.is_finished) == (1, False)
    assert found.resting, "the dead-man's switch is to take it back"


def test_whatever_goes_wrong_takes_back_what_rests(tmp_path):
    assert ending(tmp_path, [], fails=True) == Ended(1, is_finished=False, resting=[])


def test_who_cannot_hear_people_any_more_takes_back_what_rests_all_the_same(tmp_path):
    scene = Scene(tmp_path, growing, kind="limit", size=10)
    scene.trader.start()
    scene.step(0)
    assert scene.venue.open_orders

    def attend() -> None:
        raise OSError("a socket that is gone")

    scene.trader.attend = attend
    with pytest.raises(OSError, match="gone"), heard_to_the_end(scene.trader):
        raise ValueError("what ends the run")
    assert scene.venue.open_orders == []
