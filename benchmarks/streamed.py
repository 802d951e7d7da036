"""The engine at the end of a stream, as `mode=live` has it: what two benchmarks share.

A publisher is a process of its own, a thread reads its socket, what comes in is written
and hashed, decisions are gated and journaled, snapshots of the state are written. Only
the venue is none that trades: see `filling.py` and, behind sockets, `filler.py`.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from benchmarks.filler import filling
from benchmarks.filling import FillingVenue
from benchmarks.ingest import IDLE_S, PATIENCE_S, LostTicks
from benchmarks.publishing import publishing
from benchmarks.stage import Stage
from bot4jax.modes.keeping import identity
from bot4jax.modes.making import make_trader
from bot4jax.modes.sockets import batch
from bot4jax.modes.tapes import tick_tape
from bot4jax.modes.trading import opened_journal
from bot4jax.runtime.client import send_signals
from bot4jax.runtime.closings import Closed, Tape
from bot4jax.runtime.engine_snapshots import EngineSnapshots
from bot4jax.runtime.garbage import settled
from bot4jax.runtime.inputs import Inputs
from bot4jax.runtime.loop import Trader
from bot4jax.runtime.publish import receive
from bot4jax.runtime.reception import received
from bot4jax.runtime.sockets import subscriber
from bot4jax.runtime.stepped import Stepped
from bot4jax.runtime.venue_link import VenueLink
from bot4jax.runtime.wire import MAGIC


class Streamed(NamedTuple):
    """An engine that listens, ready for its first bar."""

    trader: Trader
    tape: Tape
    bars: Iterator[Closed]

    def steps(self, count: int) -> Iterator[Stepped]:
        """So many decisions; everything that came in has been counted once."""
        for _, closed in zip(range(count), self.bars, strict=False):
            yield self.trader.step(closed)
        counters = self.tape.feed.counters
        if self.trader.step_number != count or counters.gaps or counters.dropped:
            raise LostTicks(
                f"{count} bars were sent, {self.trader.step_number} have closed: "
                f"{counters}."
            )


Publish = Callable[[Stepped], None]


@contextmanager
def streamed(
    stage: Stage,
    ticks_per_s: float,
    folder: Path,
    bars: int,
    has_sockets: bool = False,
) -> Iterator[Streamed]:
    """A market at this pace, and the engine that trades it; orders and signals leave
    through sockets where it `has_sockets`, else the venue is in this process."""
    setting, first = stage.setting, stage.span.start
    source, capacity = setting.source, setting.config.runtime.capacity
    tape = tick_tape(setting, stage.kept.state.bars, first)
    with ExitStack() as stack:
        endpoint = stack.enter_context(
            publishing("benchmarks.steady", setting.config, ticks_per_s, first, bars)
        )
        socket = stack.enter_context(subscriber(endpoint, (MAGIC,)))
        came = receive(socket, source.universe.hash, PATIENCE_S, IDLE_S)
        backlog = setting.config.runtime.backlog_ticks if ticks_per_s else None
        reception = stack.enter_context(received(came, capacity, backlog))
        inputs = stack.enter_context(Inputs(folder))
        journal = stack.enter_context(
            closing(opened_journal(folder, folder.name, resumes=False))
        )
        venue, publish = FillingVenue(setting.settings.layout.symbols), unheard
        if has_sockets:
            venue, publish = stack.enter_context(over_sockets(stage, folder.name))
        live = setting._replace(config=replace(setting.config, mode="live"))
        trader = make_trader(live, stage.kept, venue, journal, publish)
        trader.mark = inputs.mark
        deadline_s = setting.config.runtime.deadline_ms / 1e3
        trader.decider.patience = lambda step: deadline_s
        trader.decider.rehearse(tape.rehearsed())
        trader.start()
        every = setting.config.runtime.snapshot_bars
        snapshots = stack.enter_context(
            EngineSnapshots(folder, identity(setting), every, tape, trader)
        )
        arrivals = (one for one in reception.arrivals() if one.frame is not None)
        heard = snapshots.taken(inputs.heard(arrivals))
        stack.enter_context(settled())
        yield Streamed(trader, tape, tape.closed(heard))


def unheard(stepped: Stepped) -> None:
    """Nobody wants to be told of steps."""


@contextmanager
def over_sockets(stage: Stage, run: str) -> Iterator[tuple[VenueLink, Publish]]:
    """A venue in another process, and signals of each step, as `mode=live` has them."""
    universe = stage.setting.source.universe
    with filling(stage.setting.config, len(universe.instruments)) as line:

        def publish(stepped: Stepped) -> None:
            send_signals(line.signals, batch(universe, run, stepped))

        yield line.venue, publish
