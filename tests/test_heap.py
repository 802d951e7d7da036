"""What compiling leaves in the heap of the C library is closed, and no more than that.

Holes are made by hand, in a process of its own, and malloc says where it puts pieces.
"""

import ctypes
import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="not glibc of 2.33 or later"
)

HOLES = """
import bisect, ctypes, json, random
from bot4jax import heap
heap.keep_pages()
libc = heap._glibc()
draw = random.Random(0)
sizes = [draw.randrange(*{sizes}) for _ in range({count})]
pieces = [(libc.malloc(size), libc.malloc(3000)) for size in sizes]
for (piece, _), size in zip(pieces, sizes):
    ctypes.memset(piece, 1, size)
holes = sorted((piece, piece + size) for (piece, _), size in zip(pieces, sizes))
def resident():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096
filled = resident()
for piece, _ in pieces:
    libc.free(piece)
def inside():
    asked = [draw.randrange(*{sizes}) for _ in range(200)]
    found = [libc.malloc(size) for size in asked]
    for piece in found:
        libc.free(piece)
    return sum(map(is_within, found))
def is_within(piece):
    before = bisect.bisect(holes, (piece, 1 << 63)) - 1
    return before >= 0 and piece < holes[before][1]
"""
"""`count` pieces of these sizes are free, a small one is kept behind each."""


def told(code: str, sizes: tuple[int, int], count: int) -> list:
    """What Python says of such a heap."""
    whole = HOLES.format(sizes=sizes, count=count) + code
    found = subprocess.run(
        [sys.executable, "-c", whole], capture_output=True, text=True, check=True
    )
    return json.loads(found.stdout)


def test_pieces_come_out_of_holes_until_these_are_closed():
    before, closed, all_of_them, after = told(
        "print(json.dumps([inside(), heap.close_holes(), sum(sizes), inside()]))",
        sizes=(8 << 10, 200 << 10),
        count=2000,
    )
    assert before > 190
    assert after < 50  # in two holes or more without a piece between them
    assert 0.9 * all_of_them < closed < 1.1 * all_of_them


def test_large_holes_stay_free():
    before, closed, all_of_them, after = told(
        "print(json.dumps([inside(), heap.close_holes(), sum(sizes), inside()]))",
        sizes=(2 << 20, 3 << 20),
        count=300,
    )
    assert before > 190
    assert after > 140  # what is cut off their ends is closed
    assert closed < 1 / 8 * all_of_them


def test_what_is_closed_costs_no_memory():
    filled, closed, left = told(
        "print(json.dumps([filled, heap.close_holes(), resident()]))",
        sizes=(32 << 10, 200 << 10),
        count=1000,
    )
    assert closed > 80 << 20
    assert filled - left > 0.8 * closed


def test_closing_again_finds_little():
    first, second = told(
        "print(json.dumps([heap.close_holes(), heap.close_holes()]))",
        sizes=(8 << 10, 200 << 10),
        count=2000,
    )
    assert second < first / 10


def test_where_addresses_are_limited_nothing_is_closed():
    closed, before, after = told(
        """
import resource
held = int(open("/proc/self/statm").read().split()[0]) * 4096
resource.setrlimit(resource.RLIMIT_AS, (held + (16 << 20),) * 2)
print(json.dumps([heap.close_holes(), inside(), inside()]))
""",
        sizes=(150 << 10, 250 << 10),
        count=4000,
    )
    assert closed == 0
    assert min(before, after) > 190
