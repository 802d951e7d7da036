"""Where closed bars come from: a source in this process, or a socket."""

import time
from collections.abc import Callable, Iterable, Iterator

from bot4jax.data.source import Source
from bot4jax.kernels.bars import OpenBars
from bot4jax.learn.params import latency_of
from bot4jax.modes.setting import Setting
from bot4jax.runtime.closings import VOLUME, BarTape, Closed, Tape
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.indicative import Terms
from bot4jax.runtime.intake import Intake
from bot4jax.runtime.publish import Arrival, begun, heartbeat

Hear = Callable[..., None]
"""Told of records, and of events that are none."""


def closed_bars(
    setting: Setting,
    open_bars: OpenBars,
    first: int,
    stop: int,
    hear: Hear | None = None,
) -> tuple[Tape | BarTape, Iterator[Closed]]:
    """The bars `first … stop − 1` of the setting's own source, in this process.

    `hear` is told what the market shows, before the engine is.
    """
    source = setting.source
    if not source.has_ticks:
        bar_tape = BarTape(source, terms(setting), hear or (lambda records: None))
        return bar_tape, bar_tape.closed(first, stop)
    tape = tick_tape(setting, open_bars, first)
    arrivals = taken_up(source, first, stop)
    if hear is not None:
        arrivals = heard(setting, arrivals, hear)
    return tape, (one for one in tape.closed(arrivals) if one.bar < stop)


def tick_tape(
    setting: Setting,
    open_bars: OpenBars,
    first: int,
    allowed_lateness_ns: int | None = None,
) -> Tape:
    """A tape whose open bar is `first`; without a lateness no clock closes bars."""
    source, runtime = setting.source, setting.config.runtime
    feed = Feed(
        source.universe,
        source.anchors,
        source.bar_ns,
        source.start_ns,
        runtime.capacity,
        first,
        allowed_lateness_ns,
        skew_limit_ns=round(runtime.skew_limit_ms * 1e6),
        reorder_ticks=runtime.reorder_ticks,
    )
    latency = latency_of(setting.config)
    shows_trades = VOLUME in source.columns
    return Tape(setting.engine, feed, open_bars, latency, source.universe, shows_trades)


def taken_up(source: Source, first: int, stop: int) -> Iterator[Arrival]:
    """Frames as if each had been received when it was sent, and the last boundary."""
    last = None
    for last in begun(source.frames(first, stop)):
        yield Arrival(last, time.perf_counter(), last.sent_ns)
    if last is not None:
        end_ns = source.start_ns + stop * source.bar_ns
        yield Arrival(heartbeat(last, end_ns), time.perf_counter(), end_ns)


def heard(
    setting: Setting, arrivals: Iterable[Arrival], hear: Hear
) -> Iterator[Arrival]:
    """Arrivals, told to a listener first: each tick that may be believed, once."""
    source, skew_limit_ns = setting.source, setting.config.runtime.skew_limit_ms * 1e6
    intake = Intake(source.universe.hash, source.anchors, round(skew_limit_ns))
    for one in arrivals:
        if one.frame is not None:
            found = intake.take(one.frame)
            hear(found.records, found.events)
        yield one


def terms(setting: Setting) -> Terms:
    """What is assumed of a market that shows no quotes, the engine's own assumption."""
    half_spread = setting.settings.half_spread
    if half_spread is None:
        raise ValueError(f"{setting.config.data.source} shows quotes of its own")
    return Terms(half_spread, setting.config.venue.participation)
