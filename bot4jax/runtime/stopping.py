"""Ctrl-C and SIGTERM: once ends a run after its step, with its report; twice, now."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bot4jax.runtime.interrupts import handled
from bot4jax.runtime.loop import Trader

WORDS = b"\nbot4jax: ends after this step, with a report; once more ends it now\n"


@contextmanager
def stoppable(trader: Trader) -> Iterator[None]:
    """The first of these signals asks the trader to end; the next acts as before."""

    def ask(*_: object) -> None:
        trader.is_asked_to_end = True
        restore()
        os.write(2, WORDS)  # a print to it may be under way

    with handled(ask) as restore:
        yield
