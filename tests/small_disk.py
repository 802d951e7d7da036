"""A disk without room, by the kernel's own limit: no file may grow beyond a size."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from bot4jax.durable import MENDS


@contextmanager
def no_room(size: int = 0) -> Iterator[None]:
    """Writes up to `size` bytes of a file are taken, what comes behind is refused.

    The signal that the kernel sends with it is ignored by every Python.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def is_told(error: OSError, path: object) -> bool:
    """Whether the user will be told of this very file, in a sentence."""
    return error.errno in MENDS and str(path) in str(error.filename)
