"""A person's word to a running engine: over a socket, by a file, by a signal.

The kill switch acts in two strokes. The first, in whichever thread hears it, makes the
state HALTED at once, and the socket's thread writes the file `KILL`: the next gate lets
nothing pass and the next process begins halted. The second, in the loop's own thread,
writes the journal and takes back what rests. Everything else waits for the loop. A
reset lifts what was pulled before it was asked for, and nothing that was pulled since.
"""

import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import zmq

from bot4jax.errors import Halted
from bot4jax.runtime.folder import KILL, sync_folder
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import (
    STATES,
    Control,
    ControlAnswer,
    pack,
    unpack,
)
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.reference import end_news, tell_news
from bot4jax.runtime.sockets import replier
from bot4jax.runtime.states import OF_PEOPLE, Cause
from bot4jax.runtime.steady import steady_clock

FILE_EVERY_S = 0.05
"""How often the file is looked for."""

PATIENCE_S = 30.0
"""How long a person's word may wait for the loop, as while it compiles."""

POLL_MS = 100

Sight = tuple[int, int, str]
"""Of a file: its number, when it was last written (ns), what it says."""


class KillFile:
    """`<run>/KILL`: whoever makes it stops the engine; only a reset removes it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / KILL

    def text(self) -> str | None:
        """Why, as far as a message can say it; None while the switch is not pulled.

        Whatever else stands in its place and cannot be read was put there by somebody.
        """
        try:
            found = self.path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"{self.path.name} cannot be read ({error.strerror})"
        return found.strip()[:200] or f"the file {self.path.name}"

    def seen(self) -> Sight | None:
        """What stands there now, to be known again; None: nothing."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return None
        except OSError:
            return 0, 0, self.text() or ""
        return found.st_ino, found.st_mtime_ns, self.text() or ""

    def write(self, text: str) -> None:
        """Make it durable: it must outlive this process and the machine's power."""
        try:
            with self.path.open("w", encoding="utf-8") as file:
                file.write(f"{text}\n")
                file.flush()
                os.fsync(file.fileno())
            sync_folder(self.path.parent)
        except OSError as error:
            raise Halted(
                f"The kill switch is pulled, but {self.path} cannot be written "
                f"({error.strerror}): a restart would not know. Make room and say it "
                "again."
            ) from error

    def remove(self) -> None:
        """Make it durable too: what a person lifted does not come back."""
        try:
            self.path.unlink(missing_ok=True)
            sync_folder(self.path.parent)
        except OSError as error:
            raise Halted(
                f"{self.path} cannot be removed ({error.strerror}): the kill switch "
                "stays pulled. Remove it yourself, then say it again."
            ) from error


class _Request(NamedTuple):
    control: Control
    answer: Future[ControlAnswer]
    pulls: int
    """of the kill switch before it was asked"""
    file: Sight | None
    """that stood there then"""


class Controls:
    """What people ask for; the loop attends to it between two arrivals."""

    def __init__(
        self, trader: Trader, file: KillFile, patience_s: float = PATIENCE_S
    ) -> None:
        self._trader, self._file, self._patience_s = trader, file, patience_s
        self._standing = trader.account.states
        self._requests: queue.SimpleQueue[_Request] = queue.SimpleQueue()
        self._looked_s = 0.0
        self._seen: tuple[list[str], int] = ([], 0)
        """causes and open orders of one moment: the other thread reads them together"""
        self.forget: Callable[[], None] = lambda: None
        """what else a reset begins anew: how late each publisher's ticks are usually"""
        self._of_the_file = threading.Lock()
        """a reset removes the file and the pulls that made it in one go"""

    @property
    def waiting(self) -> int:
        """Requests that the loop has not heard yet."""
        return self._requests.qsize()

    def attended(self, arrivals: Iterable[Arrival]) -> Iterator[Arrival]:
        """The same arrivals; before each one people are heard, and the venue told."""
        for one in arrivals:
            self.attend()
            if self._trader.is_leaving:
                return
            self._trader.beat()
            yield one

    def attend(self) -> None:
        """Do what was asked since the last time; called in the loop's thread."""
        self._look_for_the_file()
        self._stop_if_pulled()
        self._standing.lapse(steady_clock()())
        self._look()
        while not self._requests.empty():
            self._serve(self._requests.get())

    def keep(self) -> None:
        """Make a pull outlive the process; called in the socket's thread."""
        with self._of_the_file:
            text = self._standing.pulled
            if text is not None and self._file.text() is None:
                self._file.write(text)

    def pull(self, text: str) -> None:
        """The kill switch, in whichever thread."""
        self._standing.pull(text)

    def heard(self, said: bytes) -> ControlAnswer:
        """What to say to whoever sent this; whatever it is, the next one is heard."""
        try:
            return self.answer(unpack(said, Control))
        except Exception as error:
            text = f"{error or type(error).__name__}"[:200]
            return self._told(text, accepted=False)

    def answer(self, control: Control) -> ControlAnswer:
        """What to say to a person; called in the socket's thread."""
        if control.do == "status":
            return self._told(control.reason)
        if control.do == "kill":
            self.pull(control.reason or "the control socket")
            said = self._told(self._standing.pulled or control.reason)
            self.keep()
            return said
        _keep(self)
        request = _Request(control, Future(), self._standing.pulls, self._file.seen())
        self._requests.put(request)
        try:
            return request.answer.result(self._patience_s)
        except TimeoutError:
            if not request.answer.cancel():
                return request.answer.result()
            text = "the loop is busy; nothing was changed, say it again"
            return self._told(text, accepted=False)

    def _look(self) -> None:
        open_orders = len(self._trader.account.portfolio.working.ids())
        self._seen = [one.name for one in self._standing.causes], open_orders

    def _look_for_the_file(self) -> None:
        now_s = time.monotonic()
        if now_s - self._looked_s < FILE_EVERY_S or self._standing.pulled is not None:
            return
        self._looked_s = now_s
        if (text := self._file.text()) is not None:
            self.pull(text)

    def _stop_if_pulled(self) -> None:
        text = self._standing.pulled
        if text is None or self._standing.is_held(Cause.KILLED):
            return
        try:
            self._trader.halt(Cause.KILLED, text)
        finally:
            self.keep()

    def _serve(self, request: _Request) -> None:
        """One request in the loop's thread, if its asker has not given up."""
        if not request.answer.set_running_or_notify_cancel():
            return
        try:
            text, accepted = self._done(request)
            self._look()
            request.answer.set_result(self._told(text, accepted=accepted))
        except BaseException as error:
            request.answer.set_exception(error)
            raise

    def _done(self, request: _Request) -> tuple[str, bool]:
        """What there is to say, and whether it was done."""
        control = request.control
        if control.do == "reset":
            return self._reset(request)
        reason = control.reason or "the control socket"
        until_ns = control.lasts_ns and steady_clock()() + control.lasts_ns
        if control.do == "pause":
            self._standing.hold(Cause.PAUSED, reason, until_ns)
            return "only reductions pass", True
        tell_news(self._standing, reason, until_ns)
        return "only reductions pass while the news lasts", True

    def _reset(self, request: _Request) -> tuple[str, bool]:
        states, reason = self._standing, request.control.reason or "reset"
        with self._of_the_file:
            now = self._file.seen()
            if now is not None and now != request.file:
                self.pull(now[-1])
            if states.pulls > request.pulls:
                return "the kill switch was pulled since; reset it again", False
            try:
                self._file.remove()
            except Halted as error:
                return f"{error}"[:200], False
            states.release(request.pulls)
        own = self._trader.account
        end_news(states, own.headlines, own.universe.symbols, reason)
        self.forget()
        for cause in OF_PEOPLE:
            states.lift(cause, reason)
        return "what a person may lift is lifted", True

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
        thread = threading.Thread(target=_serve, args=(socket, controls, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _serve(socket: zmq.Socket, controls: Controls, over: threading.Event) -> None:
    while not over.is_set():
        if socket.poll(POLL_MS):
            said = controls.heard(b"".join(socket.recv_multipart()))
            socket.send(pack(said))
        _keep(controls)
    _keep(controls)


def _keep(controls: Controls) -> None:
    """A file that cannot be written is said to who asked; the state is halted."""
    with suppress(Halted):
        controls.keep()


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
