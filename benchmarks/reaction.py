"""How soon the switches act: a person's, and the venue's on a dead or stopped engine.

An engine has orders resting at a venue. A person pulls the kill switch, and the time
is taken until the venue's word for every cancel is booked. Or the engine, a process of
its own, is killed or stopped, and the time is taken until the venue has taken
everything back; the floor is the silence that it was asked to allow, less what may have
passed already.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result import Row
from benchmarks.timing import quantiles
from bot4jax.data.universe import universe
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.account import Account
from bot4jax.runtime.control import Controls, KillFile
from bot4jax.runtime.dead_man import BEATS
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.limits import Limits
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import Control
from bot4jax.runtime.orders import Order, order_id
from bot4jax.runtime.portfolio import Portfolio
from bot4jax.runtime.progress import Report
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.sockets import dealer, router, subscriber
from bot4jax.runtime.states import States
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_messages import Inquiry, Step
from bot4jax.runtime.venue_process import Sockets, serve
from bot4jax.runtime.wire import VERSION
from bot4jax.schema import Config
from bot4jax.types import BUY, QUOTE, TICK, Instrument

WITHIN_S = 0.5
"""Silence that the engine asks the venue to allow."""

ROUNDS, RESTING = 5, 100
PATIENCE_S = 60.0
MARKET = universe([Instrument(symbol="A")])
NOW_NS = 1_000_000_000
ENDS: dict[str, signal.Signals] = {
    "dead_man_killed": signal.SIGKILL,
    "dead_man_stopped": signal.SIGSTOP,
}


class StillResting(Bot4JaxError):
    """The venue has not taken back what it was to take back."""

    exit_code = 3


def rows(config: Config, report: Report) -> list[Row]:
    """Milliseconds to the venue's word, then to an empty book of either end."""
    pulled = [kill_ms(config) for _ in range(ROUNDS)]
    found = [quantiles(pulled, "kill_switch", "ms", 0)]
    floor = WITHIN_S * (1 - 1 / BEATS) * 1e3
    for stage, end in ENDS.items():
        times = []
        for done in range(1, ROUNDS + 1):
            times.append(reaction_ms(end))
            report(f"reactions, {stage}", done, ROUNDS)
        found.append(quantiles(times, stage, "ms", 0, floor))
    return found


def reaction_ms(end: signal.Signals) -> float:
    """One engine, ended this way while its orders rest."""
    with venue_served() as (venue, endpoint), engine_at(endpoint) as process:
        wait_until(lambda: len(venue.open_orders) == RESTING)
        time.sleep(WITHIN_S)
        if len(venue.open_orders) < RESTING:
            raise StillResting("Orders were taken back from an engine that lives.")
        began = time.perf_counter()
        os.kill(process.pid or 0, end)
        wait_until(lambda: not venue.open_orders)
        return (time.perf_counter() - began) * 1e3


def kill_ms(config: Config) -> float:
    """From a person's word to the venue's that nothing rests, the loop being idle."""
    with (
        venue_served() as (venue, endpoint),
        dealer(endpoint) as socket,
        tempfile.TemporaryDirectory(prefix="b4") as folder,
        closing(Journal.open(Path(folder) / "journal.sqlite", "bench")) as journal,
    ):
        trader = waiting(config, SocketVenue(socket, PATIENCE_S), journal)
        controls = Controls(trader, KillFile(Path(folder)))
        began = time.perf_counter()
        controls.answer(Control(do="kill", reason="bench"))
        for _ in controls.attended(silence()):
            if not trader.account.portfolio.working.ids():
                break
        took_ms = (time.perf_counter() - began) * 1e3
        if venue.open_orders or trader.account.portfolio.working.ids():
            raise StillResting("The venue has not taken back what rests.")
        return took_ms


def waiting(config: Config, link: SocketVenue, journal: Journal) -> Trader:
    """A trading loop whose orders rest; nothing is decided in it."""
    unused: Any = None
    states = States(journal.note)
    limits = Limits.from_config(config.risk)
    account = Account(MARKET, Portfolio(MARKET, 1e6), limits, "bench", states)
    trader = Trader(
        decider=unused,
        account=account,
        venue=link,
        journal=journal,
        publish=lambda stepped: None,
        bar_ns=NOW_NS,
    )
    trader.start()
    step = resting_step()
    for one in step.orders:
        if isinstance(one, Order):
            account.portfolio.working.expect(one)
    link.send(step)
    for answer in link.settle(2 * NOW_NS):
        account.portfolio.apply(answer)
    return trader


def silence() -> Iterator[Arrival]:
    """What the loop hears while no tick comes."""
    give_up_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up_s:
        yield Arrival(None, 0.0, 0)
        time.sleep(1e-3)


def wait_until(is_so: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > give_up_s:
            raise StillResting(f"Nothing has changed within {PATIENCE_S:g} s.")
        time.sleep(1e-3)


@contextmanager
def engine_at(endpoint: str) -> Iterator[BaseProcess]:
    """An engine's process, gone when the block ends."""
    spawning = multiprocessing.get_context("spawn")
    process = spawning.Process(target=rest, args=(endpoint, WITHIN_S), daemon=True)
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
def venue_served() -> Iterator[tuple[PaperVenue, str]]:
    """A venue behind a socket, whose market stands still."""
    with tempfile.TemporaryDirectory(prefix="b4") as folder:
        endpoint = f"ipc://{Path(folder) / 'orders'}"
        venue = PaperVenue(MARKET)
        desk = Desk(venue, MARKET.hash)
        desk.hear(np.array([(QUOTE, 0, 0, 0, 1, 100, 101, 9, 9)], TICK))
        desk.end()
        intake = Intake(MARKET.hash, np.array([100]), skew_limit_ns=0)
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
