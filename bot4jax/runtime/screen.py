"""Which ticks may reach the engine, and why the others may not.

Bounds of single fields stand in tables by kind; what depends on the instrument or on
two fields at once is checked beside them. A value is fine only if it is within, so
whatever was not foreseen is refused.
"""

import enum

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.runtime.wire import LATEST_NS
from bot4jax.types import BOOK, BUY, CLOSED, LEVELS, QUOTE, SELL, STATUS, TRADE

FARTHEST = 1 << 29
"""Increments that a price may lie from its anchor: a mid in half increments is twice
that and still fits the device's integers."""

HIGHEST_PRICE = 1 << 53
"""Increments; exact in every language's doubles."""

LARGEST_SIZE = 1 << 40
"""Lots of one quote, trade or level; squared turnovers stay finite in float32."""


class Drop(enum.IntEnum):
    """Why a tick is not absorbed."""

    KIND = 1
    SIDE = 2
    SYMBOL = 3
    """no instrument of the universe has this slot"""
    PRICE = 4
    """not positive, or absurdly far from the anchor"""
    SIZE = 5
    """not positive (a book level may be empty), or absurdly large"""
    LEVEL = 6
    STATUS = 7
    FIELD = 8
    """not 0 where the protocol says 0"""
    CROSSED = 9
    """bid above ask"""
    TIME = 10
    """before 1970 or after 2116"""
    FUTURE = 11
    """ahead of its publisher's clock by more than the skew limit"""
    EPOCH = 12
    """of a publisher's former life"""
    REFERENCE = 13
    """records of a frame of events that cannot be understood, or of no instrument"""
    AHEAD = 14
    """of a frame that was sent later, it says, than our clock can believe"""


PRICE = (1, HIGHEST_PRICE, Drop.PRICE)
SIZE = (1, LARGEST_SIZE, Drop.SIZE)
LEVEL_SIZE = (0, LARGEST_SIZE, Drop.SIZE)
ANYTHING = (-(1 << 63), (1 << 63) - 1, Drop.FIELD)
NOTHING = (0, 0, Drop.FIELD)

BOUNDS = {
    QUOTE: (PRICE, PRICE, SIZE, SIZE),
    TRADE: (PRICE, SIZE, ANYTHING, NOTHING),
    BOOK: (PRICE, LEVEL_SIZE, (1, LEVELS - 1, Drop.LEVEL), NOTHING),
    STATUS: ((0, CLOSED, Drop.STATUS), NOTHING, NOTHING, NOTHING),
}
"""Of a kind's fields a, b, c, d: lowest, highest, and what it means to be outside."""

LOWEST, HIGHEST, OUTSIDE = np.array(
    [[BOUNDS[kind][field] for kind in sorted(BOUNDS)] for field in range(4)], np.int64
).transpose(2, 0, 1)
SPAN = (HIGHEST - LOWEST).view(np.uint64)

SIDES = {
    QUOTE: range(256),
    TRADE: range(SELL + 1),
    BOOK: (BUY, SELL),
    STATUS: range(256),
}


def _heads() -> Int[np.ndarray, " H"]:
    """What is wrong with a record's first two bytes, kind + 256 × side; 0: nothing."""
    table = np.full(1 << 16, Drop.KIND, np.uint8)
    for kind, sides in SIDES.items():
        table[kind::256] = Drop.SIDE
        table[[kind + 256 * side for side in sides]] = 0
    return table


HEADS = _heads()


def screen(
    records: np.ndarray, anchors: Int[np.ndarray, " S"]
) -> Int[np.ndarray, " N"] | None:
    """Why each tick is refused, as a `Drop` or 0; None if all of them are fine."""
    words = np.ascontiguousarray(records.view(np.int64).reshape(-1, 6).T)
    kind = np.minimum(records["kind"], STATUS).astype(np.intp)
    heads = HEADS.take(words[0] & 0xFFFF)
    failed = failures(words, kind, heads, records["symbol"], anchors)
    if not failed.any():
        return None
    rows = np.array([0, Drop.SYMBOL, 0, 0, 0, 0, Drop.PRICE, Drop.CROSSED, Drop.TIME])
    reasons = np.broadcast_to(rows[:, None], failed.shape).copy()
    reasons[0] = heads
    reasons[2:6] = OUTSIDE.take(kind, 1)
    first = failed.argmax(0)
    return np.where(failed.any(0), reasons[first, np.arange(len(kind))], 0)


def failures(
    words: Int[np.ndarray, "6 N"],
    kind: Int[np.ndarray, " N"],
    heads: Int[np.ndarray, " N"],
    symbol: Int[np.ndarray, " N"],
    anchors: Int[np.ndarray, " S"],
) -> Bool[np.ndarray, "R N"]:
    """Which checks each tick fails: head, symbol, a, b, c, d, anchor, crossed, time."""
    fields = words[2:]
    is_quote = kind == QUOTE
    anchor = anchors.take(symbol, mode="clip")
    is_far = np.abs(fields[:2] - anchor) >= FARTHEST
    failed = np.empty((9, len(kind)), bool)
    np.not_equal(heads, 0, out=failed[0])
    np.greater_equal(symbol, len(anchors), out=failed[1])
    excess = (fields - LOWEST.take(kind, 1)).view(np.uint64)
    np.greater(excess, SPAN.take(kind, 1), out=failed[2:6])
    failed[6] = (is_far[0] & (kind != STATUS)) | (is_far[1] & is_quote)
    failed[7] = (fields[0] > fields[1]) & is_quote
    np.greater_equal(words[1].view(np.uint64), LATEST_NS, out=failed[8])
    return failed
