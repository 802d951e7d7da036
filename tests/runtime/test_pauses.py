"""A market that pauses stops neither the engine nor those who want to stop it."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest

from bot4jax.modes.sockets import heard_while_waiting, passed
from bot4jax.modes.trading import heard_to_the_end, opened_journal, stepping
from bot4jax.runtime.batches import Close
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.control import Controls, KillFile
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.publish import Arrival, receive
from bot4jax.runtime.sockets import bound_endpoint, dealer, subscriber
from bot4jax.runtime.states import Cause
from bot4jax.runtime.stopping import stoppable
from bot4jax.runtime.subscribers import Subscribers
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.types import END
from tests.runtime.scene import BAR_NS, RUN, START_NS, SYMBOLS, UNIVERSE, Scene
from tests.runtime.street import PATIENCE_S, SIZE, Street, street
from tests.sim.kill import FORKING

TIMEOUT_S = 3.0
"""For which the venue is waited for."""

PAUSED = 4
"""Bars of a second that only the clock closes."""


def growing(step: int) -> tuple[float, float, float]:
    return 0.002 * step, 0.002 * step, -0.002 * step


def at_the_clocks_pace(scene: Scene, came: Iterable[Arrival]) -> Iterator[Closed]:
    """Bars as the feed closes them, by the market or by the clock."""
    anchors, late_ns = np.full(SYMBOLS, 200), BAR_NS // 20
    feed = Feed(UNIVERSE, anchors, BAR_NS, START_NS, 64, allowed_lateness_ns=late_ns)
    for one in came:
        if one.frame is None:
            events = feed.advance(one.receive_ns)
        else:
            events = feed.push(one.frame, one.receive_ns)
        for event in events:
            if isinstance(event, Close):
                closed = scene.closed(event.bar)
                yield closed._replace(is_by_clock=event.is_by_clock)


def trades(folder: Path, ticks: str, orders: str) -> None:
    """An engine at the clock's pace, as a process of its own."""
    with (
        dealer(orders) as line,
        subscriber(ticks, (b"",)) as market,
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
    ):
        venue = SocketVenue(line, TIMEOUT_S)
        scene = Scene(folder, growing, "limit", venue=venue, journal=journal, size=SIZE)
        controls = Controls(scene.trader, KillFile(folder))
        venue.attend = lambda: heard_while_waiting(controls, scene.trader)
        came = receive(market, UNIVERSE.hash, PATIENCE_S, idle_s=0.02)
        bars = at_the_clocks_pace(scene, controls.attended(came))
        with heard_to_the_end(scene.trader):
            for _ in stepping(scene.trader, journal, passed(bars, venue)):
                pass


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


@pytest.fixture
def market() -> Iterator[Street]:
    with street(latency_ns=0) as found:
        yield found


def test_a_pause_longer_than_the_venue_is_waited_for_stops_nothing_but_a_kill_does(
    tmp_path, market
):
    """The clock closes bars that the venue hears nothing of; the kill comes when the
    engine would have waited for longer than it does for a venue that is dead."""
    ends = bound_endpoint(market.source), bound_endpoint(market.line)
    engine = FORKING.Process(target=trades, args=(tmp_path, *ends))
    engine.start()
    Subscribers(market.source).await_present(1, PATIENCE_S)

    def pauses_until(is_so: Callable[[], bool]) -> None:
        wait_until(lambda: market.beat() or not engine.is_alive() or is_so())
        assert engine.is_alive()

    market.show(0)
    pauses_until(lambda: len(market.sent) > 0)
    market.show(1)
    pauses_until(lambda: max(one.step for one in market.sent) >= 2 + PAUSED)
    assert market.venue.open_orders
    (tmp_path / "KILL").write_text("drill")
    pauses_until(lambda: not market.venue.open_orders)
    market.beat(END)
    engine.join(PATIENCE_S)
    assert engine.exitcode == 0
    with closing(opened_journal(tmp_path, RUN, resumes=True)) as journal:
        told = journal.transitions()
    assert [one.cause for one in told if one.is_held] == ["STARTING", "KILLED"]
    assert max(one.step for one in market.sent) <= told[-1].step + 1


def by_file(folder: Path, trader: Trader) -> None:
    (folder / "KILL").write_text("drill")


def by_signal(folder: Path, trader: Trader) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.parametrize("stop", [by_file, by_signal])
def test_who_stops_an_engine_that_waits_for_a_report_has_all_taken_back_at_once(
    tmp_path, market, stop
):
    """The venue's own market stands still until nothing rests."""
    with closing(opened_journal(tmp_path, RUN, resumes=True)) as journal:
        venue = SocketVenue(market.line, PATIENCE_S)
        words = {"venue": venue, "journal": journal, "size": SIZE}
        scene = Scene(tmp_path, growing, "limit", **words)
        controls = Controls(scene.trader, KillFile(tmp_path))
        waits = Event()

        def attend() -> None:
            waits.set()
            heard_while_waiting(controls, scene.trader)

        venue.attend = attend
        for bar in range(3):
            market.show(bar)

        def stops() -> None:
            wait_until(lambda: len(market.sent) == 6)
            waits.clear()
            assert waits.wait(PATIENCE_S), "the second step's report is waited for"
            resting.extend(market.venue.open_orders)
            stop(tmp_path, scene.trader)
            wait_until(lambda: not market.venue.open_orders)
            booked.append(scene.account.portfolio.lots.tolist())
            market.show(3)

        resting, booked = [], []
        person = Thread(target=stops)
        person.start()
        with stoppable(scene.trader):
            steps = list(stepping(scene.trader, journal, map(scene.closed, range(3))))
        person.join(PATIENCE_S)
        assert len(resting) == 3
        assert booked
        assert (steps[-1].orders == []) == (stop is by_file)
        assert scene.account.portfolio.lots.tolist() == market.venue.position.tolist()
        assert Cause.VENUE not in scene.states.causes
