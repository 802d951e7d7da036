"""Where closed bars come from: a source in this process, or a socket."""

import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from bot4jax.kernels.bars import OpenBars
from bot4jax.learn.params import latency_of
from bot4jax.modes.setting import Setting
from bot4jax.runtime.closings import BarTape, Closed, Tape
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.indicative import Terms
from bot4jax.runtime.publish import Arrival
from bot4jax.types import Frame

Hear = Callable[[np.ndarray], None]


def closed_bars(
    setting: Setting,
    open_bars: OpenBars,
    first: int,
    stop: int,
    hear: Hear = lambda records: None,
) -> tuple[Tape | BarTape, Iterator[Closed]]:
    """The bars `first … stop − 1` of the setting's own source, in this process.

    `hear` is told what the market shows, before the engine is.
    """
    source = setting.source
    if not source.has_ticks:
        bar_tape = BarTape(source, terms(setting), hear)
        return bar_tape, bar_tape.closed(first, stop)
    tape = tick_tape(setting, open_bars, first)
    frames = heard(source.frames(first, stop), hear)
    return tape, (one for one in tape.closed(frames) if one.bar < stop)


def tick_tape(
    setting: Setting,
    open_bars: OpenBars,
    first: int,
    on_batch: Hear = lambda records: None,
) -> Tape:
    """A tape whose open bar is `first`."""
    source, runtime = setting.source, setting.config.runtime
    feed = Feed(
        source.universe,
        source.anchors,
        source.bar_ns,
        source.start_ns,
        runtime.capacity,
        first,
        skew_limit_ns=round(runtime.skew_limit_ms * 1e6),
    )
    latency = latency_of(setting.config)
    return Tape(setting.engine, feed, open_bars, latency, source.universe, on_batch)


def heard(frames: Iterable[Frame], hear: Hear) -> Iterator[Arrival]:
    """Frames with the time they were taken up, told to a listener first."""
    for frame in frames:
        hear(frame.records)
        yield Arrival(frame, time.perf_counter(), frame.sent_ns)


def terms(setting: Setting) -> Terms:
    """What is assumed of a market that shows no quotes."""
    own = setting.config.venue
    return Terms(own.half_spread_bps, own.participation)
