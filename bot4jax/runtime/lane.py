"""A thread that does what it is given, in turn.

Whoever gives it something may stop waiting for it, and may leave: a call that never
returns keeps no process alive.
"""

import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

Found = TypeVar("Found")
Work = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class Lane:
    """After a failure nothing is done any more: all that follows fails by it too."""

    def __init__(self, name: str) -> None:
        self._work: Work = SimpleQueue()
        threading.Thread(
            target=_work_off, args=(self._work,), name=name, daemon=True
        ).start()
        weakref.finalize(self, self._work.put, None)

    def submit(self, act: Callable[..., Found], *given: Any) -> Future[Found]:
        """Have it done once all that was given before is done."""
        future: Future[Found] = Future()
        self._work.put((future, partial(act, *given)))
        return future


def _work_off(work: Work) -> None:
    failure: BaseException | None = None
    while (job := work.get()) is not None:
        future, act = job
        try:
            if failure is not None:
                raise failure
            future.set_result(act())
        except BaseException as error:  # told to whoever waits for the result
            failure = error
            future.set_exception(error)
        del job, future, act  # or the last one's owner would live as long as we do
