"""What Ctrl-C and SIGTERM do while a block lasts; needs nothing else of the house."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def unwound() -> Iterator[None]:
    """Both end the block as an error does: whoever began something in it ends it."""
    with handled(signal.default_int_handler):
        yield


@contextmanager
def put_off() -> Iterator[None]:
    """Both end the block that this one lies in, once this one has ended: what is begun
    in it has a name by then."""
    came = []
    with handled(lambda *asked: came.append(asked)):
        yield
    if came:
        raise KeyboardInterrupt


@contextmanager
def handled(handler: Callable[..., None]) -> Iterator[Callable[[], None]]:
    """Both call the handler, until the block ends or what it is given is called.

    Only the main thread may say what a signal does; elsewhere nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = {one: signal.signal(one, handler) for one in SIGNALS}

    def restore() -> None:
        for one, former in before.items():
            signal.signal(one, former)

    try:
        yield restore
    finally:
        restore()
