"""One process a run folder: whoever writes in it holds its lease.

The file lies beside the folder, so that it outlives a folder that is removed, and goes
with its holder; what a killed one leaves behind holds nobody up. The lock is the
system's own, so it ends with the process however that ends, and a process that was
merely stopped keeps it: it may wake up and go on sending.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        handle = _locked(file)
    except BlockingIOError:
        raise Halted(
            f"Another process works in {folder} (process {_holder(file)}); it may only "
            f"be asleep. End it, or choose another {instead}."
        ) from None
    except OSError as error:
        raise out_of_reach(folder, error, place) from error
    try:
        _sign(handle, file, place)
        yield
    finally:
        if _is_of(handle, file):
            with suppress(OSError):  # a folder that became read-only keeps the file
                file.unlink()
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


def _locked(file: Path) -> int:
    """A handle that holds the file; raises `BlockingIOError` where somebody else does.

    Its last holder may have removed it after it was opened: a lock on what bears no
    name would keep nobody out, so it is opened again.
    """
    while True:
        handle = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        if _is_of(handle, file):
            return handle
        os.close(handle)


def _sign(handle: int, file: Path, place: str) -> None:
    """Write into a lease who holds it."""
    try:
        os.ftruncate(handle, 0)
        os.write(handle, f"{os.getpid()}\n".encode())
    except OSError as error:  # that of a full disk names no file
        raise out_of_reach(file, error, place) from error


def _is_of(handle: int, file: Path) -> bool:
    """Whether the name still leads to what the handle holds."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _holder(file: Path) -> str:
    """The process that has written itself into a lease; it may be gone by now."""
    try:
        return file.read_text(errors="replace")[:20].strip()
    except OSError:
        return "that has just ended"
