"""From frames to closed bars: the feed orders ticks, the device absorbs them."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from bot4jax.data.source import Source, closes_ns, opens_ns
from bot4jax.data.universe import Universe
from bot4jax.engine import Engine
from bot4jax.kernels.bars import OpenBars
from bot4jax.kernels.rebase import Terms
from bot4jax.runtime import indicative
from bot4jax.runtime.batches import Batch, Close, Reopen
from bot4jax.runtime.context import Market
from bot4jax.runtime.device_terms import unchanged
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.market import Quotes
from bot4jax.runtime.messages import Reference
from bot4jax.runtime.mids import Mids
from bot4jax.runtime.publish import Arrival
from bot4jax.runtime.stages import Stages
from bot4jax.runtime.terms import changes_terms
from bot4jax.state import copied
from bot4jax.types import BAR_FLOATS, BAR_INTS, REFERENCE, SNAPSHOT

VOLUME = "base_turnover"
"""Column of a bar that only trades can fill."""

LIVE, CONFLATED = BAR_INTS.index("live"), BAR_INTS.index("conflated")


@jax.jit
def seen_only(ints: Int[Array, "B S"], seen: Int[Array, " S"]) -> Int[Array, "B S"]:
    """The closed bars: where `seen` is 0 not alive, and flagged as not whole."""
    return ints.at[LIVE].multiply(seen).at[CONFLATED].max(1 - seen)


class Closed(NamedTuple):
    """All symbols' bars at one boundary, still on the device."""

    bar: int
    boundary_ns: int
    ints: Int[Array, "B S"]
    floats: Float[Array, "D S"]
    market: Market
    """quotes that stand at the boundary, on the host"""
    timer_s: float
    """when the message that closed the bar was taken up"""
    watermark_ns: int
    ticks: int
    late: int
    arrivals: Float[np.ndarray, "A 2"]
    """timer and number of ticks of every frame since the last closing"""
    stale: Bool[np.ndarray, " S"]
    """symbols of which something was missed and no snapshot has told it since"""
    newest_ns: int
    """receive time by which the newest tick would have come, had it not been late"""
    events: tuple[Reference, ...] = ()
    """that act from the boundary on"""
    terms: Terms | None = None
    """of prices and sizes from the boundary on, if a split or new terms changed them;
    on the device"""
    unheard: int = 0
    """frames of reference events of which nobody can tell any more, by bar"""
    is_by_clock: bool = False
    """the clock closed it, and not the event time of every publisher"""
    awaited: int = 0
    """frames of reference events missed in the bar, of which a snapshot may tell"""
    is_told: bool = True
    """no snapshot is awaited that would tell of missed events"""
    doubted: tuple[int, ...] = ()
    """slots of which a snapshot has told what should have acted before"""
    mids: Mids | None = None
    """as they stood within the bar, in the terms of then; None: nobody knows"""


class Bars(NamedTuple):
    """The device's part of a closing."""

    ints: Int[Array, "B S"]
    floats: Float[Array, "D S"]
    terms: Terms | None


NO_ARRIVALS = np.empty((0, 2))
"""Bars that came ready-made: nothing is known of when their trades were heard of."""


class BarTape:
    """Closed bars of a source that has no ticks; quotes are indicative.

    `on_records` hears the quotes around each opening and closing price.
    """

    def __init__(
        self,
        source: Source,
        terms: indicative.Terms,
        on_records: Callable[[np.ndarray], None],
    ) -> None:
        self._source, self._terms, self._on_records = source, terms, on_records
        self.quotes = Quotes(source.universe, VOLUME in source.columns)

    def rehearsed(self) -> Bars:
        """A closing in which nothing was seen; such bars are never in other terms."""
        symbols = len(self._source.universe.instruments)
        ints = np.zeros((len(BAR_INTS), symbols), np.int32)
        floats = np.zeros((len(BAR_FLOATS), symbols), np.float32)
        on_device = jax.device_put((ints, floats))
        return Bars(on_device[0], on_device[1], None)

    def closed(self, first: int, stop: int) -> Iterator[Closed]:
        """The bars `first … stop − 1`, one after the other, at the market's own times.

        A bar of Friday ends where Monday's opens: there its orders meet that opening.
        """
        source, before = self._source, None
        for block in source.bars(first, stop):
            timer_s = time.perf_counter()
            open_ns = opens_ns(source, block.index)
            boundary_ns = closes_ns(source, block.index)
            if before is not None:
                self._show(
                    indicative.opening_quotes(
                        block, before, source.universe, self._terms, open_ns
                    )
                )
            self._show(
                indicative.closing_quotes(
                    block, source.universe, self._terms, boundary_ns - 1
                )
            )
            before = indicative.volume(block)
            self._count(before, open_ns)
            ints, floats = jax.device_put((block.ints, block.floats))
            market = self.quotes.market()
            yield Closed(
                block.index,
                boundary_ns,
                ints,
                floats,
                market,
                timer_s,
                boundary_ns,
                0,
                0,
                NO_ARRIVALS,
                np.zeros(len(source.universe.instruments), bool),
                boundary_ns,
                mids=self.quotes.mids(),
            )

    def _count(self, volume: Float[np.ndarray, " S"], open_ns: int) -> None:
        """What has traded within a bar, in whole lots."""
        lots = np.floor(volume / self._source.universe.column("lot"))
        traded = np.flatnonzero(lots > 0)
        self.quotes.count(traded, lots[traded].astype(np.int64), open_ns)

    def _show(self, records: np.ndarray) -> None:
        self.quotes.absorb(records)
        self._on_records(records)


class Tape:
    """Turns frames into closed bars and keeps the open ones in between."""

    def __init__(
        self,
        engine: Engine,
        feed: Feed,
        open_bars: OpenBars,
        latency: Int[Array, ""],
        universe: Universe,
        shows_trades: bool = False,
    ) -> None:
        self._engine, self.feed, self.open_bars = engine, feed, open_bars
        self._latency = latency
        self.quotes = Quotes(universe, shows_trades)
        self.stages = Stages()
        self.is_asleep = False
        """the device hears nothing: what it remembers comes from elsewhere"""
        nothing = np.empty((0, 0), np.int32), np.empty((0, 0), np.float32)
        no_ints, no_floats = jax.device_put(nothing)
        self._unheard = Bars(no_ints, no_floats, None)
        self._arrivals: list[tuple[float, int]] = []
        none = jax.device_put(np.zeros((len(BAR_INTS), len(feed.stale)), np.int32))
        self._mask(none, ())  # compiled before the first gap, not during it

    def rehearsed(self) -> Bars:
        """A closing of a copy of the open bars, and of what a split would do to them.

        Whatever a bar may ever need is compiled by it, and the first may have no tick.
        """
        blank = jax.device_put(self.feed.blank)
        open_bars = self._engine.absorb(copied(self.open_bars), blank, self._latency)
        nobody = jax.device_put(np.zeros(len(self.feed.stale), bool))
        open_bars = self._engine.reopen(open_bars, nobody)
        open_bars, ints, floats = self._engine.close(open_bars)
        terms = jax.device_put(unchanged(ints.shape[1]))
        self._engine.rebase_bars(open_bars, terms)
        return Bars(ints, floats, terms)

    def closed(self, arrivals: Iterable[Arrival]) -> Iterator[Closed]:
        """Every bar as it closes; in silence, what waits for a full batch goes on."""
        for one in arrivals:
            for event in self._events(one):
                if isinstance(event, Batch):
                    self.absorb(event)
                elif isinstance(event, Reopen):
                    self._reopen(event)
                else:
                    yield self._close(event, one.timer_s)

    def _events(self, one: Arrival) -> Iterator[Batch | Reopen | Close]:
        if one.frame is None:
            yield from self.feed.flush()
            yield from self.feed.advance(one.receive_ns)
            return
        yield from self.feed.push(one.frame, one.receive_ns)
        if one.frame.kind in (REFERENCE, SNAPSHOT):
            return
        if len(one.frame.records):
            self._arrivals.append((one.timer_s, len(one.frame.records)))

    def _mask(
        self, ints: Int[Array, "B S"], masked: tuple[int, ...]
    ) -> Int[Array, "B S"]:
        """A bar that was not seen whole counts as not seen at all."""
        seen = np.ones(ints.shape[1], np.int32)
        seen[list(masked)] = 0
        return seen_only(ints, jax.device_put(seen))

    def absorb(self, batch: Batch) -> None:
        """Ticks of the open bar onto the device."""
        began = time.perf_counter()
        if batch.is_again:
            self.quotes.restate(batch.records)
        else:
            self.quotes.absorb(batch.records)
        if self.is_asleep:
            return
        # A copy: the feed writes its buffer again before the device may have read it.
        packed = jax.device_put(batch.packed.copy())
        self.open_bars = self._engine.absorb(self.open_bars, packed, self._latency)
        stage = "reorder" if batch.is_again else "absorb"
        self.stages.add(stage, time.perf_counter() - began)

    def _reopen(self, event: Reopen) -> None:
        """Forget on the device what these symbols' bars have absorbed."""
        if not self.is_asleep:
            slots = jax.device_put(event.slots)
            self.open_bars = self._engine.reopen(self.open_bars, slots)

    def _bars(self, event: Close) -> Bars:
        """The closed bars on the device, and the terms that hold from now on."""
        if self.is_asleep:
            return self._unheard
        began = time.perf_counter()
        self.open_bars, ints, floats = self._engine.close(self.open_bars)
        if event.masked:
            ints = self._mask(ints, event.masked)
        terms = event.terms if event.terms is None else jax.device_put(event.terms)
        if terms is not None:
            self.open_bars = self._engine.rebase_bars(self.open_bars, terms)
        self.stages.add("close", time.perf_counter() - began)
        return Bars(ints, floats, terms)

    def _close(self, event: Close, timer_s: float) -> Closed:
        bars = self._bars(event)
        arrivals, self._arrivals = self._arrivals, []
        mids = self.quotes.mids()
        for one in filter(changes_terms, event.events):
            self.quotes.hear(one)
            if one.symbol in event.doubted:
                self.quotes.recount(one.symbol)
        return Closed(
            bar=event.bar,
            boundary_ns=event.boundary_ns,
            ints=bars.ints,
            floats=bars.floats,
            market=self.quotes.market(),
            timer_s=timer_s,
            watermark_ns=event.watermark_ns,
            ticks=event.ticks,
            late=event.late,
            arrivals=np.array(arrivals).reshape(-1, 2),
            stale=self.feed.stale,
            newest_ns=event.newest_ns,
            events=event.events,
            terms=bars.terms,
            unheard=event.unheard,
            is_by_clock=event.is_by_clock,
            awaited=event.awaited,
            is_told=event.is_told,
            doubted=event.doubted,
            mids=mids,
        )
