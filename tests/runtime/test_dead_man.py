"""Whoever dies or hangs leaves nothing resting: the venue takes it back by itself."""

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path

import msgspec
import numpy as np
import pytest
import zmq

from bot4jax.modes.trading import opened_journal, stepping
from bot4jax.runtime.brackets import Distances
from bot4jax.runtime.dead_man import DeadMan, Pulse
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.latency import Latency
from bot4jax.runtime.local_venue import statement
from bot4jax.runtime.messages import pack
from bot4jax.runtime.orders import Cancel, Cancelled, Order
from bot4jax.runtime.sockets import bound_endpoint, dealer, router
from bot4jax.runtime.tracking import OrderState
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import (
    Alive,
    Goodbye,
    Inquiry,
    Step,
    unpack_from_engine,
)
from bot4jax.runtime.wire import VERSION
from bot4jax.types import TICK
from tests.runtime.scene import BAR_NS, RUN, UNIVERSE, Scene
from tests.runtime.street import Street, street
from tests.sim.engine import mids
from tests.sim.kill import FORKING, PATIENCE_S, served

WITHIN_S = 1.0
STEPS = 3
ALIVE = Alive(run=RUN, within_ns=round(WITHIN_S * 1e9))
GOODBYE = Goodbye(run=RUN, step=1)
INQUIRY = Inquiry(
    run=RUN,
    step=0,
    version=VERSION,
    universe_hash=0,
    bar_ns=BAR_NS,
    within_ns=ALIVE.within_ns,
)


STEP = Step(run=RUN, step=1, universe_hash=0, boundary_ns=1, through_ns=2)


def rest(folder: Path, endpoint: str, steps: int, *, stays: bool) -> None:
    """An engine whose orders rest; one that stays says so until it is stopped."""
    with (
        dealer(endpoint) as socket,
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
    ):
        venue = SocketVenue(socket, PATIENCE_S, WITHIN_S)
        scene = Scene(
            folder,
            lambda step: (0.1 * step, 0.1 * step, -0.1 * step),
            "limit",
            venue=venue,
            journal=journal,
        )
        bars = (scene.closed(bar, mids(0)) for bar in range(steps))
        for _ in stepping(scene.trader, journal, bars):
            pass
        (folder / "ready").touch()
        while stays:
            scene.trader.beat()
            time.sleep(0.01)
        scene.trader.finish(0)
        still_open = scene.account.portfolio.working.ids()
        (folder / "ended").write_text(str(len(still_open)))
        scene.trader.leave()


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
def test_an_engine_that_dies_or_hangs_leaves_nothing_resting(tmp_path, end):
    venue = PaperVenue(UNIVERSE, latency_ns=0)
    thread, endpoint = served(tmp_path / "venue", venue)
    folder = tmp_path / "engine"
    folder.mkdir()
    words = {"stays": True}
    engine = FORKING.Process(target=rest, args=(folder, endpoint, STEPS), kwargs=words)
    engine.start()
    try:
        wait_until((folder / "ready").exists)
        time.sleep(1.5 * WITHIN_S)
        before = set(venue.open_orders)
        assert before, "an engine that lives keeps its orders"
        os.kill(engine.pid or 0, end)
        wait_until(lambda: venue.open_orders == [])
    finally:
        engine.kill()
        engine.join(PATIENCE_S)
    ended = {one.order for one in venue.record.answers if isinstance(one, Cancelled)}
    assert before <= ended
    assert all(isinstance(one, Order) for one in venue.record.received)
    rest_again = FORKING.Process(
        target=rest, args=(folder, endpoint, STEPS + 1), kwargs={"stays": False}
    )
    rest_again.start()
    rest_again.join(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert rest_again.exitcode == 0
    assert (folder / "ended").read_text() == "0", "it has booked all cancels"


def test_who_goes_on_is_told_what_the_switch_took_back_and_protects_itself_at_once(
    tmp_path,
):
    """By the venue's first word: not by the report of another whole step."""

    def kept(step: int) -> tuple[float | None, ...]:
        return (0.05 if step == 1 else None), 0.0, 0.0

    def engine(line: zmq.Socket, journal: Journal, within_s: float) -> Scene:
        venue = SocketVenue(line, PATIENCE_S, within_s)
        scene = Scene(tmp_path, kept, venue=venue, journal=journal, size=1000)
        scene.account.distances = Distances(stop_bps=100.0, profit_bps=200.0)
        return scene

    def legs(orders: Iterable[Order]) -> list[str]:
        return [one.id for one in orders if one.group]

    with street(0) as market:
        for bar in range(7):
            market.show(bar)
        with closing(opened_journal(tmp_path, RUN, resumes=True)) as journal:
            scene = engine(market.line, journal, WITHIN_S)
            bars = map(scene.closed, range(STEPS + 1))
            for _ in stepping(scene.trader, journal, bars):
                pass
        held = scene.account.portfolio.lots.tolist()
        first = scene.account.portfolio.working.ids()
        assert [name for name in first if name in legs(market.sent)] == first != []
        wait_until(lambda: resting(market) == [])
        with (
            dealer(bound_endpoint(market.line)) as line,
            closing(opened_journal(tmp_path, RUN, resumes=True)) as journal,
        ):
            scene = engine(line, journal, PATIENCE_S)
            bars = map(scene.closed, range(STEPS + 2))
            *_, last = stepping(scene.trader, journal, bars)
            assert len(legs(last.orders)) == len(first) == 2
            assert not set(first) & set(legs(last.orders))
            assert scene.account.portfolio.lots.tolist() == held
            ours = scene.account.portfolio.working.by_id
            assert {ours[name].state for name in first} == {OrderState.CANCELLED}


def resting(market: Street) -> list[str]:
    return list(market.venue.book.resting.by_id)


def test_what_is_on_its_way_when_nobody_speaks_does_not_rest():
    venue = PaperVenue(UNIVERSE, latency_ns=10)
    bid = Order("a" * 16, 0, 1, 5, "limit", 100)
    venue.submit([bid], 0)
    assert venue.take_back() == 0
    answers = venue.advance(np.empty(0, TICK), 20)
    assert answers[-1] == Cancelled(bid.id, 5, 10)
    assert venue.open_orders == []


def test_a_cancel_that_overtakes_its_order_keeps_it_from_resting():
    """What was decided on takes its time to be computed; a cancel needs none."""
    venue = PaperVenue(UNIVERSE, latency_ns=10, compute=Latency(50))
    bid = Order("a" * 16, 0, 1, 5, "limit", 100)
    venue.submit([bid], 0)
    venue.submit([Cancel(bid.id)], 0, is_decided=False)
    answers = venue.advance(np.empty(0, TICK), 100)
    assert answers[-1] == Cancelled(bid.id, 5, 60)
    assert venue.open_orders == []


def test_an_engine_asks_to_be_watched_before_its_first_order_leaves():
    """It may die in between: what would then rest must not rest for ever."""
    stated = statement(PaperVenue(UNIVERSE), 1, None, (), False)
    with router("tcp://127.0.0.1:*") as end, dealer(bound_endpoint(end)) as line:
        venue = SocketVenue(line, PATIENCE_S, WITHIN_S)
        line.send(b"")  # makes this peer known, so that it can be answered first
        peer, _ = end.recv_multipart()
        end.send_multipart([peer, pack(stated)])
        venue.ask(INQUIRY)
        venue.send(STEP)
        heard = [unpack_from_engine(end.recv_multipart()[1]) for _ in range(3)]
    assert [type(one) for one in heard] == [Inquiry, Alive, Step]
    assert heard[0] == INQUIRY, "the question says it already"


@pytest.fixture
def now() -> list[float]:
    return [100.0]


def test_it_fires_once_and_only_when_nothing_was_heard_for_long_enough(now):
    switch = DeadMan(lambda: now[0])
    assert switch.left_s == float("inf")
    switch.hear(STEP)
    now[0] += 1e9
    assert not switch.fires(), "nobody has asked to be watched"
    for word in (ALIVE, INQUIRY, ALIVE):
        switch.hear(word)
        now[0] += 0.9
        assert not switch.fires()
    now[0] += 0.1
    assert (switch.fires(), switch.fires()) == (True, False)
    switch.hear(STEP)
    now[0] += WITHIN_S
    assert switch.fires(), "a word begins it anew"


def test_an_engine_that_takes_over_is_watched_as_it_asks_itself(now):
    """Neither is it taken for dead by the time of the one before it, nor is what rests
    left alone if it dies before its first step."""
    switch = DeadMan(lambda: now[0])
    switch.hear(ALIVE)
    switch.hear(msgspec.structs.replace(INQUIRY, within_ns=0))
    now[0] += 1e9
    assert not switch.fires()
    switch.hear(INQUIRY)
    now[0] += WITHIN_S
    assert switch.fires()


def test_a_goodbye_ends_the_watch(now):
    switch = DeadMan(lambda: now[0])
    switch.hear(ALIVE)
    switch.hear(GOODBYE)
    now[0] += 1e9
    assert not switch.fires()


def test_an_engine_speaks_three_times_within_its_time(now):
    pulse, said = Pulse(WITHIN_S, lambda: now[0]), 0
    for _ in range(100):
        said += pulse.is_due()
        now[0] += WITHIN_S / 100
    assert said in (3, 4)
    assert not Pulse(0.0, lambda: now[0]).is_due()
