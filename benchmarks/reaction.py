"""How soon the switches act: the venue's on a dead or stopped engine.

An engine's process has orders resting at a venue and says that it lives. It is killed
or stopped, and the time is taken until the venue has taken everything back. The floor
is the silence that it was asked to allow, less what may have passed of it already.
"""

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np

from benchmarks.result import Row
from benchmarks.timing import quantiles
from bot4jax.data.universe import universe
from bot4jax.errors import Bot4JaxError
from bot4jax.runtime.dead_man import BEATS
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.messages import Inquiry, Step
from bot4jax.runtime.orders import Order, order_id
from bot4jax.runtime.progress import Report
from bot4jax.runtime.sockets import dealer, router, subscriber
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.venue_process import Intake, Sockets, serve
from bot4jax.types import BUY, QUOTE, TICK, Instrument

WITHIN_S = 0.5
"""Silence that the engine asks the venue to allow."""

ROUNDS, RESTING = 5, 100
PATIENCE_S = 60.0
MARKET = universe([Instrument(symbol="A")])
NOW_NS = 1_000_000_000
ENDS = {"dead_man_killed": signal.SIGKILL, "dead_man_stopped": signal.SIGSTOP}


class StillResting(Bot4JaxError):
    """The venue has not taken back what it was to take back."""

    exit_code = 3


def rows(report: Report) -> list[Row]:
    """Milliseconds from the signal to an empty book, of either end."""
    floor, found = WITHIN_S * (1 - 1 / BEATS) * 1e3, []
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
    process = spawning.Process(target=rest, args=(endpoint,), daemon=True)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join(PATIENCE_S)


def rest(endpoint: str) -> None:
    """Send orders that nobody fills, and say for ever that all is well."""
    with dealer(endpoint) as socket:
        link = SocketVenue(socket, PATIENCE_S, WITHIN_S)
        link.ask(Inquiry(run="bench", step=0, universe_hash=MARKET.hash))
        names = [order_id("bench", 1, 0, leg) for leg in range(RESTING)]
        orders = [Order(one, 0, BUY, 1, "limit", 90, step=1) for one in names]
        step = Step(
            run="bench",
            step=1,
            universe_hash=MARKET.hash,
            boundary_ns=NOW_NS,
            through_ns=2 * NOW_NS,
            orders=list(orders),
        )
        link.send(step)
        link.settle(2 * NOW_NS)
        while True:
            link.beat()
            time.sleep(1e-3)


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
