"""Ctrl-C and SIGTERM: once ends a run after its step, with its report; twice, now."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bot4jax.runtime.interrupts import handled
from bot4jax.runtime.loop import Trader

WORDS = b"\nbot4jax: ends after this step, with a report; once more ends it now\n"


class Ending:
    """One word for all that trade one after the other: none begins another span."""

    def __init__(self) -> None:
        self.is_asked = False
        """by a person"""
        self._trader: Trader | None = None

    @contextmanager
    def heard(self) -> Iterator[None]:
        """The first of these signals asks for the end; the next acts as before."""

        def ask(*_: object) -> None:
            self.is_asked = True
            self._pass_on()
            restore()
            os.write(2, WORDS)  # a print to it may be under way

        with handled(ask) as restore:
            yield

    @contextmanager
    def of(self, trader: Trader) -> Iterator[None]:
        """This trader ends after its step once it is asked for, or was before."""
        self._trader = trader
        self._pass_on()
        try:
            yield
        finally:
            self._trader = None

    def _pass_on(self) -> None:
        if self.is_asked and self._trader is not None:
            self._trader.is_asked_to_end = True


@contextmanager
def stoppable(trader: Trader) -> Iterator[None]:
    """The first of these signals asks the trader to end; the next acts as before."""
    ending = Ending()
    with ending.of(trader), ending.heard():
        yield
