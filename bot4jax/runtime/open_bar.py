"""The bar that is open: its ticks in buffers that fill, and its closing.

Ticks are handed on as they arrive; before the bar closes, symbols whose ticks came in
another order than that of their event times are begun anew (`disorder.py`). A tick of a
bar already closed goes into the open one, flagged `LATE`. A tick of a bar not yet open
waits until the bars before it have closed.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from bot4jax.data.universe import Universe
from bot4jax.kernels.rebase import Terms
from bot4jax.runtime.batches import ROTATION, Batch, Close, Reopen
from bot4jax.runtime.device_terms import terms_after
from bot4jax.runtime.disorder import Disorder
from bot4jax.runtime.earlier import EarlierMids
from bot4jax.runtime.early import Early
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.pack import instrument_terms, pack
from bot4jax.runtime.publishers import Counters
from bot4jax.runtime.terms import universe_after
from bot4jax.types import CONFLATED, LATE, PACKED, TICK

LOG = logging.getLogger(__name__)

TOO_LONG = (
    "bar %d has %d ticks, more than are kept: those of %d symbols came out of order, "
    "and stay so"
)


class _Buffer(NamedTuple):
    records: np.ndarray
    packed: Int[np.ndarray, "N K"]


class OpenBar:
    """One bar after the other, each until it is told to close."""

    def __init__(
        self,
        universe: Universe,
        anchors: Int[np.ndarray, " S"],
        bar_ns: int,
        open_ns: int,
        bar: int,
        capacity: int,
        reorder_ticks: int,
        counters: Counters,
    ) -> None:
        """`bar` is its number, `capacity` the ticks of a batch; of longer bars than of
        `reorder_ticks` the order of arrival stands."""
        self.bar, self.open_ns, self.bar_ns = bar, open_ns, bar_ns
        self.universe = universe
        """with its terms from this bar on"""
        self.early = Early()
        self._counters, self._capacity = counters, capacity
        self._terms = instrument_terms(universe, anchors)
        self._earlier = EarlierMids(len(universe.instruments))
        self._disorder = Disorder(len(universe.instruments), reorder_ticks)
        self._buffers = [
            _Buffer(np.empty(capacity, TICK), self.blank) for _ in range(ROTATION)
        ]
        self._turn = self._filled = 0
        self._before = (0, 0, 0, 0)
        """ticks absorbed and late, and events missed and awaited, when it began"""

    @property
    def boundary_ns(self) -> int:
        """Event time at which it ends."""
        return self.open_ns + self.bar_ns

    @property
    def anchors(self) -> Int[np.ndarray, " S"]:
        """Increments that the device counts prices from, in this bar."""
        return self._terms.anchor

    @property
    def blank(self) -> Int[np.ndarray, "N K"]:
        """A batch without a tick: rows of no symbol, which every scatter drops."""
        packed = np.zeros((self._capacity, len(PACKED)), np.int32)
        packed[:, PACKED.index("slot")] = len(self.anchors)
        return packed

    @property
    def pending(self) -> np.ndarray:
        """Its ticks that no batch holds yet."""
        return self._buffers[self._turn].records[: self._filled]

    @property
    def ordering(self) -> int:
        """Checksum of its ticks that batches hold, in the order of their arrival."""
        return self._disorder.checksum

    def enter(self, records: np.ndarray) -> Iterator[Batch]:
        """Ticks into the bar, and the batches that they fill; those of later bars are
        held back."""
        is_later = records["event_ns"] >= self.boundary_ns
        if is_later.any():
            later = records[is_later]
            bars_on = (later["event_ns"] - self.open_ns) // self.bar_ns
            self.early.hold(later, self.bar + bars_on)
            records = records[~is_later]
        while len(records):
            stop = min(self._filled + len(records), self._capacity)
            taken = stop - self._filled
            self._buffers[self._turn].records[self._filled : stop] = records[:taken]
            records, self._filled = records[taken:], stop
            if stop == self._capacity:
                yield self._packed()

    def flush(self) -> Iterator[Batch]:
        """The pending ticks, if there are any."""
        if self._filled:
            yield self._packed()

    def put_in_order(self) -> Iterator[Reopen | Batch]:
        """Of symbols whose ticks were not, all ticks; once it has been flushed."""
        slots = self._disorder.symbols.copy()
        if not slots.any():
            return
        if self._disorder.is_too_long:
            self._counters.unordered += int(slots.sum())
            LOG.warning(TOO_LONG, self.bar, self._disorder.count, slots.sum())
            return
        records = self._disorder.ordered()
        self._counters.reordered += len(records)
        self._disorder.forget()  # what follows is in order
        self._earlier.reopen(slots)
        yield Reopen(slots)
        for at in range(0, len(records), self._capacity):
            some = records[at : at + self._capacity]
            self._filled = len(some)
            self.pending[:] = some
            yield self._written()._replace(is_again=True)

    def close(
        self,
        watermark_ns: int,
        receive_ns: int,
        newest_ns: int,
        masked: Sequence[int],
        acting: tuple[Reference, ...],
        is_by_clock: bool,
    ) -> Close:
        """Its closing, once it has been flushed; the next one is open from now on, in
        the terms that the events which act leave."""
        counted, before = self._counters, self._before
        closed = Close(
            self.bar,
            self.boundary_ns,
            watermark_ns,
            receive_ns,
            newest_ns,
            counted.absorbed - before[0],
            counted.late - before[1],
            tuple(masked),
            acting,
            self._changed(acting) if acting else None,
            counted.unheard - before[2],
            is_by_clock,
            counted.awaited - before[3],
        )
        self._before = (
            *(counted.absorbed, counted.late),
            *(counted.unheard, counted.awaited),
        )
        self._disorder.forget()
        self.bar, self.open_ns = self.bar + 1, self.boundary_ns
        return closed

    def release(self) -> Iterator[Batch]:
        """What has waited for this bar to open."""
        yield from self.enter(self.early.release(self.bar))

    def _packed(self) -> Batch:
        """The pending ticks as a batch, flagged and counted."""
        records = self.pending
        records["flags"] &= CONFLATED
        is_late = records["event_ns"] < self.open_ns
        records["flags"][is_late] |= LATE
        self._counters.absorbed += len(records)
        self._counters.late += int(is_late.sum())
        if not self._disorder.count:
            self._earlier.begin_bar()
        self._disorder.keep(records)
        return self._written()

    def _written(self) -> Batch:
        """The pending ticks as a batch, and the next buffer in turn."""
        buffer, count = self._buffers[self._turn], self._filled
        records = self.pending
        buffer.packed[count:, PACKED.index("slot")] = len(self.anchors)
        past, bar = (self._earlier, self._disorder), (self.open_ns, self.bar_ns)
        pack(records, self._terms, *past, *bar, buffer.packed)
        self._turn, self._filled = (self._turn + 1) % ROTATION, 0
        return Batch(buffer.packed, count, records)

    def _changed(self, acting: Sequence[Reference]) -> Terms | None:
        """What the events make of prices and sizes; later ticks are in new terms."""
        terms, moved = terms_after(acting, self.anchors, self.universe)
        self.universe = universe_after(self.universe, acting)
        self._terms = instrument_terms(self.universe, moved)
        if terms is not None:
            self._earlier.forget(np.asarray(terms.changes))
        return terms
