"""A person's word to a running engine: over a socket, by a file, by a signal.

The kill switch acts in two strokes. The first, in whichever thread hears it, makes the
state HALTED at once and writes the file `KILL`, so that the next gate lets nothing
pass and the next process begins halted. The second, in the loop's own thread, writes
the journal and takes back what rests. Everything else waits for the loop.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import zmq

from bot4jax.runtime.folder import KILL
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import (
    STATES,
    Control,
    ControlAnswer,
    MessageError,
    pack,
    unpack,
)
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.sockets import replier
from bot4jax.runtime.states import OF_PEOPLE, Cause

FILE_EVERY_S = 0.05
"""How often the file is looked for."""

PATIENCE_S = 30.0
"""How long a person's word may wait for the loop, as while it compiles."""

POLL_MS = 100


class KillFile:
    """`<run>/KILL`: whoever makes it stops the engine; only a reset removes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / KILL

    def text(self) -> str | None:
        """Why, or None while the switch is not pulled."""
        try:
            found = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        return found.strip() or f"the file {self.path.name}"

    def write(self, text: str) -> None:
        """Make it durable: it must outlive this process and the machine's power."""
        with self.path.open("w", encoding="utf-8") as file:
            file.write(f"{text}\n")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)


class _Request(NamedTuple):
    control: Control
    answer: Future[ControlAnswer]


class Controls:
    """What people ask for; the loop attends to it between two arrivals."""

    def __init__(self, trader: Trader, file: KillFile) -> None:
        self._trader, self._file = trader, file
        self._standing = trader.account.states
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._paused_until_ns = self._looked_s = 0
        self._seen: tuple[list[str], int] = ([], 0)
        """causes and open orders of one moment: the other thread reads them together"""

    def attended(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals; before each one people are heard."""
        for one in arrivals:
            self.attend()
            yield one

    def attend(self) -> None:
        """Do what was asked since the last time; called in the loop's thread."""
        self._look_for_the_file()
        states = self._standing
        if states.pulled is not None and not states.is_held(Cause.KILLED):
            self._file.write(states.pulled)
            self._trader.halt(Cause.KILLED, states.pulled)
        if 0 < self._paused_until_ns <= time.time_ns():
            self._paused_until_ns = 0
            states.lift(Cause.PAUSED, "its time is over")
        self._look()
        while not self._requests.empty():
            request = self._requests.get()
            text, accepted = self._done(request.control)
            self._look()
            request.answer.set_result(self._told(text, accepted=accepted))

    def _look(self) -> None:
        open_orders = len(self._trader.account.portfolio.open_orders())
        self._seen = [one.name for one in self._standing.causes], open_orders

    def pull(self, text: str) -> None:
        """The kill switch, in whichever thread."""
        self._standing.pull(text)

    def answer(self, control: Control) -> ControlAnswer:
        """What to say to a person; called in the socket's thread."""
        if control.do == "status":
            return self._told(control.reason)
        if control.do == "kill":
            text = control.reason or "the control socket"
            self.pull(text)
            self._file.write(text)
            return self._told(text)
        request = _Request(control, Future())
        self._requests.put(request)
        try:
            return request.answer.result(PATIENCE_S)
        except TimeoutError:
            return self._told("the loop is busy; it will be done", accepted=False)

    def _look_for_the_file(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s >= FILE_EVERY_S:
            self._looked_s = now_s
            if (text := self._file.text()) is not None:
                self.pull(text)

    def _done(self, control: Control) -> tuple[str, bool]:
        """What there is to say, and whether it was done."""
        states = self._standing
        if control.do == "pause":
            self._paused_until_ns = control.until_ns
            states.hold(Cause.PAUSED, control.reason or "the control socket")
            return "only reductions pass", True
        if control.do == "reset":
            self._file.remove()
            states.pulled = None
            for cause in OF_PEOPLE:
                states.lift(cause, control.reason or "reset")
            return "what a person may lift is lifted", True
        return "no regime reads news yet; use pause", False

    def _told(self, text: str, *, accepted: bool = True) -> ControlAnswer:
        states, (causes, open_orders) = self._standing, self._seen
        return ControlAnswer(
            accepted=accepted,
            state=STATES[states.state],
            step=states.step,
            text=text,
            causes=causes,
            open_orders=open_orders,
        )


@contextmanager
def listening(controls: Controls, endpoint: str) -> Iterator[None]:
    """People are heard while the block lasts: at the endpoint, and by SIGUSR1."""
    over = threading.Event()
    with replier(endpoint) as socket, _pulled_by_signal(controls.pull):
        thread = threading.Thread(target=_serve, args=(socket, controls.answer, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _serve(
    socket: zmq.Socket,
    answer: Callable[[Control], ControlAnswer],
    over: threading.Event,
) -> None:
    while not over.is_set():
        if not socket.poll(POLL_MS):
            continue
        try:
            said = answer(unpack(socket.recv(), Control))
        except MessageError as error:
            text = str(error)[:200]
            said = ControlAnswer(accepted=False, state="halted", step=0, text=text)
        socket.send(pack(said))


@contextmanager
def _pulled_by_signal(pull: Callable[[str], None]) -> Iterator[None]:
    """Only the main thread may say what a signal does; elsewhere there is none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGUSR1, lambda *_: pull("the signal SIGUSR1"))
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
