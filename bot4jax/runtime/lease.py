"""One process a run folder: whoever writes in it holds its lease.

The file lies beside the folder, so that it outlives a folder that is removed. The lock
is the system's own, so it ends with the process however that ends, and a process that
was merely stopped keeps it: it may wake up and go on sending.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot4jax.errors import ConfigError, Halted


@contextmanager
def lease(
    folder: Path, instead: str = "run.name", place: str = "run.root"
) -> Iterator[None]:
    """Hold the folder, or a file, while the block lasts, or refuse if somebody else
    does; `instead`: the key by which another one is named, `place`: another place.

    A link's lease is that of what it leads to.
    """
    try:
        real = Path(os.path.realpath(folder))
        real.parent.mkdir(parents=True, exist_ok=True)
        file = real.with_name(f".{real.name}.lease")
        handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise out_of_reach(folder, error, place) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(handle, 20).decode(errors="replace").strip()
            raise Halted(
                f"Another process works in {folder} (process {holder}); it may only "
                f"be asleep. End it, or choose another {instead}."
            ) from None
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(handle)


def out_of_reach(folder: Path, error: OSError, place: str = "run.root") -> ConfigError:
    """What keeps a process from writing where it was told to."""
    where = error.filename or folder
    why = (error.strerror or str(error)).lower()
    return ConfigError(
        [
            f"{place}: {where} cannot be written ({why}); make room there, or choose "
            f"another {place}"
        ]
    )
