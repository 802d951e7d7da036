"""Ctrl-C and SIGTERM: once ends a run after its step, with its report; twice, now."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from bot4jax.runtime.loop import Trader

SIGNALS = (signal.SIGINT, signal.SIGTERM)
WORDS = b"\nbot4jax: ends after this step, with a report; once more ends it now\n"


@contextmanager
def stoppable(trader: Trader) -> Iterator[None]:
    """The first of these signals asks the trader to end; the next acts as before.

    Only the main thread may say what a signal does; elsewhere there is none.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in SIGNALS}

    def restore() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    def ask(*_: object) -> None:
        trader.is_asked_to_end = True
        restore()
        os.write(2, WORDS)  # a print to it may be under way

    for one in SIGNALS:
        signal.signal(one, ask)
    try:
        yield
    finally:
        restore()
