"""The heap of the C library: its pages are kept, and the holes of compiling closed.

Of glibc alone; where there is another, nothing is done.
"""

import ctypes
from functools import cache
from typing import Any

MALLOPT = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1)}
MALLOPT |= {"M_TOP_PAD": (-2, 256 << 20), "M_ARENA_MAX": (-8, 1)}
"""glibc's parameters and the values that keep pages instead of returning them: a step
that allocates and frees its temporaries otherwise spends most of its time in page
faults."""

LEAST, MOST = 4 << 10, 256 << 10
"""Bytes of the holes that are closed: of the sizes that a step asks for again and
again, and that glibc looks for among all that are alike."""

HELD = 64 << 20
"""Bytes of the largest piece that is held while smaller ones are looked for."""


def keep_pages() -> bool:
    """Whether the C library took `MALLOPT`."""
    libc = _glibc()
    return libc is not None and all(
        [libc.mallopt(*parameter) == 1 for parameter in MALLOPT.values()]
    )


def close_holes() -> int:
    """Bytes of holes that nothing will be put into any more; to be called when all has
    been compiled.

    The compiler leaves tens of thousands of free pieces between what it keeps, and
    whoever asks for a piece of some KiB has glibc walk along a list of them, with the
    only lock that there is in its hand. So those pieces are taken for good, once their
    pages have gone back to the system: they cost addresses and no memory. Larger ones
    stay free.
    """
    libc = _glibc()
    if libc is None:
        return 0
    libc.malloc_trim(0)
    found = libc.mallinfo2()
    free = found.fordblks - found.keepcost
    behind = free + 1  # no hole is as large: what is behind it was never handed out
    fresh = libc.malloc(behind)
    if fresh is None:  # a limit on addresses: there are none to spare
        return 0
    large = _taken(libc, fresh + behind, HELD, MOST, free)
    closed = _taken(libc, fresh + behind, MOST, LEAST, free)
    for piece, _ in large:
        libc.free(piece)
    libc.free(fresh)
    return sum(size for _, size in closed)


def _taken(
    libc: Any, fresh: int, most: int, least: int, free: int
) -> list[tuple[int, int]]:
    """Address and size of all holes of these sizes, the largest first.

    `fresh` is the address behind which no hole is; more than the `free` bytes are never
    taken.
    """
    found, size = [], most
    while size >= least and free >= size:
        piece = libc.malloc(size)
        if piece is None:
            break
        if 0 <= piece - fresh < MALLOPT["M_TOP_PAD"][1]:
            libc.free(piece)
            size -= size // 8
        else:
            found.append((piece, size))
            free -= size
    return found


class _Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of malloc.h, glibc 2.33."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


@cache
def _glibc() -> Any:
    """The library with the signatures of what is called here; None: it is another."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return None
    libc.mallinfo2.restype = _Mallinfo
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    libc.free.argtypes, libc.free.restype = [ctypes.c_void_p], None
    libc.malloc_trim.argtypes = [ctypes.c_size_t]
    return libc
