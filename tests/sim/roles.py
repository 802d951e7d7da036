"""A whole run as three processes: market, venue, and a `mode=live` told where to die.

The engine is the mode itself, with its nets, sockets and files; the venue is the paper
venue's own process, which leaves its record behind. The market is not bound to a clock:
it waits while somebody is missing and then begins again, as a publisher does that keeps
what it has sent.
"""

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import msgspec
import zmq

from bot4jax.data.sources import open_source
from bot4jax.runtime import venue_process
from bot4jax.runtime.orders import Answer, Request
from bot4jax.runtime.publish import begun, heartbeat, send
from bot4jax.runtime.snapshots import SnapshotDesk
from bot4jax.runtime.sockets import publisher, router
from bot4jax.runtime.venue import PaperVenue
from bot4jax.runtime.venue_record import Record
from bot4jax.runtime.wire import encode
from bot4jax.schema import Config
from bot4jax.types import END

LISTENERS = 2
"""The engine and the venue."""

PACE_MS = 5
"""Between two frames: slower than the engine, so that it dies in mid-stream."""

Kept = tuple[list[Request], list[Answer]]


def market(config: Config) -> None:
    """Publish the test span to all listeners; leave when they have."""
    from bot4jax.modes.spans import spans

    split, ends = spans(config), config.runtime.endpoints
    source = open_source(config, split.bars)
    frames = list(begun(source.frames(split.test.start, split.test.stop)))
    end_ns = source.start_ns + split.test.stop * source.bar_ns
    frames.append(heartbeat(frames[-1], end_ns)._replace(flags=END))
    buffers = [encode(one, source.universe.hash) for one in frames]
    with publisher(ends.ticks) as socket, router(ends.snapshots) as asked:
        broadcast(socket, SnapshotDesk(asked, source.universe), buffers)


def broadcast(socket: zmq.Socket, desk: SnapshotDesk, buffers: Sequence[bytes]) -> None:
    """Send on while all listen; whoever comes anew hears all from the beginning."""
    at, present = 0, 0
    while True:
        desk.wait(0)
        if socket.poll(PACE_MS):
            has_come = socket.recv()[0] == 1
            present += 1 if has_come else -1
            at = 0 if has_come else at
            if not present and at == len(buffers):
                return
        elif present == LISTENERS and at < len(buffers):
            send(socket, buffers[at])
            at += 1


def venue(config: Config, path: Path) -> None:
    """Be the paper venue until the engine says goodbye; what it knows is written."""
    from bot4jax.modes.spans import spans

    known: list[PaperVenue] = []
    configured = venue_process.configured

    def kept(*how) -> PaperVenue:
        known.append(configured(*how))
        known[-1].record = Record([], [])
        return known[-1]

    with patch.object(venue_process, "configured", kept):
        venue_process.run_venue(config, open_source(config, spans(config).bars))
    path.write_bytes(msgspec.msgpack.encode(tuple(known[0].record)))


def record_at(path: Path) -> Record:
    """What a venue's process has left behind."""
    return Record(*msgspec.msgpack.decode(path.read_bytes(), type=Kept))


def engine(config: Config, point: str = "", step: str = "0") -> int:
    """`mode=live`; the process is killed at `point`, from the step on.

    A snapshot must be there to wake up from. The point `mid_checkpoint` is within the
    next one: its arrays are written, its manifest is not.
    """
    from bot4jax.learn import checkpoint
    from bot4jax.modes import live, trading
    from bot4jax.runtime.engine_snapshots import FOLDER

    make_trader, seal = trading.make_trader, checkpoint._write_manifest
    snapshots = Path(config.run.root) / str(config.run.name) / FOLDER

    def die(name: str, number: int) -> None:
        if name == point and number >= int(step) and checkpoint.steps(snapshots):
            os.kill(os.getpid(), signal.SIGKILL)

    def mortal(*how):
        trader = make_trader(*how)
        trader.on_point = lambda name: die(name, trader.step_number)
        return trader

    def fatal(draft: Path, number: int, *more) -> None:
        die("mid_checkpoint", number)
        seal(draft, number, *more)

    with (
        patch.object(trading, "make_trader", mortal),
        patch.object(checkpoint, "_write_manifest", fatal),
    ):
        return live.live(config)


def play(config: Config, role: str, *words: str) -> int | None:
    """One role of the three."""
    if role == "venue":
        return venue(config, Path(words[0]))
    return {"market": market, "engine": engine}[role](config, *words)
