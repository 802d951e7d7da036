"""What a feed makes of frames: batches for the device, and closings of bars."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from bot4jax.kernels.rebase import Terms
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.reference import Pending
from bot4jax.runtime.screen import Drop

ROTATION = 8
"""Batches until a buffer is written again: the device reads one after the call that
was given it has returned, so a loop must not have this many calls in flight."""


class Batch(NamedTuple):
    """Ticks of the open bar; views of buffers that are reused `ROTATION` batches on."""

    packed: Int[np.ndarray, "N K"]
    """rows as in `PACKED`; from `count` on their slot is S, which scatters drop"""
    count: int
    records: np.ndarray
    """the same ticks as `TICK`, for recording"""
    is_again: bool = False
    """they have been in a batch before, and were out of order"""


class Reopen(NamedTuple):
    """Bars that begin anew: their ticks follow again, in order of event time."""

    slots: Bool[np.ndarray, " S"]


class Close(NamedTuple):
    """A bar is complete; every batch of it has been yielded."""

    bar: int
    boundary_ns: int
    """event time at which it ends and the next one opens"""
    watermark_ns: int
    """event time that every live publisher had reached"""
    receive_ns: int
    """receive time of what closed it"""
    newest_ns: int
    """receive time by which the newest tick would have come, had it not been late"""
    ticks: int
    """in the bar's batches"""
    late: int
    """of them"""
    masked: tuple[int, ...] = ()
    """slots of which something was missing at some moment of the bar"""
    events: tuple[Reference, ...] = ()
    """that act from the boundary on"""
    terms: Terms | None = None
    """of prices and sizes from the boundary on, if a split or new terms changed them"""
    unheard: int = 0
    """frames of reference events of which nobody can tell any more, by bar"""
    is_by_clock: bool = False
    """a publisher had not told yet that it was over"""
    awaited: int = 0
    """frames of reference events missed in the bar, of which a snapshot may tell"""
    is_told: bool = True
    """no snapshot is awaited that would tell of missed events"""
    doubted: tuple[int, ...] = ()
    """slots of which a snapshot has told what should have acted before: what is owned
    there, or was since, need not be what it is held to be"""


class FeedState(NamedTuple):
    """All that decides what comes next, in few words: two equal ones go on alike."""

    bar: int
    publishers: tuple[tuple[int, ...], ...]
    pending: int
    """checksum of the ticks that no batch holds yet"""
    ordering: int
    """checksum of those that batches hold, in the order of their arrival"""
    held: int
    """checksum of the ticks of later bars"""
    events: tuple[Pending, ...]
    coverage: int
    """checksum of what is known to be missing"""
    snapshots: tuple[tuple[int, ...], ...]
    counted: tuple[int, ...]
    dropped: tuple[tuple[Drop, int], ...]
    renewed: tuple[int, ...]
    """publishers that quote in terms which act at the next boundary here"""
    doubted: tuple[int, ...]
