"""Trading over ZeroMQ: ticks from a feed, orders to a venue, signals to all."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bot4jax.modes import tapes
from bot4jax.modes.children import children
from bot4jax.modes.keeping import Kept
from bot4jax.modes.setting import Setting
from bot4jax.modes.trading import Report, Traded, trade
from bot4jax.runtime.client import send_signals
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.control import Controls, KillFile, listening
from bot4jax.runtime.curve import Keyring
from bot4jax.runtime.inputs import Inputs, again
from bot4jax.runtime.journal import Journal
from bot4jax.runtime.loop import Stepped, Trader
from bot4jax.runtime.messages import Signal, Signals
from bot4jax.runtime.publish import Arrival, receive
from bot4jax.runtime.sessions import sessions
from bot4jax.runtime.silence import watched
from bot4jax.runtime.snapshots import Snapshots
from bot4jax.runtime.sockets import Limits, dealer, publisher, subscriber
from bot4jax.runtime.ticks_record import TickRecord
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.runtime.wire import MAGIC

FAREWELL = Limits(linger_ms=1000)
"""The venue ends when it hears the last message: it must get out."""

ATTENTION_S = 0.02
"""How often a silent feed is turned away from, to hear people and to see bars late."""


def trade_with_children(
    setting: Setting, kept: Kept, folder: Path, report: Report
) -> Traded:
    """Start a feed and a venue, trade the test span with them, and see them end."""
    with children(setting.config, ("venue", "feed")):
        return trade_over_sockets(setting, kept, folder, report)


def trade_over_sockets(
    setting: Setting,
    kept: Kept,
    folder: Path,
    report: Report,
    resumes: bool = False,
) -> Traded:
    """Trade the test span with a feed and a venue that run beside this process.

    A run that `resumes` keeps what came in with each step, and begins with that.
    """
    runtime, universe = setting.config.runtime, setting.source.universe
    ends = runtime.endpoints
    record = TickRecord(folder / "ticks")
    keys = Keyring(setting.config.keys.folder, "engine")
    feed, venue = keys.calling("feed"), keys.calling("venue")
    with ExitStack() as stack:
        ticks = stack.enter_context(subscriber(ends.ticks, (MAGIC,), curve=feed))
        asked = stack.enter_context(dealer(ends.snapshots, curve=feed))
        orders = stack.enter_context(dealer(ends.orders, limits=FAREWELL, curve=venue))
        signals = stack.enter_context(
            publisher(ends.signals, drops=True, curve=keys.serving)
        )
        stack.enter_context(record)
        first, lateness_ns = setting.split.test.start, lateness(setting)
        tape = tapes.tick_tape(setting, kept.state.bars, first, lateness_ns)
        snapshots = Snapshots(asked, universe.hash, lambda: tape.feed.is_stale)
        in_session = trading_hours(setting)
        came = receive(
            ticks,
            universe.hash,
            runtime.feed_timeout_s,
            ATTENTION_S,
            snapshots=snapshots,
            in_session=in_session,
        )

        def bars(trader: Trader, journal: Journal) -> Iterator[Closed]:
            controls = Controls(trader, KillFile(folder))
            stack.enter_context(listening(controls, ends.control))
            trader.attend = controls.attend
            controls.attend()  # a journal may end in the middle of what came in
            heard = watched(came, trader, runtime.feed_quiet_s, in_session)
            heard = controls.attended(heard)
            if lateness_ns is None:
                heard = (one for one in heard if one.frame is not None)
            if resumes:
                heard = remembered(heard, trader, journal)
            return tape.closed(record.heard(heard))

        return trade(
            setting,
            kept,
            tape,
            bars,
            SocketVenue(orders, runtime.venue_timeout_s, runtime.dead_man_s),
            folder,
            report,
            lambda stepped: send_signals(signals, batch(setting, folder.name, stepped)),
            resumes=resumes,
        )


def remembered(
    arrivals: Iterable[Arrival], trader: Trader, journal: Journal
) -> Iterator[Arrival]:
    """What the journal holds, then what comes, kept for the journal in turn."""
    inputs = Inputs()
    trader.inputs = inputs.take
    for record in journal.read():
        yield from again(record.inputs)
    if not journal.is_finished:
        yield from inputs.heard(arrivals)


def lateness(setting: Setting) -> int | None:
    """How late a tick may be, ns; None where no clock closes bars.

    Only a market that runs at the pace of the clock may be judged by the clock.
    """
    runtime = setting.config.runtime
    late_ns = round(runtime.allowed_lateness_ms * 1e6)
    return late_ns if runtime.speed == 1 else None


def trading_hours(setting: Setting) -> Callable[[int], bool]:
    """When silence counts: in the market's sessions, if it runs at the clock's pace."""
    if setting.config.runtime.speed != 1:
        return lambda now_ns: True
    return sessions(setting.source.universe)


def batch(setting: Setting, run: str, stepped: Stepped) -> Signals:
    """What one step tells subscribers; symbols without a quote are left out."""
    closed, decisions = stepped.closed, stepped.decided
    increments = setting.source.universe.column("increment")
    mid = (closed.market.bid + closed.market.ask) * increments / 2
    probability = np.clip(decisions.probability.astype(float), 0, 1).tolist()
    return Signals(
        run=run,
        step=closed.bar,
        boundary_ns=closed.boundary_ns,
        regime=decisions.regime,
        signals=[
            Signal(
                symbol=symbol,
                probability=tuple(probability[i]),
                confidence=float(decisions.confidence[i]),
                target=float(decisions.intent[i]),
                price=float(mid[i]),
            )
            for i, symbol in enumerate(setting.source.universe.symbols)
            if closed.market.bid[i] > 0 and np.isfinite(decisions.intent[i])
        ],
    )
