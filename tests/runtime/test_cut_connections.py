"""The connection between engine and venue is cut, over TCP, again and again.

What is on its way is lost, and the venue knows the engine that calls anew by no name.
It goes on, or halts and is started again; the venue's record is the judge.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

from bot4jax.errors import Halted
from bot4jax.runtime.desk import Desk
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.sockets import bound_endpoint, router, subscriber
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_process import Sockets, serve
from tests.runtime.scene import SYMBOLS, UNIVERSE, quotes
from tests.sim.engine import mids
from tests.sim.kill import (
    BARS,
    PATIENCE_S,
    SIZE,
    begun,
    judged,
    undisturbed,
    venue_for,
)

CUTS, LIVES = 12, 20
"""Cuts of one run, and engines that it may take: each cut can halt one."""


class Wire:
    """What an engine is connected to in the venue's place."""

    def __init__(self, endpoint: str) -> None:
        self._venue = "127.0.0.1", int(endpoint.rpartition(":")[2])
        self._server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"
        self._ends: list[socket.socket] = []
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Whatever stands now; whoever calls anew is connected again."""
        ends, self._ends = self._ends, []
        self.cuts += bool(ends)
        for one in ends:
            shut(one)

    def close(self) -> None:
        shut(self._server)
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                ours, _ = self._server.accept()
                theirs = socket.create_connection(self._venue)
                self._ends += [ours, theirs]
                for ends in ((ours, theirs), (theirs, ours)):
                    threading.Thread(target=carry, args=ends, daemon=True).start()


def carry(come: socket.socket, go: socket.socket) -> None:
    """All that comes from one end to the other, until either is gone."""
    with suppress(OSError):
        while some := come.recv(1 << 16):
            go.sendall(some)
    for one in (come, go):
        shut(one)


def shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@contextmanager
def wired(folder: Path, venue: PaperVenue) -> Iterator[Wire]:
    """A venue that has heard the whole market, behind a connection that can be cut."""
    desk = Desk(venue, UNIVERSE.hash)
    desk.hear(np.concatenate([quotes(bar, mids(bar), SIZE) for bar in range(BARS)]))
    desk.end()
    intake = Intake(UNIVERSE.hash, np.full(SYMBOLS, 200), skew_limit_ns=0)
    with (
        router("tcp://127.0.0.1:*") as orders,
        subscriber(f"ipc://{folder}/ticks") as market,
    ):

        def run() -> None:
            with suppress(Halted):  # a goodbye may be lost too
                serve(desk, intake, Sockets(market, orders), patience_s=5.0)

        thread = threading.Thread(target=run)
        thread.start()
        wire = Wire(bound_endpoint(orders))
        try:
            yield wire
        finally:
            wire.close()
            thread.join(PATIENCE_S)


@pytest.mark.parametrize("rests", [False, True])
def test_no_cut_of_the_connection_loses_or_doubles_anything(tmp_path, rests):
    calm = undisturbed(tmp_path / "calm", rests=rests)
    for number, pause_s in enumerate((0.01, 0.04)):
        folder, venue = tmp_path / str(number), venue_for(rests)
        folder.mkdir()
        with wired(folder, venue) as wire:
            codes = lives(folder, wire, pause_s, rests)
        assert set(codes[:-1]) <= {Halted.exit_code}
        assert codes[-1] == 0
        assert wire.cuts >= CUTS // 2
        assert judged(venue.record, calm, len(venue.record.fills)).is_sound
        assert venue.open_orders == []


def lives(folder: Path, wire: Wire, pause_s: float, rests: bool) -> list[int | None]:
    """How each engine has ended, the last one because the run was over."""
    codes: list[int | None] = []
    while len(codes) < LIVES and (not codes or codes[-1] == Halted.exit_code):
        engine = begun(folder, wire.endpoint, rests=rests, timeout_s=0.5)
        give_up_s = time.monotonic() + PATIENCE_S
        while engine.is_alive() and time.monotonic() < give_up_s:
            engine.join(pause_s)
            if wire.cuts < CUTS:
                wire.cut()
        engine.kill()
        engine.join()
        codes.append(engine.exitcode)
    return codes
