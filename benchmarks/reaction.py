"""How soon the switches act: a person's, and the venue's on a dead or stopped engine.

An engine, a process of its own, takes step after step as fast as it can: each takes
back what the one before has left resting, and sends as many orders again. A person
pulls the kill switch at its control socket, and the time is taken until it says that it
is halted, and until it says that the kill is journaled and the venue's word for every
cancel booked. Or an engine whose orders rest is killed or stopped, and the time is
taken until the venue has taken everything back; the floor is the silence that it was
asked to allow, less what may have passed already.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.planned import closing_of, planned
from benchmarks.result import Row
from benchmarks.timing import quantiles
from bot4jax.data.universe import Universe, universe
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.account import Account
from bot4jax.runtime.control import Controls, KillFile, listening
from bot4jax.runtime.control_line import Ask, line
from bot4jax.runtime.dead_man import BEATS
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import Limits
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import Control, ControlAnswer
from bot4jax.runtime.orders import Order, order_id
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.progress import Report
from bot4jax.runtime.sockets import dealer, router, subscriber
from bot4jax.runtime.states import States
from bot4jax.runtime.targets import Tactic
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import Inquiry, Step
from bot4jax.runtime.venue_process import Sockets, serve
from bot4jax.runtime.wire import VERSION
from bot4jax.schema import Config
from bot4jax.types import BUY, QUOTE, TICK, Instrument

WITHIN_S = 0.5
"""Silence that the engine asks the venue to allow."""

KILLS, BETWEEN = 30, 20
"""Of the kill switch, and steps from a reset to the next one."""
ROUNDS, RESTING = 5, 100
PATIENCE_S = 60.0
MARKET = universe([Instrument(symbol="A")])
FLOW = universe([Instrument(symbol=f"S{number}") for number in range(RESTING)])
BID = 100
SHARE = 1e-3
"""Largest position, of the capital: far more lots than the venue displays."""
NOW_NS = 1_000_000_000
ENDS: dict[str, signal.Signals] = {
    "dead_man_killed": signal.SIGKILL,
    "dead_man_stopped": signal.SIGSTOP,
}


class StillResting(Bot4JaxError):
    """The venue has not taken back what it was to take back."""

    exit_code = 3


def rows(config: Config, report: Report) -> list[Row]:
    """Milliseconds to either word of a kill, then to an empty book of either end."""
    heard, done = kills_ms(Limits.from_config(config.risk), report)
    found = [quantiles(heard, "kill_switch_heard", "ms", 0)]
    found.append(quantiles(done, "kill_switch", "ms", 0))
    floor = WITHIN_S * (1 - 1 / BEATS) * 1e3
    for stage, end in ENDS.items():
        times = []
        for number in range(1, ROUNDS + 1):
            times.append(reaction_ms(end))
            report(f"reactions, {stage}", number, ROUNDS)
        found.append(quantiles(times, stage, "ms", 0, floor))
    return found


def reaction_ms(end: signal.Signals) -> float:
    """One engine, ended this way while its orders rest."""
    own = rest, WITHIN_S
    with venue_served() as (venue, endpoint), engine_at(endpoint, *own) as process:
        wait_until(lambda: len(venue.open_orders) == RESTING)
        time.sleep(WITHIN_S)
        if len(venue.open_orders) < RESTING:
            raise StillResting("Orders were taken back from an engine that lives.")
        began = time.perf_counter()
        os.kill(process.pid or 0, end)
        wait_until(lambda: not venue.open_orders)
        return (time.perf_counter() - began) * 1e3


def kills_ms(limits: Limits, report: Report) -> tuple[list[float], list[float]]:
    """From a person's word to the answer, and to the one that says that nothing rests;
    the engine is at work each time, and is let go on after it."""
    heard, done = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="b4") as folder:
        own = trade_on, folder, limits
        people = Path(folder) / "people"
        with (
            venue_served(FLOW) as (venue, endpoint),
            engine_at(endpoint, *own),
            line(f"ipc://{people}", PATIENCE_S) as ask,
        ):
            wait_until(people.exists)
            for number in range(1, KILLS + 1):
                at_work(ask)
                began = time.perf_counter()
                ask(Control(do="kill", reason="bench"))
                heard.append((time.perf_counter() - began) * 1e3)
                wait_until(lambda: is_settled(ask(STATUS)), pause_s=0.0)
                done.append((time.perf_counter() - began) * 1e3)
                if venue.open_orders:
                    raise StillResting("The venue has not taken back what rests.")
                ask(Control(do="reset", reason="bench"))
                report("reactions, kill_switch", number, KILLS)
    return heard, done


STATUS = Control(do="status")


def at_work(ask: Ask) -> None:
    """Return when the engine has gone on for a while, and most of its orders rest."""
    until = ask(STATUS).step + BETWEEN

    def is_so() -> bool:
        said = ask(STATUS)
        is_full = said.open_orders >= RESTING // 2
        return said.state == "active" and said.step >= until and is_full

    wait_until(is_so)


def is_settled(said: ControlAnswer) -> bool:
    return "KILLED" in said.causes and not said.open_orders


def trade_on(endpoint: str, folder: str, limits: Limits) -> None:
    """Step after step until the process is ended; people are heard before each."""
    journal = Journal.open(Path(folder) / "journal.sqlite", "bench")
    with dealer(endpoint) as socket, closing(journal):
        states = States(journal.note)
        link = SocketVenue(socket, PATIENCE_S)
        trader = Trader(
            decider=planned(turning, RESTING),
            account=Account(
                *(FLOW, Portfolio(FLOW, 1e6), limits, "bench", states, Tactic("limit"))
            ),
            venue=link,
            journal=journal,
            publish=lambda stepped: None,
            bar_ns=NOW_NS,
        )
        controls = Controls(trader, KillFile(Path(folder)))
        link.attend = controls.attend
        bids = np.full(RESTING, BID)
        with listening(controls, f"ipc://{folder}/people"):
            trader.start()
            for step in count(1):
                controls.attend()
                trader.step(closing_of(bids, NOW_NS, step))


def turning(step: int) -> Float[np.ndarray, " S"]:
    """All is bought in one step and sold in the next: what rests is never wanted."""
    return np.full(RESTING, SHARE if step % 2 else -SHARE)


def wait_until(is_so: Callable[[], bool], pause_s: float = 1e-3) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > give_up_s:
            raise StillResting(f"Nothing has changed within {PATIENCE_S:g} s.")
        time.sleep(pause_s)


@contextmanager
def engine_at(
    endpoint: str, run: Callable[..., None], *how: Any
) -> Iterator[BaseProcess]:
    """A process that runs an engine, gone when the block ends."""
    spawning = multiprocessing.get_context("spawn")
    process = spawning.Process(target=run, args=(endpoint, *how), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(PATIENCE_S)


def rest(endpoint: str, within_s: float) -> None:
    """Send orders that nobody fills, and say for ever that all is well."""
    with dealer(endpoint) as socket:
        link = SocketVenue(socket, PATIENCE_S, within_s)
        asked = Inquiry(
            run="bench",
            step=0,
            version=VERSION,
            universe_hash=MARKET.hash,
            bar_ns=NOW_NS,
        )
        link.ask(asked)
        link.send(resting_step())
        link.settle(2 * NOW_NS)
        while True:
            link.beat()
            time.sleep(1e-3)


def resting_step() -> Step:
    """Orders that nobody fills."""
    names = [order_id("bench", 1, 0, leg) for leg in range(RESTING)]
    return Step(
        run="bench",
        step=1,
        universe_hash=MARKET.hash,
        boundary_ns=NOW_NS,
        through_ns=2 * NOW_NS,
        orders=[Order(one, 0, BUY, 1, "limit", 90, step=1) for one in names],
    )


@contextmanager
def venue_served(market: Universe = MARKET) -> Iterator[tuple[PaperVenue, str]]:
    """A venue behind a socket, whose market stands still."""
    slots = range(len(market.instruments))
    quotes = [(QUOTE, 0, 0, slot, 1, BID, BID + 1, 9, 9) for slot in slots]
    with tempfile.TemporaryDirectory(prefix="b4") as folder:
        endpoint = f"ipc://{Path(folder) / 'orders'}"
        venue = PaperVenue(market)
        desk = Desk(venue, market.hash)
        desk.hear(np.array(quotes, TICK))
        desk.end()
        anchors = np.full(len(slots), BID)
        intake = Intake(market.hash, anchors, skew_limit_ns=0)
        silent = f"ipc://{Path(folder) / 'ticks'}"

        def run() -> None:
            with router(endpoint) as orders, subscriber(silent) as ticks:
                serve(desk, intake, Sockets(ticks, orders), PATIENCE_S)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        try:
            yield venue, endpoint
        finally:
            desk.is_over = True
            with dealer(endpoint) as last:
                last.send(b"")  # wakes it
                thread.join(PATIENCE_S)
