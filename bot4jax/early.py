"""The signal SIGUSR1 before anybody listens to people.

A live run imports, reads and compiles for seconds to a minute before it does. Without a
handler the signal would end the process, and the next start would trade.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot4jax import durable
from bot4jax.errors import Halted

SAID = "the signal SIGUSR1"


class Early:
    """Makes the signal outlive the process: by the file `KILL` of the run's folder."""

    def __init__(self, folder: Path | None = None) -> None:
        """`folder`: of the run; None: not known yet."""
        self.begin(folder)

    def begin(self, folder: Path | None) -> None:
        """Nothing was said yet."""
        self._folder, self._is_pulled = folder, False

    def pull(self, *_: object) -> None:
        """A signal has come."""
        self._is_pulled = True
        self.aim(self._folder)

    def aim(self, folder: Path | None) -> None:
        """The run's folder is this one; whatever was said before is written there."""
        self._folder = folder
        if not self._is_pulled or folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            durable.write(folder / "KILL", f"{SAID}\n")
        except OSError as error:
            raise Halted(
                f"SIGUSR1 was heard, but {folder / 'KILL'} cannot be written "
                f"({error.strerror}): nothing is begun. Make room, then start again."
            ) from error


EARLY = Early()
"""This process's, as long as `heard_early` lasts."""


@contextmanager
def heard_early(folder: Path | None) -> Iterator[None]:
    """SIGUSR1 is kept while the block lasts, where `listening` does not hear it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    EARLY.begin(folder)
    before = signal.signal(signal.SIGUSR1, EARLY.pull)
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, before)
        EARLY.begin(None)
