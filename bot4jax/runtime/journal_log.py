"""Whether a write-ahead log was changed in its middle, or merely torn at its end.

SQLite reads a log up to the first frame that does not fit to the one before it, and
takes what lies behind for the remains of a crash. That is so in the last transaction
alone: each is begun once the one before it is whole. Where a frame that fits lies
behind the end of a transaction that is passed over like that, somebody has changed the
log, and steps that were committed would be gone without a word.

Layout and checksum are those of SQLite's file format (sqlite.org/fileformat2.html, 4).
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt32

HEAD, FRAME_HEAD = 32, 24
"""bytes of the log's head, and before each page"""
LITTLE_ENDIAN, BIG_ENDIAN = 0x377F0682, 0x377F0683
"""first word of a log, by the order of bytes that its checksums are made in"""
WORD = 32


def is_changed(log: Path, page: int) -> bool:
    """Whether committed frames lie behind one that does not fit; `page`: bytes.

    A log that is not there, or shorter than its first frame, is not.
    """
    raw = log.read_bytes() if log.is_file() else b""
    count = (len(raw) - HEAD) // (FRAME_HEAD + page)
    if count < 1:
        return False
    head = np.frombuffer(raw, ">u4", HEAD // 4)
    body = np.frombuffer(raw, np.uint8, count * (FRAME_HEAD + page), HEAD)
    frames = body.reshape(count, FRAME_HEAD + page)
    heads = frames[:, :FRAME_HEAD].copy().view(">u4").astype(np.uint32)
    order = ">u4" if head[0] == BIG_ENDIAN else "<u4"
    is_head_whole = head[0] in (LITTLE_ENDIAN, BIG_ENDIAN) and _is_fit(
        np.frombuffer(raw, order, 6)[None], np.zeros((1, 2)), head[None, 6:]
    )
    salts, sums = heads[:, 2:4], heads[:, 4:]
    own = head[4:6] if is_head_whole else salts[0]
    is_own = (salts == own).all(axis=1)
    summed = np.concatenate([frames[:, :8], frames[:, FRAME_HEAD:]], axis=1)
    before = np.concatenate([head[None, 6:], sums[:-1]])
    fits = is_own & _is_fit(summed.view(order), before, sums)
    passed_over = ~np.logical_and.accumulate(fits & bool(is_head_whole))
    ends = np.flatnonzero(passed_over & is_own & (heads[:, 1] > 0))
    return bool(len(ends)) and bool(fits[ends[0] + 1 :].any())


def _is_fit(
    words: UInt32[np.ndarray, "n W"],
    before: UInt32[np.ndarray, "n 2"],
    sums: UInt32[np.ndarray, "n 2"],
) -> Bool[np.ndarray, " n"]:
    """Whether each row's checksum follows from its words and the checksum before it."""
    by_word, by_sum = _weights(words.shape[1])
    found = words.astype(np.uint32) @ by_word + before.astype(np.uint32) @ by_sum
    return (found == sums).all(axis=1)


@lru_cache
def _weights(words: int) -> tuple[UInt32[np.ndarray, "W 2"], UInt32[np.ndarray, "2 2"]]:
    """What each word adds to a checksum, and what the one before does, modulo 2³².

    Two words x, y turn the sums (s, t) into s' = s + t + x and t' = t + s' + y.
    """
    rows, power = [], np.eye(2, dtype=np.uint32)
    step = np.array([[1, 1], [1, 2]], np.uint32)
    for _ in range(words // 2):
        rows.append((power @ np.array([[1, 0], [1, 1]], np.uint32)).T)
        power = power @ step
    return np.concatenate(rows[::-1]), power.T
