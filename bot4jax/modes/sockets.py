"""Trading over ZeroMQ: ticks from a feed, orders to a venue, signals to all."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from bot4jax.config import agreed_hash
from bot4jax.data.universe import Universe
from bot4jax.modes import tapes
from bot4jax.modes.children import children
from bot4jax.modes.keeping import Kept, identity
from bot4jax.modes.rollout import Rollout
from bot4jax.modes.setting import Setting
from bot4jax.modes.trading import Report, Traded, trade
from bot4jax.runtime.client import send_signals
from bot4jax.runtime.closings import Closed
from bot4jax.runtime.connections import Line, connected
from bot4jax.runtime.control import Controls, KillFile, listening
from bot4jax.runtime.engine_snapshots import EngineSnapshots
from bot4jax.runtime.inputs import AWOKEN, Inputs
from bot4jax.runtime.journal import Journal, Unwritten
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.messages import Signal, Signals
from bot4jax.runtime.publish import Arrival, receive
from bot4jax.runtime.reception import Reception, received
from bot4jax.runtime.sessions import sessions
from bot4jax.runtime.silence import judged_by_age, watched
from bot4jax.runtime.snapshots import Snapshots
from bot4jax.runtime.states import Cause
from bot4jax.runtime.steady import steady_clock
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.ticks_record import TickRecord
from bot4jax.runtime.venue_link import SocketVenue
from bot4jax.schema.process import Runtime

ATTENTION_S = 0.02
"""How often a silent feed is turned away from, to hear people and to see bars late."""


def trade_with_children(
    setting: Setting, kept: Kept, folder: Path, report: Report
) -> Traded:
    """Start a feed and a venue, trade the test span with them, and see them end."""
    with children(setting.config, ("venue", "feed")) as beside:
        traded = trade_over_sockets(setting, kept, folder, report)
        if len(traded.decided) < len(setting.split.test):
            for one in beside:  # a person has ended it before the feed's end
                one.terminate()
    return traded


def trade_over_sockets(
    setting: Setting,
    kept: Kept,
    folder: Path,
    report: Report,
    resumes: bool = False,
    newest: int | None = None,
    rollout: Rollout | None = None,
) -> Traded:
    """Trade the test span with a feed and a venue that run beside this process.

    A run that `resumes` keeps what came in with each step, and begins with that; the
    `newest` steps are kept whole, without a number all. New steps are shown to the
    `rollout`, once their orders have left.
    """
    runtime, lateness_ns = setting.config.runtime, lateness(setting)
    first = setting.split.test.start
    with ExitStack() as stack:
        line = stack.enter_context(connected(setting.config))
        record = stack.enter_context(TickRecord(folder / "ticks"))
        tape = tapes.tick_tape(setting, kept.state.bars, first, lateness_ns)
        came = stack.enter_context(listened(setting, line, lambda: tape.feed.is_stale))
        inputs = None
        if resumes:
            inputs = stack.enter_context(Inputs(folder, runtime.durability))

        def bars(trader: Trader, journal: Journal) -> Iterator[Closed]:
            controls = Controls(trader, KillFile(folder))
            controls.forget = tape.feed.rebase
            stack.enter_context(listening(controls, runtime.endpoints.control))
            trader.attend = controls.attend
            venue.attend = lambda: heard_while_waiting(controls, trader)
            keep_pace(trader, runtime)
            if rollout is not None and not journal.is_finished:
                rollout.join(setting, kept, trader)
            controls.attend()  # a journal may end in the middle of what came in
            in_session = trading_hours(setting)
            patience = runtime.feed_quiet_s, in_session, runtime.feed_timeout_s
            known = tape.feed.publishers
            heard = watched(came.arrivals(), trader, *patience, known)
            heard = controls.attended(heard)
            if lateness_ns is None:
                heard = (one for one in heard if one.frame is not None)
            if inputs is not None:
                every = runtime.snapshot_bars
                snapshots = stack.enter_context(
                    EngineSnapshots(folder, identity(setting), every, tape, trader)
                )
                heard = remembered(heard, trader, journal, inputs, snapshots)
            return passed(tape.closed(recorded_too(record, heard, trader)), venue)

        def publish(stepped: Stepped) -> None:
            send_signals(line.signals, batch(tape.feed.universe, folder.name, stepped))
            if rollout is not None:
                rollout.see(stepped)

        venue = SocketVenue(
            line.orders,
            runtime.venue_timeout_s,
            runtime.dead_man_s,
            agreed_hash(setting.config),
        )
        return trade(
            setting,
            kept,
            tape,
            bars,
            venue,
            folder,
            report,
            publish,
            resumes=resumes,
            newest=newest,
        )


@contextmanager
def listened(
    setting: Setting, line: Line, is_stale: Callable[[], bool]
) -> Iterator[Reception]:
    """A thread reads the feed while the block lasts, and asks for what is missing."""
    runtime, universe = setting.config.runtime, setting.source.universe
    came = receive(
        line.ticks,
        universe.hash,
        runtime.feed_timeout_s,
        ATTENTION_S,
        snapshots=Snapshots(line.snapshots, universe.hash, is_stale),
        in_session=trading_hours(setting),
    )
    backlog = runtime.backlog_ticks if is_paced(runtime) else None
    skew_limit_ns = round(runtime.skew_limit_ms * 1e6)
    with received(came, runtime.capacity, backlog, skew_limit_ns) as reception:
        yield reception


def keep_pace(trader: Trader, runtime: Runtime) -> None:
    """What is too late for a market that does not wait counts less."""
    if is_paced(runtime):
        states = trader.account.states
        trader.decider.patience = lambda step: runtime.deadline_ms / 1e3
        oldest_s, skew_s = runtime.oldest_s, runtime.skew_limit_ms / 1e3
        trader.judge = judged_by_age(states, oldest_s, steady_clock(), skew_s)


def is_paced(runtime: Runtime) -> bool:
    """Whether the market goes at the clock's pace: only then can anything be late."""
    return runtime.speed == 1


def remembered(
    arrivals: Iterable[Arrival],
    trader: Trader,
    journal: Journal,
    inputs: Inputs,
    snapshots: EngineSnapshots,
) -> Iterator[Arrival]:
    """What was heard before, then what comes, kept for a restart in turn.

    A run that is over is told whole: no snapshot spares the device anything. Where it
    goes on, its record says so, and when it ended: the clock may have been set back.
    """
    trader.mark, marks, last_ns = inputs.mark, journal.marks(), 0
    if not journal.is_finished:
        snapshots.sleep(marks)
    for one in inputs.again(marks):
        snapshots.wake(inputs.length)
        last_ns = one.receive_ns
        yield one
    snapshots.wake()
    if not journal.is_finished:
        here = AWOKEN._replace(sent_ns=last_ns)
        woken = [Arrival(here, 0.0, steady_clock()())] if inputs.length else []
        yield from snapshots.taken(inputs.heard(chain(woken, arrivals)))


def heard_while_waiting(controls: Controls, trader: Trader) -> None:
    """People, within a step; who is to leave after it leaves nothing resting now."""
    controls.attend()
    if trader.is_leaving:
        trader.take_back()


def passed(bars: Iterable[Closed], venue: SocketVenue) -> Iterator[Closed]:
    """The same bars; a venue need not wait for a market that pauses beyond one."""
    for closed in bars:
        if closed.is_by_clock:
            venue.passed_ns = closed.boundary_ns
        yield closed


def recorded_too(
    record: TickRecord, arrivals: Iterable[Arrival], trader: Trader
) -> Iterator[Arrival]:
    """The same arrivals, recorded in passing; a record that has a hole halts."""
    try:
        yield from record.heard(arrivals)
    except Unwritten as error:
        trader.halt(Cause.JOURNAL, str(error))
        raise


def lateness(setting: Setting) -> int | None:
    """How late a tick may be, ns; None where no clock closes bars.

    Only a market that runs at the pace of the clock may be judged by the clock.
    """
    runtime = setting.config.runtime
    late_ns = round(runtime.allowed_lateness_ms * 1e6)
    return late_ns if is_paced(runtime) else None


def trading_hours(setting: Setting) -> Callable[[int], bool]:
    """When silence counts: in the market's sessions, if it runs at the clock's pace."""
    if not is_paced(setting.config.runtime):
        return lambda now_ns: True
    return sessions(setting.source.universe)


def batch(universe: Universe, run: str, stepped: Stepped) -> Signals:
    """What one step tells subscribers; symbols without a quote are left out."""
    closed, decisions = stepped.closed, stepped.decided
    increments, market = universe.column("increment"), closed.market
    told = np.flatnonzero((market.bid > 0) & np.isfinite(decisions.intent))
    columns = (
        np.array(universe.symbols)[told],
        np.clip(decisions.probability.astype(float), 0, 1)[told],
        decisions.confidence[told],
        decisions.intent[told],
        ((market.bid + market.ask) * increments / 2)[told],
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return Signals(
        run=run,
        step=stepped.step,
        boundary_ns=closed.boundary_ns,
        regime=decisions.regime,
        signals=[
            Signal(
                symbol=symbol,
                probability=tuple(probability),
                confidence=confidence,
                target=target,
                price=price,
            )
            for symbol, probability, confidence, target, price in rows
        ],
    )
