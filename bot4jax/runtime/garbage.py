"""Garbage is looked for between two steps, never between a closing and its orders.

A full collection looks at every object that there is. With JAX imported that takes a
tenth of a second or two, and Python chooses the moment.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

YOUNG = 1
"""The generations that a step's own garbage is in."""

STEPS_TO_ALL = 1_000
"""After so many steps, the rest is looked through as well."""


@contextmanager
def settled() -> Iterator[None]:
    """What was built before is here to stay, and only `collect` looks for garbage."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if was_enabled:
            gc.enable()


def collect(step: int) -> None:
    """After a step: nothing is urgent until the next bar closes."""
    gc.collect(2 if step % STEPS_TO_ALL == 0 else YOUNG)
