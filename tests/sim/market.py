"""What an engine hears of the market, and what may befall it on its way.

The frames go through the real feed; only the device is left out, for the planned
forecast of these engines reads no bar.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from bot4jax.runtime.backlog import Clocks, follows, join
from bot4jax.runtime.batches import Batch, Close, Reopen
from bot4jax.runtime.closings import NO_ARRIVALS, Closed
from bot4jax.runtime.feed import Feed
from bot4jax.runtime.market import Quotes
from bot4jax.runtime.publish import Arrival, begun, heartbeat
from bot4jax.runtime.standing import Standing
from bot4jax.runtime.terms import changes_terms
from bot4jax.runtime.wire import WireError, decode, encode
from bot4jax.types import END, Frame
from tests.runtime.scene import BAR_NS, START_NS, SYMBOLS, UNIVERSE, quotes
from tests.sim.engine import mids
from tests.sim.line import Faults


class Death(BaseException):
    """A process ends here, and nothing after this line has happened."""


def frames(
    bars: int, size: int, mids: Callable[[int], Sequence[int]] = mids
) -> list[Frame]:
    """One frame a bar, and the end."""
    made = []
    for bar in range(bars):
        records = quotes(bar, mids(bar), size)
        sent_ns = int(records["event_ns"].max())
        made.append(Frame(1, 1, bar * SYMBOLS, sent_ns, records))
    end_ns = START_NS + bars * BAR_NS
    nothing = made[-1].records[:0]
    end = Frame(1, 1, bars * SYMBOLS, end_ns, nothing, flags=END)
    return list(begun([*made, end]))


def befallen(
    sent: Sequence[Frame], faults: Faults, is_stale: Callable[[], bool]
) -> Iterator[Frame]:
    """The frames, or a snapshot of what was lost before its bar has closed.

    What else comes changes nothing.
    """
    for number, one in enumerate(sent):
        if faults.befalls("death between frames"):
            raise Death("between two frames")
        if faults.befalls("frame broken"):
            yield from _broken(one, faults)
        if faults.befalls("old frame again"):
            yield sent[faults.pick(number + 1)]
        yield from _transported(one, faults)
        if faults.befalls("frame twice"):
            yield one
        if is_stale():
            yield _standing(one)


def _transported(frame: Frame, faults: Faults) -> Iterator[Frame]:
    """A frame as the network brings it, if it does."""
    if faults.befalls("frame cut"):
        yield from _cut(frame, faults)
    elif not frame.is_end and faults.befalls("frame lost"):
        yield from (_part(frame, 0, 1), heartbeat(frame, frame.sent_ns))
    elif not frame.is_end and faults.befalls("frames change places"):
        yield from (_part(frame, 0, 1), _part(frame, 2, 3), _part(frame, 1, 2))
        yield heartbeat(frame, frame.sent_ns)
    else:
        yield frame


def _part(frame: Frame, first: int, stop: int) -> Frame:
    """A frame of some of its records. The first one ends the bar before: what is missed
    behind it concerns the open bar alone, and can be healed within it."""
    records = frame.records[first:stop]
    return frame._replace(sequence=frame.sequence + first, records=records)


def _standing(frame: Frame) -> Frame:
    """What a publisher answers who has sent this frame: it quotes all symbols."""
    standing = Standing(SYMBOLS)
    standing.absorb(frame.records)
    return standing.snapshot(frame)


def _broken(frame: Frame, faults: Faults) -> Iterator[Frame]:
    """One bit is another; whoever reads it sees that, and hears nothing."""
    message = bytearray(encode(frame, UNIVERSE.hash))
    message[faults.pick(len(message))] ^= 1 << faults.pick(8)
    try:
        yield decode(bytes(message), UNIVERSE.hash)
    except WireError:
        return


def _cut(frame: Frame, faults: Faults) -> Iterator[Frame]:
    """The same records in two frames."""
    at = faults.pick(len(frame.records) + 1)
    yield frame._replace(records=frame.records[:at], flags=frame.flags & ~END)
    rest, sequence = frame.records[at:], frame.sequence + at
    yield frame._replace(records=rest, sequence=sequence, flags=frame.flags & END)


def taken_up(
    sent: Iterable[Frame], faults: Faults, clock_ns: Callable[[], int]
) -> Iterator[Arrival]:
    """Arrivals; now and then a frame waits and is taken up with the one behind it."""
    clocks, waiting = Clocks(0), None
    for one in sent:
        is_plain = clocks.is_plain(one)
        if waiting is not None and is_plain and follows(waiting, one):
            waiting = join([waiting, one])
            continue
        if waiting is not None:
            yield Arrival(waiting, 0.0, clock_ns())
        waiting = one if is_plain and faults.befalls("frame waits") else None
        if waiting is None:
            yield Arrival(one, 0.0, clock_ns())
    if waiting is not None:
        yield Arrival(waiting, 0.0, clock_ns())


def new_feed() -> Feed:
    """The real one."""
    anchors = np.full(SYMBOLS, 200)
    return Feed(UNIVERSE, anchors, BAR_NS, START_NS, 16, skew_limit_ns=BAR_NS)


def closed_bars(arrivals: Iterable[Arrival], feed: Feed) -> Iterator[Closed]:
    """Every bar as it closes."""
    shown, nothing = Quotes(UNIVERSE), np.zeros((1, SYMBOLS))
    for one in arrivals:
        events: Iterable[Batch | Reopen | Close] = ()
        if one.frame is not None:
            events = feed.push(one.frame, one.receive_ns)
        for event in events:
            if isinstance(event, Batch):
                (shown.restate if event.is_again else shown.absorb)(event.records)
            if not isinstance(event, Close):
                continue
            for changed in filter(changes_terms, event.events):
                shown.hear(changed)
                if changed.symbol in event.doubted:
                    shown.recount(changed.symbol)
            yield Closed(
                event.bar,
                event.boundary_ns,
                nothing,  # pyright: ignore[reportArgumentType]
                nothing,  # pyright: ignore[reportArgumentType]
                shown.market(),
                0.0,
                event.watermark_ns,
                event.ticks,
                event.late,
                NO_ARRIVALS,
                stale=feed.stale,
                newest_ns=event.newest_ns,
                events=event.events,
                unheard=event.unheard,
                is_by_clock=event.is_by_clock,
                awaited=event.awaited,
                is_told=event.is_told,
                doubted=event.doubted,
            )
