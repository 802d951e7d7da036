"""The kill switch of an engine at work: a process of its own, and the venue's record.

Orders rest, trade and are taken back in every step, and the engine goes as fast as it
can. What it may have done is judged by what the venue has heard and said.
"""

from collections.abc import Callable, Iterator
from contextlib import closing
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import pytest

from bot4jax.modes.sockets import heard_while_waiting
from bot4jax.modes.trading import heard_to_the_end, opened_journal, stepping
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.control import Controls, KillFile, listening
from bot4jax.runtime.control_line import Ask, line, settled
from bot4jax.runtime.journal_rows import StepRecord
from bot4jax.runtime.limits import TradingState
from bot4jax.runtime.messages import Control
from bot4jax.runtime.orders import Cancel, Cancelled, Expired, Order, Reject
from bot4jax.runtime.sockets import dealer
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from tests.runtime.scene import BAR_NS, RUN, UNIVERSE, Scene
from tests.runtime.test_pauses import wait_until
from tests.sim.engine import mids
from tests.sim.kill import FORKING, PATIENCE_S, served

BARS = 20_000
"""More than the engine comes to see before it is killed."""
SIZE = 10
"""Displayed, in lots: less than is wanted, so that the rest of each order rests."""
FLOW = 60
"""Orders that the venue has heard of, and fills that it has told, before the kill."""
BEYOND = 25
"""Steps that follow the kill."""


def growing(step: int) -> tuple[float, float, float]:
    """More and more of each, and then less and less."""
    height = 0.002 * (250 - abs(step % 500 - 250))
    return height, height, -height


def trades(folder: Path, orders: str, people: str, bars: int) -> None:
    """An engine that people can speak to, as fast as it can."""
    with (
        dealer(orders) as socket,
        closing(opened_journal(folder, RUN, resumes=True)) as journal,
    ):
        venue = SocketVenue(socket, PATIENCE_S)
        scene = Scene(folder, growing, "limit", venue=venue, journal=journal, size=SIZE)
        controls = Controls(scene.trader, KillFile(folder))
        venue.attend = lambda: heard_while_waiting(controls, scene.trader)

        def closed() -> Iterator[Closed]:
            for bar in range(bars):
                controls.attend()
                yield scene.closed(bar, mids(bar))

        with listening(controls, people), heard_to_the_end(scene.trader):
            for _ in stepping(scene.trader, journal, closed()):
                pass
            scene.trader.finish(0)
        scene.trader.leave()


class Place(NamedTuple):
    """A venue at work, and where its engine lives."""

    venue: PaperVenue
    thread: Thread
    orders: str
    people: str
    folder: Path

    def engine(self, bars: int) -> BaseProcess:
        words = self.folder, self.orders, self.people, bars
        process = FORKING.Process(target=trades, args=words)
        process.start()
        return process

    @property
    def sent(self) -> list[Order]:
        received = list(self.venue.record.received)
        return [one for one in received if isinstance(one, Order)]

    def is_in_flow(self) -> bool:
        """Enough has been asked for, has traded and was taken back, and more rests."""
        record = self.venue.record
        cancels = sum(isinstance(one, Cancel) for one in list(record.received))
        rests = len(self.venue.open_orders)
        return (
            min(len(self.sent), len(list(record.fills)), cancels) > FLOW and rests > 0
        )

    def journaled(self) -> tuple[list[StepRecord], list[tuple[str, bool, int]]]:
        """Steps, and which causes came and went behind which."""
        with closing(opened_journal(self.folder, RUN, resumes=True)) as journal:
            own = [(one.cause, one.is_held, one.step) for one in journal.transitions()]
            return list(journal.read()), own


@pytest.fixture
def place(tmp_path) -> Place:
    """What is sent arrives when half of a bar is over."""
    venue = PaperVenue(UNIVERSE, latency_ns=BAR_NS // 2)
    thread, orders = served(tmp_path / "venue", venue, bars=BARS, size=SIZE)
    folder = tmp_path / "engine"
    folder.mkdir()
    return Place(venue, thread, orders, f"ipc://{tmp_path}/people", folder)


def by_socket(place: Place, ask: Ask) -> int:
    return ask(Control(do="kill", reason="drill")).step


def by_file(place: Place, ask: Ask) -> int:
    """The step in which it was found: the engine looks for it now and then."""
    (place.folder / "KILL").write_text("drill")
    wait_until(lambda: ask(Control(do="status")).state == "halted")
    return ask(Control(do="status")).step


@pytest.mark.parametrize("pull", [by_socket, by_file])
def test_a_kill_in_full_flow_ends_it_within_a_step_for_good(
    place, pull: Callable[[Place, Ask], int]
):
    """Over SIGKILL and a restart too: nothing new by the venue's own record, what
    rested is cancelled, each cancel is confirmed, and the engine knows."""
    engine = place.engine(BARS)
    try:
        with line(place.people, PATIENCE_S) as ask:
            wait_until(lambda: place.is_in_flow() or not engine.is_alive())
            assert engine.is_alive()
            at = pull(place, ask)
            done = settled(ask, PATIENCE_S)
            wait_until(lambda: ask(Control(do="status")).step >= done.step + BEYOND)
            last = ask(Control(do="status"))
    finally:
        engine.kill()
        engine.join(PATIENCE_S)
    sent = place.sent
    assert max(one.step for one in sent) <= at + 1
    assert (last.state, last.causes, last.open_orders) == ("halted", ["KILLED"], 0)
    assert place.venue.open_orders == []
    assert unended(place) == []
    known, _ = place.journaled()
    assert confirmed(place) <= {one for step in known for one in step.answers}

    again = place.engine(len(known) + BEYOND)
    again.join(PATIENCE_S)
    place.thread.join(PATIENCE_S)
    assert (again.exitcode, place.thread.is_alive()) == (0, False)
    assert place.sent == sent
    steps, noted = place.journaled()
    assert len(steps) == len(known) + BEYOND
    assert {one.state for one in steps if one.step > at + 1} == {TradingState.HALTED}
    killed = [(cause, is_held) for cause, is_held, _ in noted if cause == "KILLED"]
    assert killed == [("KILLED", True)]


def unended(place: Place) -> list[str]:
    """Orders that the venue has heard of and never told the end of."""
    record = place.venue.record
    ended = (Cancelled, Expired, Reject)
    over = {one.order for one in record.answers if isinstance(one, ended)}
    left = {one.id: one.lots for one in place.sent}
    for fill in record.fills:
        left[fill.order] -= fill.lots
    return [name for name, lots in left.items() if lots and name not in over]


def confirmed(place: Place) -> set[Cancelled]:
    """What the venue has said of cancels."""
    answers = place.venue.record.answers
    return {one for one in answers if isinstance(one, Cancelled)}
