"""`mode=control`: a person's word to a running engine, and what became of it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import zmq

from bot4jax.errors import Halted
from bot4jax.runtime.control import PATIENCE_S
from bot4jax.runtime.messages import Control, ControlAnswer, pack, unpack
from bot4jax.runtime.sockets import dealer
from bot4jax.schema import Config

ASK_EVERY_S = 0.005

ANSWERED_S = PATIENCE_S + 5
"""Longer than a word may wait for the loop: the engine itself says that it did."""

REACHED_S = 3
"""An engine that runs on this machine has taken the call by then."""

Ask = Callable[[Control], ControlAnswer]


def control(config: Config) -> int:
    """Say it, wait until it is done, and print how long that took."""
    own = config.control
    lasts_ns = round(own.seconds * 1e9)
    word = Control(do=own.do, reason=own.reason or "", lasts_ns=lasts_ns)
    with line(config.runtime.endpoints.control) as ask:
        began_s = time.perf_counter()
        said = ask(word)
        heard_ms = (time.perf_counter() - began_s) * 1e3
        if not said.accepted:
            raise Halted(f"control.do={own.do} was not done: {said.text}.")
        print(sentence(said))
        if own.do == "kill":
            last = settled(ask, PATIENCE_S)
            done_ms = (time.perf_counter() - began_s) * 1e3
            print(
                f"kill: halted {heard_ms:.1f} ms after the word, at step {said.step}; "
                f"journaled, and no order open, {done_ms:.1f} ms after it, at step "
                f"{last.step}"
            )
    return 0


@contextmanager
def line(endpoint: str, timeout_s: float = ANSWERED_S) -> Iterator[Ask]:
    """Ask the engine at an endpoint."""
    with dealer(endpoint, is_immediate=True) as socket:

        def ask(word: Control) -> ControlAnswer:
            reached_s = min(REACHED_S, timeout_s)
            if not socket.poll(round(reached_s * 1e3), zmq.POLLOUT):
                raise unheard(f"No engine listens at {endpoint}")
            socket.send_multipart([b"", pack(word)])
            if not socket.poll(round(timeout_s * 1e3)):
                late = f"No engine answered at {endpoint} within {timeout_s:g} s"
                raise unheard(late)
            return unpack(socket.recv_multipart()[-1], ControlAnswer)

        yield ask


def unheard(why: str) -> Halted:
    """Nobody has taken the word; what else there is to do."""
    return Halted(
        f"{why}: nothing was done. Is one running with this runtime.endpoints.control? "
        "A file named KILL in its run folder, or the signal SIGUSR1, stops it too."
    )


def settled(ask: Ask, patience_s: float) -> ControlAnswer:
    """Wait until the kill is journaled and nothing is open any more."""
    give_up_s = time.monotonic() + patience_s
    while time.monotonic() < give_up_s:
        said = ask(Control(do="status"))
        if "KILLED" in said.causes and not said.open_orders:
            return said
        time.sleep(ASK_EVERY_S)
    raise Halted(
        f"The engine is halted, but {said.open_orders} orders are still open after "
        f"{patience_s:g} s: is the venue answering? Look at its own record."
    )


def sentence(said: ControlAnswer) -> str:
    """What a person wants to know of an engine."""
    why = f" ({', '.join(said.causes)})" if said.causes else ""
    text = f": {said.text}" if said.text else ""
    orders = f"{said.open_orders} orders open"
    return f"{said.state}{why} at step {said.step}, {orders}{text}"
