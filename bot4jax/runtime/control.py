"""A person's word to a running engine: over a socket, by a file, by a signal.

The kill switch acts in two strokes. The first, in whichever thread hears it, makes the
state HALTED at once, and the socket's thread writes the file `KILL`: the next gate lets
nothing pass and the next process begins halted. The second, in the loop's own thread,
writes the journal and takes back what rests. Everything else waits for the loop, and
nobody for another's word: each is answered when it is done. A reset lifts what was
pulled before it was asked for, and nothing that was pulled since.
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

from bot4jax import durable
from bot4jax.errors import Halted
from bot4jax.runtime.folder import KILL
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
from bot4jax.runtime.sockets import LIMITS, router
from bot4jax.runtime.states import OF_PEOPLE, Cause
from bot4jax.runtime.steady import steady_clock

FILE_EVERY_S = 0.05
"""How often the file is looked for."""

PATIENCE_S = 30.0
"""How long a person's word may wait for the loop, as while it compiles."""

POLL_MS, WAITING_POLL_MS = 100, 5
"""How often the socket's thread looks for more to do; while a word waits."""

LINGER_MS = 1_000
"""So long the last answers may take once the run is over."""

MOST_WAITING = 64
"""Words at once that the loop has not heard; who says more is to say it again."""

MOST_READ = 4_096
"""Bytes of the file that are looked at: whatever lies there, it is read at once."""

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
            with open(self.path, "rb", buffering=0, opener=_unblocked) as file:
                found = (file.read(MOST_READ) or b"").decode(errors="replace")
        except OSError as error:
            is_nothing = isinstance(error, FileNotFoundError)
            if is_nothing and not self.path.is_symlink():
                return None
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
            durable.write(self.path, f"{text}\n")  # in a link's place, not behind it
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
            durable.sync(self.path.parent)
        except OSError as error:
            raise Halted(
                f"{self.path} cannot be removed ({error.strerror}): the kill switch "
                "stays pulled. Remove it yourself, then say it again."
            ) from error


def _unblocked(path: str, flags: int) -> int:
    """A pipe in the file's place must not be waited for: nobody may ever write it."""
    return os.open(path, flags | os.O_NONBLOCK)


class _Request(NamedTuple):
    control: Control
    answer: Future[ControlAnswer]
    pulls: int
    """of the kill switch before it was asked"""
    file: Sight | None
    """that stood there then"""


class Word(NamedTuple):
    """What somebody said, while it waits for its answer."""

    answer: Future[ControlAnswer]
    until_s: float
    """by the monotonic clock"""


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

    def heard(self, said: bytes) -> "Word":
        """What becomes of what somebody sent; whatever it is, the next one is heard."""
        try:
            return self.ask(unpack(said, Control))
        except Exception as error:
            return self._at_once(self._refused(error))

    def answer(self, control: Control) -> ControlAnswer:
        """What to say to a person, who waits for it; not in the loop's thread."""
        asked = self.ask(control)
        with suppress(TimeoutError):
            return asked.answer.result(self._patience_s)
        return self.busy() if asked.answer.cancel() else asked.answer.result()

    def ask(self, control: Control) -> "Word":
        """Its answer is there at once, or when the loop has done it; called in the
        socket's thread."""
        if control.do == "status":
            return self._at_once(self._told(control.reason))
        if control.do == "kill":
            self.pull(control.reason or "the control socket")
            said = self._told(self._standing.pulled or control.reason)
            self.keep()
            return self._at_once(said)
        if self.waiting >= MOST_WAITING:
            return self._at_once(self.busy())
        _keep(self)
        request = _Request(control, Future(), self._standing.pulls, self._file.seen())
        self._requests.put(request)
        return Word(request.answer, time.monotonic() + self._patience_s)

    def said(self, word: "Word", ends: bool = False) -> ControlAnswer | None:
        """What to say by now; None: it waits. Who waits too long, or till the end, is
        told so; what is not done by then is not done later."""
        if word.answer.done():
            error = word.answer.exception()
            return word.answer.result() if error is None else self._refused(error)
        is_over = ends or time.monotonic() >= word.until_s
        return self.busy() if is_over and word.answer.cancel() else None

    def busy(self) -> ControlAnswer:
        """To whoever is not waited for any longer."""
        text = "the loop is busy; nothing was changed, say it again"
        return self._told(text, accepted=False)

    def _refused(self, error: BaseException) -> ControlAnswer:
        text = f"{error or type(error).__name__}"[:200]
        return self._told(text, accepted=False)

    def _at_once(self, said: ControlAnswer) -> "Word":
        answer = Future[ControlAnswer]()
        answer.set_result(said)
        return Word(answer, 0.0)

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
    limits = LIMITS._replace(linger_ms=LINGER_MS)
    with router(endpoint, limits) as socket, _pulled_by_signal(controls.pull):
        thread = threading.Thread(target=_serve, args=(socket, controls, over))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _serve(socket: zmq.Socket, controls: Controls, over: threading.Event) -> None:
    """Hear one after the other, and answer each when there is something to say."""
    waiting: list[tuple[list[bytes], Word]] = []
    while not over.is_set():
        if socket.poll(WAITING_POLL_MS if waiting else POLL_MS):
            sender, said = _parted(socket.recv_multipart())
            if sender:
                waiting.append((sender, controls.heard(said)))
        waiting = _answered(socket, controls, waiting)
        _keep(controls)
    _answered(socket, controls, waiting, ends=True)
    _keep(controls)


def _answered(
    socket: zmq.Socket,
    controls: Controls,
    waiting: list[tuple[list[bytes], Word]],
    ends: bool = False,
) -> list[tuple[list[bytes], Word]]:
    """Those that wait still, once all are answered that can be."""
    left = []
    for sender, word in waiting:
        if (said := controls.said(word, ends)) is None:
            left.append((sender, word))
        else:
            _send(socket, sender, said)
    return left


def _parted(parts: list[bytes]) -> tuple[list[bytes], bytes]:
    """Whom to answer, an empty part at its end, and what was said; nobody where that
    is missing: as a REP socket has it."""
    if b"" not in parts[1:]:
        return [], b""
    end = parts.index(b"", 1) + 1
    return parts[:end], b"".join(parts[end:])


def _send(socket: zmq.Socket, sender: list[bytes], said: ControlAnswer) -> None:
    """Whoever has gone meanwhile, or asks and never reads, is not answered: the next
    word may be a kill, and waits for nobody."""
    with suppress(zmq.ZMQError):
        socket.send_multipart([*sender, pack(said)], zmq.NOBLOCK)


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
